//! One file of hidden states.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use stir_core::{ModelShape, TokenId};

use super::StatesError;

const STATES: &str = "hidden_states";
const TOKENS: &str = "token_ids";

/// The longest header, in bytes: two tensors take a few hundred.
const MAX_HEADER: u64 = 1 << 20;

/// A file: its tokens, and where its states are.
#[derive(Debug)]
pub(super) struct StatesFile {
    pub(super) path: PathBuf,
    pub(super) tokens: Box<[TokenId]>,
    pub(super) dtype: Dtype,
    /// Where `hidden_states` begins.
    start: u64,
    /// The number of layers.
    layers: usize,
    width: usize,
}

impl StatesFile {
    /// Reads the header and the tokens of a file, and checks that it is whole.
    pub(super) fn open(path: &Path, layers: usize, shape: ModelShape) -> Result<Self, StatesError> {
        let io = |source| StatesError::Io { path: path.to_owned(), source };
        // Before it is opened: a pipe would be waited for.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file")));
        }
        let mut file = File::open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        let (metadata, data) = header(&mut file, found, path)?;
        let expected = data.saturating_add(metadata.data_len() as u64);
        if expected != found {
            return Err(StatesError::Length { path: path.to_owned(), expected, found });
        }
        let tensor = |tensor: &'static str| {
            metadata.info(tensor).ok_or_else(|| StatesError::NoTensor { path: path.to_owned(), tensor })
        };
        let (states, ids) = (tensor(STATES)?, tensor(TOKENS)?);
        let of_type = |tensor, info: &TensorInfo, types: &[Dtype], expected| match types.contains(&info.dtype) {
            true => Ok(()),
            false => Err(StatesError::Type { path: path.to_owned(), tensor, found: info.dtype.to_string(), expected }),
        };
        of_type(TOKENS, ids, &[Dtype::I64], "I64")?;
        of_type(STATES, states, &[Dtype::F32, Dtype::F16, Dtype::BF16], "F32, F16 or BF16")?;
        let of_shape = |tensor, info: &TensorInfo, fits: bool, expected| match fits {
            true => Ok(()),
            false => Err(StatesError::Shape { path: path.to_owned(), tensor, found: info.shape.clone(), expected }),
        };
        of_shape(TOKENS, ids, ids.shape.len() == 1, "[tokens]".to_owned())?;
        let wanted = [ids.shape[0], layers, shape.hidden_size];
        of_shape(STATES, states, states.shape == wanted, format!("{wanted:?}: tokens, layers, hidden_size"))?;

        file.seek(SeekFrom::Start(data + ids.data_offsets.0 as u64)).map_err(io)?;
        // No longer than the file.
        let mut bytes = vec![0; ids.data_offsets.1 - ids.data_offsets.0];
        file.read_exact(&mut bytes).map_err(io)?;
        let token = |(place, bytes): (usize, &[u8; 8])| {
            let found = i64::from_le_bytes(*bytes);
            let token = TokenId::try_from(found).ok().filter(|&token| (token as usize) < shape.vocab_size);
            let vocab_size = shape.vocab_size;
            token.ok_or_else(|| StatesError::Token { path: path.to_owned(), place, found, vocab_size })
        };
        let tokens = bytes.as_chunks::<8>().0.iter().enumerate().map(token).collect::<Result<_, _>>()?;
        Ok(Self {
            path: path.to_owned(),
            tokens,
            dtype: states.dtype,
            start: data + states.data_offsets.0 as u64,
            layers,
            width: shape.hidden_size,
        })
    }

    /// Reads the states at a token, which must be one of the file, after the layers in the given places: `[slots,
    /// hidden_size]`. `ids` are the ids of all layers.
    pub(super) fn states(&self, token: usize, slots: &[usize], ids: &[usize]) -> Result<Vec<Vec<f32>>, StatesError> {
        let io = |source| StatesError::Io { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(io)?;
        let mut bytes = vec![0; self.width * self.dtype.bitsize() / 8];
        let mut read = |&slot: &usize| {
            let before = (token * self.layers + slot) as u64 * bytes.len() as u64;
            file.seek(SeekFrom::Start(self.start + before)).map_err(io)?;
            file.read_exact(&mut bytes).map_err(io)?;
            let state = numbers(self.dtype, &bytes);
            match state.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                None => Ok(state),
                Some((place, &found)) => {
                    Err(StatesError::NotFinite { path: self.path.clone(), token, id: ids[slot], place, found })
                }
            }
        };
        slots.iter().map(&mut read).collect()
    }
}

/// Reads the header of a file of `length` bytes; returns it and where the data begin.
fn header(file: &mut File, length: u64, path: &Path) -> Result<(Metadata, u64), StatesError> {
    let io = |source| StatesError::Io { path: path.to_owned(), source };
    let refuse = |fault| Err(StatesError::Header { path: path.to_owned(), fault });
    if length < 8 {
        return refuse(format!("the file has {length} bytes, must be >= 8"));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(io)?;
    let size = u64::from_le_bytes(size);
    let most = MAX_HEADER.min(length - 8);
    if size > most {
        return refuse(format!("its length is {size}, must be <= {most}"));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact(&mut bytes).map_err(io)?;
    // This checks that tensors follow each other and are as long as their shapes say.
    match serde_json::from_slice(&bytes) {
        Ok(metadata) => Ok((metadata, 8 + size)),
        Err(error) => refuse(error.to_string()),
    }
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.as_chunks().0.iter().copied();
    match dtype {
        Dtype::BF16 => halves().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::F16 => halves().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}

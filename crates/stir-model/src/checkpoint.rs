use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorView},
};
use stir_core::TokenId;

use crate::{Decoder, DecoderConfig, ModelError};

/// The tensors of one or more safetensors files, memory-mapped and read one at a time.
///
/// Every tensor taken is struck off; [`finish`](Self::finish) refuses what is left over, so that loading a checkpoint
/// accounts for each of its tensors.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Tensor name to shard.
    index: BTreeMap<String, usize>,
    taken: BTreeSet<String>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    /// Where tensor data starts.
    data: usize,
    metadata: Metadata,
}

/// A tensor as it lies in its file.
struct Raw<'a> {
    path: &'a Path,
    dtype: Dtype,
    shape: &'a [usize],
    data: &'a [u8],
}

impl Checkpoint {
    /// The weights in a model folder: `model.safetensors`, or the shards of `model.safetensors.index.json`.
    ///
    /// # Errors
    /// When a file is missing, unreadable or cut short, or the index names a tensor its shard does not hold.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let index_path = dir.join("model.safetensors.index.json");
        let single = dir.join("model.safetensors");
        if single.exists() || !index_path.exists() {
            return Self::from_files(dir, &[single]);
        }
        let text = std::fs::read_to_string(&index_path).map_err(ModelError::io(&index_path))?;
        let index: ShardIndex =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index_path, source })?;
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        let files: Vec<PathBuf> = names.into_iter().map(|name| dir.join(name)).collect();
        let checkpoint = Self::from_files(dir, &files)?;
        match index.weight_map.keys().find(|name| !checkpoint.index.contains_key(*name)) {
            Some(name) => Err(ModelError::MissingTensor { path: dir.to_owned(), name: name.clone() }),
            None => Ok(checkpoint),
        }
    }

    /// The tensors of a single safetensors file.
    ///
    /// # Errors
    /// When the file is missing, unreadable, cut short or not safetensors.
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Self::from_files(path, &[path.to_owned()])
    }

    fn from_files(path: &Path, files: &[PathBuf]) -> Result<Self, ModelError> {
        let shards = files.iter().map(|file| Shard::open(file)).collect::<Result<Vec<_>, _>>()?;
        let index = shards
            .iter()
            .enumerate()
            .flat_map(|(i, shard)| shard.metadata.tensors().into_keys().map(move |name| (name, i)))
            .collect();
        Ok(Self { path: path.to_owned(), shards, index, taken: BTreeSet::new() })
    }

    /// A floating-point tensor of a known shape as f32, checked to be finite.
    ///
    /// # Errors
    /// When it is missing, has another shape or type, or holds NaN or infinity.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let raw = self.raw(name)?;
        if raw.shape != shape {
            return Err(ModelError::TensorShape {
                path: raw.path.to_owned(),
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: raw.shape.to_vec(),
            });
        }
        let values = raw.floats(name)?;
        if let Some((index, &value)) = values.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            let path = raw.path.to_owned();
            return Err(ModelError::NonFiniteWeight { path, name: name.to_owned(), index, value });
        }
        self.taken.insert(name.to_owned());
        Ok(values)
    }

    /// A floating-point tensor of any shape as f32, with its shape.
    ///
    /// # Errors
    /// When it is missing or of another type.
    pub fn floats(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), ModelError> {
        let raw = self.raw(name)?;
        Ok((raw.floats(name)?, raw.shape.to_vec()))
    }

    /// An integer tensor of any shape, with its shape.
    ///
    /// # Errors
    /// When it is missing or not made of 32- or 64-bit integers.
    pub fn integers(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>), ModelError> {
        let raw = self.raw(name)?;
        let values = match raw.dtype {
            Dtype::I64 => elements(raw.data, i64::from_le_bytes),
            Dtype::U32 => elements(raw.data, |b| i64::from(u32::from_le_bytes(b))),
            Dtype::I32 => elements(raw.data, |b| i64::from(i32::from_le_bytes(b))),
            _ => return Err(raw.unsupported(name, "I64, I32, U32")),
        };
        Ok((values, raw.shape.to_vec()))
    }

    /// A digest, hexadecimal, of every tensor's name, type, shape and bytes, whatever files they are spread over, and of
    /// `options`, what else decides what the weights compute.
    ///
    /// # Errors
    /// When a file does not hold what its header says.
    pub fn digest(&self, options: &str) -> Result<String, ModelError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(options.as_bytes());
        for name in self.index.keys() {
            let raw = self.raw(name)?;
            hasher.update(format!("{name}\0{:?}{:?}\0", raw.dtype, raw.shape).as_bytes());
            hasher.update(raw.data);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Ends the audit.
    ///
    /// # Errors
    /// [`ModelError::ExtraTensors`] with every tensor that was not taken.
    pub fn finish(self) -> Result<(), ModelError> {
        let names: Vec<String> = self.index.into_keys().filter(|name| !self.taken.contains(name)).collect();
        if names.is_empty() { Ok(()) } else { Err(ModelError::ExtraTensors { path: self.path, names }) }
    }

    fn raw(&self, name: &str) -> Result<Raw<'_>, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        let shard = &self.shards[*self.index.get(name).ok_or_else(missing)?];
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let data = &shard.map[shard.data + start..shard.data + end];
        Ok(Raw { path: &shard.path, dtype: info.dtype, shape: &info.shape, data })
    }
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Shard {
    #[allow(unsafe_code, reason = "a file can only be mapped through an unsafe call")]
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the map is read-only and its contents are validated before use. A file that another process cuts
        // short while it is mapped raises SIGBUS, as in every program that maps its weights.
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        let broken = |source| ModelError::Safetensors { path: path.to_owned(), source };
        // `deserialize` also checks that the data section is whole.
        SafeTensors::deserialize(&map).map_err(broken)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(broken)?;
        // The header is preceded by its length in 8 bytes.
        Ok(Self { path: path.to_owned(), map, data: header + 8, metadata })
    }
}

impl Raw<'_> {
    fn floats(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(match self.dtype {
            Dtype::F32 => elements(self.data, f32::from_le_bytes),
            Dtype::BF16 => elements(self.data, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => elements(self.data, |b| f16::from_le_bytes(b).to_f32()),
            _ => return Err(self.unsupported(name, "F32, BF16, F16")),
        })
    }

    fn unsupported(&self, name: &str, supported: &'static str) -> ModelError {
        ModelError::TensorType { path: self.path.to_owned(), name: name.to_owned(), found: self.dtype, supported }
    }
}

/// The elements of little-endian bytes.
fn elements<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| element(*chunk)).collect()
}

/// Writes a model as a Hugging Face folder: `config.json` and `model.safetensors`, each to a temporary name first.
///
/// # Errors
/// When the device cannot return the weights or a file cannot be written.
pub fn save_checkpoint(dir: &Path, config: &DecoderConfig, decoder: &Decoder, eos: TokenId) -> Result<(), ModelError> {
    let tensors = decoder.tensors()?;
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let path = dir.join("model.safetensors");
    let broken = |source| ModelError::Safetensors { path: path.clone(), source };
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|(tensor, data)| Ok((&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), data)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    let weights = safetensors::serialize(views, None).map_err(broken)?;
    write(&path, &weights)?;
    write(&dir.join("config.json"), format!("{:#}\n", config.to_hf(eos)).as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes).map_err(ModelError::io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(ModelError::io(path))
}

//! The tensors of safetensors files.

mod place;
#[cfg(feature = "decoder")]
mod reader;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Component, Path, PathBuf},
};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::Metadata};

pub(crate) use self::place::Weight;
use self::place::put;
#[cfg(feature = "decoder")]
pub use self::reader::LoadProgress;
#[cfg(feature = "decoder")]
pub(crate) use self::reader::Reader;
use crate::{ModelError, SafetensorsError};

/// The tensors of one or more safetensors files, which are memory-mapped and read one at a time.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Tensor name to shard.
    index: BTreeMap<String, usize>,
}

/// A tensor as a checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor<'a> {
    /// Its name in the checkpoint, such as `model.norm.weight`.
    pub name: &'a str,
    /// The type of its elements, as safetensors files spell it: `F32`, `BF16` or `F16`.
    pub dtype: Cow<'a, str>,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements row by row, little-endian.
    pub data: &'a [u8],
}

/// The types that [`put`] reads.
const FLOATS: &str = "F32, BF16, F16";

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    /// The offset at which tensor data starts.
    data: usize,
    metadata: Metadata,
}

/// A tensor as it lies in its file.
struct Raw<'a> {
    shard: &'a Shard,
    dtype: Dtype,
    shape: &'a [usize],
    data: &'a [u8],
}

impl Checkpoint {
    /// Opens the weights of a model folder: `model.safetensors`, or the shards of `model.safetensors.index.json`.
    ///
    /// # Errors
    /// A file is missing, unreadable, truncated or a Git LFS pointer, the weights have another format, or the index
    /// names a tensor that its shard does not hold.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let index_path = dir.join("model.safetensors.index.json");
        let single = dir.join("model.safetensors");
        if !single.exists() && !index_path.exists() && dir.is_dir() {
            return Err(ModelError::NoWeights { path: dir.to_owned(), found: other_weights(dir) });
        }
        if single.exists() || !index_path.exists() {
            if index_path.exists() {
                tracing::warn!(index = %index_path.display(), "model.safetensors is there, the index is ignored");
            }
            return Self::from_files(dir, &[single]);
        }
        let bytes = std::fs::read(&index_path).map_err(ModelError::io(&index_path))?;
        ModelError::refuse_pointer(&index_path, &bytes)?;
        let index: ShardIndex = serde_json::from_slice(&bytes).map_err(ModelError::json(&index_path))?;
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        if let Some(name) = names.iter().find(|name| !is_file_name(name)) {
            return Err(ModelError::ShardName { path: index_path, name: (*name).to_owned() });
        }
        let files: Vec<PathBuf> = names.into_iter().map(|name| dir.join(name)).collect();
        let checkpoint = Self::from_files(dir, &files)?;
        match index.weight_map.keys().find(|name| !checkpoint.index.contains_key(*name)) {
            Some(name) => Err(ModelError::MissingTensor { path: dir.to_owned(), name: name.clone() }),
            None => Ok(checkpoint),
        }
    }

    /// Opens a single safetensors file.
    ///
    /// # Errors
    /// The file is missing, unreadable, truncated or not safetensors.
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Self::from_files(path, &[path.to_owned()])
    }

    fn from_files(path: &Path, files: &[PathBuf]) -> Result<Self, ModelError> {
        let shards = files.iter().map(|file| Shard::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut index = BTreeMap::new();
        for (i, shard) in shards.iter().enumerate() {
            for name in shard.metadata.tensors().into_keys() {
                if let Some(earlier) = index.insert(name.clone(), i) {
                    let [first, second] = [earlier, i].map(|i: usize| shards[i].path.clone());
                    return Err(ModelError::DuplicateTensor { name, first, second });
                }
            }
        }
        Ok(Self { path: path.to_owned(), shards, index })
    }

    /// Returns the number of weight files, and their size in bytes.
    #[cfg(feature = "decoder")]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.shards.len(), self.shards.iter().map(|shard| shard.map.len()).sum())
    }

    /// Returns the elements of a floating-point tensor as f32, row by row, and its shape.
    ///
    /// # Errors
    /// The tensor is missing or of another type.
    pub fn floats(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), ModelError> {
        let raw = self.raw(name)?;
        Ok((raw.floats(name)?, raw.shape.to_vec()))
    }

    /// Returns the elements of an integer tensor, row by row, and its shape.
    ///
    /// # Errors
    /// The tensor is missing or not of 32- or 64-bit integers.
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

    /// Iterates over the tensors as they are stored, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.index.keys().filter_map(|name| {
            let Raw { dtype, shape, data, .. } = self.raw(name).ok()?;
            Some(StoredTensor { name, dtype: dtype.to_string().into(), shape, data })
        })
    }

    fn raw(&self, name: &str) -> Result<Raw<'_>, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        let shard = &self.shards[*self.index.get(name).ok_or_else(missing)?];
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let data = &shard.map[shard.data + start..shard.data + end];
        Ok(Raw { shard, dtype: info.dtype, shape: &info.shape, data })
    }
}

/// Returns the name of a file with weights in another format, or of another kind.
fn other_weights(dir: &Path) -> Option<String> {
    let names = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let other = |name: &String| match name.rsplit_once('.') {
        Some((stem, "bin")) => stem.starts_with("pytorch_model"),
        Some((_, kind)) => ["safetensors", "pth", "pt", "ckpt", "gguf", "h5", "msgpack", "npz"].contains(&kind),
        None => false,
    };
    names.filter(other).min()
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Returns whether `name` names a file in the same folder as the index, and not a path out of it.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(['\\', ':', '\0'])
}

impl Shard {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the map is read-only and its contents are validated before use. A file that another process cuts
        // short while it is mapped raises SIGBUS, as in every program that maps its weights.
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        ModelError::refuse_pointer(path, &map)?;
        let broken = |source| ModelError::Safetensors { path: path.to_owned(), source: SafetensorsError(source) };
        // This also checks that the data section is whole.
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(broken)?;
        // The header is preceded by its length in 8 bytes.
        Ok(Self { path: path.to_owned(), map, data: header + 8, metadata })
    }
}

impl Raw<'_> {
    fn floats(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = f32::zeros(self.shape.iter().product());
        match put(self.dtype, self.data, &mut values) {
            Some(_) => Ok(values),
            None => Err(self.unsupported(name, FLOATS)),
        }
    }

    fn unsupported(&self, name: &str, supported: &'static str) -> ModelError {
        ModelError::TensorType {
            path: self.shard.path.clone(),
            name: name.to_owned(),
            found: self.dtype.to_string(),
            supported,
        }
    }
}

/// Returns the elements of little-endian bytes.
fn elements<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| element(*chunk)).collect()
}

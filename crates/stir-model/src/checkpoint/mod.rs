//! The tensors of a model's weight files.

mod place;
#[cfg(feature = "decoder")]
mod reader;
mod safetensors;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use ::safetensors::Dtype;
use memmap2::Mmap;
use stir_kernels::Format;

pub(crate) use self::place::Weight;
use self::place::put;
#[cfg(feature = "decoder")]
pub use self::reader::LoadProgress;
#[cfg(feature = "decoder")]
pub(crate) use self::reader::Reader;
pub(crate) use self::safetensors::other_weights;
use crate::{
    ModelError,
    gguf::{self, RowOrder},
};

/// The tensors of one or more safetensors or GGUF files, which are memory-mapped and read one at a time.
///
/// Tensors have the names and shapes of Hugging Face checkpoints, whatever their files call them.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    index: BTreeMap<String, Entry>,
}

/// A tensor as a checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor<'a> {
    /// Its name in the checkpoint, such as `model.norm.weight`.
    pub name: &'a str,
    /// The type of its elements, as safetensors files spell it (`F32`, `BF16`, `F16`), or ggml (`Q4_K`).
    pub dtype: Cow<'a, str>,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, little-endian, row by row in the order of the file.
    pub data: &'a [u8],
}

/// The rows of a floating-point tensor in the format of their file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRows<'a> {
    /// The format of the elements. A row is a whole number of blocks.
    pub format: Format,
    /// The shape, `[out, in]` for the weight of a projection. The last number is the length of a row.
    pub shape: &'a [usize],
    /// The rows, in the order of the file.
    pub data: &'a [u8],
    /// The order of the rows in the file; `None` if it is that of the checkpoint.
    pub order: Option<RowOrder>,
}

/// The types that [`Checkpoint::floats`] reads.
const FLOATS: &str = "F32, BF16, F16 or, in GGUF files, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K";

/// A weight file.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    pub(crate) map: Mmap,
}

impl Shard {
    /// Maps a file, of which nothing is read yet but whether it is there itself and not a Git LFS pointer.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        // Opening a pipe would wait for whoever writes to it.
        if !std::fs::metadata(path).map_err(ModelError::io(path))?.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(ModelError::io(path)(source));
        }
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the map is read-only and its contents are validated before use. A file that another process cuts
        // short while it is mapped raises SIGBUS, as in every program that maps its weights.
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        ModelError::refuse_pointer(path, &map)?;
        Ok(Self { path: path.to_owned(), map })
    }
}

/// Where a tensor is.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) shard: usize,
    pub(crate) dtype: StoredType,
    pub(crate) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(crate) data: Range<usize>,
    pub(crate) order: Option<RowOrder>,
}

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredType {
    Float(Format),
    /// Anything else that a safetensors file holds.
    Other(Dtype),
}

/// A tensor as it lies in its file.
struct Raw<'a> {
    shard: &'a Shard,
    dtype: StoredType,
    shape: &'a [usize],
    data: &'a [u8],
    order: Option<RowOrder>,
}

impl Checkpoint {
    /// Opens the weights of a model: a folder with `model.safetensors` or the shards of `model.safetensors.index.json`,
    /// or a `.gguf` file, of several the first.
    ///
    /// # Errors
    /// A file is missing, unreadable, truncated or a Git LFS pointer, the weights have another format, or the index
    /// names a tensor that its shard does not hold; for a GGUF file also the errors of its configuration, on which the
    /// names of the tensors depend.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if gguf::is_gguf(path) { gguf::checkpoint(path) } else { Self::of_folder(path) }
    }

    /// Joins the tensors of `shards`.
    pub(crate) fn of_entries(
        path: &Path,
        shards: Vec<Shard>,
        entries: impl IntoIterator<Item = (String, Entry)>,
    ) -> Result<Self, ModelError> {
        let mut index = BTreeMap::<String, Entry>::new();
        for (name, entry) in entries {
            if let Some(earlier) = index.get(&name) {
                let [first, second] = [earlier.shard, entry.shard].map(|i: usize| shards[i].path.clone());
                return Err(ModelError::DuplicateTensor { name, first, second });
            }
            index.insert(name, entry);
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

    /// Returns the rows of a floating-point tensor as they are stored, without copying them.
    ///
    /// # Errors
    /// The tensor is missing or of another type.
    pub fn rows(&self, name: &str) -> Result<StoredRows<'_>, ModelError> {
        let raw = self.raw(name)?;
        match raw.dtype {
            StoredType::Float(format) => Ok(StoredRows { format, shape: raw.shape, data: raw.data, order: raw.order }),
            StoredType::Other(_) => Err(raw.unsupported(name, FLOATS)),
        }
    }

    /// Returns the elements of an integer tensor, row by row, and its shape.
    ///
    /// # Errors
    /// The tensor is missing or not of 32- or 64-bit integers.
    pub fn integers(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>), ModelError> {
        let raw = self.raw(name)?;
        let values = match raw.dtype {
            StoredType::Other(Dtype::I64) => elements(raw.data, i64::from_le_bytes),
            StoredType::Other(Dtype::U32) => elements(raw.data, |b| i64::from(u32::from_le_bytes(b))),
            StoredType::Other(Dtype::I32) => elements(raw.data, |b| i64::from(i32::from_le_bytes(b))),
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
        let entry = self.index.get(name).ok_or_else(missing)?;
        let shard = &self.shards[entry.shard];
        let data = &shard.map[entry.data.clone()];
        Ok(Raw { shard, dtype: entry.dtype, shape: &entry.shape, data, order: entry.order })
    }
}

impl StoredRows<'_> {
    /// Returns the bytes of a row, counted as in the checkpoint; `None` past the last.
    pub fn row(&self, row: usize) -> Option<&[u8]> {
        // Each element of a vector is a row of its own, so that the order of rows means the same for biases.
        let length = if self.shape.len() > 1 { self.shape.last().copied()? } else { 1 };
        let size = self.format.bytes_for(length)?;
        let start = self.order.map_or(row, |order| order.stored(row)).checked_mul(size)?;
        self.data.get(start..start.checked_add(size)?)
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(format) => format.fmt(f),
            Self::Other(dtype) => dtype.fmt(f),
        }
    }
}

impl Raw<'_> {
    fn floats(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = f32::zeros(self.shape.iter().product());
        match self.put(&mut values) {
            Some(_) => Ok(values),
            None => Err(self.unsupported(name, FLOATS)),
        }
    }

    /// Puts the elements into `place`, in the order of the checkpoint. Returns whether all of them are finite; `None`
    /// for a type that is not supported.
    fn put<T: Weight>(&self, place: &mut [T]) -> Option<bool> {
        let StoredType::Float(format) = self.dtype else { return None };
        let Some(_) = self.order else { return Some(put(format, self.data, place)) };
        let rows = StoredRows { format, shape: self.shape, data: self.data, order: self.order };
        let length = if self.shape.len() > 1 { self.shape.last().copied()? } else { 1 };
        let mut finite = true;
        for (i, place) in place.chunks_mut(length).enumerate() {
            finite &= put(format, rows.row(i)?, place);
        }
        Some(finite)
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

mod place;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Component, Path, PathBuf},
};

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorView},
};

pub(crate) use self::place::Weight;
use self::place::put;
use crate::{Decoder, ModelError};

/// The tensors of one or more safetensors files, memory-mapped and read one at a time.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Tensor name to shard.
    index: BTreeMap<String, usize>,
}

/// How far the reading of a model's weights is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the weight files that are done.
    pub bytes: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Reads the weights of one model.
///
/// Every tensor taken is struck off; [`finish`](Self::finish) refuses what is left over, so that loading a checkpoint
/// accounts for each of its tensors.
pub(crate) struct Reader<'p> {
    checkpoint: Checkpoint,
    /// Name to a digest of type, shape and bytes.
    taken: BTreeMap<String, blake3::Hash>,
    done: LoadProgress,
    progress: &'p mut dyn FnMut(LoadProgress),
}

/// Bytes of a file that are looked at in one go: few enough to stay in a cache between the digest and the conversion,
/// enough for all threads to have a part.
const BLOCK: usize = 1 << 22;

/// The types that [`put`] reads.
const FLOATS: &str = "F32, BF16, F16";

/// Endings of the names of tensors that follow from the configuration; old checkpoints hold them.
const DERIVED: [&str; 1] = [".rotary_emb.inv_freq"];

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
    shard: &'a Shard,
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
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index_path.clone(), source })?;
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

    /// The tensors of a single safetensors file.
    ///
    /// # Errors
    /// When the file is missing, unreadable, cut short or not safetensors.
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

    /// Calls `progress` after every few megabytes that are read for the model.
    pub(crate) fn with_progress<'p>(self, progress: &'p mut dyn FnMut(LoadProgress)) -> Reader<'p> {
        let wanted = self.index.keys().filter(|name| !is_derived(name)).filter_map(|name| self.raw(name).ok());
        let total = wanted.map(|raw| raw.data.len() as u64).sum();
        Reader { checkpoint: self, taken: BTreeMap::new(), done: LoadProgress { bytes: 0, total }, progress }
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

    fn raw(&self, name: &str) -> Result<Raw<'_>, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        let shard = &self.shards[*self.index.get(name).ok_or_else(missing)?];
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let data = &shard.map[shard.data + start..shard.data + end];
        Ok(Raw { shard, dtype: info.dtype, shape: &info.shape, data })
    }
}

impl Reader<'_> {
    /// Whether there is a tensor of that name and shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub(crate) fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError> {
        let raw = self.checkpoint.raw(name)?;
        if raw.shape == shape {
            return Ok(());
        }
        Err(ModelError::TensorShape {
            path: raw.shard.path.clone(),
            name: name.to_owned(),
            expected: shape.to_vec(),
            found: raw.shape.to_vec(),
        })
    }

    /// Reads a floating-point tensor of a known shape into its place, block by block.
    ///
    /// # Errors
    /// When it is missing, has another shape or type, or holds NaN, infinity or what is infinite in `T`.
    pub(crate) fn take<T: Weight>(&mut self, name: &str, shape: &[usize], place: &mut [T]) -> Result<(), ModelError> {
        self.check(name, shape)?;
        let raw = self.checkpoint.raw(name)?;
        let mut hasher = raw.hasher();
        let elements = BLOCK / (raw.dtype.bitsize() / 8).max(1);
        for (place, block) in place.chunks_mut(elements).zip(raw.data.chunks(BLOCK)) {
            hasher.update_rayon(block);
            match put(raw.dtype, block, place) {
                Some(true) => {}
                Some(false) => return Err(raw.non_finite(name)),
                None => return Err(raw.unsupported(name, FLOATS)),
            }
            raw.shard.release(block);
            self.done.bytes += block.len() as u64;
            (self.progress)(self.done);
        }
        self.taken.insert(name.to_owned(), hasher.finalize());
        Ok(())
    }

    /// Strikes off `name`, a second copy of the tensor `original`; one that differs stays and is refused in the end.
    ///
    /// # Errors
    /// When the file does not hold what its header says.
    pub(crate) fn take_copy(&mut self, name: &str, original: &str) -> Result<(), ModelError> {
        let (Some(_), Some(&hash)) = (self.checkpoint.index.get(name), self.taken.get(original)) else { return Ok(()) };
        let raw = self.checkpoint.raw(name)?;
        if raw.hasher().update_rayon(raw.data).finalize() == hash {
            self.taken.insert(name.to_owned(), hash);
        }
        raw.shard.release(raw.data);
        self.done.bytes += raw.data.len() as u64;
        (self.progress)(self.done);
        Ok(())
    }

    /// Ends the audit. Returns a digest, hexadecimal, of every tensor's name, type, shape and bytes, whatever files they
    /// are spread over, and of `options`, what else decides what the weights compute.
    ///
    /// # Errors
    /// [`ModelError::ExtraTensors`] with every tensor that was not taken.
    pub(crate) fn finish(self, options: &str) -> Result<String, ModelError> {
        let Self { checkpoint: Checkpoint { path, index, .. }, taken, .. } = self;
        let extra = |name: &String| !taken.contains_key(name) && !is_derived(name);
        let names: Vec<String> = index.into_keys().filter(extra).collect();
        if !names.is_empty() {
            return Err(ModelError::ExtraTensors { path, names });
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(options.as_bytes());
        for (name, hash) in &taken {
            hasher.update(format!("\0{name}\0").as_bytes()).update(hash.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

fn is_derived(tensor: &str) -> bool {
    DERIVED.iter().any(|end| tensor.ends_with(end))
}

/// Whether `name` is that of a file beside the index, and not a way out of its folder.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(['\\', ':', '\0'])
}

impl Shard {
    #[allow(unsafe_code, reason = "a file can only be mapped through an unsafe call")]
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the map is read-only and its contents are validated before use. A file that another process cuts
        // short while it is mapped raises SIGBUS, as in every program that maps its weights.
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        let broken = |source| ModelError::Safetensors { path: path.to_owned(), source };
        // This also checks that the data section is whole.
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(broken)?;
        // The header is preceded by its length in 8 bytes.
        Ok(Self { path: path.to_owned(), map, data: header + 8, metadata })
    }

    /// Gives the memory of `bytes`, a part of the map that is done with, back to the system.
    #[cfg(unix)]
    #[allow(unsafe_code, reason = "pages can only be given back through an unsafe call")]
    fn release(&self, bytes: &[u8]) {
        let start = bytes.as_ptr() as usize - self.map.as_ptr() as usize;
        // SAFETY: the map is of a file and never written to: a page given back is read from the file when it is next
        // looked at. A refusal costs memory, nothing else.
        let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, bytes.len()) };
    }

    #[cfg(not(unix))]
    fn release(&self, _bytes: &[u8]) {}
}

impl Raw<'_> {
    /// A digest of type and shape, to go on with the bytes.
    fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}{:?}\0", self.dtype, self.shape).as_bytes());
        hasher
    }

    /// The error of a tensor in which some value is not finite.
    fn non_finite(&self, name: &str) -> ModelError {
        let values = self.floats(name).unwrap_or_default();
        let finite = |x: f32| x.is_finite();
        // Where all are finite as stored, the largest is too large for the type to compute with.
        let index = values.iter().position(|x| !finite(*x));
        let index = index.or_else(|| (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())));
        let index = index.unwrap_or_default();
        let value = values.get(index).copied().unwrap_or(f32::NAN);
        ModelError::NonFiniteWeight { path: self.shard.path.clone(), name: name.to_owned(), index, value }
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = f32::zeros(self.shape.iter().product());
        match put(self.dtype, self.data, &mut values) {
            Some(_) => Ok(values),
            None => Err(self.unsupported(name, FLOATS)),
        }
    }

    fn unsupported(&self, name: &str, supported: &'static str) -> ModelError {
        ModelError::TensorType { path: self.shard.path.clone(), name: name.to_owned(), found: self.dtype, supported }
    }
}

/// The elements of little-endian bytes.
fn elements<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| element(*chunk)).collect()
}

/// Writes a model as a Hugging Face folder: `config.json`, from which [`DecoderConfig::from_hf`](crate::DecoderConfig)
/// reads the options of `decoder`, and `model.safetensors`, each in one step.
///
/// # Errors
/// When the device cannot return the weights or a file cannot be written.
pub fn save_checkpoint(dir: &Path, config: &serde_json::Value, decoder: &Decoder) -> Result<(), ModelError> {
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
    write(&dir.join("config.json"), format!("{config:#}\n").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    stir_files::write_atomically(path, bytes).map_err(ModelError::io(path))
}

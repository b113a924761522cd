//! Reading the weights of one model, with an account of every tensor.

use std::collections::BTreeMap;

#[cfg(unix)]
use memmap2::UncheckedAdvice;

use super::{Checkpoint, FLOATS, Raw, Shard, StoredType, Weight, put};
use crate::{
    ModelError,
    fingerprint::{Formats, is_derived, tensor_hasher, weights_digest},
};

/// The amount of a model's weights that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// The number of bytes of the weight files that have been read.
    pub bytes: u64,
    /// The number of bytes to be read in all.
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
    /// True if matrices are kept as they are stored where they can be.
    #[cfg(feature = "flex")]
    keeps: bool,
}

/// The number of bytes of a file that are processed at once: few enough to stay in a cache between the digest and the
/// conversion, enough for all threads to have a part.
const BLOCK: usize = 1 << 22;

impl<'p> Reader<'p> {
    /// Calls `progress` after every few megabytes that are read for the model.
    pub(crate) fn new(checkpoint: Checkpoint, progress: &'p mut dyn FnMut(LoadProgress)) -> Self {
        let wanted = checkpoint.index.keys().filter(|name| !is_derived(name));
        let total = wanted.filter_map(|name| checkpoint.raw(name).ok()).map(|raw| raw.data.len() as u64).sum();
        Self {
            checkpoint,
            taken: BTreeMap::new(),
            done: LoadProgress { bytes: 0, total },
            progress,
            #[cfg(feature = "flex")]
            keeps: false,
        }
    }

    /// Checks that there is a tensor of that name and shape.
    ///
    /// # Errors
    /// It is missing or has another shape.
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
        let StoredType::Float(format) = raw.dtype else { return Err(raw.unsupported(name, FLOATS)) };
        let mut hasher = tensor_hasher(raw.dtype, raw.shape);
        if raw.order.is_some() {
            hasher.update_rayon(raw.data);
            match raw.put(place) {
                Some(true) => {}
                Some(false) => return Err(raw.non_finite::<T>(name)),
                None => return Err(raw.unsupported(name, FLOATS)),
            }
            raw.shard.release(raw.data);
            self.done.bytes += raw.data.len() as u64;
            (self.progress)(self.done);
        } else {
            let blocks = BLOCK / format.block_bytes();
            let parts = place.chunks_mut(blocks * format.block_len());
            for (place, part) in parts.zip(raw.data.chunks(blocks * format.block_bytes())) {
                hasher.update_rayon(part);
                if !put(format, part, place) {
                    return Err(raw.non_finite::<T>(name));
                }
                raw.shard.release(part);
                self.done.bytes += part.len() as u64;
                (self.progress)(self.done);
            }
        }
        self.taken.insert(name.to_owned(), hasher.finalize());
        Ok(())
    }

    /// Keeps matrices as they are stored where they can be.
    #[cfg(feature = "flex")]
    pub(crate) fn keeping(self, keeps: bool) -> Self {
        Self { keeps, ..self }
    }

    /// Returns the format in which the matrix `name` is stored if it is to be kept so where it can be.
    #[cfg(feature = "flex")]
    pub(crate) fn keeps(&self, name: &str) -> Option<stir_kernels::Format> {
        let rows = self.keeps.then(|| self.checkpoint.rows(name))?;
        rows.ok().map(|rows| rows.format)
    }

    /// Reads a matrix in a block format.
    ///
    /// # Errors
    /// When it is missing, has another shape, is in no block format that can be packed, or has a scale that is not finite.
    #[cfg(feature = "flex")]
    pub(crate) fn take_packed(&mut self, name: &str, shape: &[usize]) -> Result<stir_kernels::Packed, ModelError> {
        self.check(name, shape)?;
        let raw = self.checkpoint.raw(name)?;
        let rows = self.checkpoint.rows(name)?;
        let hash = tensor_hasher(raw.dtype, raw.shape).update_rayon(raw.data).finalize();
        if !rows.format.is_finite(rows.data) {
            return Err(raw.non_finite::<f32>(name));
        }
        let &[out, input] = shape else { return Err(raw.unsupported(name, FLOATS)) };
        let packed = stir_kernels::Packed::new(rows.format, out, input, |row| rows.row(row).unwrap_or_default());
        let packed = packed.ok_or_else(|| raw.unsupported(name, FLOATS))?;
        raw.shard.release(raw.data);
        self.done.bytes += raw.data.len() as u64;
        (self.progress)(self.done);
        self.taken.insert(name.to_owned(), hash);
        Ok(packed)
    }

    /// Strikes off `name`, a second copy of the tensor `original`; one that differs stays and is refused in the end.
    ///
    /// # Errors
    /// When the file does not hold what its header says.
    pub(crate) fn take_copy(&mut self, name: &str, original: &str) -> Result<(), ModelError> {
        let (Some(_), Some(&hash)) = (self.checkpoint.index.get(name), self.taken.get(original)) else { return Ok(()) };
        let raw = self.checkpoint.raw(name)?;
        if tensor_hasher(raw.dtype, raw.shape).update_rayon(raw.data).finalize() == hash {
            self.taken.insert(name.to_owned(), hash);
        }
        raw.shard.release(raw.data);
        self.done.bytes += raw.data.len() as u64;
        (self.progress)(self.done);
        Ok(())
    }

    /// Ends the audit. Returns quantisation and digest of the weights for a [`Fingerprint`](stir_core::Fingerprint);
    /// `options` is what else decides what the weights compute.
    ///
    /// # Errors
    /// [`ModelError::ExtraTensors`] with every tensor that was not taken.
    pub(crate) fn finish(self, options: &str) -> Result<String, ModelError> {
        let Self { checkpoint: Checkpoint { path, index, .. }, taken, .. } = self;
        let ignored = index.keys().filter(|name| is_derived(name)).count();
        if ignored > 0 {
            tracing::warn!(tensors = ignored, "rotary frequencies in the checkpoint are ignored: config.json decides");
        }
        let mut formats = Formats::default();
        let read = index.iter().filter(|(name, _)| taken.contains_key(*name));
        read.for_each(|(_, entry)| formats.count(entry.dtype, &entry.shape));
        let extra = |name: &String| !taken.contains_key(name) && !is_derived(name);
        let names: Vec<String> = index.into_keys().filter(extra).collect();
        if names.is_empty() {
            Ok(formats.before(weights_digest(options, &taken)))
        } else {
            Err(ModelError::ExtraTensors { path, names })
        }
    }
}

impl Shard {
    /// Gives the memory of `bytes`, a part of the map that is no longer needed, back to the system.
    #[cfg(unix)]
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
    /// Returns the error of a tensor in which some value is not finite.
    fn non_finite<T: Weight>(&self, name: &str) -> ModelError {
        let values = self.floats(name).unwrap_or_default();
        let finite = |x: f32| x.is_finite();
        // Where all are finite as stored, the largest is too large for the type to compute with.
        let index = values.iter().position(|x| !finite(*x));
        let index = index.or_else(|| (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())));
        let index = index.unwrap_or_default();
        let value = values.get(index).copied().unwrap_or(f32::NAN);
        ModelError::NonFiniteWeight {
            path: self.shard.path.clone(),
            name: name.to_owned(),
            index,
            value,
            computed: T::COMPUTE,
        }
    }
}

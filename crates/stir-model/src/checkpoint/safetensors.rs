//! Safetensors files: one, or the shards that an index names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::Metadata};
use stir_kernels::Format;

use super::{Checkpoint, Entry, Shard, StoredType};
use crate::{ModelError, SafetensorsError};

impl Checkpoint {
    /// Opens the weights of a model folder.
    pub(super) fn of_folder(dir: &Path) -> Result<Self, ModelError> {
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
        let (mut shards, mut entries) = (Vec::new(), Vec::new());
        for file in files {
            let (shard, data, metadata) = open(file)?;
            for (name, info) in metadata.tensors() {
                let (start, end) = info.data_offsets;
                let (dtype, shape) = (stored_type(info.dtype), info.shape.clone());
                let data = data + start..data + end;
                entries.push((name, Entry { shard: shards.len(), dtype, shape, data, order: None }));
            }
            shards.push(shard);
        }
        Self::of_entries(path, shards, entries)
    }
}

/// Returns the name of a file with weights in another format, or of another kind.
pub(crate) fn other_weights(dir: &Path) -> Option<String> {
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

/// Returns a file, the offset at which its tensor data starts, and what it holds.
fn open(path: &Path) -> Result<(Shard, usize, Metadata), ModelError> {
    let shard = Shard::open(path)?;
    let broken = |source| ModelError::Safetensors { path: path.to_owned(), source: SafetensorsError(source) };
    // This also checks that the data section is whole.
    let (header, metadata) = SafeTensors::read_metadata(&shard.map).map_err(broken)?;
    // The header is preceded by its length in 8 bytes.
    Ok((shard, header + 8, metadata))
}

fn stored_type(dtype: Dtype) -> StoredType {
    match dtype {
        Dtype::F32 => StoredType::Float(Format::F32),
        Dtype::F16 => StoredType::Float(Format::F16),
        Dtype::BF16 => StoredType::Float(Format::Bf16),
        other => StoredType::Other(other),
    }
}

//! Models in GGUF files, the format of llama.cpp: configuration, tensors, tokenizer and chat template in one file, or
//! in the parts of one.
//!
//! A file comes from anywhere, so everything in it is checked: each number against the length of the file, each value
//! against its type and its bounds, each tensor against the one before. Keys that nothing asks for are ignored.
//! [`Checkpoint::open`] takes a file too, for the tensors alone. [`ControlVectors`] are files of steering vectors, which have
//! the same format.

mod config;
mod control;
mod error;
mod files;
#[cfg(test)]
mod fuzz;
mod header;
mod metadata;
mod names;
mod pretokenizer;
mod rope;
mod sentencepiece;
mod tokenizer;
mod value;
mod writer;

use std::{fs::File, io::Read, path::Path};

use stir_core::Fingerprint;

pub use self::{
    control::ControlVectors,
    error::{GgufError, Part},
    names::RowOrder,
};
use self::{files::Files, metadata::Metadata};
use crate::{
    ChatTemplate, Checkpoint, DecoderConfig, GenerationDefaults, ModelError, Tokenizer,
    checkpoint::{Entry, Shard, StoredType},
    fingerprint::{of_parts, weights_of},
};

/// What a GGUF file holds.
///
/// ```no_run
/// let model = stir_model::gguf::Model::open("path/to/a/model.gguf")?;
/// let rows = model.checkpoint.rows("model.layers.0.self_attn.q_proj.weight")?;
/// println!("{} layers, queries in {} of shape {:?}", model.config.n_layers, rows.format, rows.shape);
/// # Ok::<(), stir_model::ModelError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Model {
    /// The options of the decoder. Its norms have no offset, for any architecture: files hold what norms multiply by.
    pub config: DecoderConfig,
    /// The tokenizer; `None` in files of weights alone.
    pub tokenizer: Option<Tokenizer>,
    /// The chat template, if there is one.
    pub chat_template: Option<ChatTemplate>,
    /// The tokens that end a sequence. Files have no sampling settings.
    pub generation: GenerationDefaults,
    /// The tensors, by their Hugging Face names. Those that have no place in the model keep the file's names.
    pub checkpoint: Checkpoint,
}

impl Model {
    /// Opens a file, or all parts of a model by the first, whose name ends in `-00001-of-0000N.gguf`. Reads no tensor.
    ///
    /// # Errors
    /// [`ModelError::Gguf`] for a file that breaks the format, [`ModelError::Config`] for a key whose value is not
    /// supported, and others that name the file and what is wrong in it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let files = Files::open(path)?;
        let metadata = files.metadata(path)?;
        let config = config::config(&files, metadata)?;
        let (tokenizer, chat_template, generation) = tokenizer::text(metadata, config.vocab_size)?;
        let checkpoint = tensors(path, files, &config)?;
        Ok(Self { config, tokenizer, chat_template, generation, checkpoint })
    }

    /// Returns the fingerprint of the model. Reads every tensor.
    ///
    /// It differs from that of the folder that a file was made from: quantised weights compute something else, and the
    /// tokenizer is written in another way.
    pub fn fingerprint(&self) -> Fingerprint {
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| tokenizer.digest().to_owned());
        of_parts(&self.config, tokenizer, weights_of(&self.config, self.checkpoint.tensors()))
    }
}

/// Returns whether `path` is a GGUF file, by its name or by how it begins, and not a folder.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let begins = || {
        let mut magic = [0; 4];
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"GGUF"
    };
    if named { !path.is_dir() } else { path.is_file() && begins() }
}

/// Returns the options of the decoder of a file.
pub(crate) fn config_of(path: &Path) -> Result<DecoderConfig, ModelError> {
    let files = Files::open(path)?;
    config::config(&files, files.metadata(path)?)
}

/// Returns the tensors of a file or of all parts of a model.
pub(crate) fn checkpoint(path: &Path) -> Result<Checkpoint, ModelError> {
    let files = Files::open(path)?;
    let config = config::config(&files, files.metadata(path)?)?;
    tensors(path, files, &config)
}

fn tensors(path: &Path, files: Files, config: &DecoderConfig) -> Result<Checkpoint, ModelError> {
    let (mut shards, mut entries) = (Vec::new(), Vec::new());
    for part in files.parts {
        for info in part.header.tensors {
            // Those have become part of the configuration.
            if rope::TENSORS.contains(&info.name.as_str()) {
                continue;
            }
            let name = names::hugging_face(&info.name, config).unwrap_or(info.name);
            let mut order = None;
            if let Some((interleaved, rows)) = names::row_order(&name, config) {
                check_rows(&part.path, &name, &info.shape, rows)?;
                order = Some(interleaved);
                if info.shape.len() == 1 && !info.format.is_float() {
                    let (path, found) = (part.path.clone(), info.format.name().to_owned());
                    return Err(ModelError::TensorType { path, name, found, supported: "F32, F16 or BF16" });
                }
            }
            let (shard, dtype) = (shards.len(), StoredType::Float(info.format));
            entries.push((name, Entry { shard, dtype, shape: info.shape, data: info.data, order }));
        }
        shards.push(Shard { path: part.path, map: part.map });
    }
    Checkpoint::of_entries(path, shards, entries)
}

/// Checks that a tensor has as many rows as its order is for.
fn check_rows(path: &Path, name: &str, shape: &[usize], rows: usize) -> Result<(), ModelError> {
    if shape[0] == rows && shape.len() <= 2 {
        return Ok(());
    }
    let expected = std::iter::once(rows).chain(shape.iter().skip(1).copied()).take(2).collect();
    Err(ModelError::TensorShape { path: path.to_owned(), name: name.to_owned(), expected, found: shape.to_vec() })
}

impl Files {
    /// Returns the metadata of the model in `path`, which the first file holds.
    fn metadata(&self, path: &Path) -> Result<Metadata<'_>, ModelError> {
        let missing = || ModelError::Gguf { path: path.to_owned(), source: GgufError::Magic { found: Vec::new() } };
        self.parts.first().map(Metadata::of).ok_or_else(missing)
    }
}

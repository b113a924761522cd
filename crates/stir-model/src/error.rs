use std::path::{Path, PathBuf};

use stir_core::{Addition, HookPoint, ModelShape, TokenId};

use crate::{ComputeType, DeviceError, gguf::GgufError};

/// An error of loading or running a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file or folder could not be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file that does not parse.
    #[error("{} is not valid JSON, or not of the expected form", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The place in the file and the reason.
        #[source]
        source: JsonError,
    },
    /// A configuration field whose value this implementation does not support.
    #[error("{}: {field} is {value}, supported: {supported}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value, as JSON; `missing` for a key that a GGUF file lacks.
        value: String,
        /// The values that are supported.
        supported: &'static str,
    },
    /// The decoder options set by the caller contradict each other.
    #[error("the decoder option {field} must be {bound}")]
    Options {
        /// The field of [`DecoderConfig`](crate::DecoderConfig).
        field: &'static str,
        /// The condition that it must meet.
        bound: &'static str,
    },
    /// A weight file that is not in the safetensors format or is truncated, or tensors that cannot be written as one.
    #[error("{} is not a complete safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: SafetensorsError,
    },
    /// A file that is not in the GGUF format, is truncated, or holds what is not supported.
    #[error("{} cannot be read as GGUF", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: GgufError,
    },
    /// A file that holds a Git LFS pointer instead of its content.
    #[error("{} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder", path.display())]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A model folder without safetensors files.
    #[error(
        "{} has no safetensors weights{}", path.display(),
        found.as_ref().map_or_else(String::new, |found| match found.ends_with(".gguf") {
            true => format!(", only {found}: name that file instead of the folder"),
            false => format!(
                ", only {found}: take a revision that has them, or convert it (in Python: \
                 AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder))"
            ),
        })
    )]
    NoWeights {
        /// The model folder.
        path: PathBuf,
        /// A file with weights in another format, if there is one.
        found: Option<String>,
    },
    /// A tensor the architecture needs and the checkpoint lacks.
    #[error("{} lacks the tensor {name}", path.display())]
    MissingTensor {
        /// The checkpoint folder or file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that two files of a checkpoint hold.
    #[error("the tensor {name} is in {} and in {}", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An index of shards that names anything but files in its own folder.
    #[error("{}: {name:?} is not the name of a file in the same folder", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The checkpoint has tensors that the architecture has no place for.
    #[error(
        "{} holds {} tensors that the architecture has no place for, the first of which is {}",
        path.display(),
        names.len(),
        names.first().map_or("", String::as_str)
    )]
    ExtraTensors {
        /// The checkpoint folder.
        path: PathBuf,
        /// The tensors, sorted; at least one.
        names: Vec<String>,
    },
    /// A tensor whose shape does not follow from the configuration.
    #[error("{}: the tensor {name} has shape {found:?}, the configuration requires {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape that the configuration requires.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor stored in a type that is not read.
    #[error("{}: the tensor {name} is stored as {found}, supported: {supported}", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type in the file, as safetensors or ggml spells it.
        found: String,
        /// The types that can be read.
        supported: &'static str,
    },
    /// A weight that is NaN, infinite, or too large for the type to compute in.
    #[error(
        "{}: the tensor {name} holds {value} at element {index}, which is not finite in {computed}",
        path.display()
    )]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The index of such an element, counted row by row.
        index: usize,
        /// Its value.
        value: f32,
        /// The type to compute in.
        computed: ComputeType,
    },
    /// Text was to be encoded, but the model's folder has no tokenizer.
    #[error(
        "{} has no tokenizer.json{}",
        path.display(),
        if *sentencepiece { ", only a sentencepiece tokenizer.model, which must be converted first" } else { "" }
    )]
    NoTokenizer {
        /// The model folder.
        path: PathBuf,
        /// True if there is a `tokenizer.model`.
        sentencepiece: bool,
    },
    /// A tokenizer with tokens that the model has no embedding for.
    #[error("{} has token ids up to {}, the model only {vocab_size} tokens", path.display(), tokens.saturating_sub(1))]
    VocabularySize {
        /// The tokenizer file.
        path: PathBuf,
        /// One past the tokenizer's largest id.
        tokens: usize,
        /// The number of rows of the model's embedding.
        vocab_size: usize,
    },
    /// The tokenizer file could not be used, or the tokenizer refused a text.
    #[error("the tokenizer {} failed", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: TokenizerError,
    },
    /// A chat was to be rendered, but the model's folder has no chat template.
    #[error("{} has no chat template", path.display())]
    NoChatTemplate {
        /// The model folder.
        path: PathBuf,
    },
    /// The chat template does not parse or refused the messages.
    #[error("the chat template of {} failed", path.display())]
    ChatTemplate {
        /// The model folder.
        path: PathBuf,
        /// The place in the template and the reason.
        #[source]
        source: ChatTemplateError,
    },
    /// A row of a forward pass that breaks the engine's contract.
    #[error("row {row} of the forward pass is invalid")]
    Row {
        /// The row's index in the batch.
        row: usize,
        /// The reason.
        #[source]
        source: RowError,
    },
    /// The hub did not deliver the model.
    #[cfg(feature = "hub")]
    #[error("the hub did not deliver the model")]
    Hub(#[from] stir_hub::HubError),
    /// The device could not run or return a computation.
    #[error("the device failed")]
    Device(#[from] DeviceError),
}

/// A row of a forward pass that breaks the engine's contract.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row has nothing to encode.
    #[error("the row has no tokens")]
    Empty,
    /// A token id past the end of the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocab_size} tokens")]
    Token {
        /// The token.
        token: u32,
        /// The number of rows of the embedding.
        vocab_size: usize,
    },
    /// The positions are more than the model was made for.
    #[error("{positions} positions exceed the context of {max_context} positions")]
    Context {
        /// The number of positions after this row.
        positions: usize,
        /// The largest number of positions.
        max_context: usize,
    },
    /// A hook point the model does not have.
    #[error("a model of {n_layers} layers has no hook point {point}")]
    HookPoint {
        /// The point.
        point: HookPoint,
        /// The number of decoder layers.
        n_layers: usize,
    },
    /// A vector that does not fit the residual stream.
    #[error("an added vector has {found} elements, the residual stream has {hidden_size}")]
    Width {
        /// The number of elements of the vector.
        found: usize,
        /// The width of the stream.
        hidden_size: usize,
    },
    /// An addition where the row has no token.
    #[error("an addition is at position {position}, the row's positions are {start}..{end}")]
    Position {
        /// The addition's position.
        position: usize,
        /// The first position of the row.
        start: usize,
        /// One past the last.
        end: usize,
    },
}

impl RowError {
    /// Checks a row that encodes `tokens` from position `start` on a model of the given shape; no weights are needed.
    ///
    /// # Errors
    /// The first rule that the row breaks.
    pub fn check(
        shape: ModelShape,
        start: usize,
        tokens: &[TokenId],
        capture: &[HookPoint],
        additions: &[Addition<'_>],
    ) -> Result<(), Self> {
        let ModelShape { n_layers, hidden_size, vocab_size, max_context } = shape;
        let end = start + tokens.len();
        if tokens.is_empty() {
            return Err(Self::Empty);
        }
        if end > max_context {
            return Err(Self::Context { positions: end, max_context });
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(Self::Token { token, vocab_size });
        }
        let mut points = capture.iter().copied().chain(additions.iter().map(|a| a.point));
        if let Some(point) = points.find(|point| point.layer() >= n_layers) {
            return Err(Self::HookPoint { point, n_layers });
        }
        for addition in additions {
            if addition.vector.len() != hidden_size {
                return Err(Self::Width { found: addition.vector.len(), hidden_size });
            }
            if !(start..end).contains(&addition.position) {
                return Err(Self::Position { position: addition.position, start, end });
            }
        }
        Ok(())
    }
}

/// The reason why a file is not JSON.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(serde_json::Error);

/// The reason why a file is not safetensors.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SafetensorsError(pub(crate) safetensors::SafeTensorError);

/// The reason why a tokenizer failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TokenizerError(pub(crate) tokenizers::Error);

/// The reason why a chat template failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ChatTemplateError(pub(crate) minijinja::Error);

impl ModelError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self + '_ {
        |source| Self::Json { path: path.to_owned(), source: JsonError(source) }
    }

    /// Refuses a file whose content Git LFS has not fetched.
    pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), Self> {
        match bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            true => Err(Self::GitLfsPointer { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    pub(crate) fn config(path: &Path, field: &str, value: &serde_json::Value, supported: &'static str) -> Self {
        Self::Config { path: path.to_owned(), field: field.into(), value: value.to_string(), supported }
    }
}

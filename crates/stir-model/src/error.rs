use std::path::{Path, PathBuf};

use stir_core::HookPoint;

/// What can go wrong when a model is loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file or folder could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file that does not parse.
    #[error("{} is not the JSON it should be", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A configuration field with a value this implementation does not obey.
    #[error("{}: {field} is {value}, supported: {supported}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value, as JSON.
        value: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// Options of a decoder that were not read from a file and contradict each other.
    #[error("decoder option {field} must be {bound}")]
    Options {
        /// The field of [`DecoderConfig`](crate::DecoderConfig).
        field: &'static str,
        /// What it must be.
        bound: &'static str,
    },
    /// A weight file that is not safetensors, or is cut short.
    #[error("{} is not a whole safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A tensor the architecture needs and the checkpoint lacks.
    #[error("{}: tensor {name} is missing", path.display())]
    MissingTensor {
        /// The checkpoint folder or file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that two files of a checkpoint hold.
    #[error("tensor {name} is in {} and in {}", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An index of shards that names something else than files beside it.
    #[error("{}: {name:?} is not the name of a file in the same folder", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Tensors of the checkpoint that the architecture has no place for.
    #[error("{}: no place for tensor {} ({} such)", path.display(), names[0], names.len())]
    ExtraTensors {
        /// The checkpoint folder.
        path: PathBuf,
        /// The tensors, sorted; at least one.
        names: Vec<String>,
    },
    /// A tensor whose shape does not follow from the configuration.
    #[error("{}: tensor {name} has shape {found:?}, the configuration asks for {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Shape the configuration asks for.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor stored in a type that is not read.
    #[error("{}: tensor {name} is stored as {found:?}, supported: {supported}", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Type in the file.
        found: safetensors::Dtype,
        /// Types that are read.
        supported: &'static str,
    },
    /// A weight that is NaN, infinite, or too large for the type to compute in.
    #[error("{}: tensor {name} holds {value} at element {index}, which is no number of the type to compute in", path.display())]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Flat index of such an element.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// Text was to be encoded, and the folder the model came from has no tokenizer.
    #[error(
        "{} holds no tokenizer.json{}",
        path.display(),
        if *sentencepiece { ", only a sentencepiece tokenizer.model, which has to be converted to it first" } else { "" }
    )]
    NoTokenizer {
        /// The model folder.
        path: PathBuf,
        /// Whether there is a `tokenizer.model`.
        sentencepiece: bool,
    },
    /// A tokenizer with tokens that the model has no embedding for.
    #[error("{} has token ids up to {}, the model's vocabulary is {vocab_size}", path.display(), tokens - 1)]
    VocabularySize {
        /// The tokenizer file.
        path: PathBuf,
        /// One past the tokenizer's largest id.
        tokens: usize,
        /// Rows of the model's embedding.
        vocab_size: usize,
    },
    /// The tokenizer file could not be used, or the tokenizer refused a text.
    #[error("tokenizer {}", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// Why.
        #[source]
        source: tokenizers::Error,
    },
    /// A chat was to be rendered, and the folder the model came from has no chat template.
    #[error("{} holds no chat template", path.display())]
    NoChatTemplate {
        /// The model folder.
        path: PathBuf,
    },
    /// The chat template does not parse or refused the messages.
    #[error("chat template of {}", path.display())]
    ChatTemplate {
        /// The model folder.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
    /// A row of a forward pass that breaks the engine's contract.
    #[error("row {row} of the forward pass")]
    Row {
        /// Place in the batch.
        row: usize,
        /// What is wrong with it.
        #[source]
        source: RowError,
    },
    /// The hub did not bring the model.
    #[cfg(feature = "hub")]
    #[error("hub")]
    Hub(#[from] stir_hub::HubError),
    /// The device could not run or return a computation.
    #[error("device")]
    Device(#[from] DeviceError),
}

/// What is wrong with a row of a forward pass.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowError {
    /// Nothing to encode.
    #[error("no tokens")]
    Empty,
    /// A token id past the end of the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        token: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// More positions than the model was made for.
    #[error("{positions} positions exceed the context of {max_context}")]
    Context {
        /// Positions after this row.
        positions: usize,
        /// Positions allowed.
        max_context: usize,
    },
    /// A hook point the model does not have.
    #[error("no {point} in a model of {n_layers} layers")]
    HookPoint {
        /// The point.
        point: HookPoint,
        /// Decoder layers.
        n_layers: usize,
    },
    /// A vector that does not fit the residual stream.
    #[error("an added vector has {found} elements, the residual stream {hidden_size}")]
    Width {
        /// Elements of the vector.
        found: usize,
        /// Width of the stream.
        hidden_size: usize,
    },
    /// An addition where the row has no token.
    #[error("an addition at position {position}, the row holds {start}..{end}")]
    Position {
        /// The addition's position.
        position: usize,
        /// First position of the row.
        start: usize,
        /// One past the last.
        end: usize,
    },
}

/// What is wrong with a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("unknown device {name:?}: expected flex, cuda, wgpu, vulkan or metal, with :N for the N-th")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// Not a name of a number type.
    #[error("unknown type {name:?}: expected f32, bf16 or f16")]
    UnknownType {
        /// What was given.
        name: String,
    },
    /// A device whose backend was left out at compile time.
    #[error("device {name} needs the cargo feature {name:?}")]
    NotCompiled {
        /// The device, which is also the feature's name.
        name: &'static str,
    },
    /// A device that this machine does not have.
    #[error("no device {name}: {found} of that kind found")]
    Absent {
        /// What was asked for.
        name: String,
        /// How many there are.
        found: usize,
    },
    /// A result could not be read back.
    #[cfg(feature = "decoder")]
    #[error("a result could not be read back from the device")]
    Read(#[source] burn::tensor::TensorReadError),
}

impl ModelError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn config(path: &Path, field: &str, value: &serde_json::Value, supported: &'static str) -> Self {
        Self::Config { path: path.to_owned(), field: field.into(), value: value.to_string(), supported }
    }
}

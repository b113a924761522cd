use std::{error::Error, io, path::PathBuf};

use stir_core::{HookPoint, TokenId};

/// The reason why stored states could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatesError {
    /// The file system refused an operation.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// The ids of the layers cannot be those of the files.
    #[error(
        "the ids of layers are {ids:?}, must rise and be at most {n_layers}: files hold layers in the order in which they \
         are run"
    )]
    LayerIds {
        /// The ids.
        ids: Vec<usize>,
        /// The number of the model's layers, which is the id of the state after the last.
        n_layers: usize,
    },
    /// There is no file of states.
    #[error("{} has no file whose name ends in .safetensors", .dir.display())]
    NoFiles {
        /// The folder.
        dir: PathBuf,
    },
    /// The file does not begin with the header of a safetensors file.
    #[error("{}: the header is not one of safetensors: {fault}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: String,
    },
    /// The file is cut off, or has more than its header says.
    #[error("{} has {found} bytes, its header says {expected}; is it still being written?", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The number of bytes that the header says.
        expected: u64,
        /// The number of bytes.
        found: u64,
    },
    /// A tensor is missing.
    #[error("{} has no tensor {tensor}", .path.display())]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: &'static str,
    },
    /// A tensor is of another number type.
    #[error("{}: {tensor} is {found}, must be {expected}", .path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: &'static str,
        /// Its type.
        found: String,
        /// The types that are read.
        expected: &'static str,
    },
    /// A tensor is of another shape.
    #[error("{}: {tensor} has the shape {found:?}, must be {expected}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that it must have.
        expected: String,
    },
    /// A token is not one of the model.
    #[error("{}: token_ids[{place}] is {found}, must be >= 0 and < {vocab_size}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The place of the token.
        place: usize,
        /// The token.
        found: i64,
        /// The number of tokens of the model.
        vocab_size: usize,
    },
    /// A state has a number that is not finite.
    #[error("{}: hidden_states of token {token} at layer id {id} has {found} at {place}, must be finite", .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The place of the token.
        token: usize,
        /// The id of the layer.
        id: usize,
        /// The place in the state.
        place: usize,
        /// The number.
        found: f32,
    },
    /// No file begins with the tokens of a text.
    #[error(
        "no file of {} begins with the {tokens} tokens that end with {text:?}; {} agrees for {agreed} and {}",
        .dir.display(), .nearest.display(), ending(*.found, *.expected)
    )]
    NoStates {
        /// The folder.
        dir: PathBuf,
        /// The number of tokens, prompt and answer.
        tokens: usize,
        /// The end of their text.
        text: String,
        /// The file that agrees the longest.
        nearest: PathBuf,
        /// The number of tokens for which it agrees.
        agreed: usize,
        /// The token that it has after those; `None` where it ends.
        found: Option<TokenId>,
        /// The token of the text after those.
        expected: TokenId,
    },
    /// The files do not hold the layer that is asked for.
    #[error("{point} has the layer id {}, and the files hold {ids:?}", .id.map_or("none".into(), |id| id.to_string()))]
    Layer {
        /// What is asked for.
        point: HookPoint,
        /// Its id, if it has one.
        id: Option<usize>,
        /// The ids of the layers that the files hold.
        ids: Vec<usize>,
    },
    /// Stored states cannot answer what is asked of a model.
    #[error("stored states have no answer where {what}")]
    Row {
        /// What is asked.
        what: &'static str,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer refuses a text")]
    Tokenizer(#[source] Box<dyn Error + Send + Sync>),
}

fn ending(found: Option<TokenId>, expected: TokenId) -> String {
    found.map_or_else(
        || format!("ends there, before token {expected}"),
        |found| format!("then has token {found}, not {expected}"),
    )
}

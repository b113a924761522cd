use std::{error::Error, io, sync::Arc};

use stir_basis::{BasisError, FileError};
use stir_core::{RequestError, SettingError};

/// The reason why a server cannot be started, be given a library, or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting is out of bounds.
    #[error("a setting of the server is out of bounds")]
    Setting(#[from] SettingError),
    /// The name of a library holds other characters than those allowed.
    #[error("the name {name:?} of a library must be 1 to 64 of the characters a-z, A-Z, 0-9, '.', '_' and '-'")]
    LibraryName {
        /// The name.
        name: String,
    },
    /// There are as many libraries as are allowed.
    #[error("the server holds {limit} libraries, which is as many as it may")]
    TooManyLibraries {
        /// The largest number of libraries.
        limit: usize,
    },
    /// The library is of another model.
    #[error("the library does not fit the model")]
    Library(#[source] BasisError),
    /// What was uploaded is not a library.
    #[error("that is no library")]
    File(#[from] FileError),
    /// A thread could not be started, or the network failed.
    #[error("the operating system refused")]
    Io(#[from] io::Error),
}

/// The reason why an answer cannot begin, or was lost.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The request cannot be served.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The request asks for another number of samples than one.
    #[error("samples is {samples}, must be 1: ask for every sample by itself, each with a stream of its own")]
    Samples {
        /// The number of samples.
        samples: usize,
    },
    /// The vectors of the controller do not fit the model.
    #[error(
        "the library has vectors of {hidden_size} values and states after layer {layer}; the model has \
         {model_hidden_size} and {n_layers} layers"
    )]
    Library {
        /// The length of the library's vectors.
        hidden_size: usize,
        /// The last layer that is steered or read, from 0.
        layer: usize,
        /// The length of the model's states.
        model_hidden_size: usize,
        /// The number of the model's layers.
        n_layers: usize,
    },
    /// The engine failed, in a pass that this answer shared or on its prompt.
    #[error("the engine failed")]
    Engine(#[source] Arc<dyn Error + Send + Sync>),
    /// The engine panicked in a pass that this answer shared, or something panicked over this answer alone.
    #[error("a panic ended the answer")]
    Panic,
    /// The thread of the engine was told to stop.
    #[error("the engine was stopped")]
    Stopped,
}

use std::{fmt, io, path::PathBuf};

use stir_core::FingerprintMismatch;

use crate::{
    cluster::ClusterError,
    codec::{FileKind, PayloadError},
};

/// Everything that this crate refuses.
#[derive(Debug, thiserror::Error)]
pub enum BasisError {
    /// A setting outside its bound.
    #[error("{field} is {value}, must be {bound}")]
    Setting {
        /// The field of [`BasisConfig`](crate::BasisConfig) or [`Method`](crate::Method).
        field: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        bound: &'static str,
    },
    /// A name that no selection method has.
    #[error("no selection method is called {name:?}; there are dpp, top, random, kmeans and dbscan")]
    UnknownMethod {
        /// What was asked for.
        name: String,
    },
    /// There is nothing to choose from, or a library would hold nothing.
    #[error("no usable entries ({skipped} skipped for a non-finite or zero key or vector)")]
    NoEntries {
        /// How many were there but unusable.
        skipped: usize,
    },
    /// A value that breaks a rule of its type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The keys could not be clustered.
    #[error("clustering: {0}")]
    Cluster(#[from] ClusterError),
    /// The vectors belong to another model.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintMismatch),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Not a file of ours, or of the other kind.
    #[error("{}: expected {expected}, found {}", path.display(), Found(*found))]
    Kind {
        /// The file.
        path: PathBuf,
        /// What was to be read.
        expected: FileKind,
        /// What the file says it is; `None` when it is none of ours.
        found: Option<FileKind>,
    },
    /// Written by a version of the format that this build does not know.
    #[error("{}: format version {found}, this build reads {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that can be read.
        supported: u32,
    },
    /// Cut short, or followed by bytes that do not belong to it.
    #[error("{}: {found} bytes long, should be {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises, header included.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The payload is larger than a reader accepts.
    #[error("{}: a payload of {bytes} bytes, at most {limit} are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size of the payload.
        bytes: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// The payload changed after it was written.
    #[error("{}: checksum mismatch, the file is damaged", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// The payload does not encode or decode.
    #[error("{}: malformed payload: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: PayloadError,
    },
    /// The payload decodes to values that break a rule of their type.
    #[error("{}: {source}", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The rule that is broken.
        source: ContentError,
    },
    /// The tensors could not be laid out.
    #[error("{}: {source}", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: safetensors::SafeTensorError,
    },
}

/// A value that breaks a rule of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{item} {index}: {field} must be {rule}")]
pub struct ContentError {
    /// What the value belongs to: `pair`, `entry`, `row`, ...
    pub item: &'static str,
    /// Which of them, from 0.
    pub index: usize,
    /// The offending field.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// Checks rules about one item and names the first that is broken.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) item: &'static str,
    pub(crate) index: usize,
}

impl Rules {
    pub(crate) fn ensure(self, holds: bool, field: &'static str, rule: &'static str) -> Result<(), ContentError> {
        if holds { Ok(()) } else { Err(ContentError { item: self.item, index: self.index, field, rule }) }
    }

    /// The rules that pairs and entries share.
    pub(crate) fn place(self, m: usize, layer: usize, n_layers: usize, quality: f64) -> Result<(), ContentError> {
        self.ensure(m >= 1, "m", ">= 1")?;
        self.ensure(layer < n_layers, "layer", "below the fingerprint's n_layers")?;
        self.quality(quality)
    }

    pub(crate) fn quality(self, quality: f64) -> Result<(), ContentError> {
        self.ensure(quality.is_finite() && quality >= 0.0, "quality", "finite and >= 0")
    }

    pub(crate) fn width(self, field: &'static str, vector: &[f32], width: usize) -> Result<(), ContentError> {
        self.ensure(vector.len() == width, field, "as wide as the fingerprint's hidden_size")
    }

    pub(crate) fn finite(self, field: &'static str, vector: &[f32]) -> Result<(), ContentError> {
        self.ensure(vector.iter().all(|x| x.is_finite()), field, "finite")
    }
}

struct Found(Option<FileKind>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => kind.fmt(f),
            None => f.write_str("another kind of file"),
        }
    }
}

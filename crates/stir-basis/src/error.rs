use stir_core::{FingerprintMismatch, SettingError};

#[cfg(feature = "clustering")]
use crate::cluster::ClusterError;
use crate::{codec::FileError, content::ContentError};

/// A fault of vectors, of settings or of a library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BasisError {
    /// A setting is outside its bound.
    #[error("a setting of the selection is out of bounds")]
    Setting(#[from] SettingError),
    /// There is nothing to choose from, or a library would hold nothing.
    #[error("there are no usable entries{}", why(*.skipped))]
    NoEntries {
        /// The number of entries that were there but not usable.
        skipped: usize,
    },
    /// A value breaks a rule of its type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The selection method needs a feature that this build does not have.
    #[error(
        "the selection method {method} needs the feature `clustering` of stir-basis, which this build does not have"
    )]
    NoClustering {
        /// The name of the method.
        method: &'static str,
    },
    /// The keys could not be clustered.
    #[cfg(feature = "clustering")]
    #[error("the keys could not be clustered")]
    Cluster(#[from] ClusterError),
    /// The vectors belong to another model.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintMismatch),
    /// The vectors belong to another quantisation of the model.
    #[error("{0}; if it is the same model otherwise, the setting allow_requantised accepts it")]
    Requantised(FingerprintMismatch),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

fn why(count: usize) -> String {
    match count {
        0 => String::new(),
        _ => format!(": {count} were skipped for a key or vector that is zero or not finite"),
    }
}

use serde::{Deserialize, Serialize};

/// The sizes of a model that the layers above the engine need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// The number of decoder layers.
    pub n_layers: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// The number of rows of the output head: every token id is below it.
    pub vocab_size: usize,
    /// The number of positions that the model was made for, prompt and answer together.
    pub max_context: usize,
}

/// The identity of a model: a vector mined on one model means nothing on another.
///
/// ```
/// # use stir_core::Fingerprint;
/// let mined = Fingerprint {
///     architecture: "qwen2".into(), n_layers: 28, hidden_size: 1536, vocab_size: 151_936,
///     tokenizer: "a1".into(), weights: "b2".into(),
/// };
/// let other = Fingerprint { weights: "c3".into(), ..mined.clone() };
/// assert!(mined.check(&mined).is_ok());
/// assert_eq!(mined.check(&other).unwrap_err().field, "weights");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The model family, as the checkpoint names it.
    pub architecture: String,
    /// The number of decoder layers.
    pub n_layers: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// The number of rows of the output head.
    pub vocab_size: usize,
    /// The digest of the tokenizer, hexadecimal.
    pub tokenizer: String,
    /// The digest of the weights, hexadecimal.
    pub weights: String,
}

impl Fingerprint {
    /// Checks that `found` is the model that `self` describes.
    ///
    /// # Errors
    /// [`FingerprintMismatch`] with the first field that differs.
    pub fn check(&self, found: &Self) -> Result<(), FingerprintMismatch> {
        let differ = |field, expected: &dyn ToString, found: &dyn ToString| {
            Err(FingerprintMismatch { field, expected: expected.to_string(), found: found.to_string() })
        };
        if self.architecture != found.architecture {
            differ("architecture", &self.architecture, &found.architecture)
        } else if self.n_layers != found.n_layers {
            differ("n_layers", &self.n_layers, &found.n_layers)
        } else if self.hidden_size != found.hidden_size {
            differ("hidden_size", &self.hidden_size, &found.hidden_size)
        } else if self.vocab_size != found.vocab_size {
            differ("vocab_size", &self.vocab_size, &found.vocab_size)
        } else if self.tokenizer != found.tokenizer {
            differ("tokenizer", &self.tokenizer, &found.tokenizer)
        } else if self.weights != found.weights {
            differ("weights", &self.weights, &found.weights)
        } else {
            Ok(())
        }
    }
}

/// The error of two models that are not the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("made for another model: {field} is {expected:?} there and {found:?} in the model at hand")]
pub struct FingerprintMismatch {
    /// The first field of [`Fingerprint`] that differs.
    pub field: &'static str,
    /// Its value where the vectors were mined.
    pub expected: String,
    /// Its value in the model that was checked.
    pub found: String,
}

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
/// # use stir_core::{Fingerprint, FingerprintMismatch};
/// let mined = Fingerprint {
///     architecture: "qwen2".into(), n_layers: 28, hidden_size: 1536, vocab_size: 151_936,
///     tokenizer: "a1".into(), weights: "BF16:b2".into(),
/// };
/// assert!(mined.check(&mined).is_ok());
/// let other = Fingerprint { weights: "BF16:c3".into(), ..mined.clone() };
/// assert!(matches!(mined.check(&other), Err(FingerprintMismatch::Model { field: "weights", .. })));
/// let smaller = Fingerprint { weights: "Q4_K+Q6_K:d4".into(), ..mined.clone() };
/// assert_eq!(smaller.quantisation(), Some("Q4_K+Q6_K"));
/// assert!(matches!(mined.check(&smaller), Err(FingerprintMismatch::Quantisation { .. })));
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
    /// The digest of the tokenizer, hexadecimal; that of a GGUF file begins with `gguf:`, as it covers other bytes than
    /// that of a `tokenizer.json`.
    pub tokenizer: String,
    /// The digest of the weights, hexadecimal, after the [`quantisation`](Self::quantisation) and a colon.
    pub weights: String,
}

impl Fingerprint {
    /// Returns the formats in which the weight matrices are stored, that of most weights first, joined by `+`: `BF16`,
    /// `Q4_K+Q6_K`. Norms and biases do not count. `None` where it is not known, as in fingerprints of earlier versions.
    pub fn quantisation(&self) -> Option<&str> {
        parts(&self.weights).0
    }

    /// Returns the fingerprint as earlier versions wrote it, for records that have to equal theirs. It identifies the
    /// same model: the digest of the weights covers their formats.
    #[must_use]
    pub fn without_quantisation(&self) -> Self {
        Self { weights: parts(&self.weights).1.to_owned(), ..self.clone() }
    }

    /// Checks that `found` is the model that `self` describes.
    ///
    /// # Errors
    /// [`FingerprintMismatch::Quantisation`] where both name their quantisation, those differ, and all that can be
    /// compared in spite of it agrees: everything but the weights and, if only one of the two comes from a GGUF file,
    /// the tokenizer. In any other case [`FingerprintMismatch::Model`] with the first field that differs.
    pub fn check(&self, found: &Self) -> Result<(), FingerprintMismatch> {
        let differ = |field, expected: &dyn ToString, found: &dyn ToString| {
            Err(FingerprintMismatch::Model { field, expected: expected.to_string(), found: found.to_string() })
        };
        let requantised = self.quantisation().zip(found.quantisation()).filter(|(expected, found)| expected != found);
        let one_of_gguf = parts(&self.tokenizer).0 != parts(&found.tokenizer).0;
        if self.architecture != found.architecture {
            differ("architecture", &self.architecture, &found.architecture)
        } else if self.n_layers != found.n_layers {
            differ("n_layers", &self.n_layers, &found.n_layers)
        } else if self.hidden_size != found.hidden_size {
            differ("hidden_size", &self.hidden_size, &found.hidden_size)
        } else if self.vocab_size != found.vocab_size {
            differ("vocab_size", &self.vocab_size, &found.vocab_size)
        } else if self.tokenizer != found.tokenizer && !(requantised.is_some() && one_of_gguf) {
            differ("tokenizer", &self.tokenizer, &found.tokenizer)
        } else if let Some((expected, found)) = requantised {
            Err(FingerprintMismatch::Quantisation { expected: expected.to_owned(), found: found.to_owned() })
        } else if parts(&self.weights).1 != parts(&found.weights).1 {
            differ("weights", &self.weights, &found.weights)
        } else {
            Ok(())
        }
    }

    /// Checks that `found` is the model that `what` ("the library") was made for, as [`check`](Self::check) does. With
    /// `allow_requantised` a model whose weights are stored in other formats will do, with a warning.
    ///
    /// # Errors
    /// [`FingerprintMismatch::Quantisation`] for such a model, unless it is allowed; [`FingerprintMismatch::Model`] for
    /// another one, in any case.
    pub fn check_or_requantised(
        &self,
        what: &str,
        found: &Self,
        allow_requantised: bool,
    ) -> Result<(), FingerprintMismatch> {
        match self.check(found) {
            Err(requantised @ FingerprintMismatch::Quantisation { .. }) if allow_requantised => {
                tracing::warn!("{what} was {requantised}: it may not fit");
                Ok(())
            }
            checked => checked,
        }
    }
}

/// Returns what stands before the colon of a digest, if there is one, and the digest itself.
fn parts(digest: &str) -> (Option<&str>, &str) {
    digest.rsplit_once(':').map_or((None, digest), |(label, digest)| (Some(label), digest))
}

/// The error of two models that are not the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintMismatch {
    /// They are different models.
    #[error("made for another model: {field} is {expected:?} there and {found:?} in the model at hand")]
    Model {
        /// The first field of [`Fingerprint`] that differs.
        field: &'static str,
        /// Its value where the vectors were mined.
        expected: String,
        /// Its value in the model that was checked.
        found: String,
    },
    /// Their weights are stored in different formats, and nothing else says that they are different models. Nothing
    /// proves that they are the same either: that would need both files.
    #[error(
        "made for another quantisation or number type: weights are {expected} there and {found} in the model at hand"
    )]
    Quantisation {
        /// The [`Fingerprint::quantisation`] where the vectors were mined.
        expected: String,
        /// That of the model that was checked.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(tokenizer: &str, weights: &str) -> Fingerprint {
        let (tokenizer, weights) = (tokenizer.into(), weights.into());
        Fingerprint { architecture: "a".into(), n_layers: 2, hidden_size: 4, vocab_size: 8, tokenizer, weights }
    }

    #[test]
    fn quantisations_are_told_from_models() {
        let mined = model("t", "BF16:x");
        let refused = |found: &Fingerprint| match mined.check(found) {
            Err(FingerprintMismatch::Model { field, .. }) => field,
            Err(FingerprintMismatch::Quantisation { .. }) => "quantisation",
            Ok(()) => "nothing",
        };
        for (tokenizer, weights, expected) in [
            ("t", "BF16:x", "nothing"),
            ("t", "BF16:y", "weights"),
            ("t", "F16:y", "quantisation"),
            ("gguf:t", "Q4_K+Q6_K:y", "quantisation"),
            // Two tokenizers that can be compared, and two that nothing excuses.
            ("u", "F16:y", "tokenizer"),
            ("gguf:t", "BF16:x", "tokenizer"),
            // Of an earlier version, which did not name what it is.
            ("t", "x", "nothing"),
            ("t", "y", "weights"),
            ("gguf:t", "y", "tokenizer"),
        ] {
            assert_eq!(refused(&model(tokenizer, weights)), expected, "{tokenizer} {weights}");
        }
        let larger = Fingerprint { hidden_size: 5, ..model("t", "F16:y") };
        assert_eq!(refused(&larger), "hidden_size");
        assert_eq!(mined.without_quantisation().check(&mined), Ok(()));
        assert_eq!(mined.without_quantisation().quantisation(), None);
        let allowed = |found: &Fingerprint| mined.check_or_requantised("it", found, true);
        assert_eq!(allowed(&model("t", "F16:y")), Ok(()));
        assert!(matches!(allowed(&model("t", "BF16:y")), Err(FingerprintMismatch::Model { field: "weights", .. })));
        assert_eq!(mined.check_or_requantised("it", &larger, false), mined.check(&larger));
        let error = mined.check(&model("gguf:t", "Q4_K+Q6_K:y")).map_err(|error| error.to_string());
        let words = "weights are BF16 there and Q4_K+Q6_K in the model at hand";
        assert!(error.is_err_and(|error| error.ends_with(words)));
    }
}

//! Fingerprints of models, computed from what their files hold.
//!
//! This needs neither burn nor room for a model's weights, so that an engine which computes with something else can say
//! which model it runs: a library of steering vectors names the model it was mined with and is refused by any other. It
//! is in this crate and not in `stir-core` because part of a fingerprint is what a `config.json` says, in the ways
//! in which the families of models say it; without default features this crate does not depend on burn.

use std::{cmp::Reverse, collections::BTreeMap, path::Path};

use stir_core::Fingerprint;

use crate::{Checkpoint, DecoderConfig, ModelError, StoredTensor, gguf};

/// Endings of the names of tensors that follow from the configuration; old checkpoints hold them.
const DERIVED: [&str; 1] = [".rotary_emb.inv_freq"];

/// Returns the fingerprint of the model in a Hugging Face folder or a GGUF file: what `Lm::load` gives the same model,
/// without loading it.
///
/// Reads every byte of the weight files. Whether the tensors fit the configuration is not checked.
///
/// ```no_run
/// let fingerprint = stir_model::fingerprint_of("path/to/a/folder")?;
/// println!("{} in {}", fingerprint.architecture, fingerprint.quantisation().unwrap_or_default());
/// # Ok::<(), stir_model::ModelError>(())
/// ```
///
/// # Errors
/// `config.json` is missing or holds a value that [`DecoderConfig`] does not support, or a file cannot be read; for a
/// GGUF file those of [`gguf::Model::open`].
pub fn fingerprint_of(path: impl AsRef<Path>) -> Result<Fingerprint, ModelError> {
    let dir = path.as_ref();
    if gguf::is_gguf(dir) {
        return Ok(gguf::Model::open(dir)?.fingerprint());
    }
    let config = DecoderConfig::from_file(&dir.join("config.json"))?;
    let checkpoint = Checkpoint::open(dir)?;
    let path = dir.join("tokenizer.json");
    let tokenizer = path.exists().then(|| std::fs::read(&path)).transpose().map_err(ModelError::io(&path))?;
    Ok(fingerprint(&config, tokenizer.as_deref(), checkpoint.tensors()))
}

/// Returns the fingerprint of the model of `config` with the given tensors, in any order. `tokenizer` is the content of
/// its `tokenizer.json`, if it has one.
///
/// Tensors count as they are stored: under the names, in the types and shapes and with the bytes that they have in the
/// model's checkpoint, whatever an engine makes of them.
///
/// ```
/// use std::path::Path;
/// use stir_model::{DecoderConfig, StoredTensor, fingerprint};
/// let json = serde_json::json!({
///     "model_type": "qwen2", "vocab_size": 2, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
///     "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16,
/// });
/// let config = DecoderConfig::from_hf(Path::new("config.json"), json)?;
/// let [first, second] = [[0; 16], [1; 16]].map(|data| {
///     let norm = StoredTensor { name: "model.norm.weight", dtype: "F32".into(), shape: &[4], data: &data };
///     fingerprint(&config, None, [norm])
/// });
/// assert_eq!((first.architecture.as_str(), first.tokenizer.as_str()), ("qwen2", "none"));
/// assert_ne!(first.weights, second.weights);
/// # Ok::<(), stir_model::ModelError>(())
/// ```
pub fn fingerprint<'a>(
    config: &DecoderConfig,
    tokenizer: Option<&[u8]>,
    tensors: impl IntoIterator<Item = StoredTensor<'a>>,
) -> Fingerprint {
    of_parts(config, tokenizer.map(tokenizer_digest), weights_of(config, tensors))
}

/// Returns quantisation and digest of tensors as the model of `config` uses them.
pub(crate) fn weights_of<'a>(config: &DecoderConfig, tensors: impl IntoIterator<Item = StoredTensor<'a>>) -> String {
    let mut formats = Formats::default();
    let hashes = tensors.into_iter().filter(|tensor| !is_derived(tensor.name)).map(|tensor| {
        formats.count(&tensor.dtype, tensor.shape);
        let hash = tensor_hasher(&tensor.dtype, tensor.shape).update_rayon(tensor.data).finalize();
        (tensor.name.to_owned(), hash)
    });
    let digest = weights_digest(&config.digest(), &hashes.collect());
    formats.before(digest)
}

/// The number of weights in each format, those of norms and biases left out.
#[derive(Debug, Default)]
pub(crate) struct Formats(BTreeMap<String, usize>);

impl Formats {
    /// Counts a tensor.
    pub(crate) fn count(&mut self, dtype: impl ToString, shape: &[usize]) {
        if shape.len() > 1 {
            let weights = self.0.entry(dtype.to_string()).or_default();
            *weights = weights.saturating_add(shape.iter().fold(1, |all: usize, &n| all.saturating_mul(n)));
        }
    }

    /// Returns [`Fingerprint::weights`]: the names, that of most weights first, ties in the order of names, and `digest`.
    pub(crate) fn before(self, digest: String) -> String {
        let mut formats: Vec<_> = self.0.into_iter().collect();
        formats.sort_by_key(|(_, weights)| Reverse(*weights));
        let names: Vec<String> = formats.into_iter().map(|(name, _)| name).collect();
        if names.is_empty() { digest } else { format!("{}:{digest}", names.join("+")) }
    }
}

/// Returns the fingerprint of a model with the digest of its tokenizer, and the quantisation and digest of its weights.
pub(crate) fn of_parts(config: &DecoderConfig, tokenizer: Option<String>, weights: String) -> Fingerprint {
    Fingerprint {
        architecture: config.architecture.clone(),
        n_layers: config.n_layers,
        hidden_size: config.hidden_size,
        vocab_size: config.vocab_size,
        tokenizer: tokenizer.unwrap_or_else(|| "none".to_owned()),
        weights,
    }
}

/// Returns the digest of a `tokenizer.json`, hexadecimal, as [`Fingerprint::tokenizer`] has it.
pub(crate) fn tokenizer_digest(file: &[u8]) -> String {
    blake3::hash(file).to_hex().to_string()
}

/// Returns a digest of type and shape of a tensor, to be fed with its bytes.
pub(crate) fn tensor_hasher(dtype: impl std::fmt::Display, shape: &[usize]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{dtype}{shape:?}\0").as_bytes());
    hasher
}

/// Returns the digest, hexadecimal, of the tensors' digests by their names, whatever files they are spread over, and of
/// `options`, what else decides what the weights compute.
pub(crate) fn weights_digest(options: &str, tensors: &BTreeMap<String, blake3::Hash>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(options.as_bytes());
    for (name, hash) in tensors {
        hasher.update(format!("\0{name}\0").as_bytes()).update(hash.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

pub(crate) fn is_derived(tensor: &str) -> bool {
    DERIVED.iter().any(|end| tensor.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::Formats;

    #[test]
    fn the_quantisation_is_that_of_the_matrices() {
        let named = |tensors: &[(&str, &[usize])]| {
            let mut formats = Formats::default();
            tensors.iter().for_each(|(dtype, shape)| formats.count(dtype, shape));
            formats.before("d".into())
        };
        assert_eq!(named(&[("BF16", &[4, 2]), ("F32", &[64])]), "BF16:d");
        assert_eq!(named(&[("Q4_K", &[2, 8]), ("Q6_K", &[4, 8]), ("Q4_K", &[4, 8])]), "Q4_K+Q6_K:d");
        assert_eq!(named(&[("Q6_K", &[4, 8]), ("Q4_K", &[4, 8])]), "Q4_K+Q6_K:d");
        assert_eq!(named(&[("F32", &[64])]), "d");
    }
}

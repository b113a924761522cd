//! What identifies the model, so that vectors of another one are refused.

use std::{collections::BTreeMap, path::Path};

use candle_core::safetensors::BufferedSafetensors;
use stir_core::Fingerprint;

use crate::{
    decoder::Config,
    engine::{EngineError, read, weight_files},
};

/// The fingerprint that `stir_model` computes of the same folder.
pub fn of(dir: &Path, config: &Config) -> Result<Fingerprint, EngineError> {
    let mut tensors = BTreeMap::new();
    for file in weight_files(dir)? {
        let file = BufferedSafetensors::new(read(&file)?)?;
        for (name, tensor) in file.tensors() {
            let mut hasher = blake3::Hasher::new();
            hasher.update(format!("{:?}{:?}\0", tensor.dtype(), tensor.shape()).as_bytes()).update(tensor.data());
            tensors.insert(name, hasher.finalize());
        }
    }
    let options = format!(
        "{} {} {} {:e} Rope {{ theta: {:?}, rotary_dim: {}, scaling: None, frequencies: F32 }}",
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim(),
        config.rms_norm_eps,
        config.rope_theta(),
        config.head_dim(),
    );
    let mut hasher = blake3::Hasher::new();
    hasher.update(options.as_bytes());
    for (name, digest) in &tensors {
        hasher.update(format!("\0{name}\0").as_bytes()).update(digest.as_bytes());
    }
    let tokenizer = dir.join("tokenizer.json");
    let tokenizer =
        if tokenizer.exists() { blake3::hash(&read(&tokenizer)?).to_hex().to_string() } else { "none".to_owned() };
    Ok(Fingerprint {
        architecture: config.model_type.clone(),
        n_layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        vocab_size: config.vocab_size,
        tokenizer,
        weights: hasher.finalize().to_hex().to_string(),
    })
}

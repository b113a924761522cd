//! Qwen2, Qwen2.5, DeepSeek-R1-Distill-Qwen (`qwen2`); Qwen3 (`qwen3`).

use super::{COMMON, DecoderConfig, Family, QkNorm, fields::Fields};
use crate::ModelError;

const QWEN2: Family = Family { n_kv_heads: Some(32), max_context: 32_768, ..COMMON };
const QWEN3: Family = Family { head_dim: Some(128), ..QWEN2 };

pub(super) fn qwen2(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    // Queries, keys and values always have biases in this family, whatever a file says.
    fields.ignore(&["attention_bias"]);
    Ok(DecoderConfig { qkv_bias: true, ..windowed(fields, &QWEN2)? })
}

pub(super) fn qwen3(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let bias = fields.flag("attention_bias", false)?;
    Ok(DecoderConfig { qkv_bias: bias, output_bias: bias, qk_norm: Some(QkNorm::Head), ..windowed(fields, &QWEN3)? })
}

/// Layers from `max_window_layers` on, or those that `layer_types` names, have a window when `use_sliding_window` says
/// so.
fn windowed(fields: &mut Fields<'_>, family: &Family) -> Result<DecoderConfig, ModelError> {
    let in_use = fields.flag("use_sliding_window", false)?;
    let window = fields.size_or("sliding_window", Some(4096))?.filter(|_| in_use);
    let first = fields.whole("max_window_layers")?.unwrap_or(28);
    let config = fields.decoder(family)?;
    let sliding = match fields.sliding_layers(config.n_layers)? {
        Some(sliding) => sliding,
        None => (0..config.n_layers).map(|layer| window.is_some() && layer >= first).collect(),
    };
    if window.is_none() && sliding.contains(&true) {
        return Err(fields.refuse("layer_types", "sliding_attention", "full_attention where no window is in use"));
    }
    Ok(DecoderConfig { windows: sliding.into_iter().map(|sliding| window.filter(|_| sliding)).collect(), ..config })
}

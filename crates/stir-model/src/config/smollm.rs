//! SmolLM3 (`smollm3`).

use super::{COMMON, DecoderConfig, Family, fields::Fields};
use crate::ModelError;

const SMOLLM3: Family = Family { n_kv_heads: Some(4), rope_theta: 2e6, max_context: 32_768, ..COMMON };

pub(super) fn smollm3(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let bias = fields.flag("attention_bias", false)?;
    let mlp_bias = fields.flag("mlp_bias", false)?;
    let tie_embeddings = fields.flag("tie_word_embeddings", true)?;
    let in_use = fields.flag("use_sliding_window", false)?;
    let window = fields.optional_size("sliding_window")?.filter(|_| in_use);
    // Published files have this field of Qwen, which nothing reads here.
    fields.ignore(&["max_window_layers"]);
    let interval = fields.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    let config = fields.decoder(&SMOLLM3)?;
    let rotary_layers = match fields.rotary_layers(config.n_layers)? {
        Some(layers) => layers,
        None => (1..=config.n_layers).map(|number| !number.is_multiple_of(interval)).collect(),
    };
    let sliding = match fields.sliding_layers(config.n_layers)? {
        Some(sliding) => sliding,
        None => rotary_layers.iter().map(|turned| window.is_some() && !turned).collect(),
    };
    if window.is_none() && sliding.contains(&true) {
        return Err(fields.refuse("layer_types", "sliding_attention", "full_attention where no window is in use"));
    }
    Ok(DecoderConfig {
        windows: sliding.into_iter().map(|sliding| window.filter(|_| sliding)).collect(),
        rotary_layers,
        qkv_bias: bias,
        output_bias: bias,
        mlp_bias,
        tie_embeddings,
        ..config
    })
}

//! Gemma 2 (`gemma2`) and the text models of Gemma 3 (`gemma3_text`).

use super::{Activation, COMMON, DecoderConfig, Family, QkNorm, fields::Fields};
use crate::ModelError;

const GEMMA2: Family = Family { n_kv_heads: Some(4), head_dim: Some(256), max_context: 8192, ..COMMON };
const GEMMA3: Family = Family { rope_theta: 1e6, max_context: 131_072, local_rope: true, ..GEMMA2 };

pub(super) fn gemma2(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    // A second name for `sliding_window` that nothing reads.
    fields.ignore(&["sliding_window_size"]);
    let attention_softcap = fields.positive_or("attn_logit_softcapping", Some(50.0))?;
    let logit_softcap = fields.positive_or("final_logit_softcapping", Some(30.0))?;
    let config = common(fields, &GEMMA2, 2)?;
    Ok(DecoderConfig { attention_softcap, logit_softcap, ..config })
}

pub(super) fn gemma3(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    // transformers reads this field for Gemma 3 and ignores it.
    fields.only("attn_logit_softcapping", serde_json::Value::Null, "null")?;
    let logit_softcap = fields.positive("final_logit_softcapping")?;
    let pattern = fields.optional_size("sliding_window_pattern")?.unwrap_or(6);
    fields.ignore(&["_sliding_window_pattern"]);
    let config = common(fields, &GEMMA3, pattern)?;
    Ok(DecoderConfig { logit_softcap, qk_norm: Some(QkNorm::Head), ..config })
}

/// Returns the options that both share: every `pattern`-th layer sees everything, the others have a window.
fn common(fields: &mut Fields<'_>, family: &Family, pattern: usize) -> Result<DecoderConfig, ModelError> {
    fields.only("use_bidirectional_attention", false, "false")?;
    let scale = fields.positive("query_pre_attn_scalar")?.unwrap_or(256.0).powf(-0.5);
    let window = fields.optional_size("sliding_window")?.unwrap_or(4096);
    let bias = fields.flag("attention_bias", false)?;
    let tie_embeddings = fields.flag("tie_word_embeddings", true)?;
    // Older files have `hidden_act` as well; `hidden_activation` is the one that counts.
    let activation = fields.activation("hidden_activation", Activation::GeluTanh)?;
    fields.ignore(&["hidden_act"]);
    let config = fields.decoder(family)?;
    let sliding = match fields.sliding_layers(config.n_layers)? {
        Some(sliding) => sliding,
        None => (1..=config.n_layers).map(|number| !number.is_multiple_of(pattern)).collect(),
    };
    Ok(DecoderConfig {
        windows: sliding.into_iter().map(|sliding| sliding.then_some(window)).collect(),
        qkv_bias: bias,
        output_bias: bias,
        output_norms: true,
        norm_offset: true,
        activation,
        attention_scale: scale,
        embedding_scale: (config.hidden_size as f64).sqrt(),
        tie_embeddings,
        ..config
    })
}

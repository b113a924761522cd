//! Llama 2 and 3, DeepSeek-R1-Distill-Llama (`llama`); Mistral 7B and its relatives (`mistral`).

use super::{COMMON, DecoderConfig, Family, fields::Fields};
use crate::ModelError;

const MISTRAL: Family = Family { n_kv_heads: Some(8), max_context: 131_072, ..COMMON };

pub(super) fn llama(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let bias = fields.flag("attention_bias", false)?;
    Ok(DecoderConfig {
        qkv_bias: bias,
        output_bias: bias,
        mlp_bias: fields.flag("mlp_bias", false)?,
        ..fields.decoder(&COMMON)?
    })
}

pub(super) fn mistral(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let window = fields.size_or("sliding_window", Some(4096))?;
    let config = fields.decoder(&MISTRAL)?;
    Ok(DecoderConfig { windows: vec![window; config.n_layers], ..config })
}

//! The dense models of Granite 3 (`granite`).

use super::{COMMON, DecoderConfig, fields::Fields};
use crate::ModelError;

pub(super) fn granite(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let bias = fields.flag("attention_bias", false)?;
    // Each is 1 where a file leaves it out, even the factor of the scores.
    let mut factor = |name: &str| Ok::<_, ModelError>(fields.positive(name)?.unwrap_or(1.0));
    let (embedding_scale, residual_scale) = (factor("embedding_multiplier")?, factor("residual_multiplier")?);
    let (attention_scale, logit_divisor) = (factor("attention_multiplier")?, factor("logits_scaling")?);
    Ok(DecoderConfig {
        qkv_bias: bias,
        output_bias: bias,
        mlp_bias: fields.flag("mlp_bias", false)?,
        attention_scale,
        embedding_scale,
        residual_scale,
        logit_scale: 1.0 / logit_divisor,
        ..fields.decoder(&COMMON)?
    })
}

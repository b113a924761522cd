//! OLMo 2 (`olmo2`).

use super::{COMMON, DecoderConfig, Family, QkNorm, fields::Fields};
use crate::ModelError;

const OLMO2: Family = Family { rms_norm_eps: 1e-5, ..COMMON };

pub(super) fn olmo2(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let bias = fields.flag("attention_bias", false)?;
    Ok(DecoderConfig {
        input_norms: false,
        output_norms: true,
        qk_norm: Some(QkNorm::Projection),
        qkv_bias: bias,
        output_bias: bias,
        ..fields.decoder(&OLMO2)?
    })
}

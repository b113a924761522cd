//! Phi-3, Phi-3.5, Phi-4 and their mini models (`phi3`).

use super::{COMMON, DecoderConfig, Family, RopeScaling, fields::Fields};
use crate::ModelError;

const PHI3: Family = Family { rms_norm_eps: 1e-5, max_context: 4096, partial_rope: true, ..COMMON };

pub(super) fn phi3(fields: &mut Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let window = fields.optional_size("sliding_window")?;
    // The published configurations name no bias but that of an output head which they do not have.
    fields.only("attention_bias", false, "false")?;
    fields.only("mlp_bias", false, "false")?;
    fields.only("lm_head_bias", false, "false")?;
    fields.ignore(&["full_attn_mod", "interpolate_factor"]);
    fields.default("original_max_position_embeddings", 4096);
    let config = fields.decoder(&PHI3)?;
    if !matches!(config.rope.scaling, RopeScaling::None | RopeScaling::LongRope { .. }) {
        return Err(fields.refuse("rope_scaling", format!("{:?}", config.rope.scaling), "default or longrope"));
    }
    Ok(DecoderConfig { windows: vec![window; config.n_layers], fused_projections: true, ..config })
}

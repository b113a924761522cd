//! The rotary embedding, by keys and by tensors of factors.

use super::config::Source;
use crate::{ModelError, Rope, RopeFrequencies, RopeScaling};

const FACTORS: &str = "rope_freqs.weight";
const SHORT: &str = "rope_factors_short.weight";
const LONG: &str = "rope_factors_long.weight";
/// The tensors that belong to the configuration and not to the weights.
pub(super) const TENSORS: [&str; 3] = [FACTORS, SHORT, LONG];

/// Returns the rotary embedding, and the context that `context` and the scaling give.
pub(super) fn rope(source: &Source<'_>, head_dim: usize, context: usize) -> Result<(Rope, usize), ModelError> {
    let metadata = source.metadata;
    let keys = ["freq_base", "dimension_count", "scaling.type", "scaling.factor", "scaling.attn_factor"];
    let [base, dims, kind_key, factor_key, attention] = keys.map(|name| source.key(&format!("rope.{name}")));
    let original_key = source.key("rope.scaling.original_context_length");
    let theta = metadata.positive(&base)?.unwrap_or(1e4);
    let rotary_dim = metadata.size(&dims)?.unwrap_or(head_dim);
    let partial = rotary_dim < head_dim && rotary_dim.is_multiple_of(2) && dims.starts_with("phi3.");
    if rotary_dim != head_dim && !partial {
        return Err(metadata.refuse(&dims, "the size of a head or, for phi3, an even number below it"));
    }
    // Before there was a type, a factor meant linear scaling. Some files say 0 where there is none.
    let legacy = metadata.positive_or_none(&source.key("rope.scale_linear"))?;
    let factor = metadata.positive_or_none(&factor_key)?.or(legacy).filter(|factor| *factor != 1.0);
    let original = metadata.size_or_none(&original_key)?;
    let attention_factor = metadata.positive(&attention)?;
    let (factors, short, long) = (
        source.factors(FACTORS, rotary_dim / 2)?,
        source.factors(SHORT, rotary_dim / 2)?,
        source.factors(LONG, rotary_dim / 2)?,
    );
    let kind = metadata.text(&kind_key)?;
    let listed = factors.is_some() || short.is_some() || long.is_some();
    if listed && matches!(kind, Some("linear" | "yarn")) && (factor.is_some() || kind == Some("yarn")) {
        return Err(metadata.refuse(&kind_key, "none or longrope in a file with factors of frequencies"));
    }
    let mut max_context = context;
    let scaling = match (kind, factors, short.zip(long)) {
        (None | Some("none" | "linear" | "longrope"), _, Some((factors, _))) => {
            let Some(original) = original else {
                return Err(metadata.refuse(&original_key, "the context before the stretch"));
            };
            // Past the original context other divisors hold, for the whole sequence and so for what is cached.
            max_context = context.min(original);
            if max_context < context {
                tracing::warn!(context, max_context, "longrope beyond the original context is not supported");
            }
            let stretch = (context as f64 / original as f64).max(1.0);
            let default = (1.0 + stretch.ln() / (original as f64).ln()).sqrt();
            RopeScaling::LongRope { factors, attention_factor: attention_factor.unwrap_or(default) }
        }
        // The scaling of Llama 3, as the factors that it comes to.
        (None | Some("none" | "linear"), Some(factors), None) => {
            RopeScaling::LongRope { factors, attention_factor: attention_factor.unwrap_or(1.0) }
        }
        (Some("yarn"), ..) => {
            let Some(factor) = factor else {
                return Err(metadata.refuse(&factor_key, "a finite number above 0 other than 1"));
            };
            let original_context = original.unwrap_or(context) as f64;
            // Files give the context before the stretch or after it.
            max_context = context.max((original_context * factor) as usize);
            yarn(source, factor, original_context)?
        }
        (None | Some("none" | "linear"), None, None) => {
            metadata.neutral(&attention, &[0.0, 1.0], "1")?;
            match factor.filter(|_| kind != Some("none")) {
                Some(factor) => RopeScaling::Linear { factor },
                None => RopeScaling::None,
            }
        }
        (Some("longrope"), ..) => return Err(metadata.refuse(&kind_key, "none without factors of frequencies")),
        (Some(_), ..) => return Err(metadata.refuse(&kind_key, "none, linear, yarn or longrope")),
    };
    let rope = Rope { theta, rotary_dim, scaling, frequencies: RopeFrequencies::F32 };
    if !(rope.attention_factor().is_finite() && rope.radians().iter().all(|radians| radians.is_finite())) {
        return Err(metadata.refuse(&base, "numbers that give finite frequencies"));
    }
    Ok((rope, max_context))
}

fn yarn(source: &Source<'_>, factor: f64, original_context: f64) -> Result<RopeScaling, ModelError> {
    let (metadata, key) = (source.metadata, |name: &str| source.key(&format!("rope.scaling.{name}")));
    // Programs disagree on what these multiply.
    for name in ["attn_factor", "yarn_attn_factor", "yarn_ext_factor"] {
        metadata.neutral(&key(name), &[1.0], "1")?;
    }
    metadata.neutral(&key("yarn_log_multiplier"), &[0.0], "0")?;
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: metadata.positive(&key("yarn_beta_fast"))?.unwrap_or(32.0),
        beta_slow: metadata.positive(&key("yarn_beta_slow"))?.unwrap_or(1.0),
        truncate: true,
        attention_factor: if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 },
    })
}

use super::{Family, fields::Fields};
use crate::ModelError;

/// A rotary position embedding: which elements of a head turn, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The base of the frequencies: element `i` turns by `theta^(-2i / rotary_dim)` radians per position.
    pub theta: f64,
    /// The number of leading elements of a head that turn; even, at most the size of a head.
    pub rotary_dim: usize,
    /// The scaling of the frequencies for longer contexts.
    pub scaling: RopeScaling,
    /// The precision of the frequencies. No checkpoint records it; transformers loads every checkpoint with
    /// [`RopeFrequencies::F32`].
    pub frequencies: RopeFrequencies,
}

/// A scaling of rotary frequencies for longer contexts, by the names of Hugging Face configurations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// `default`: not at all.
    None,
    /// `linear`: every frequency divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// `llama3`: slow frequencies divided by a factor, fast ones kept, a ramp between.
    Llama3 {
        /// The divisor of slow frequencies.
        factor: f64,
        /// A wavelength above `original_context / low_freq_factor` is slow.
        low_freq_factor: f64,
        /// A wavelength below `original_context / high_freq_factor` is fast.
        high_freq_factor: f64,
        /// The context before the stretch.
        original_context: f64,
    },
    /// `yarn` (arXiv 2309.00071): like `llama3`, with a ramp over the index of the frequency and a factor of the
    /// scores.
    Yarn {
        /// The divisor of slow frequencies.
        factor: f64,
        /// The context before the stretch.
        original_context: f64,
        /// A frequency with more turns than this within the original context is fast.
        beta_fast: f64,
        /// A frequency with fewer turns is slow.
        beta_slow: f64,
        /// True if the ends of the ramp are rounded outwards to whole frequencies.
        truncate: bool,
        /// The factor of the cosines and sines.
        attention_factor: f64,
    },
    /// `longrope` (arXiv 2402.13753) within the original context: a divisor for each frequency.
    LongRope {
        /// `[rotary_dim / 2]`
        factors: Vec<f64>,
        /// The factor of the cosines and sines.
        attention_factor: f64,
    },
}

/// The precision of the rotary frequencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RopeFrequencies {
    /// The frequencies have full precision.
    #[default]
    F32,
    /// The frequencies are rounded to bfloat16, as in a model whose buffers were cast along with its weights.
    Bf16,
}

/// The rotary embeddings that the fields of a file describe, and the context that they give.
pub(super) struct ParsedRope {
    pub(super) rope: Rope,
    /// The embedding of the layers with a window, in families where it may differ.
    pub(super) local: Option<Rope>,
    pub(super) max_context: usize,
}

impl Rope {
    /// Returns an embedding of all elements of a head, without scaling.
    pub fn plain(theta: f64, head_dim: usize) -> Self {
        Self { theta, rotary_dim: head_dim, scaling: RopeScaling::None, frequencies: RopeFrequencies::F32 }
    }

    /// Radians per position, `[rotary_dim / 2]`; in f32 throughout, as published implementations compute them.
    pub(crate) fn radians(&self) -> Vec<f32> {
        let rotary_dim = self.rotary_dim;
        let powers = (0..rotary_dim / 2).map(|i| (self.theta as f32).powf((2 * i) as f32 / rotary_dim as f32));
        let radians: Vec<f32> = match &self.scaling {
            RopeScaling::None => powers.map(|p| 1.0 / p).collect(),
            RopeScaling::Linear { factor } => powers.map(|p| 1.0 / p / *factor as f32).collect(),
            RopeScaling::LongRope { factors, .. } => {
                powers.zip(factors).map(|(p, factor)| 1.0 / (*factor as f32 * p)).collect()
            }
            &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let [factor, low, high, context] =
                    [factor, low_freq_factor, high_freq_factor, original_context].map(|x| x as f32);
                let stretch = |radians: f32| {
                    let wavelength = std::f32::consts::TAU / radians;
                    if wavelength > context / low {
                        radians / factor
                    } else if wavelength < context / high {
                        radians
                    } else {
                        let kept = (context / wavelength - low) / (high - low);
                        (1.0 - kept) * radians / factor + kept * radians
                    }
                };
                powers.map(|p| stretch(1.0 / p)).collect()
            }
            &RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, .. } => {
                // The frequency that makes so many turns within the original context.
                let place = |turns: f64| {
                    let rotary_dim = rotary_dim as f64;
                    rotary_dim * (original_context / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.theta.ln())
                };
                let (low, high) = (place(beta_fast), place(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, mut high) = (low.max(0.0), high.min(rotary_dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let ramp = |i: usize| ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                let stretch = |(i, p): (usize, f32)| {
                    let kept = 1.0 - ramp(i);
                    1.0 / (factor as f32 * p) * (1.0 - kept) + 1.0 / p * kept
                };
                powers.enumerate().map(stretch).collect()
            }
        };
        match self.frequencies {
            RopeFrequencies::F32 => radians,
            RopeFrequencies::Bf16 => radians.into_iter().map(|f| half::bf16::from_f32(f).to_f32()).collect(),
        }
    }

    /// Returns the factor of the cosines and sines.
    pub(crate) fn attention_factor(&self) -> f32 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                attention_factor as f32
            }
            _ => 1.0,
        }
    }
}

impl Fields<'_> {
    /// Returns the rotary embedding that the root of a file describes, for heads of `head_dim`, and the context that
    /// `max_position_embeddings` and the scaling give.
    ///
    /// Older files have `rope_theta` and `rope_scaling` at the root, newer ones both in `rope_parameters`,
    /// which holds an object for each kind of layer where the kinds differ.
    pub(super) fn rope(&mut self, family: &Family, head_dim: usize) -> Result<ParsedRope, ModelError> {
        let given = RopeContext {
            theta: self.positive("rope_theta")?.unwrap_or(family.rope_theta),
            partial: self.positive("partial_rotary_factor")?.unwrap_or(1.0),
            context: self.size_unless_absent("max_position_embeddings", family.max_context)?,
            original_context: self.optional_size("original_max_position_embeddings")?,
            head_dim,
            may_be_partial: family.partial_rope,
        };
        let old = self.object("rope_scaling")?;
        let mut new = self.object("rope_parameters")?;
        if let (Some(old), Some(new)) = (&old, &new)
            && !old.says_the_same(new)
        {
            return Err(self.refuse("rope_scaling", "given", "rope_scaling or rope_parameters, not both"));
        }
        if !family.local_rope {
            let (rope, max_context) = given.read(new.or(old).unwrap_or_else(|| self.none()))?;
            return Ok(ParsedRope { rope, local: None, max_context });
        }
        let local = RopeContext { theta: self.positive("rope_local_base_freq")?.unwrap_or(10_000.0), ..given };
        let (full, sliding) = match &mut new {
            Some(kinds) => (kinds.object("full_attention")?, kinds.object("sliding_attention")?),
            None => (old, None),
        };
        new.map_or(Ok(()), Fields::finish)?;
        let [full, sliding] = [full, sliding].map(|fields| fields.unwrap_or_else(|| self.none()));
        let ((rope, max_context), (local, _)) = (given.read(full)?, local.read(sliding)?);
        Ok(ParsedRope { rope, local: Some(local), max_context })
    }
}

/// The fields outside of a rotary object that it may depend on.
struct RopeContext {
    theta: f64,
    partial: f64,
    context: usize,
    original_context: Option<usize>,
    head_dim: usize,
    may_be_partial: bool,
}

impl RopeContext {
    /// Reads the embedding that a rotary object describes together with these fields, and the context.
    fn read(&self, mut fields: Fields<'_>) -> Result<(Rope, usize), ModelError> {
        let (theta, context) = (fields.positive("rope_theta")?.unwrap_or(self.theta), self.context);
        let partial = fields.positive("partial_rotary_factor")?.unwrap_or(self.partial);
        let rotary_dim = (self.head_dim as f64 * partial) as usize;
        let allowed = if self.may_be_partial { partial <= 1.0 } else { partial == 1.0 };
        if !allowed || rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
            let supported = "1 or, for phi3, a part of 1 that turns an even number of elements";
            return Err(fields.refuse("partial_rotary_factor", partial, supported));
        }
        let (old, new) = (fields.text("type")?, fields.text("rope_type")?);
        let kind = new.or(old).unwrap_or_else(|| "default".into());
        // A field outside of the object takes precedence, as in transformers.
        let inner = fields.optional_size("original_max_position_embeddings")?;
        let original_context = self.original_context.or(inner).unwrap_or(context) as f64;
        let mut max_context = context;
        let scaling = match kind.as_str() {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: fields.required("factor")? },
            "llama3" => {
                let factor = fields.required("factor")?;
                let low_freq_factor = fields.required("low_freq_factor")?;
                let high_freq_factor = fields.required("high_freq_factor")?;
                if low_freq_factor >= high_freq_factor {
                    return Err(fields.refuse("low_freq_factor", low_freq_factor, "less than high_freq_factor"));
                }
                RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }
            }
            "yarn" => {
                let factor = fields.positive("factor")?.unwrap_or(context as f64 / original_context);
                let (scale, all) = (fields.positive("mscale")?, fields.positive("mscale_all_dim")?);
                let temper = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
                let default = match (scale, all) {
                    (Some(scale), Some(all)) => temper(scale) / temper(all),
                    _ => temper(1.0),
                };
                // Files give the context before the stretch or after it.
                max_context = context.max((original_context * factor) as usize);
                RopeScaling::Yarn {
                    factor,
                    original_context,
                    beta_fast: fields.positive("beta_fast")?.unwrap_or(32.0),
                    beta_slow: fields.positive("beta_slow")?.unwrap_or(1.0),
                    truncate: fields.flag("truncate", true)?,
                    attention_factor: fields.positive("attention_factor")?.unwrap_or(default),
                }
            }
            "longrope" | "su" => {
                if self.original_context.or(inner).is_none() {
                    let supported = "the context before the stretch";
                    return Err(fields.refuse("original_max_position_embeddings", serde_json::Value::Null, supported));
                }
                let factor = fields.positive("factor")?.unwrap_or(context as f64 / original_context);
                let default = (1.0 + factor.max(1.0).ln() / original_context.ln()).sqrt();
                let factors = fields.positives("short_factor", rotary_dim / 2)?;
                fields.positives("long_factor", rotary_dim / 2)?;
                // Past the original context other divisors hold, for the whole sequence and so for what is cached.
                max_context = context.min(original_context as usize);
                if max_context < context {
                    tracing::warn!(context, max_context, "longrope beyond the original context is not supported");
                }
                let attention_factor = fields.positive("attention_factor")?.unwrap_or(default);
                RopeScaling::LongRope { factors, attention_factor }
            }
            _ => return Err(fields.refuse("rope_type", kind, "default, linear, llama3, yarn or longrope")),
        };
        let rope = Rope { theta, rotary_dim, scaling, frequencies: RopeFrequencies::F32 };
        if !(rope.attention_factor().is_finite() && rope.radians().iter().all(|radians| radians.is_finite())) {
            return Err(fields.refuse("rope_type", kind, "numbers that give finite frequencies"));
        }
        fields.finish()?;
        Ok((rope, max_context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_keeps_fast_frequencies_and_divides_slow_ones() {
        let scaling =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
        let scaled = Rope { scaling, ..Rope::plain(500_000.0, 128) };
        let (plain, scaled) = (Rope::plain(500_000.0, 128).radians(), scaled.radians());
        assert_eq!(plain[..20], scaled[..20]);
        assert!(plain.iter().zip(&scaled).all(|(p, s)| s <= p && *s >= p / 8.0));
        assert_eq!(scaled[63], plain[63] / 8.0);
    }
}

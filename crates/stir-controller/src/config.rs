use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ControllerError;

/// Settings of the controller; symbols are those of the method's description.
///
/// ```
/// use stir_controller::ControllerConfig;
/// let config: ControllerConfig = serde_json::from_str(r#"{ "k_scale": 0.75 }"#)?;
/// assert_eq!(config, ControllerConfig { k_scale: 0.75, ..ControllerConfig::default() });
/// assert!(config.validate().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControllerConfig {
    /// `M`: segments that may be steered; the controller acts at control points 1 to `M - 1`.
    pub max_control_points: usize,
    /// `k`: entries retrieved at a control point.
    pub retrieve: usize,
    /// `L`: retrieved vectors that are probed.
    pub candidates: usize,
    /// Tokens generated in a probe, at most.
    pub probe_tokens: usize,
    /// Weight of the advantage.
    pub beta: f64,
    /// Weight of the probe's gain in mean log-probability.
    pub rho: f64,
    /// Lowest score that may win.
    pub tau_null: f64,
    /// Strength of an impulse per unit of score.
    pub k_scale: f64,
    /// Fewest entries at a control point for the controller to act there.
    pub min_entries: usize,
    /// Lowest similarity of the nearest entry for the controller to act.
    pub min_similarity: f64,
    /// First control point to act at, where bounded.
    pub min_m: Option<usize>,
    /// Last control point to act at, where bounded.
    pub max_m: Option<usize>,
    /// How long an impulse lives.
    pub scope: Scope,
    /// The method, or one of its ablations.
    pub variant: Variant,
    /// Seed of the ablations that draw at random.
    pub seed: u64,
}

impl Default for ControllerConfig {
    /// The published settings, with `k_scale` 1.
    fn default() -> Self {
        Self {
            max_control_points: 8,
            retrieve: 8,
            candidates: 4,
            probe_tokens: 4,
            beta: 2.0,
            rho: 0.1,
            tau_null: 0.0,
            k_scale: 1.0,
            min_entries: 1,
            min_similarity: 0.0,
            min_m: None,
            max_m: None,
            scope: Scope::Segment,
            variant: Variant::Stir,
            seed: 0,
        }
    }
}

impl ControllerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ControllerError::Config`] with the first field out of bounds, its value and the bound.
    pub fn validate(&self) -> Result<(), ControllerError> {
        let count = |field, value: usize| match value {
            0 => Err(ControllerError::Config { field, value: "0".into(), bound: "at least 1" }),
            _ => Ok(()),
        };
        let number = |field, value: f64, within: bool, bound| match within && value.is_finite() {
            true => Ok(()),
            false => Err(ControllerError::Config { field, value: value.to_string(), bound }),
        };
        count("max_control_points", self.max_control_points)?;
        count("retrieve", self.retrieve)?;
        count("candidates", self.candidates)?;
        count("probe_tokens", self.probe_tokens)?;
        number("beta", self.beta, self.beta >= 0.0, "finite and >= 0")?;
        number("rho", self.rho, self.rho >= 0.0, "finite and >= 0")?;
        number("tau_null", self.tau_null, true, "finite")?;
        number("k_scale", self.k_scale, self.k_scale >= 0.0, "finite and >= 0")?;
        number("min_similarity", self.min_similarity, self.min_similarity.abs() <= 1.0, "in [-1, 1]")?;
        match (self.min_m, self.max_m) {
            (Some(min), Some(max)) if max < min => {
                Err(ControllerError::Config { field: "max_m", value: max.to_string(), bound: "at least min_m" })
            }
            _ => Ok(()),
        }
    }

    /// Whether the controller acts at control point `m`.
    pub(crate) fn acts_at(&self, m: usize) -> bool {
        (1..self.max_control_points).contains(&m)
            && self.min_m.is_none_or(|min| m >= min)
            && self.max_m.is_none_or(|max| m <= max)
            && self.variant != Variant::NoMemory
    }
}

/// How long an impulse lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// For one segment, as published: what follows sees that segment as encoded without it.
    Segment,
    /// For good: the steered keys and values stay in the cache.
    Persistent,
}

/// The method and its ablations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Retrieve, probe, commit.
    Stir,
    /// Never steer: plain decoding.
    NoMemory,
    /// The score is the advantage alone.
    NoProbing,
    /// Gaussian noise, of the length of the vector it replaces.
    RandomVector,
    /// A candidate drawn at random in place of the best one; it is held to the same bounds.
    RandomChoice,
    /// The mean of all vectors of the library's lowest layer, at every control point, at scale `k_scale`.
    StaticVector,
}

impl Variant {
    /// Every variant, with its name.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Stir, "stir"),
        (Self::NoMemory, "no_memory"),
        (Self::NoProbing, "no_probing"),
        (Self::RandomVector, "random_vector"),
        (Self::RandomChoice, "random_choice"),
        (Self::StaticVector, "static_vector"),
    ];
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::ALL.iter().find(|(variant, _)| variant == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Variant {
    type Err = ControllerError;

    fn from_str(text: &str) -> Result<Self, ControllerError> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text).map(|(variant, _)| *variant);
        known.ok_or_else(|| ControllerError::Config {
            field: "variant",
            value: text.to_owned(),
            bound: "stir, no_memory, no_probing, random_vector, random_choice or static_vector",
        })
    }
}

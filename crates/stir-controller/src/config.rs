use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stir_core::SettingError;

use crate::{Placement, Strength};

/// The settings of the controller; the symbols are those of the method's description.
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
    /// The number of segments that may be steered, `M`: the controller acts at control points 1 to `M - 1`, and at 0
    /// with `at_prompt`.
    pub max_control_points: usize,
    /// The number of entries retrieved at a control point, `k`.
    pub retrieve: usize,
    /// The most retrieved vectors that are probed, `L`.
    pub candidates: usize,
    /// The most tokens generated in a probe.
    pub probe_tokens: usize,
    /// The weight of the advantage.
    pub beta: f64,
    /// The weight of a probe's gain.
    pub rho: f64,
    /// The lowest score that may win.
    pub tau_null: f64,
    /// The strength of an impulse per unit of score.
    pub k_scale: f64,
    /// The fewest entries at a control point with which the controller acts there.
    pub min_entries: usize,
    /// The lowest similarity of the nearest entry with which the controller acts.
    pub min_similarity: f64,
    /// The first control point at which it acts, if that is bounded.
    pub min_m: Option<usize>,
    /// The last control point at which it acts, if that is bounded.
    pub max_m: Option<usize>,
    /// The life of an impulse.
    pub scope: Scope,
    /// The method, or one of its ablations.
    pub variant: Variant,
    /// The seed of the ablations that draw at random.
    pub seed: u64,
    /// True to steer a model with a library that was mined on another quantisation or number type of it.
    // Left out where it is false, as settings of earlier versions do not have it.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_requantised: bool,
    // What follows is not published. It is left out where it is the default, for the same reason.
    /// The strength of an impulse.
    #[serde(skip_serializing_if = "is_default")]
    pub strength: Strength,
    /// What a probe measures.
    #[serde(skip_serializing_if = "is_default")]
    pub probe: Probe,
    /// The least gain of a candidate that may win, if that is bounded. Where nothing is probed the gain is 0.
    #[serde(skip_serializing_if = "is_default")]
    pub min_gain: Option<f64>,
    /// The tokens that bear an impulse.
    #[serde(skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// True to act at control point 0 too: at the last token of the prompt, before the first segment.
    #[serde(skip_serializing_if = "is_default")]
    pub at_prompt: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for ControllerConfig {
    /// Returns the published settings, with `k_scale` 1.
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
            allow_requantised: false,
            strength: Strength::Score,
            probe: Probe::LogProb,
            min_gain: None,
            placement: Placement::Boundary,
            at_prompt: false,
        }
    }
}

impl ControllerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::positive("max_control_points", self.max_control_points)?;
        SettingError::positive("retrieve", self.retrieve)?;
        SettingError::positive("candidates", self.candidates)?;
        SettingError::positive("probe_tokens", self.probe_tokens)?;
        SettingError::not_negative("beta", self.beta)?;
        SettingError::not_negative("rho", self.rho)?;
        SettingError::finite("tau_null", self.tau_null)?;
        SettingError::not_negative("k_scale", self.k_scale)?;
        let cosine = self.min_similarity.abs() <= 1.0;
        SettingError::check(cosine, "min_similarity", self.min_similarity, "in [-1, 1]")?;
        self.strength.validate()?;
        SettingError::finite("min_gain", self.min_gain.unwrap_or(0.0))?;
        self.placement.validate()?;
        match (self.min_m, self.max_m) {
            (Some(min), Some(max)) => SettingError::check(max >= min, "max_m", max, "at least min_m"),
            _ => Ok(()),
        }
    }

    /// Returns whether the controller acts at control point `m`.
    pub(crate) fn acts_at(&self, m: usize) -> bool {
        (usize::from(!self.at_prompt)..self.max_control_points).contains(&m)
            && self.min_m.is_none_or(|min| m >= min)
            && self.max_m.is_none_or(|max| m <= max)
            && self.variant != Variant::NoMemory
    }
}

/// The life of an impulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// It lives for one segment, as published: what follows sees that segment as encoded without it.
    Segment,
    /// It lives for good: the steered keys and values stay in the cache.
    Persistent,
}

/// What a probe measures: the gain of a candidate is that of its probe over that of the probe without a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Probe {
    /// The mean log-probability of the tokens that it generates, as published: how fluently it goes on.
    #[default]
    LogProb,
    /// The probability that the answer will be right, by the library's read-out of highest AUC
    /// ([`ValueHead`](stir_basis::ValueHead); one without AUC comes last, ties go to the higher layer). It is read after
    /// the last token that this probe and the one without a vector have both encoded. A probe does not encode the last
    /// token that it generates, so after `n` and `n'` tokens that is token `min(n, n') - 1`, and the boundary token, with
    /// the impulse, where that is 0.
    Value,
}

/// The method, or one of its ablations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Variant {
    /// The method: retrieve, probe, commit.
    Stir,
    /// Steers never, which is plain decoding.
    NoMemory,
    /// Probes nothing: the score is the advantage alone.
    NoProbing,
    /// Adds Gaussian noise of the length of the vector it replaces.
    RandomVector,
    /// Draws a candidate at random in place of the best one, and holds it to the same bounds.
    RandomChoice,
    /// Adds the mean of all vectors at the library's lowest layer with any, at every control point, at scale `k_scale`
    /// or as [`Strength`] says.
    StaticVector,
}

impl Variant {
    /// All variants with their names.
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
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text).map(|(variant, _)| *variant);
        let bound = "stir, no_memory, no_probing, random_vector, random_choice or static_vector";
        known.ok_or_else(|| SettingError::new("variant", text, bound))
    }
}

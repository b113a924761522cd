//! Named settings of mining, and the table that may name one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, LayerSpec, SettingError};

use crate::{Contrast, InductionConfig, PositiveSource};

/// Settings of mining by name. A table of settings (`induction` in the file of an experiment) may have a field `preset`;
/// its other fields come on top.
///
/// ```
/// use stir_induction::{Contrast, InductionConfig, Preset};
/// let sound: InductionConfig = serde_json::from_str(r#"{"preset": "sound", "contrast": "reward"}"#)?;
/// assert_eq!(sound, InductionConfig { contrast: Contrast::Reward, ..InductionConfig::sound() });
/// assert_eq!("published".parse::<Preset>()?.config(), InductionConfig::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// [`InductionConfig::published`].
    #[default]
    Published,
    /// [`InductionConfig::sound`].
    Sound,
}

impl Preset {
    /// Returns the settings.
    pub fn config(self) -> InductionConfig {
        match self {
            Self::Published => InductionConfig::published(),
            Self::Sound => InductionConfig::sound(),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Published => "published",
            Self::Sound => "sound",
        })
    }
}

impl FromStr for Preset {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        match name {
            "published" => Ok(Self::Published),
            "sound" => Ok(Self::Sound),
            _ => Err(SettingError::new("preset", name, "published or sound")),
        }
    }
}

impl InductionConfig {
    /// Returns the published settings, which are the defaults.
    pub fn published() -> Self {
        Self::default()
    }

    /// Returns settings that answer what was measured on a real model: contrasts of continuations of the same state, so
    /// that being further along is not taken for being right ([`Contrast::Forked`]); what length, position and control
    /// point explain is taken out of the vectors; and vectors and keys are freed of noise and of what all states share.
    pub fn sound() -> Self {
        Self { center: true, deconfound: true, shrink: true, contrast: Contrast::Forked, ..Self::default() }
    }
}

/// [`InductionConfig`] as it is written: a preset, and what differs from it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(crate) struct Table {
    preset: Preset,
    layers: Option<Vec<LayerSpec>>,
    max_control_points: Option<usize>,
    k_pos: Option<usize>,
    k_neg: Option<usize>,
    min_correct: Option<usize>,
    min_incorrect: Option<usize>,
    keep: Option<usize>,
    delimiter: Option<Delimiter>,
    positives: Option<PositiveSource>,
    contrast: Option<Contrast>,
    eta: Option<f64>,
    max_tokens: Option<usize>,
    #[serde(alias = "width")]
    max_batch: Option<usize>,
    center: Option<bool>,
    deconfound: Option<bool>,
    shrink: Option<bool>,
    allow_requantised: Option<bool>,
}

impl From<Table> for InductionConfig {
    fn from(table: Table) -> Self {
        let base = table.preset.config();
        Self {
            layers: table.layers.unwrap_or(base.layers),
            max_control_points: table.max_control_points.unwrap_or(base.max_control_points),
            k_pos: table.k_pos.unwrap_or(base.k_pos),
            k_neg: table.k_neg.unwrap_or(base.k_neg),
            min_correct: table.min_correct.unwrap_or(base.min_correct),
            min_incorrect: table.min_incorrect.unwrap_or(base.min_incorrect),
            keep: table.keep.unwrap_or(base.keep),
            delimiter: table.delimiter.unwrap_or(base.delimiter),
            positives: table.positives.unwrap_or(base.positives),
            contrast: table.contrast.unwrap_or(base.contrast),
            eta: table.eta.unwrap_or(base.eta),
            max_tokens: table.max_tokens.unwrap_or(base.max_tokens),
            max_batch: table.max_batch.unwrap_or(base.max_batch),
            center: table.center.unwrap_or(base.center),
            deconfound: table.deconfound.unwrap_or(base.deconfound),
            shrink: table.shrink.unwrap_or(base.shrink),
            allow_requantised: table.allow_requantised.unwrap_or(base.allow_requantised),
        }
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stir_core::SettingError;

/// The strength of an impulse. The stream's length is that of the state at the control point, after the layer that the
/// vector is added to.
///
/// Its text form is `score`, `clipped:0.5` or `relative:0.3`.
///
/// ```
/// use stir_controller::Strength;
/// assert_eq!("relative:0.3".parse::<Strength>()?, Strength::Relative(0.3));
/// assert_eq!(Strength::Clipped(0.5).to_string(), "clipped:0.5");
/// assert!("relative".parse::<Strength>().is_err());
/// # Ok::<(), stir_core::SettingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strength {
    /// The vector times `k_scale` times its score, as published; a probe adds the vector as it is.
    #[default]
    Score,
    /// The same, in probes too, but never longer than this share of the stream's length.
    Clipped(f64),
    /// Always this share of the stream's length, in probes too, whatever the score and `k_scale`.
    Relative(f64),
}

impl Strength {
    pub(crate) fn validate(self) -> Result<(), SettingError> {
        match self {
            Self::Score => Ok(()),
            Self::Clipped(share) | Self::Relative(share) => SettingError::above_zero("strength", share),
        }
    }

    /// Returns the scale of a vector `relative_length` times as long as the stream, where the published scale is
    /// `scale`.
    pub(crate) fn scale(self, scale: f64, relative_length: f64) -> f32 {
        let scale = match self {
            Self::Score => scale,
            // `min` would let a NaN pass for no bound.
            Self::Clipped(_) if relative_length.is_nan() => f64::NAN,
            Self::Clipped(share) => scale.min(share / relative_length),
            Self::Relative(share) => share / relative_length,
        };
        scale as f32
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score => f.pad("score"),
            Self::Clipped(share) => write!(f, "clipped:{share}"),
            Self::Relative(share) => write!(f, "relative:{share}"),
        }
    }
}

impl FromStr for Strength {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let refused = || SettingError::new("strength", text, "score, clipped:SHARE or relative:SHARE");
        let share = |share: &str| share.parse().map_err(|_| refused());
        match text.split_once(':') {
            None if text == "score" => Ok(Self::Score),
            Some(("clipped", of)) => Ok(Self::Clipped(share(of)?)),
            Some(("relative", of)) => Ok(Self::Relative(share(of)?)),
            _ => Err(refused()),
        }
    }
}

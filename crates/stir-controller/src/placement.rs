use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stir_core::SettingError;

/// The tokens that bear an impulse.
///
/// Its text form is `boundary`, `segment` or `segment:0.9`.
///
/// ```
/// use stir_controller::Placement;
/// assert_eq!("segment".parse::<Placement>()?, Placement::Segment { decay: 1.0 });
/// assert_eq!(Placement::Segment { decay: 0.5 }.factor(2), 0.25);
/// assert_eq!(Placement::Boundary.factor(2), 0.0);
/// # Ok::<(), stir_core::SettingError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Placement {
    /// The boundary token alone, as published.
    #[default]
    Boundary,
    /// The boundary token and every token of the segment up to the one that ends it, which is the next boundary and
    /// bears only what is decided there. Probes add theirs in the same way.
    Segment {
        /// The factor of an impulse from one token to the next, in [0, 1]; 1 for the same at all of them.
        decay: f64,
    },
}

impl Placement {
    /// Returns the factor of an impulse `t` tokens after the boundary token; 0 where it is not added.
    pub fn factor(self, t: usize) -> f32 {
        match self {
            Self::Boundary if t > 0 => 0.0,
            Self::Boundary => 1.0,
            Self::Segment { decay } => decay.powi(i32::try_from(t).unwrap_or(i32::MAX)) as f32,
        }
    }

    pub(crate) fn validate(self) -> Result<(), SettingError> {
        match self {
            Self::Boundary => Ok(()),
            Self::Segment { decay } => SettingError::check((0.0..=1.0).contains(&decay), "decay", decay, "in [0, 1]"),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boundary => f.pad("boundary"),
            Self::Segment { decay } => write!(f, "segment:{decay}"),
        }
    }
}

impl FromStr for Placement {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let refused = || SettingError::new("placement", text, "boundary, segment or segment:DECAY");
        match text.split_once(':') {
            None if text == "boundary" => Ok(Self::Boundary),
            None if text == "segment" => Ok(Self::Segment { decay: 1.0 }),
            Some(("segment", decay)) => Ok(Self::Segment { decay: decay.parse().map_err(|_| refused())? }),
            _ => Err(refused()),
        }
    }
}

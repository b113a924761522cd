use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A choice of decoder layer: an index (`18`, `-1`) or a relative depth in [0, 1] (`0.6`, `3/5`).
///
/// A depth resolves to `round(depth * (n_layers - 1))`, with halves rounded to even, as the published layers were
/// chosen. A number with a point or a slash is a depth; a number without one is an index: `1` is the second layer,
/// `1.0` the last.
///
/// ```
/// use stir_core::LayerSpec;
/// assert_eq!("0.6".parse::<LayerSpec>()?.resolve(5)?, 2);
/// assert_eq!("-1".parse::<LayerSpec>()?.resolve(28)?, 27);
/// assert_eq!("0.5".parse::<LayerSpec>()?.resolve(6)?, 2); // 2.5 rounds to even
/// assert!("5".parse::<LayerSpec>()?.resolve(5).is_err());
/// # Ok::<(), stir_core::LayerSpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LayerSpec {
    /// A 0-based index; a negative one counts from the end.
    Index(i64),
    /// A relative depth in [0, 1].
    Depth(f64),
}

impl LayerSpec {
    /// Returns the 0-based layer that this names in a model of `n_layers` layers.
    ///
    /// # Errors
    /// [`LayerSpecError::OutOfRange`] when there is no such layer, [`LayerSpecError::Depth`] when a depth built by
    /// hand lies outside [0, 1].
    pub fn resolve(self, n_layers: usize) -> Result<usize, LayerSpecError> {
        let out_of_range = LayerSpecError::OutOfRange { spec: self.to_string(), n_layers };
        match self {
            Self::Index(index) => {
                let index = if index < 0 { index + n_layers as i64 } else { index };
                usize::try_from(index).ok().filter(|&i| i < n_layers).ok_or(out_of_range)
            }
            Self::Depth(depth) if !(0.0..=1.0).contains(&depth) => Err(LayerSpecError::Depth { depth }),
            Self::Depth(_) if n_layers == 0 => Err(out_of_range),
            Self::Depth(depth) => Ok((depth * (n_layers - 1) as f64).round_ties_even() as usize),
        }
    }
}

impl fmt::Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            // `{:?}` keeps the point of a whole number, so that the text parses back to a depth.
            Self::Depth(depth) => write!(f, "{depth:?}"),
        }
    }
}

impl FromStr for LayerSpec {
    type Err = LayerSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || LayerSpecError::Syntax { text: text.to_owned() };
        let trimmed = text.trim();
        if let Ok(index) = trimmed.parse() {
            return Ok(Self::Index(index));
        }
        let number = |s: &str| s.trim().parse::<f64>().map_err(|_| syntax());
        let depth = match trimmed.split_once('/') {
            Some((numerator, denominator)) => number(numerator)? / number(denominator)?,
            None => number(trimmed)?,
        };
        if (0.0..=1.0).contains(&depth) { Ok(Self::Depth(depth)) } else { Err(LayerSpecError::Depth { depth }) }
    }
}

impl TryFrom<String> for LayerSpec {
    type Error = LayerSpecError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LayerSpec> for String {
    fn from(spec: LayerSpec) -> Self {
        spec.to_string()
    }
}

/// The reason why a layer spec does not name a layer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerSpecError {
    /// The text is neither an index nor a depth.
    #[error("layer spec {text:?} is neither an index (18, -1) nor a depth (0.6, 3/5)")]
    Syntax {
        /// The text that was given.
        text: String,
    },
    /// The depth lies outside [0, 1].
    #[error("layer depth {depth} lies outside [0, 1]")]
    Depth {
        /// The depth that was given.
        depth: f64,
    },
    /// The model does not have this layer.
    #[error("layer {spec} does not exist in a model of {n_layers} layers")]
    OutOfRange {
        /// The spec that was given.
        spec: String,
        /// The number of layers of the model.
        n_layers: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_halves_go_to_even() {
        for (text, n_layers, layer) in [
            ("18", 28, 18),
            ("-1", 28, 27),
            ("-28", 28, 0),
            ("3/5", 28, 16),
            ("1.0", 28, 27),
            ("0.0", 1, 0),
            ("0.5", 4, 2),
            ("0.5", 2, 0),
        ] {
            let spec: LayerSpec = text.parse().unwrap();
            assert_eq!(spec.resolve(n_layers), Ok(layer), "{text} of {n_layers}");
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<LayerSpec>(&json).unwrap(), spec);
        }
    }

    #[test]
    fn what_is_not_a_layer_is_refused() {
        for text in ["", "x", "1.5", "-0.1", "3/0", "0/0", "NaN", "inf"] {
            assert!(text.parse::<LayerSpec>().is_err(), "{text}");
        }
        assert!(LayerSpec::Index(-29).resolve(28).is_err());
        assert!(LayerSpec::Depth(f64::NAN).resolve(28).is_err());
        assert!(LayerSpec::Depth(0.5).resolve(0).is_err());
    }
}

use std::fmt::Display;

/// A setting outside its bound; every configuration of the project reports its faults in these words.
///
/// ```
/// use stir_core::SettingError;
/// let error = SettingError::positive("samples", 0).unwrap_err();
/// assert_eq!(error.to_string(), "samples is 0, must be >= 1");
/// let error = SettingError::not_negative("eta", -0.5).unwrap_err();
/// assert_eq!(error.to_string(), "eta is -0.5, must be finite and >= 0");
/// let error = SettingError::check(false, "top_p", 1.5, "in (0, 1]").unwrap_err();
/// assert_eq!((error.setting, error.value.as_str(), error.bound), ("top_p", "1.5", "in (0, 1]"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}, must be {bound}")]
pub struct SettingError {
    /// The name of the setting, which is that of its field.
    pub setting: &'static str,
    /// The value that was given, as text.
    pub value: String,
    /// The values that are allowed.
    pub bound: &'static str,
}

impl SettingError {
    /// Returns the error that `setting` has `value`, which is not `bound`.
    pub fn new(setting: &'static str, value: impl Display, bound: &'static str) -> Self {
        Self { setting, value: value.to_string(), bound }
    }

    /// Checks that `holds` is true.
    ///
    /// # Errors
    /// Fails with the setting, its value and its bound otherwise.
    pub fn check(holds: bool, setting: &'static str, value: impl Display, bound: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(setting, value, bound)) }
    }

    /// Checks that a count is at least 1.
    ///
    /// # Errors
    /// Fails for 0.
    pub fn positive(setting: &'static str, value: usize) -> Result<(), Self> {
        Self::check(value > 0, setting, value, ">= 1")
    }

    /// Checks that a number is finite.
    ///
    /// # Errors
    /// Fails for NaN and infinity.
    pub fn finite(setting: &'static str, value: impl Into<f64> + Display + Copy) -> Result<(), Self> {
        Self::check(value.into().is_finite(), setting, value, "finite")
    }

    /// Checks that a number is finite and not negative.
    ///
    /// # Errors
    /// Fails for negative numbers, NaN and infinity.
    pub fn not_negative(setting: &'static str, value: impl Into<f64> + Display + Copy) -> Result<(), Self> {
        Self::check((0.0..f64::INFINITY).contains(&value.into()), setting, value, "finite and >= 0")
    }

    /// Checks that a number is finite and positive.
    ///
    /// # Errors
    /// Fails for 0, negative numbers, NaN and infinity.
    pub fn above_zero(setting: &'static str, value: impl Into<f64> + Display + Copy) -> Result<(), Self> {
        Self::check(value.into().is_finite() && value.into() > 0.0, setting, value, "finite and > 0")
    }

    /// Checks that a number lies in [0, 1].
    ///
    /// # Errors
    /// Fails for all others, NaN among them.
    pub fn unit(setting: &'static str, value: impl Into<f64> + Display + Copy) -> Result<(), Self> {
        Self::check((0.0..=1.0).contains(&value.into()), setting, value, "in [0, 1]")
    }
}

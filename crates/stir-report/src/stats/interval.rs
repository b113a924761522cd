use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::error::StatsError;

/// A closed interval in the units of its estimate, serialised as `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 2]")]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Interval {
    /// Returns true if `value` lies within the bounds.
    ///
    /// ```
    /// use stir_report::stats::Interval;
    /// assert!(Interval { low: 0.0, high: 1.0 }.contains(1.0));
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.low, interval.high]
    }
}

/// Returns the confidence interval of a proportion by the score method, without continuity correction (Wilson 1927,
/// "Probable inference, the law of succession, and statistical inference", JASA 22).
///
/// `confidence` is the coverage, 0.95 for "95 %". The bounds lie in [0, 1] and contain `successes / n`.
///
/// ```
/// use stir_report::stats::wilson;
/// let interval = wilson(7, 10, 0.95)?;
/// assert!((interval.low - 0.3968).abs() < 1e-4 && (interval.high - 0.8922).abs() < 1e-4);
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::NoTrials`] for `n = 0`, [`StatsError::TooManySuccesses`], and [`StatsError::Confidence`] unless
/// `0 < confidence < 1`.
pub fn wilson(successes: usize, n: usize, confidence: f64) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    if n == 0 {
        return Err(StatsError::NoTrials);
    }
    if successes > n {
        return Err(StatsError::TooManySuccesses { successes, n });
    }
    Ok(score_interval(successes as f64 / n as f64, n as f64, confidence))
}

/// Returns the score interval of a proportion `p` of `n` trials, which need not be a whole number.
pub(crate) fn score_interval(p: f64, n: f64, confidence: f64) -> Interval {
    // From the lower tail: 1/2 + confidence/2 rounds to 1 for the largest confidences, which lie an infinite z away.
    let z = -normal_quantile((1.0 - confidence) / 2.0);
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // In exact arithmetic the bounds touch 0 at no success, 1 at no failure, and enclose p; rounding must not undo it.
    let low = if p <= 0.0 { 0.0 } else { (centre - half).clamp(0.0, p) };
    let high = if p >= 1.0 { 1.0 } else { (centre + half).clamp(p, 1.0) };
    Interval { low, high }
}

/// Returns the value that a standard normal variable falls short of with probability `p`.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

pub(crate) fn check_confidence(value: f64) -> Result<(), StatsError> {
    if 0.0 < value && value < 1.0 { Ok(()) } else { Err(StatsError::Confidence { value }) }
}

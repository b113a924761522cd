use serde::{Deserialize, Serialize};

use crate::content::{ContentError, Rules};

/// What a trial of an entry's vector found: continuations of the same states with and without it, on problems other than
/// its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The length of the impulse over that of the stream it was added to; finite, > 0.
    pub strength: f64,
    /// The number of pairs of continuations, one with and one without the impulse; >= 1.
    pub trials: u64,
    /// The number of continuations with the impulse that were right.
    pub with_right: u64,
    /// The number of continuations without it that were right.
    pub without_right: u64,
    /// The estimate of the difference in the share that is right, in [-1, 1].
    pub uplift: f64,
    /// The standard error of `uplift`; finite, >= 0.
    pub error: f64,
    /// The lower confidence bound of `uplift`; finite, not above it.
    pub lower: f64,
}

impl Evidence {
    pub(crate) fn check(&self, rules: Rules) -> Result<(), ContentError> {
        let Self { strength, trials, with_right, without_right, uplift, error, lower } = *self;
        rules.ensure(strength.is_finite() && strength > 0.0, "evidence.strength", "finite and > 0")?;
        rules.ensure(trials >= 1, "evidence.trials", ">= 1")?;
        rules.ensure(with_right <= trials, "evidence.with_right", "at most trials")?;
        rules.ensure(without_right <= trials, "evidence.without_right", "at most trials")?;
        rules.ensure((-1.0..=1.0).contains(&uplift), "evidence.uplift", "in [-1, 1]")?;
        rules.ensure(error.is_finite() && error >= 0.0, "evidence.error", "finite and >= 0")?;
        rules.ensure(lower.is_finite() && lower <= uplift, "evidence.lower", "finite and at most uplift")
    }
}

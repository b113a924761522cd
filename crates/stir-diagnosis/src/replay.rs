use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stir_report::stats::mcnemar;

use crate::{DiagnosisError, Replayed, states::fault};

/// What an intervention does at the very boundaries that it was mined at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The name of the intervention, such as `own vector, x0.4`.
    pub intervention: String,
    /// Continuations from boundaries of wrong rollouts; `None` without any.
    pub rescue: Option<ReplaySide>,
    /// Continuations from boundaries of right rollouts.
    pub harm: Option<ReplaySide>,
}

/// Continuations with and without an intervention, paired by boundary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySide {
    /// The number of boundaries.
    pub boundaries: usize,
    /// The number of right continuations without the intervention.
    pub plain: usize,
    /// The number of right continuations with it.
    pub steered: usize,
    /// The number of boundaries from which only the steered continuation is right.
    pub wins: usize,
    /// The number of boundaries from which only the plain one is.
    pub losses: usize,
    /// The exact two-sided p-value of McNemar's test. It takes boundaries for independent; those of one problem are
    /// not quite, so it is somewhat too small where problems have many.
    pub mcnemar_p: f64,
}

impl Replay {
    /// Counts continuations.
    ///
    /// ```
    /// use stir_diagnosis::{Replay, Replayed};
    /// let from = |sample, right, plain, steered| Replayed { problem: 0, sample, m: 1, right, plain, steered };
    /// let found = Replay::new("own vector, x0.4", [
    ///     from(0, false, false, true), from(1, false, false, false), from(2, true, true, false),
    /// ])?;
    /// let rescue = found.rescue.ok_or("there are wrong rollouts")?;
    /// assert_eq!((rescue.boundaries, rescue.plain, rescue.steered, rescue.wins), (2, 0, 1, 1));
    /// assert_eq!(found.harm.map(|harm| (harm.losses, harm.mcnemar_p)), Some((1, 1.0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DiagnosisError::Row`] for the first boundary that comes twice.
    pub fn new(intervention: &str, continuations: impl IntoIterator<Item = Replayed>) -> Result<Self, DiagnosisError> {
        let mut seen = HashMap::new();
        let (mut wrong, mut right) = (vec![], vec![]);
        for (row, c) in continuations.into_iter().enumerate() {
            if let Some(first) = seen.insert((c.problem, c.sample, c.m), row) {
                let value = format!("{} of sample {} of problem {}", c.m, c.sample, c.problem);
                return Err(fault(row, "m", value, format!("another than that of row {first}")));
            }
            if c.right { &mut right } else { &mut wrong }.push((c.plain, c.steered));
        }
        let (rescue, harm) = (ReplaySide::new(&wrong), ReplaySide::new(&right));
        Ok(Self { intervention: intervention.to_owned(), rescue, harm })
    }
}

impl ReplaySide {
    fn new(outcomes: &[(bool, bool)]) -> Option<Self> {
        let count = |counts: fn(&(bool, bool)) -> bool| outcomes.iter().filter(|outcome| counts(outcome)).count();
        let (wins, losses) =
            (count(|&(plain, steered)| steered && !plain), count(|&(plain, steered)| plain && !steered));
        (!outcomes.is_empty()).then(|| Self {
            boundaries: outcomes.len(),
            plain: count(|o| o.0),
            steered: count(|o| o.1),
            wins,
            losses,
            mcnemar_p: mcnemar(wins, losses).exact,
        })
    }
}

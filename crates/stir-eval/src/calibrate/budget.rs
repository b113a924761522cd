//! What a search has spent, what the next step may take at most, and what the test needs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{spec::Budget, trial::Trial};

/// Who answers: plain decoding (`None`), or the setting of this number.
pub(super) type Who = Option<usize>;

/// From so many answers on, those that there are tell what more will take.
const ENOUGH: usize = 20;
/// The number of standard errors that are added to what is to be expected.
const MARGIN: f64 = 3.0;

/// A cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Cost {
    /// The number of tokens that were generated.
    pub tokens: usize,
    /// The seconds that it took.
    #[serde(skip)]
    pub seconds: f64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.seconds += other.seconds;
    }
}

/// The limit that a search ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Budget::tokens`].
    Tokens,
    /// [`Budget::hours`].
    Hours,
}

/// What a search has spent so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What libraries have cost.
    pub(super) mining: Cost,
    /// The answers to development problems.
    pub(super) trials: BTreeMap<Who, Vec<Trial>>,
}

impl Ledger {
    /// Returns the answers to development problems.
    pub(super) fn of(&self, who: Who) -> &[Trial] {
        self.trials.get(&who).map_or(&[], Vec::as_slice)
    }

    /// Returns what answers have cost.
    pub(super) fn answers(&self) -> Cost {
        let mut cost = Cost::default();
        for trials in self.trials.values() {
            cost += cost_of(trials);
        }
        cost
    }

    /// Returns the number of tokens that `count` more answers take: at most `worst` each, and where there are enough
    /// answers already, their mean with a margin of three standard errors, whichever is less.
    pub(super) fn bound(&self, who: Who, count: usize, worst: usize) -> usize {
        let most = worst.saturating_mul(count);
        let spent: Vec<f64> = self.of(who).iter().map(|trial| trial.spent as f64).collect();
        if spent.len() < ENOUGH {
            return most;
        }
        let (n, count) = (spent.len() as f64, count as f64);
        let mean = spent.iter().sum::<f64>() / n;
        let variance = spent.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // The mean is uncertain as well: the error of a sum of new answers, predicted from n others.
        let error = (variance * count * (1.0 + count / n)).sqrt();
        ((count * mean + MARGIN * error).ceil() as usize).min(most)
    }

    /// Returns the limit that `next` tokens would exceed if `reserve` more are to be left.
    pub(super) fn exceeded(&self, budget: &Budget, next: usize, reserve: usize) -> Option<Limit> {
        let answers = self.answers();
        let planned = next.saturating_add(reserve);
        let tokens = (self.mining.tokens + answers.tokens).saturating_add(planned);
        if budget.tokens.is_some_and(|budget| tokens > budget) {
            return Some(Limit::Tokens);
        }
        // Before anything was timed nothing is known of the rate.
        let rate = answers.tokens as f64 / answers.seconds;
        let seconds = if rate.is_finite() && rate > 0.0 { planned as f64 / rate } else { 0.0 };
        let seconds = seconds + self.mining.seconds + answers.seconds;
        budget.hours.is_some_and(|hours| seconds > hours * 3600.0).then_some(Limit::Hours)
    }
}

/// Returns what the answers of one run have cost.
pub(super) fn cost_of(trials: &[Trial]) -> Cost {
    let seconds = trials.iter().map(|trial| trial.seconds).fold(0.0, f64::max);
    Cost { tokens: trials.iter().map(|trial| trial.spent).fold(0, usize::saturating_add), seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(spent: impl IntoIterator<Item = usize>) -> Ledger {
        let trial = |(i, spent)| Trial { right: true, tokens: 1, spent, seconds: (i + 1) as f64 };
        let trials = spent.into_iter().enumerate().map(trial).collect();
        Ledger { trials: BTreeMap::from([(None, trials)]), ..Ledger::default() }
    }

    #[test]
    fn bounds_are_the_worst_until_there_is_enough() {
        let few = ledger([10; 19]);
        assert_eq!((few.bound(None, 5, 100), few.bound(Some(1), 5, 100)), (500, 500));
        // Alike: no margin. Apart: mean 15, standard deviation 5.13; the error of 20 more is 5.13 sqrt(40) = 32.4.
        assert_eq!(ledger([10; 20]).bound(None, 5, 100), 50);
        let apart = ledger((0..20).map(|i| if i % 2 == 0 { 10 } else { 20 }));
        assert_eq!(apart.bound(None, 20, 100), 398);
        assert_eq!(apart.bound(None, 20, 16), 320);
        assert_eq!(few.bound(None, usize::MAX, 2), usize::MAX);
    }

    #[test]
    fn limits_are_kept_with_what_is_reserved() {
        let spent = ledger([10; 20]);
        let exceeded = |tokens, hours, next, reserve| spent.exceeded(&Budget { tokens, hours }, next, reserve);
        assert_eq!(exceeded(Some(250), None, 30, 20), None);
        assert_eq!(exceeded(Some(250), None, 30, 21), Some(Limit::Tokens));
        // 200 tokens in 20 seconds; 50 more take 5.
        assert_eq!(exceeded(None, Some(25.1 / 3600.0), 30, 20), None);
        assert_eq!(exceeded(Some(1000), Some(24.9 / 3600.0), 30, 20), Some(Limit::Hours));
        assert_eq!(Ledger::default().exceeded(&Budget { tokens: None, hours: Some(1e-9) }, 9, 9), None);
    }
}

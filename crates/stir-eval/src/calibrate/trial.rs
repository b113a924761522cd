//! A setting next to plain decoding on the same development problems.

use serde::Serialize;
use stir_report::{Record, stats::mcnemar};

use super::spec::{Halving, TokenCount};

/// The level of every test.
pub(super) const ALPHA: f64 = 0.05;
/// The standard deviation of the gains in accuracy that are to be expected of settings.
const PRIOR: f64 = 0.05;
/// The number of standard errors below the mean where the one-sided 80 % bound lies.
const LOWER: f64 = 0.841_621_233_572_914_3;

/// An answer as a search sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trial {
    pub(super) right: bool,
    /// The tokens of the answer itself.
    pub(super) tokens: usize,
    /// All tokens that were generated for it.
    pub(super) spent: usize,
    /// The seconds from the start of the run to the answer.
    pub(super) seconds: f64,
}

impl Trial {
    /// Returns the number of tokens that count as cost.
    pub(super) fn cost(&self, count: TokenCount) -> usize {
        match count {
            TokenCount::All => self.spent,
            TokenCount::Answer => self.tokens,
        }
    }
}

impl From<&Record> for Trial {
    fn from(record: &Record) -> Self {
        let (right, seconds) = (record.judged.correct(), record.seconds.unwrap_or(0.0));
        Self { right, tokens: record.tokens, spent: record.spent(), seconds }
    }
}

/// How a setting compares with plain decoding on the problems of a rung.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The number of the setting, from 0.
    pub setting: usize,
    /// The share of right answers.
    pub accuracy: f64,
    /// The number of problems that only the setting solves.
    pub wins: usize,
    /// The number of problems that only plain decoding solves.
    pub losses: usize,
    /// The exact p-value of McNemar's test, not adjusted: here it only drops settings.
    pub p: f64,
    /// The share of tokens saved, by [`Halving::count`]; negative where the setting takes more.
    pub saved: f64,
    /// The score: what is to be expected of the gain in accuracy, plus [`Halving::token_weight`] times `saved`.
    ///
    /// The gain is a mean of wins and losses with a large error, where a saving of tokens has a small one. So its posterior
    /// mean counts, under a normal prior around 0 with a standard deviation of 5 points: the observed gain, shrunken the
    /// more, the fewer problems there are.
    pub score: f64,
    /// The posterior standard deviation of `score`.
    pub error: f64,
    /// The lower 80 % bound of `score`, one-sided.
    pub lower: f64,
    /// True if the setting goes on to the next rung, or is the one chosen in the last.
    pub kept: bool,
}

impl Standing {
    pub(super) fn new(setting: usize, plain: &[Trial], own: &[Trial], halving: &Halving) -> Self {
        let n = plain.len().min(own.len()).max(1) as f64;
        let pairs = || plain.iter().zip(own);
        let count = |wanted: fn(&Trial, &Trial) -> bool| pairs().filter(|(p, o)| wanted(p, o)).count();
        let (wins, losses) = (count(|p, o| o.right && !p.right), count(|p, o| p.right && !o.right));
        let cost = |trial: &Trial| trial.cost(halving.count) as f64;
        let baseline = plain.iter().map(cost).sum::<f64>() / n;
        // Plain answers without a token leave nothing to save.
        let share = |tokens: f64| if baseline > 0.0 { tokens / baseline } else { 0.0 };
        let gains = pairs().map(|(p, o)| f64::from(o.right) - f64::from(p.right));
        let (gain, gain_error) = mean(&gains.collect::<Vec<_>>());
        let savings = pairs().map(|(p, o)| share(cost(p) - cost(o)));
        let (saved, saved_error) = mean(&savings.collect::<Vec<_>>());
        let kept = PRIOR.powi(2) / (PRIOR.powi(2) + gain_error.powi(2));
        let score = kept * gain + halving.token_weight * saved;
        let error = (kept * gain_error.powi(2) + (halving.token_weight * saved_error).powi(2)).sqrt();
        Self {
            setting,
            accuracy: own.iter().filter(|trial| trial.right).count() as f64 / n,
            wins,
            losses,
            p: mcnemar(wins, losses).exact,
            saved,
            score,
            error,
            lower: score - LOWER * error,
            kept: false,
        }
    }

    /// Returns whether the setting is significantly worse than plain decoding.
    pub(super) fn is_worse(&self) -> bool {
        self.losses > self.wins && self.p <= ALPHA
    }

    /// Returns whether the setting is better than plain decoding, as far as development can tell.
    pub(super) fn beats_plain(&self) -> bool {
        !self.is_worse() && self.lower > 0.0
    }
}

/// Returns a mean with its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(answers: &[(u8, usize)]) -> Vec<Trial> {
        let trial = |&(right, spent): &(u8, usize)| Trial { right: right == 1, tokens: spent / 2, spent, seconds: 0.0 };
        answers.iter().map(trial).collect()
    }

    #[test]
    fn gains_are_shrunken_and_savings_are_not() {
        let plain = trials(&[(0, 100), (1, 100), (0, 100), (0, 100)]);
        let own = trials(&[(1, 80), (1, 80), (0, 80), (0, 160)]);
        let halving = Halving { token_weight: 0.5, ..Halving::default() };
        let found = Standing::new(3, &plain, &own, &halving);
        assert_eq!((found.setting, found.wins, found.losses, found.accuracy), (3, 1, 0, 0.5));
        // Gains 1, 0, 0, 0 with a standard error of 0.25: 0.05^2 / (0.05^2 + 0.25^2) of their mean is expected. Savings
        // 0.2, 0.2, 0.2 and -0.6, with one of 0.2.
        assert!(found.saved.abs() < 1e-12 && (found.score - 0.25 / 26.0).abs() < 1e-12, "{found:?}");
        assert!((found.error - (0.0625f64 / 26.0 + 0.01).sqrt()).abs() < 1e-12 && found.lower < found.score);
        let many = Standing::new(3, &plain.repeat(5000), &own.repeat(5000), &halving);
        assert!((many.score - 0.25).abs() < 0.001, "{many:?}");
        let answer = Halving { count: TokenCount::Answer, ..halving };
        assert_eq!(Standing::new(3, &plain, &own, &answer).saved, found.saved);
    }

    #[test]
    fn what_changes_nothing_is_not_better() {
        let plain = trials(&[(0, 100), (1, 100)]);
        let found = Standing::new(0, &plain, &plain, &Halving::default());
        assert_eq!((found.score, found.error, found.p), (0.0, 0.0, 1.0));
        assert!(!found.beats_plain() && !found.is_worse());
        let lost = Standing::new(0, &trials(&[(1, 9); 6]), &trials(&[(0, 1); 6]), &Halving::default());
        assert!(lost.is_worse() && !lost.beats_plain());
    }
}

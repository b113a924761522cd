//! A setting next to plain decoding on the same development problems.

use serde::Serialize;
use stir_report::{Record, stats::mcnemar};

use super::spec::{Halving, TokenCount};

/// The level of every test.
pub(super) const ALPHA: f64 = 0.05;
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
    /// The score: the gain in accuracy plus [`Halving::token_weight`] times `saved`, as the mean over paired problems.
    pub score: f64,
    /// The standard error of `score`.
    pub error: f64,
    /// The lower 80 % bound of `score`, one-sided, by the normal approximation.
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
        let gain = |p: &Trial, o: &Trial| f64::from(o.right) - f64::from(p.right);
        let scores = pairs().map(|(p, o)| gain(p, o) + halving.token_weight * share(cost(p) - cost(o)));
        let scores: Vec<f64> = scores.collect();
        let score = scores.iter().sum::<f64>() / n;
        let variance = scores.iter().map(|s| (s - score).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let error = (variance / n).sqrt();
        Self {
            setting,
            accuracy: own.iter().filter(|trial| trial.right).count() as f64 / n,
            wins,
            losses,
            p: mcnemar(wins, losses).exact,
            saved: share(pairs().map(|(p, o)| cost(p) - cost(o)).sum::<f64>() / n),
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

    /// Returns whether the setting is better than plain decoding, as far as `n` development problems can tell.
    pub(super) fn beats_plain(&self, n: usize, max_loss: f64) -> bool {
        let loss = (self.losses as f64 - self.wins as f64) / n as f64;
        !self.is_worse() && self.lower > 0.0 && loss <= max_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(answers: &[(u8, usize)]) -> Vec<Trial> {
        let trial = |&(right, spent): &(u8, usize)| Trial { right: right == 1, tokens: spent / 2, spent, seconds: 0.0 };
        answers.iter().map(trial).collect()
    }

    #[test]
    fn scores_are_paired_means() {
        let plain = trials(&[(0, 100), (1, 100), (0, 100), (0, 100)]);
        let own = trials(&[(1, 80), (1, 80), (0, 80), (0, 160)]);
        let halving = Halving { token_weight: 0.5, ..Halving::default() };
        let found = Standing::new(3, &plain, &own, &halving);
        assert_eq!((found.setting, found.wins, found.losses, found.accuracy), (3, 1, 0, 0.5));
        // Gains 1, 0, 0, 0; savings 0.2, 0.2, 0.2, -0.6.
        assert!((found.saved - 0.0).abs() < 1e-12 && (found.score - 0.25).abs() < 1e-12, "{found:?}");
        // Of 1.1, 0.1, 0.1, -0.3: the standard deviation over 2.
        let deviation = ((0.85f64.powi(2) + 2.0 * 0.15f64.powi(2) + 0.55f64.powi(2)) / 3.0).sqrt();
        assert!((found.error - deviation / 2.0).abs() < 1e-12 && found.lower < found.score);
        let answer = Halving { count: TokenCount::Answer, ..halving };
        assert_eq!(Standing::new(3, &plain, &own, &answer).saved, found.saved);
    }

    #[test]
    fn what_changes_nothing_is_not_better() {
        let plain = trials(&[(0, 100), (1, 100)]);
        let found = Standing::new(0, &plain, &plain, &Halving::default());
        assert_eq!((found.score, found.error, found.p), (0.0, 0.0, 1.0));
        assert!(!found.beats_plain(2, 0.01) && !found.is_worse());
        let lost = Standing::new(0, &trials(&[(1, 9); 6]), &trials(&[(0, 1); 6]), &Halving::default());
        assert!(lost.is_worse() && !lost.beats_plain(6, 1.0));
    }
}

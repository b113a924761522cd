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
/// The same for the one-sided 95 % bound.
const LOWEST: f64 = 1.644_853_626_951_472_7;

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
    /// The lower 95 % bound of the gain in accuracy itself, one-sided and not shrunken: no larger loss is to be expected.
    pub gain_at_least: f64,
    /// True if `gain_at_least` excludes a loss of more than [`Halving::max_loss`].
    pub is_safe: bool,
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
        // A finite sample without a loss does not exclude one: the error is at least that of one more discordant pair.
        let gain_at_least = gain - LOWEST * gain_error.max(1.0 / n);
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
            gain_at_least,
            is_safe: gain_at_least >= -halving.max_loss,
            kept: false,
        }
    }

    /// Returns whether the setting is significantly worse than plain decoding.
    pub(super) fn is_worse(&self) -> bool {
        self.losses > self.wins && self.p <= ALPHA
    }

    /// Returns whether the setting is better than plain decoding, and no large loss is to be feared, as far as development
    /// can tell.
    pub(super) fn beats_plain(&self) -> bool {
        !self.is_worse() && self.is_safe && self.lower > 0.0
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
    fn a_saving_is_not_enough_where_a_loss_is_not_excluded() {
        // 120 problems of which 11 are won and 12 lost, at a third fewer tokens: as a setting that cost 11 points on its test.
        let of = |n: usize, wins: usize, losses: usize, max_loss: f64| {
            let plain: Vec<_> = (0..n).map(|i| (u8::from(i % 4 == 0), 300)).collect();
            let (mut won, mut lost) = (wins, losses);
            let own = plain.iter().map(|&(right, _)| {
                let left = if right == 1 { &mut lost } else { &mut won };
                let flips = *left > 0;
                *left -= usize::from(flips);
                (if flips { 1 - right } else { right }, 200)
            });
            let own = trials(&own.collect::<Vec<_>>());
            Standing::new(0, &trials(&plain), &own, &Halving { max_loss, ..Halving::default() })
        };
        let found = of(120, 11, 12, 0.05);
        assert_eq!((found.wins, found.losses), (11, 12));
        assert!(found.lower > 0.0 && !found.is_safe && !found.beats_plain(), "{found:?}");
        // -1/120 with a standard error of sqrt((23/120 - 1/120^2) / 119).
        let error = ((23.0f64 / 120.0 - 1.0 / 14400.0) / 119.0).sqrt();
        assert!((found.gain_at_least + 1.0 / 120.0 + LOWEST * error).abs() < 1e-12, "{found:?}");
        assert!(of(120, 11, 12, 0.1).beats_plain() && of(1200, 110, 120, 0.05).beats_plain());
        assert!(of(120, 3, 2, 0.05).beats_plain());
        // Without any change a loss is excluded as far as one more problem could show it.
        let same = of(20, 0, 0, 0.05);
        assert!((same.gain_at_least + LOWEST / 20.0).abs() < 1e-12 && !same.is_safe && of(40, 0, 0, 0.05).is_safe);
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

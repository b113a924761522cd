//! The uplift of many entries from few trials each: paired differences, their errors, and shrinkage.
//!
//! `docs/validation.md` has the formulas with their sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// Paired trials of one entry: continuations of the same start with the same random numbers, with and without it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trials {
    /// By problem, the unit that is drawn at random.
    problems: BTreeMap<usize, Counts>,
}

/// How the trials of a problem went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    pairs: usize,
    with: usize,
    without: usize,
    /// Right only with the impulse.
    wins: usize,
    /// Right only without.
    losses: usize,
}

impl Trials {
    /// Adds a trial on `problem`: whether the answer was right with the impulse and without.
    pub fn add(&mut self, problem: usize, with: bool, without: bool) {
        let counts = self.problems.entry(problem).or_default();
        counts.pairs += 1;
        counts.with += usize::from(with);
        counts.without += usize::from(without);
        counts.wins += usize::from(with && !without);
        counts.losses += usize::from(without && !with);
    }

    /// Returns the number of trials.
    pub fn pairs(&self) -> usize {
        self.sum(|counts| counts.pairs)
    }

    /// Returns the number of problems.
    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Returns the numbers of right answers with and without the impulse.
    pub fn right(&self) -> (usize, usize) {
        (self.sum(|counts| counts.with), self.sum(|counts| counts.without))
    }

    /// Returns the mean difference in right answers and its variance by the adjusted Wald method for matched pairs
    /// (Agresti and Min 2005): half a trial is added to each of the four outcomes, so that a few equal trials do not
    /// look like certainty. The variance is that of independent trials times `design_effect`. `None` without trials.
    pub fn measured(&self, design_effect: f64) -> Option<Measured> {
        self.without(None, design_effect)
    }

    /// Returns the same without the trials of one problem.
    fn without(&self, problem: Option<usize>, design_effect: f64) -> Option<Measured> {
        let left = problem.and_then(|problem| self.problems.get(&problem)).copied().unwrap_or_default();
        let pairs = self.pairs() - left.pairs;
        let wins = (self.sum(|counts| counts.wins) - left.wins) as f64 + 0.5;
        let losses = (self.sum(|counts| counts.losses) - left.losses) as f64 + 0.5;
        let n = pairs as f64 + 2.0;
        let difference = (wins - losses) / n;
        let variance = ((wins + losses) / n - difference * difference) / n;
        (pairs > 0).then_some(Measured { difference, variance: design_effect * variance })
    }

    fn sum(&self, of: impl Fn(&Counts) -> usize) -> usize {
        self.problems.values().map(of).sum()
    }
}

/// Returns by how much the variance of a mean over trials is larger than if all trials were independent, because those of
/// a problem are alike; at least 1. It is estimated from all entries together, since each has few problems (Rao and
/// Scott 1992).
pub fn design_effect<'t>(trials: impl IntoIterator<Item = &'t Trials>) -> f64 {
    let (mut clustered, mut independent) = (0.0, 0.0);
    for of_entry in trials {
        let (problems, pairs) = (of_entry.problems() as f64, of_entry.pairs() as f64);
        if problems < 2.0 {
            continue;
        }
        let mean = of_entry.problems.values().map(|c| c.wins as f64 - c.losses as f64).sum::<f64>() / pairs;
        let square = |c: &Counts| (c.wins as f64 - c.losses as f64 - mean * c.pairs as f64).powi(2);
        clustered += problems / (problems - 1.0) * of_entry.problems.values().map(square).sum::<f64>();
        let ties = of_entry.problems.values().map(|c| (c.wins + c.losses) as f64).sum::<f64>();
        independent += pairs / (pairs - 1.0) * (ties - pairs * mean * mean);
    }
    if independent > 0.0 { (clustered / independent).max(1.0) } else { 1.0 }
}

/// A mean difference, and the variance of its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The difference in the share of right answers, in (-1, 1).
    pub difference: f64,
    /// The variance of its error.
    pub variance: f64,
}

/// What entries have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooled {
    /// The number of entries that were tried.
    pub entries: usize,
    /// The mean of their uplifts.
    pub mean: f64,
    /// The standard error of that mean.
    pub error: f64,
    /// The variance of the true uplifts between entries.
    pub between: f64,
    /// The largest such variance that the trials speak for nearly as well; it lies one standard error higher.
    pub between_high: f64,
}

/// An uplift, shrunken toward the mean of all entries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplift {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Uplift {
    /// Returns the value that the truth exceeds with probability `level`.
    pub fn lower(&self, level: f64) -> f64 {
        self.value - quantile(level) * self.error
    }

    /// Returns the value that the truth falls short of with probability `level`.
    pub fn upper(&self, level: f64) -> f64 {
        self.value + quantile(level) * self.error
    }
}

impl Pooled {
    /// Pools what was measured on entries by random effects, the variance between them by the method of moments
    /// (DerSimonian and Laird 1986). `None` without any.
    pub fn new(measured: &[Measured]) -> Option<Self> {
        let entries = measured.len();
        let weights = |between: f64| measured.iter().map(move |m| 1.0 / (m.variance + between));
        let mean = |between: f64| {
            let sum: f64 = weights(between).zip(measured).map(|(w, m)| w * m.difference).sum();
            sum / weights(between).sum::<f64>()
        };
        let fixed = mean(0.0);
        let q: f64 = weights(0.0).zip(measured).map(|(w, m)| w * (m.difference - fixed).powi(2)).sum();
        let (sum, squares) = (weights(0.0).sum::<f64>(), weights(0.0).map(|w| w * w).sum::<f64>());
        let spread = sum - squares / sum;
        let freedom = entries as f64 - 1.0;
        let moment = |q: f64| if spread > 0.0 { ((q - freedom) / spread).max(0.0) } else { 0.0 };
        // Of equal uplifts Q has the variance 2 (k - 1).
        let (between, between_high) = (moment(q), moment(q + (2.0 * freedom).sqrt()));
        let error = (1.0 / weights(between).sum::<f64>()).sqrt();
        (entries > 0).then(|| Self { entries, mean: mean(between), error, between, between_high })
    }

    /// Pools trials. Entries that are tried on the same problems share their luck there, plain answers above all; so the
    /// error of the mean is also estimated by leaving out one problem at a time (the jackknife), and the larger of both
    /// holds.
    pub fn of_trials(trials: &[&Trials]) -> Option<Self> {
        let effect = design_effect(trials.iter().copied());
        let measured = |left: Option<usize>| {
            trials.iter().filter_map(move |trials| trials.without(left, effect)).collect::<Vec<_>>()
        };
        let pooled = Self::new(&measured(None))?;
        let problems: std::collections::BTreeSet<usize> =
            trials.iter().flat_map(|trials| trials.problems.keys().copied()).collect();
        let mean = |left: usize| -> Option<f64> {
            let some = measured(Some(left));
            let weights: f64 = some.iter().map(|m| 1.0 / (m.variance + pooled.between)).sum();
            let sum: f64 = some.iter().map(|m| m.difference / (m.variance + pooled.between)).sum();
            (weights > 0.0).then(|| sum / weights)
        };
        let means: Vec<f64> = problems.into_iter().filter_map(mean).collect();
        let n = means.len() as f64;
        let centre = means.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
        let jackknife = if n > 1.0 { ((n - 1.0) / n * squares).sqrt() } else { 0.0 };
        Some(Self { error: pooled.error.max(jackknife), ..pooled })
    }

    /// Returns the mean as an uplift.
    pub fn uplift(&self) -> Uplift {
        Uplift { value: self.mean, error: self.error }
    }

    /// Shrinks what was measured on one entry toward the mean: empirical Bayes of normal means with unequal variances
    /// (Morris 1983). Its error counts that of the mean and that of the variance between entries. Fewer than four entries
    /// say too little about each other: then nothing is shrunken.
    pub fn shrink(&self, measured: Measured) -> Uplift {
        let Measured { difference, variance } = measured;
        if self.entries < 4 {
            return Uplift { value: difference, error: variance.sqrt() };
        }
        let k = self.entries as f64;
        let toward = (k - 3.0) / (k - 1.0) * variance / (variance + self.between);
        let from = difference - self.mean;
        let spread = variance * (1.0 - toward)
            + (toward * self.error).powi(2)
            + 2.0 / (k - 3.0) * (toward * from).powi(2);
        Uplift { value: difference - toward * from, error: spread.sqrt() }
    }
}

/// Returns the value that a standard normal variable falls short of with probability `p`.
fn quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

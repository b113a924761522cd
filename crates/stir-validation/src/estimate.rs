//! The uplift of many entries from few trials each: paired differences, their errors, and shrinkage.
//!
//! `docs/validation.md` has the formulas with their sources.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// Fewer entries say too little about how they differ.
const FEW: usize = 4;

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
    /// Pools what was measured on entries by random effects. The variance between them is that of adjusted density
    /// maximization over the restricted likelihood (Morris and Tang 2011): unlike a moment estimate it is never zero, and
    /// intervals of shrunken values hold about as often as they say. With fewer than four entries that density has no
    /// largest value, and the variance is the moment estimate (DerSimonian and Laird 1986). `None` without any.
    pub fn new(measured: &[Measured]) -> Option<Self> {
        let between = match measured.len() {
            0..FEW => moments(measured),
            _ => most_likely(|between| log_density(measured, between)),
        };
        let (mean, weights) = mean(measured, between);
        let (entries, error) = (measured.len(), (1.0 / weights).sqrt());
        (entries > 0).then_some(Self { entries, mean, error, between })
    }

    /// Pools trials. Entries that are tried on the same problems share their luck there, that of plain answers above all:
    /// it moves all of them together, which makes the mean less certain and the entries look more alike than they are.
    /// Its variance is what the jackknife over problems finds in the mean beyond independent errors, and is added to the
    /// variance of the mean and to that between entries.
    pub fn of_trials(trials: &[&Trials]) -> Option<Self> {
        let effect = design_effect(trials.iter().copied());
        let measured =
            |left: Option<usize>| trials.iter().filter_map(move |t| t.without(left, effect)).collect::<Vec<_>>();
        let all = measured(None);
        let pooled = Self::new(&all)?;
        let problems: BTreeSet<usize> = trials.iter().flat_map(|trials| trials.problems.keys().copied()).collect();
        let weight = |m: &Measured| 1.0 / (m.variance + pooled.between);
        let without = |left: usize| mean(&measured(Some(left)), pooled.between);
        let means: Vec<f64> =
            problems.into_iter().map(without).filter(|(_, w)| *w > 0.0).map(|(mean, _)| mean).collect();
        let n = (means.len() as f64).max(1.0);
        let centre = means.iter().sum::<f64>() / n;
        let jackknife = (n - 1.0) / n * means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>();
        let weights: f64 = all.iter().map(weight).sum();
        let independent = all.iter().map(|m| weight(m).powi(2) * m.variance).sum::<f64>() / weights.powi(2);
        let common = (jackknife - independent).max(0.0);
        let error = (pooled.error.powi(2) + common).sqrt();
        Some(Self { error, between: pooled.between + common, ..pooled })
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
        if self.entries < FEW {
            return Uplift { value: difference, error: variance.sqrt() };
        }
        let toward = variance / (variance + self.between);
        let from = difference - self.mean;
        let unknown = 2.0 / (self.entries as f64 - 3.0) * (toward * from).powi(2);
        let spread = variance * (1.0 - toward) + (toward * self.error).powi(2) + unknown;
        Uplift { value: difference - toward * from, error: spread.sqrt() }
    }
}

/// Returns the mean of random effects and the sum of its weights.
fn mean(measured: &[Measured], between: f64) -> (f64, f64) {
    let weight = |m: &Measured| 1.0 / (m.variance + between);
    let weights: f64 = measured.iter().map(weight).sum();
    (measured.iter().map(|m| weight(m) * m.difference).sum::<f64>() / weights, weights)
}

/// Returns the variance between entries by the method of moments; 0 for one entry, and where the entries differ by no more
/// than their errors.
fn moments(measured: &[Measured]) -> f64 {
    let (mean, weights) = mean(measured, 0.0);
    let spread: f64 = measured.iter().map(|m| (m.difference - mean).powi(2) / m.variance).sum();
    let squares: f64 = measured.iter().map(|m| m.variance.powi(-2)).sum();
    let of_one = weights - squares / weights;
    if measured.len() > 1 { ((spread - (measured.len() as f64 - 1.0)) / of_one).max(0.0) } else { 0.0 }
}

/// Returns the logarithm of the adjusted density of a variance between entries: it, times its restricted likelihood.
fn log_density(measured: &[Measured], between: f64) -> f64 {
    let (mean, weights) = mean(measured, between);
    let term = |m: &Measured| {
        let variance = m.variance + between;
        variance.ln() + (m.difference - mean).powi(2) / variance
    };
    between.ln() - 0.5 * (measured.iter().map(term).sum::<f64>() + weights.ln())
}

/// Returns the variance of the highest density, by golden section over its logarithm. Differences lie between -1 and 1, so
/// their variance is below 1.
fn most_likely(log_density: impl Fn(f64) -> f64) -> f64 {
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (1e-8f64.ln(), 0.0f64);
    for _ in 0..60 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if log_density(left.exp()) < log_density(right.exp()) {
            low = left;
        } else {
            high = right;
        }
    }
    ((low + high) / 2.0).exp()
}

/// Returns the value that a standard normal variable falls short of with probability `p`.
fn quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

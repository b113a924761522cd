//! How much of a delta is more than the noise of its few samples.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stir_core::SampleRng;

use crate::{
    DiagnosisConfig, Estimate,
    order::{Cell, Ordered},
};

/// The last control point that counts: later ones are reached by the long answers of few problems.
pub const RELIABILITY_POINTS: usize = 5;

/// The reliability that a delta should have: half of its variance is real.
pub const RELIABLE: f64 = 0.5;

/// A product of norms below which two deltas have no angle.
const NO_ANGLE: f64 = 1e-6;

/// How well deltas of one half of a problem's samples agree with those of the other half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliability {
    /// The mean cosine of the deltas of two random halves, over problems and control points up to
    /// [`RELIABILITY_POINTS`] with two right and two wrong rows at least.
    pub split_half: Estimate,
    /// The same with the labels right and wrong dealt out at random: what is left of it is bias.
    pub null: f64,
    /// The number of problems and control points, each split many times.
    pub contrasts: usize,
    /// The mean number of samples of these problems.
    pub samples: f64,
    /// The reliability of deltas of all samples, by Spearman-Brown: the share of their variance that is real. 0 where
    /// the halves do not agree at all.
    pub full: f64,
    /// The number of samples of a problem that would bring it to [`RELIABLE`], by Spearman-Brown; `None` where the halves
    /// do not agree at all.
    pub samples_needed: Option<f64>,
}

/// The halves of one problem and control point: sums over splits, and their number.
#[derive(Debug, Clone, Copy, Default)]
struct Splits {
    halves: f64,
    splits: f64,
    null: f64,
    null_splits: f64,
}

/// The splits of all problems and control points that have enough rows.
#[derive(Debug)]
pub(crate) struct SplitHalves {
    /// Problem, `m`, and what its splits said.
    cells: Vec<(usize, usize, Splits)>,
    samples: f64,
}

impl SplitHalves {
    pub(crate) fn new(ordered: &Ordered<'_>, config: &DiagnosisConfig) -> Self {
        let enough = |cell: &&Cell| cell.right.len() >= 2 && cell.wrong.len() >= 2;
        let cells: Vec<&Cell> = ordered.cells.iter().filter(enough).collect();
        let splits = cells.par_iter().map(|cell| (cell.problem, cell.m, split(ordered, cell, config)));
        let problems: BTreeSet<usize> = cells.iter().map(|cell| cell.problem).collect();
        let all = (0..ordered.len()).map(|place| ordered.at(place)).filter(|b| problems.contains(&b.problem));
        let samples: BTreeSet<(usize, usize)> = all.map(|b| (b.problem, b.sample)).collect();
        Self { cells: splits.collect(), samples: samples.len() as f64 / problems.len().max(1) as f64 }
    }

    /// Returns the mean cosine at control point `m`.
    pub(crate) fn at(&self, m: usize) -> Option<Estimate> {
        self.mean(|at| at == m)
    }

    /// Returns the reliability over the first control points.
    pub(crate) fn reliability(&self) -> Option<Reliability> {
        let first = |m| m <= RELIABILITY_POINTS;
        let split_half = self.mean(first)?;
        let counted = || self.cells.iter().filter(|(_, m, splits)| first(*m) && splits.splits > 0.0);
        let (null, null_splits) = counted().fold((0.0, 0.0), |(sum, n), (_, _, s)| (sum + s.null, n + s.null_splits));
        let full = spearman_brown(split_half.value.max(0.0), 2.0);
        Some(Reliability {
            split_half,
            null: if null_splits > 0.0 { null / null_splits } else { 0.0 },
            contrasts: counted().count(),
            samples: self.samples,
            full,
            samples_needed: (full > 0.0).then(|| self.samples * times_for(full, RELIABLE)),
        })
    }

    fn mean(&self, counts: impl Fn(usize) -> bool) -> Option<Estimate> {
        let mut problems: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (problem, _, splits) in self.cells.iter().filter(|(_, m, _)| counts(*m)) {
            let part = problems.entry(*problem).or_default();
            *part = (part.0 + splits.halves, part.1 + splits.splits);
        }
        Estimate::ratio(problems.into_values())
    }
}

/// Returns the reliability of a mean over `times` as many samples (Spearman 1910; Brown 1910).
pub(crate) fn spearman_brown(reliability: f64, times: f64) -> f64 {
    times * reliability / (1.0 + (times - 1.0) * reliability)
}

/// Returns how many times as many samples bring the reliability to `goal`.
fn times_for(reliability: f64, goal: f64) -> f64 {
    goal * (1.0 - reliability) / (reliability * (1.0 - goal))
}

/// Splits the rows of a cell in halves, again and again.
///
/// A delta is a sum of rows with weights, so that cosines follow from the inner products of the rows, taken once.
fn split(ordered: &Ordered<'_>, cell: &Cell, config: &DiagnosisConfig) -> Splits {
    let places = [&cell.right[..], &cell.wrong[..]].concat();
    let products = Products::new(ordered, &places);
    let mut rng = SampleRng::new(config.seed, stream(cell));
    let mut found = Splits::default();
    let mut rows: Vec<usize> = (0..places.len()).collect();
    for _ in 0..config.splits {
        let (right, wrong) = rows.split_at_mut(cell.right.len());
        shuffle(right, &mut rng);
        shuffle(wrong, &mut rng);
        if let Some(cosine) = products.cosine_of_halves(right, wrong) {
            found.halves += cosine;
            found.splits += 1.0;
        }
        let mut dealt = rows.clone();
        shuffle(&mut dealt, &mut rng);
        let (right, wrong) = dealt.split_at(cell.right.len());
        if let Some(cosine) = products.cosine_of_halves(right, wrong) {
            found.null += cosine;
            found.null_splits += 1.0;
        }
    }
    found
}

/// A stream of random numbers for each problem and control point, so that it does not matter which others there are.
fn stream(cell: &Cell) -> u64 {
    (cell.problem as u64).wrapping_mul(1 << 20).wrapping_add(cell.m as u64)
}

fn shuffle(rows: &mut [usize], rng: &mut SampleRng) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, rng.below(last + 1));
    }
}

/// Inner products of states, their mean taken out: it cancels in every delta, and would only cost digits.
struct Products {
    n: usize,
    /// `[n, n]`.
    values: Vec<f64>,
}

impl Products {
    fn new(ordered: &Ordered<'_>, places: &[usize]) -> Self {
        let mean = ordered.mean(places);
        let centred = |&place: &usize| -> Vec<f64> {
            ordered.state(place).iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean).collect()
        };
        let rows: Vec<Vec<f64>> = places.iter().map(centred).collect();
        let n = rows.len();
        let mut values = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let product = crate::order::dot(&rows[i], &rows[j]);
                (values[i * n + j], values[j * n + i]) = (product, product);
            }
        }
        Self { n, values }
    }

    /// Returns the cosine of the delta of every other row, from the first, with that of the rest.
    fn cosine_of_halves(&self, right: &[usize], wrong: &[usize]) -> Option<f64> {
        let weights = |half: usize| -> Vec<(usize, f64)> {
            let of = |side: &[usize], sign: f64| -> Vec<(usize, f64)> {
                let rows: Vec<usize> = side.iter().copied().skip(half).step_by(2).collect();
                rows.iter().map(|&row| (row, sign / rows.len() as f64)).collect()
            };
            [of(right, 1.0), of(wrong, -1.0)].concat()
        };
        let (first, second) = (weights(0), weights(1));
        let product = |a: &[(usize, f64)], b: &[(usize, f64)]| -> f64 {
            a.iter().map(|(i, u)| u * b.iter().map(|(j, v)| v * self.values[i * self.n + j]).sum::<f64>()).sum()
        };
        let norms = (product(&first, &first) * product(&second, &second)).max(0.0).sqrt();
        (norms > NO_ANGLE).then(|| product(&first, &second) / norms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spearman_brown_and_its_inverse_agree() {
        assert!((spearman_brown(0.14, 2.0) - 0.2456).abs() < 1e-4);
        for r in [0.05, 0.25, 0.5, 0.9] {
            assert!((spearman_brown(r, times_for(r, RELIABLE)) - RELIABLE).abs() < 1e-12);
        }
    }
}

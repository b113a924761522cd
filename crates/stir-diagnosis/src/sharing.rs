//! What the deltas of different problems have in common.

use std::collections::BTreeMap;

use crate::{
    Estimate,
    order::{Cell, Ordered, dot, norm},
};

/// A norm below which a delta has no direction.
const NO_DIRECTION: f64 = 1e-9;

/// The deltas of one control point, of all problems that have right and wrong rows there.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) m: usize,
    pub(crate) mean_norm: Option<f64>,
    /// Problems, and the sum of the cosines of each one's delta with those of all others.
    others: Vec<(usize, f64)>,
}

impl Shared {
    pub(crate) fn new(ordered: &Ordered<'_>, m: usize) -> Self {
        let cells: Vec<&Cell> = ordered.cells.iter().filter(|cell| cell.m == m && cell.mixed()).collect();
        let mut norms = 0.0;
        let mut sum = vec![0.0; ordered.hidden_size()];
        let mut units = Vec::with_capacity(cells.len());
        for cell in &cells {
            let mut delta = ordered.delta(cell);
            let length = norm(&delta);
            norms += length;
            delta.iter_mut().for_each(|x| *x /= length.max(NO_DIRECTION));
            sum.iter_mut().zip(&delta).for_each(|(s, x)| *s += x);
            units.push((cell.problem, delta));
        }
        // With all others, less that with itself.
        let others = units.iter().map(|(problem, unit)| (*problem, dot(unit, &sum) - dot(unit, unit))).collect();
        Self { m, mean_norm: (!cells.is_empty()).then(|| norms / cells.len() as f64), others }
    }

    /// Returns the number of deltas.
    pub(crate) fn deltas(&self) -> usize {
        self.others.len()
    }

    /// Returns the mean cosine between the deltas of two problems.
    pub(crate) fn between(&self) -> Option<Estimate> {
        between([self])
    }
}

/// Returns the mean cosine between the deltas of two problems at the same of some control points.
pub(crate) fn between<'s>(points: impl IntoIterator<Item = &'s Shared>) -> Option<Estimate> {
    // Every pair is counted from both of its sides.
    let (mut sum, mut sides) = (0.0, 0.0);
    let mut own: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for point in points {
        let rivals = point.others.len().saturating_sub(1) as f64;
        for &(problem, cosines) in &point.others {
            (sum, sides) = (sum + cosines, sides + rivals);
            let part = own.entry(problem).or_default();
            *part = (part.0 + cosines, part.1 + rivals);
        }
    }
    let left_out = own.into_values().filter(|(_, rivals)| *rivals > 0.0);
    let left_out: Vec<f64> = left_out.map(|(own, rivals)| (sum - 2.0 * own) / (sides - 2.0 * rivals)).collect();
    // Without one of two problems nothing is left.
    let estimate = Estimate::jackknife(sum / sides, left_out);
    let standard_error = estimate.standard_error.filter(|error| error.is_finite());
    (sides > 0.0).then_some(Estimate { standard_error, ..estimate })
}

//! How well a score orders right before wrong.

use std::collections::BTreeMap;

use crate::{estimate::Estimate, order::Ordered};

/// Returns the area under the ROC curve: the share of pairs (right, wrong) that the score orders rightly, ties half.
/// `None` without pairs.
pub(crate) fn auc(scores: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut ordered, mut right_in_all) = (0.0, 0.0, 0.0);
    // 0 and -0 are one tie, whatever `total_cmp` says.
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let right = tie.iter().filter(|(_, right)| *right).count() as f64;
        let wrong = tie.len() as f64 - right;
        ordered += right * (below + wrong / 2.0);
        below += wrong;
        right_in_all += right;
    }
    let pairs = below * right_in_all;
    (pairs > 0.0).then(|| ordered / pairs)
}

/// For each problem and control point: how many pairs (right, wrong) a score orders rightly, of how many.
#[derive(Debug)]
pub(crate) struct Within(Vec<(usize, usize, f64, f64)>);

impl Within {
    /// Takes the scores by place.
    pub(crate) fn new(ordered: &Ordered<'_>, scores: &[f64]) -> Self {
        let counts = ordered.cells.iter().filter(|cell| cell.mixed()).map(|cell| {
            let scored = |places: &[usize], right| places.iter().map(|&p| (scores[p], right)).collect::<Vec<_>>();
            let both = [scored(&cell.right, true), scored(&cell.wrong, false)].concat();
            let pairs = (cell.right.len() * cell.wrong.len()) as f64;
            (cell.problem, cell.m, auc(&both).unwrap_or(0.5) * pairs, pairs)
        });
        Self(counts.collect())
    }

    /// Returns the share of pairs within one problem and control point that are ordered rightly; all control points, or
    /// one.
    pub(crate) fn share(&self, m: Option<usize>) -> Option<Estimate> {
        let mut problems: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for &(problem, _, ordered, pairs) in self.0.iter().filter(|count| m.is_none_or(|m| m == count.1)) {
            let part = problems.entry(problem).or_default();
            *part = (part.0 + ordered, part.1 + pairs);
        }
        Estimate::ratio(problems.into_values())
    }

    /// Returns how much more of the pairs this score orders rightly than another.
    pub(crate) fn minus(&self, other: &Self) -> Option<Estimate> {
        let differences = self.0.iter().zip(&other.0).map(|(a, b)| (a.0, a.1, a.2 - b.2, a.3));
        Self(differences.collect()).share(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        assert_eq!(auc(&[(1.0, true), (0.0, false)]), Some(1.0));
        assert_eq!(auc(&[(0.0, true), (-0.0, false)]), Some(0.5));
        assert_eq!(auc(&[(0.0, true), (1.0, false), (1.0, true), (2.0, true)]), Some(0.5));
        assert_eq!(auc(&[(0.0, true)]), None);
    }
}

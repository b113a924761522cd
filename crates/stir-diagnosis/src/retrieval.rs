//! Whether the nearest keys know right from wrong, as retrieval at run time would ask them.

use rayon::prelude::*;

use crate::order::{Ordered, dot, norm};

/// The number of keys asked.
const NEAREST: usize = 8;

/// One row in so many, as the states were given, counts in the quantiles of similarities.
const EVERY: usize = 7;

/// What retrieval says of every place, and how similar states and keys are.
#[derive(Debug)]
pub(crate) struct Retrieved {
    /// Of the nearest keys of the same control point and of other problems: the largest similarity to a right one less
    /// the largest to a wrong one, none counting as 0.
    pub(crate) scores: Vec<f64>,
    /// Similarities of states to keys of the same control point, rising.
    pub(crate) similarities: Vec<f64>,
}

/// The mean state of the right or wrong rows of a problem at a control point, of length 1.
struct Key {
    problem: usize,
    m: usize,
    right: bool,
    unit: Vec<f64>,
}

/// Retrieves with cosines of the states as they are or, if `centred`, of what is left of them without the mean of their
/// control point. A zero vector is similar to nothing (0).
pub(crate) fn retrieve(ordered: &Ordered<'_>, centred: bool) -> Retrieved {
    let points = ordered.points();
    let means: Vec<(usize, Vec<f64>)> = points
        .iter()
        .map(|(&m, places)| (m, if centred { ordered.mean(places) } else { vec![0.0; ordered.hidden_size()] }))
        .collect();
    let mean_of = |m: usize| means.binary_search_by_key(&m, |(at, _)| *at).map_or(&[][..], |at| &means[at].1);
    let unit = |mut vector: Vec<f64>, m: usize| -> Vec<f64> {
        vector.iter_mut().zip(mean_of(m)).for_each(|(x, mean)| *x -= mean);
        let length = norm(&vector);
        vector.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
        vector
    };
    let mut keys: Vec<Key> = Vec::new();
    for cell in ordered.cells.iter().filter(|cell| cell.mixed()) {
        for (right, places) in [(false, &cell.wrong), (true, &cell.right)] {
            let unit = unit(ordered.mean(places), cell.m);
            keys.push(Key { problem: cell.problem, m: cell.m, right, unit });
        }
    }
    keys.sort_by_key(|key| key.m);
    let asked = (0..ordered.len()).into_par_iter().map(|place| {
        let own = ordered.at(place);
        let from = keys.partition_point(|key| key.m < own.m);
        let to = keys.partition_point(|key| key.m <= own.m);
        let state = unit(ordered.state(place).iter().map(|&x| f64::from(x)).collect(), own.m);
        let found: Vec<(f64, &Key)> = keys[from..to].iter().map(|key| (dot(&key.unit, &state), key)).collect();
        let all =
            if ordered.row(place).is_multiple_of(EVERY) { found.iter().map(|(s, _)| *s).collect() } else { vec![] };
        let others = found.into_iter().filter(|(_, key)| key.problem != own.problem).collect();
        (score(others), all)
    });
    let (scores, similarities): (Vec<f64>, Vec<Vec<f64>>) = asked.unzip();
    let mut similarities = similarities.concat();
    similarities.sort_by(f64::total_cmp);
    Retrieved { scores, similarities }
}

/// Ties for the last of the nearest go to the key that comes first: by problem, wrong before right.
fn score(mut found: Vec<(f64, &Key)>) -> f64 {
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(NEAREST);
    let best = |right| found.iter().filter(|(_, key)| key.right == right).map(|(s, _)| *s).fold(0.0, f64::max);
    best(true) - best(false)
}

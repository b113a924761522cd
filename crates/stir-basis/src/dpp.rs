use std::{cmp::Ordering, collections::BinaryHeap};

use crate::{
    error::{ContentError, Rules},
    vector::{dot, norm},
};

/// Below this conditional variance a vector counts as a combination of those already chosen.
const MIN_VARIANCE: f64 = 1e-12;

/// Chooses rows of high quality that point in different directions: greedy maximisation of
/// `sum log(1 + q_i) + lambda * log det(K_S + epsilon I)`, `K_ij = cos(k_i, k_j)`.
///
/// `keys` is `[n, width]`, row by row, of any length but zero, and `quality` is `[n]`. The rows of `first` are taken
/// beforehand, in their order, and the rest is chosen given them. Ties go to the lower index. Returns indices in the
/// order in which they were taken: at most `budget`, fewer when every row left is a combination of those chosen
/// (conditional variance at most 1e-12; with `epsilon` well above that, only the budget ends the choice).
///
/// The factor of `K_S + epsilon I` grows by one row per pick (Chen, Zhang and Zhou 2018, "Fast Greedy MAP Inference for
/// Determinantal Point Process") and a row's gain is brought up to date only when its last known gain, which can only
/// have fallen since, would make it the next pick (Minoux 1978; for this objective Hemmi et al. 2022, "Lazy and Fast
/// Greedy MAP Inference for Determinantal Point Process"). The picks are those of the plain greedy rule. With `n` rows
/// of width `d`, a pick costs `O(n (d + budget))` at worst; memory is `O(n budget)` at worst beside the keys.
///
/// ```
/// use stir_basis::greedy_dpp;
/// // The second row is better than the third, but it says what the first has said.
/// let keys = [1.0, 0.0, 0.999, 0.0447, 0.0, 1.0];
/// assert_eq!(greedy_dpp(&keys, &[1.0, 0.9, 0.5], &[], 2, 0.5, 1e-4)?, [0, 2]);
/// assert_eq!(greedy_dpp(&keys, &[1.0, 0.9, 0.5], &[], 2, 0.0, 1e-4)?, [0, 1]);
/// # Ok::<(), stir_basis::ContentError>(())
/// ```
///
/// # Errors
/// [`ContentError`] when `keys` is not a whole number of rows, a row is zero, a number is not finite, a quality,
/// `lambda` or `epsilon` is negative, or `first` repeats a row, names one that is not there or is longer than `budget`.
pub fn greedy_dpp(
    keys: &[f32],
    quality: &[f64],
    first: &[usize],
    budget: usize,
    lambda: f64,
    epsilon: f64,
) -> Result<Vec<usize>, ContentError> {
    let n = quality.len();
    let width = keys.len() / n.max(1);
    check(keys, quality, first, budget, lambda, epsilon)?;

    let mut factor = Factor::new(keys, width, n, epsilon);
    let mut left = vec![true; n];
    for &row in first {
        left[row] = false;
        factor.refresh(row);
        factor.take(row);
    }
    let gain = |row: usize, variance: f64| quality[row].ln_1p() + lambda * variance.ln();
    let mut bounds: BinaryHeap<Bound> = (0..n)
        .filter(|&row| left[row] && factor.variance[row] > MIN_VARIANCE)
        .map(|row| Bound { gain: gain(row, factor.variance[row]), row })
        .collect();

    let mut picks = first.to_vec();
    while picks.len() < budget
        && let Some(Bound { row, .. }) = bounds.pop()
    {
        if factor.is_fresh(row) {
            factor.take(row);
            picks.push(row);
            continue;
        }
        factor.refresh(row);
        let variance = factor.variance[row];
        if variance > MIN_VARIANCE {
            bounds.push(Bound { gain: gain(row, variance), row });
        }
    }
    Ok(picks)
}

fn check(
    keys: &[f32],
    quality: &[f64],
    first: &[usize],
    budget: usize,
    lambda: f64,
    epsilon: f64,
) -> Result<(), ContentError> {
    let n = quality.len();
    let rules = |item, index| Rules { item, index };
    let whole = if n == 0 { keys.is_empty() } else { !keys.is_empty() && keys.len().is_multiple_of(n) };
    rules("keys of", n).ensure(whole, "rows", "as many as qualities, of equal width")?;
    for (row, &q) in quality.iter().enumerate() {
        rules("row", row).quality(q)?;
        let norm = norm(&keys[row * (keys.len() / n)..][..keys.len() / n]);
        rules("row", row).ensure(norm.is_finite() && norm > 0.0, "key", "finite and not zero")?;
    }
    let mut taken = vec![false; n];
    for (index, &row) in first.iter().enumerate() {
        let fresh = row < n && !std::mem::replace(&mut taken[row], true);
        rules("first", index).ensure(index < budget && fresh, "row", "distinct, in range and within the budget")?;
    }
    let not_negative = |x: f64| x.is_finite() && x >= 0.0;
    rules("objective", 0).ensure(not_negative(lambda), "lambda", "finite and >= 0")?;
    rules("objective", 0).ensure(not_negative(epsilon), "epsilon", "finite and >= 0")
}

/// The Cholesky factor of `K_S + epsilon I` for the rows `S` taken so far, and for every other row as much of its own
/// line under that factor as has been needed.
struct Factor<'a> {
    keys: &'a [f32],
    width: usize,
    norms: Vec<f64>,
    pivots: Vec<usize>,
    /// `lines[i][t] = (K_ij - <lines[j], lines[i][..t]>) / sqrt(variance[j])`, `j = pivots[t]`.
    lines: Vec<Vec<f64>>,
    /// `K_ii + epsilon - |lines[i]|^2`: what the pivots that `lines[i]` accounts for leave unexplained.
    variance: Vec<f64>,
}

impl<'a> Factor<'a> {
    fn new(keys: &'a [f32], width: usize, n: usize, epsilon: f64) -> Self {
        let rows = || (0..n).map(|i| &keys[i * width..][..width]);
        let norms: Vec<f64> = rows().map(norm).collect();
        // The diagonal is 1 but for rounding, which therefore breaks the ties that equal qualities leave. The plain sum
        // breaks them as the reference does.
        let square = |(row, norm): (&[f32], &f64)| row.iter().map(|&x| (f64::from(x) / norm).powi(2)).sum::<f64>();
        let variance = rows().zip(&norms).map(|row| square(row) + epsilon).collect();
        Self { keys, width, norms, pivots: Vec::new(), lines: vec![Vec::new(); n], variance }
    }

    fn key(&self, i: usize) -> &'a [f32] {
        &self.keys[i * self.width..][..self.width]
    }

    fn is_fresh(&self, i: usize) -> bool {
        self.lines[i].len() == self.pivots.len()
    }

    /// Accounts for the pivots that row `i` has not seen.
    fn refresh(&mut self, i: usize) {
        let mut line = std::mem::take(&mut self.lines[i]);
        for &pivot in &self.pivots[line.len()..] {
            let explained: f64 = dot(&self.lines[pivot], &line);
            let kernel = dot::<f32, f64>(self.key(pivot), self.key(i)) / (self.norms[pivot] * self.norms[i]);
            let next = (kernel - explained) / self.variance[pivot].sqrt();
            self.variance[i] -= next * next;
            line.push(next);
        }
        self.lines[i] = line;
    }

    /// Makes the fresh row `i` a pivot. One that adds no direction changes nothing for the others and is left out.
    fn take(&mut self, i: usize) {
        if self.variance[i] > MIN_VARIANCE {
            self.pivots.push(i);
        }
    }
}

/// A row's last known gain. The largest comes first, of equals the lower index.
struct Bound {
    gain: f64,
    row: usize,
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

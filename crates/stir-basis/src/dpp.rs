use rayon::prelude::*;

use crate::{
    content::{ContentError, Rules},
    vector::{WORTH_THREADS, dot, norm},
};

/// Below this conditional variance a vector counts as a combination of those already chosen.
const MIN_VARIANCE: f64 = 1e-12;
/// Rows brought up to date at once: so many, then each time so many times more.
const FIRST_BATCH: usize = 16;
const GROWTH: usize = 4;

/// The settings of [`greedy_dpp`]; the defaults are the published ones.
#[derive(Debug, Clone, PartialEq)]
pub struct DppConfig {
    /// The most rows to take, those of `first` among them.
    pub budget: usize,
    /// The weight of diversity against quality.
    pub lambda: f64,
    /// The number added to the kernel's diagonal, so that equal rows are discouraged and not impossible.
    pub epsilon: f64,
    /// The rows that are taken beforehand, in this order.
    pub first: Vec<usize>,
}

impl Default for DppConfig {
    fn default() -> Self {
        Self { budget: 256, lambda: 0.5, epsilon: 1e-4, first: Vec::new() }
    }
}

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
/// have fallen since, could make it the next pick (Minoux 1978; for this objective Hemmi et al. 2022, "Lazy and Fast
/// Greedy MAP Inference for Determinantal Point Process"). The picks are those of the plain greedy rule, on any number
/// of threads. With `n` rows of width `d`, a pick costs `O(n (d + budget))` at worst; memory is `O(n budget)` at worst
/// in addition to the keys.
///
/// ```
/// use stir_basis::{DppConfig, greedy_dpp};
/// // The second row is better than the third, but it says what the first has said.
/// let keys = [1.0, 0.0, 0.999, 0.0447, 0.0, 1.0];
/// let config = DppConfig { budget: 2, ..DppConfig::default() };
/// assert_eq!(greedy_dpp(&keys, &[1.0, 0.9, 0.5], &config)?, [0, 2]);
/// let by_quality = DppConfig { lambda: 0.0, ..config };
/// assert_eq!(greedy_dpp(&keys, &[1.0, 0.9, 0.5], &by_quality)?, [0, 1]);
/// # Ok::<(), stir_basis::ContentError>(())
/// ```
///
/// # Errors
/// [`ContentError`] when `keys` is not a whole number of rows, a row is zero, a number is not finite, a quality,
/// `lambda` or `epsilon` is negative, or `first` repeats a row, names one that is not there or is longer than `budget`.
pub fn greedy_dpp(keys: &[f32], quality: &[f64], config: &DppConfig) -> Result<Vec<usize>, ContentError> {
    let n = quality.len();
    let width = keys.len() / n.max(1);
    let whole = if n == 0 { keys.is_empty() } else { width > 0 && keys.len() == n * width };
    Rules { item: "keys of", index: n }.ensure(whole, "rows", "as many as qualities, of equal width")?;
    let keys: Vec<&[f32]> = (0..n).map(|row| &keys[row * width..][..width]).collect();
    greedy_rows(&keys, quality, config)
}

/// Does the work of [`greedy_dpp`] for rows that are not contiguous.
pub(crate) fn greedy_rows(keys: &[&[f32]], quality: &[f64], config: &DppConfig) -> Result<Vec<usize>, ContentError> {
    check(keys, quality, config)?;
    let DppConfig { first, budget, lambda, epsilon } = config;
    let mut greedy = Greedy::new(keys, quality, *lambda, *epsilon);
    for &row in first {
        greedy.refresh(row);
        greedy.take(row);
    }
    let mut picks = first.clone();
    while picks.len() < *budget
        && let Some(row) = greedy.best()
    {
        greedy.take(row);
        picks.push(row);
    }
    Ok(picks)
}

fn check(keys: &[&[f32]], quality: &[f64], config: &DppConfig) -> Result<(), ContentError> {
    let DppConfig { first, budget, lambda, epsilon } = config;
    let rules = |item, index| Rules { item, index };
    for (row, (key, &q)) in keys.iter().zip(quality).enumerate() {
        rules("row", row).quality(q)?;
        let norm = norm(key);
        rules("row", row).ensure(norm.is_finite() && norm > 0.0, "key", "finite and not zero")?;
    }
    let mut taken = vec![false; keys.len()];
    for (index, &row) in first.iter().enumerate() {
        let fresh = row < keys.len() && !std::mem::replace(&mut taken[row], true);
        rules("first", index).ensure(index < *budget && fresh, "row", "distinct, in range and within the budget")?;
    }
    let not_negative = |x: f64| x.is_finite() && x >= 0.0;
    rules("objective", 0).ensure(not_negative(*lambda), "lambda", "finite and >= 0")?;
    rules("objective", 0).ensure(not_negative(*epsilon), "epsilon", "finite and >= 0")
}

/// Every row, and the Cholesky factor of `K_S + epsilon I` for the rows `S` taken so far.
struct Greedy<'a> {
    rows: Vec<Row<'a>>,
    /// The taken rows that added a direction.
    pivots: Vec<Row<'a>>,
    lambda: f64,
}

/// A row, and as much of its own line under the factor as has been needed.
struct Row<'a> {
    key: &'a [f32],
    norm: f64,
    /// `log(1 + q_i)`.
    value: f64,
    /// `line[t] = (K_ij - <line_j, line[..t]>) / sqrt(variance_j)`, `j = pivots[t]`.
    line: Vec<f64>,
    /// `K_ii + epsilon - |line|^2`: what the pivots that `line` accounts for leave unexplained.
    variance: f64,
    /// The gain that taking the row would have had given those pivots; minus infinity where it is not to be taken.
    gain: f64,
}

impl<'a> Greedy<'a> {
    fn new(keys: &[&'a [f32]], quality: &[f64], lambda: f64, epsilon: f64) -> Self {
        let row = |(&key, &quality): (&&'a [f32], &f64)| {
            let norm = norm(key);
            // The diagonal is 1 except for rounding, which therefore breaks the ties that equal qualities leave. The
            // plain sum breaks them as the reference does.
            let square = key.iter().map(|&x| (f64::from(x) / norm).powi(2)).sum::<f64>();
            let mut row =
                Row { key, norm, value: quality.ln_1p(), line: Vec::new(), variance: square + epsilon, gain: 0.0 };
            row.refresh(&[], lambda);
            row
        };
        let rows = if keys.iter().map(|key| key.len()).sum::<usize>() < WORTH_THREADS {
            keys.iter().zip(quality).map(row).collect()
        } else {
            keys.par_iter().zip(quality).map(row).collect()
        };
        Self { rows, pivots: Vec::new(), lambda }
    }

    /// Returns the row with the largest gain, of equals the lowest; `None` when there is none to take.
    ///
    /// Rows whose last known gain reaches the largest that is up to date are brought up to date, the most promising
    /// first, in batches that grow so that at worst a few go over all rows.
    fn best(&mut self) -> Option<usize> {
        let mut batch = FIRST_BATCH;
        loop {
            let fresh = self.rows.iter().filter(|row| row.line.len() == self.pivots.len());
            let best = fresh.map(|row| row.gain).fold(f64::NEG_INFINITY, f64::max);
            let reach = |row: &Row| row.gain >= best && row.gain > f64::NEG_INFINITY;
            let mut stale: Vec<f64> = (self.rows.iter())
                .filter(|row| row.line.len() < self.pivots.len() && reach(row))
                .map(|row| row.gain)
                .collect();
            if stale.is_empty() {
                return self.rows.iter().position(reach);
            }
            let count = batch.min(stale.len());
            let (_, &mut least, _) = stale.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
            let Self { rows, pivots, lambda } = self;
            let missing = |row: &Row| if row.gain >= least { pivots.len() - row.line.len() } else { 0 };
            let bring = |row: &mut Row| {
                if missing(row) > 0 {
                    row.refresh(pivots, *lambda);
                }
            };
            if rows.iter().map(missing).sum::<usize>() * rows[0].key.len() < WORTH_THREADS {
                rows.iter_mut().for_each(bring);
            } else {
                rows.par_iter_mut().for_each(bring);
            }
            batch *= GROWTH;
        }
    }

    fn refresh(&mut self, row: usize) {
        self.rows[row].refresh(&self.pivots, self.lambda);
    }

    /// Takes a row that is up to date. One that adds no direction changes nothing for the others and is no pivot.
    fn take(&mut self, row: usize) {
        let row = &mut self.rows[row];
        row.gain = f64::NEG_INFINITY;
        if row.variance > MIN_VARIANCE {
            let line = std::mem::take(&mut row.line);
            self.pivots.push(Row { line, ..*row });
        }
    }
}

impl Row<'_> {
    /// Accounts for the pivots that the row has not seen.
    fn refresh(&mut self, pivots: &[Row<'_>], lambda: f64) {
        self.line.reserve(pivots.len() - self.line.len());
        for pivot in &pivots[self.line.len()..] {
            let explained: f64 = dot(&pivot.line, &self.line);
            let kernel = dot::<f32, f64>(pivot.key, self.key) / (pivot.norm * self.norm);
            let next = (kernel - explained) / pivot.variance.sqrt();
            self.variance -= next * next;
            self.line.push(next);
        }
        let useful = self.variance > MIN_VARIANCE;
        self.gain = if useful { self.value + lambda * self.variance.ln() } else { f64::NEG_INFINITY };
    }
}

use serde::Serialize;
use statrs::function::factorial::ln_binomial;

use super::error::StatsError;

/// The two-sided p-values of [`mcnemar`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// The exact conditional p-value, which is never too small, hence conservative.
    pub exact: f64,
    /// The mid-p value, which is less conservative, with an error rate close to the nominal one.
    pub mid_p: f64,
}

/// Tests whether two methods are right equally often on the same problems (McNemar 1947, "Note on the sampling error of
/// the difference between correlated proportions or percentages", Psychometrika 12).
///
/// `wins` counts the problems that only the method solves, `losses` those that only the baseline solves; when the
/// methods are equally good each such problem is a fair coin. With `X ~ Binomial(wins + losses, 1/2)` and
/// `k = min(wins, losses)`, `exact = 2 P(X <= k)` and `mid_p = exact - P(X = k)`; for `wins = losses`, `exact = 1` and
/// `mid_p = 1 - P(X = k) / 2` (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91). Without
/// wins and losses there is no evidence, and both are 1.
///
/// ```
/// use stir_report::stats::mcnemar;
/// let p = mcnemar(1, 7); // the worked example of Fagerland et al.
/// assert!((p.exact - 0.0703).abs() < 5e-5 && (p.mid_p - 0.0391).abs() < 5e-5);
/// assert_eq!(mcnemar(0, 0).exact, 1.0);
/// ```
pub fn mcnemar(wins: usize, losses: usize) -> McNemar {
    let (k, n) = (wins.min(losses), wins + losses);
    if n == 0 {
        return McNemar { exact: 1.0, mid_p: 1.0 };
    }
    // The logarithm keeps 1/2^n from vanishing before the number of ways makes up for it.
    let point = (ln_binomial(n as u64, k as u64) - n as f64 * std::f64::consts::LN_2).exp();
    if wins == losses {
        return McNemar { exact: 1.0, mid_p: 1.0 - point / 2.0 };
    }
    let exact = (2.0 * point * tail_over_point(k, n)).min(1.0);
    McNemar { exact, mid_p: exact - point }
}

/// `P(X <= k) / P(X = k)` for `X ~ Binomial(n, 1/2)` and `k <= n / 2`: each step down multiplies by a ratio below 1, so
/// the sum stops once a term no longer changes it.
fn tail_over_point(k: usize, n: usize) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for i in (0..k).rev() {
        term *= (i + 1) as f64 / (n - i) as f64;
        sum += term;
        if term < f64::EPSILON * sum {
            break;
        }
    }
    sum
}

/// Returns p-values adjusted for their number by the step-down method, in the given order (Holm 1979, "A simple
/// sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6).
///
/// If hypotheses with an adjusted value of at most `alpha` are rejected, the probability of any false rejection is at
/// most `alpha`.
///
/// ```
/// use stir_report::stats::holm;
/// let adjusted = holm(&[0.04, 0.01])?;
/// assert_eq!(adjusted, [0.04, 0.02]);
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::PValue`] for the first value outside [0, 1], NaN included.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    if let Some((index, &value)) = p_values.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
        return Err(StatsError::PValue { index, value });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut floor = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        let hypotheses_left = (p_values.len() - rank) as f64;
        floor = floor.max((p_values[index] * hypotheses_left).min(1.0));
        adjusted[index] = floor;
    }
    Ok(adjusted)
}

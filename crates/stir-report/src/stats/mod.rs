//! Statistics for yes-or-no outcomes on a few hundred shared problems.
//!
//! Benchmarks are small and methods answer the same problems, so intervals must hold near 0 and 1 ([`wilson`]), and
//! differences are tested on pairs ([`mcnemar`], [`paired_bootstrap`]); several methods against one baseline need a
//! correction ([`holm`]), and a difference that was not shown may need more problems ([`problems_needed`]).
//!
//! Several seeds: the samples of one problem are not independent, so the problem stays the unit of everything. Each
//! problem counts with its mean over the seeds; intervals come from how these means scatter ([`wilson_clustered`],
//! [`paired_bootstrap`] on them), and so does the test ([`sign_flip`], which is McNemar's for one seed).

mod bootstrap;
mod power;
mod seeds;

use serde::Serialize;
use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::factorial::ln_binomial,
};

pub use self::{
    bootstrap::{MeanDifference, paired_bootstrap},
    power::problems_needed,
    seeds::{sign_flip, wilson_clustered},
};
use crate::EvalError;

/// A closed interval, in the units of what it estimates. Serialises as `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 2]")]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies within the bounds.
    ///
    /// ```
    /// use stir_report::stats::Interval;
    /// assert!(Interval { low: 0.0, high: 1.0 }.contains(1.0));
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.low, interval.high]
    }
}

/// Confidence interval of a proportion by the score method, without continuity correction (Wilson 1927, "Probable
/// inference, the law of succession, and statistical inference", JASA 22).
///
/// `confidence` is the coverage, 0.95 for "95 %". The bounds lie in [0, 1] and contain `successes / n`.
///
/// ```
/// use stir_report::stats::wilson;
/// let interval = wilson(7, 10, 0.95)?;
/// assert!((interval.low - 0.3968).abs() < 1e-4 && (interval.high - 0.8922).abs() < 1e-4);
/// # Ok::<(), stir_report::EvalError>(())
/// ```
///
/// # Errors
/// [`EvalError::NoTrials`] for `n = 0`, [`EvalError::TooManySuccesses`], and [`EvalError::Confidence`] unless
/// `0 < confidence < 1`.
pub fn wilson(successes: usize, n: usize, confidence: f64) -> Result<Interval, EvalError> {
    check_confidence(confidence)?;
    if n == 0 {
        return Err(EvalError::NoTrials);
    }
    if successes > n {
        return Err(EvalError::TooManySuccesses { successes, n });
    }
    Ok(score_interval(successes as f64 / n as f64, n as f64, confidence))
}

/// The score interval of a proportion `p` of `n` trials, which need not be a whole number.
fn score_interval(p: f64, n: f64, confidence: f64) -> Interval {
    // From the lower tail: 1/2 + confidence/2 rounds to 1 for the largest confidences, which lie an infinite z away.
    let z = -normal_quantile((1.0 - confidence) / 2.0);
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // In exact arithmetic the bounds touch 0 at no success, 1 at no failure, and enclose p; rounding must not undo it.
    let low = if p <= 0.0 { 0.0 } else { (centre - half).clamp(0.0, p) };
    let high = if p >= 1.0 { 1.0 } else { (centre + half).clamp(p, 1.0) };
    Interval { low, high }
}

/// The value that a standard normal variable falls short of with probability `p`.
fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Two-sided p-values of [`mcnemar`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Exact conditional p-value: never smaller than it should be, hence cautious.
    pub exact: f64,
    /// Mid-p value: less cautious, with an error rate close to the nominal one.
    pub mid_p: f64,
}

/// McNemar's test that two methods are right equally often on the same problems (McNemar 1947, "Note on the sampling
/// error of the difference between correlated proportions or percentages", Psychometrika 12).
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

/// P-values adjusted for their number by the step-down method, in the order given (Holm 1979, "A simple sequentially
/// rejective multiple test procedure", Scandinavian Journal of Statistics 6).
///
/// Rejecting where the adjusted value is at most `alpha` keeps the chance of any false rejection at most `alpha`.
///
/// ```
/// use stir_report::stats::holm;
/// let adjusted = holm(&[0.04, 0.01])?;
/// assert_eq!(adjusted, [0.04, 0.02]);
/// # Ok::<(), stir_report::EvalError>(())
/// ```
///
/// # Errors
/// [`EvalError::PValue`] for the first value outside [0, 1], NaN included.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, EvalError> {
    if let Some((index, &value)) = p_values.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
        return Err(EvalError::PValue { index, value });
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

fn check_confidence(value: f64) -> Result<(), EvalError> {
    if 0.0 < value && value < 1.0 { Ok(()) } else { Err(EvalError::Confidence { value }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64, relative: f64) -> bool {
        (found - expected).abs() <= relative * expected.abs()
    }

    /// `statsmodels.stats.proportion.proportion_confint(s, n, 1 - confidence, "wilson")`, statsmodels 0.14.
    #[test]
    fn wilson_matches_statsmodels() {
        for (s, n, confidence, low, high) in [
            (0, 1, 0.95, 0.0, 0.7934506856227626),
            (1, 1, 0.95, 0.20654931437723745, 1.0),
            (0, 10, 0.95, 0.0, 0.2775327998628892),
            (7, 10, 0.95, 0.39677814746114537, 0.8922087325936989),
            (281, 500, 0.95, 0.5182029258694332, 0.6048516559133346),
            (280, 480, 0.95, 0.5387379274540609, 0.6266054893647262),
            (999, 1000, 0.99, 0.9915394337800183, 0.9998825836463816),
            (123_456, 1_000_000, 0.8, 0.12303503924247391, 0.12387819760795829),
            (5, 10, 0.999999, 0.08010141197518617, 0.9198985880248138),
        ] {
            let found = wilson(s, n, confidence).unwrap();
            assert!(close(found.low, low, 1e-10), "{s}/{n}: {} {low}", found.low);
            assert!(close(found.high, high, 1e-10), "{s}/{n}: {} {high}", found.high);
        }
    }

    /// Exact: `statsmodels.stats.contingency_tables.mcnemar([[0, w], [l, 0]], exact=True).pvalue`; mid-p:
    /// `2 * binom.cdf(k, n, .5) - binom.pmf(k, n, .5)`, or `1 - binom.pmf(k, n, .5) / 2` for w = l, scipy.stats.
    #[test]
    fn mcnemar_matches_statsmodels() {
        for (wins, losses, exact, mid_p) in [
            (1, 0, 1.0, 0.5),
            (0, 5, 0.0625, 0.03125),
            (5, 5, 1.0, 0.876953125),
            (10, 2, 0.03857421875, 0.022460937499999976),
            (30, 12, 0.007915897334896727, 0.0054015726545912895),
            (7, 25, 0.0021024015732109547, 0.0013187271542847152),
            (612, 500, 0.0008647484771689024, 0.0007801624763858442),
            (51_000, 50_000, 0.0016696304559914016, 0.0016518561858505582),
            (1000, 0, 1.8665272370064378e-301, 9.332636185032603e-302),
        ] {
            let found = mcnemar(wins, losses);
            assert!(close(found.exact, exact, 1e-9), "{wins}/{losses}: {found:?}");
            assert!(close(found.mid_p, mid_p, 1e-9), "{wins}/{losses}: {found:?}");
            assert_eq!(found, mcnemar(losses, wins));
        }
        assert_eq!(mcnemar(0, 0), McNemar { exact: 1.0, mid_p: 1.0 });
        assert_eq!(mcnemar(5000, 0).exact, 0.0); // 2^-4999 is below the smallest f64
    }

    /// `statsmodels.stats.multitest.multipletests(p, method="holm")[1]`.
    #[test]
    fn holm_matches_statsmodels() {
        for (p, expected) in [
            (vec![0.01, 0.04, 0.03, 0.005, 0.5], vec![0.04, 0.09, 0.09, 0.025, 0.5]),
            (vec![0.4, 0.4, 0.9, 0.00001], vec![1.0, 1.0, 1.0, 4e-05]),
            (vec![], vec![]),
        ] {
            let found = holm(&p).unwrap();
            assert_eq!(found.len(), expected.len());
            found.iter().zip(expected).for_each(|(&f, e)| assert!(close(f, e, 1e-12), "{f} {e}"));
        }
    }

    #[test]
    fn extreme_confidences_give_bounds() {
        assert!(wilson(0, 1, 1.0 - f64::EPSILON / 2.0).unwrap().high < 1.0);
        assert_eq!(wilson(1, 2, f64::MIN_POSITIVE).unwrap(), Interval { low: 0.5, high: 0.5 });
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(wilson(0, 0, 0.95), Err(EvalError::NoTrials));
        assert_eq!(wilson(3, 2, 0.95), Err(EvalError::TooManySuccesses { successes: 3, n: 2 }));
        for value in [0.0, 1.0, -0.5, 95.0, f64::INFINITY] {
            assert_eq!(wilson(1, 2, value), Err(EvalError::Confidence { value }));
        }
        assert!(matches!(wilson(1, 2, f64::NAN), Err(EvalError::Confidence { value }) if value.is_nan()));
        assert_eq!(holm(&[0.5, 1.5]), Err(EvalError::PValue { index: 1, value: 1.5 }));
        assert!(matches!(holm(&[f64::NAN]), Err(EvalError::PValue { index: 0, .. })));
    }

    proptest! {
        #[test]
        fn wilson_encloses_the_proportion(
            n in 1usize..100_000,
            part in 0.0..=1.0f64,
            confidence in prop_oneof![1e-9..1.0f64, Just(1.0 - f64::EPSILON / 2.0), Just(f64::MIN_POSITIVE)],
        ) {
            let successes = (part * n as f64) as usize;
            let interval = wilson(successes, n, confidence).unwrap();
            prop_assert!(0.0 <= interval.low && interval.high <= 1.0, "{:?}", interval);
            prop_assert!(interval.contains(successes as f64 / n as f64), "{:?}", interval);
        }

        #[test]
        fn p_values_are_probabilities(wins in 0usize..2000, losses in 0usize..2000) {
            let p = mcnemar(wins, losses);
            prop_assert!(0.0 <= p.mid_p && p.mid_p <= p.exact && p.exact <= 1.0, "{:?}", p);
        }

        #[test]
        fn holm_never_lowers_a_p_value_and_keeps_their_order(p in prop::collection::vec(0.0..=1.0f64, 0..20)) {
            let adjusted = holm(&p).unwrap();
            for i in 0..p.len() {
                prop_assert!(p[i] <= adjusted[i] && adjusted[i] <= 1.0);
                prop_assert!((0..p.len()).all(|j| p[i] > p[j] || adjusted[i] <= adjusted[j]));
            }
        }
    }
}

//! Statistics for yes-or-no outcomes on a few hundred shared problems.
//!
//! Benchmarks are small and methods answer the same problems, so intervals must hold near 0 and 1 ([`wilson`]), and
//! differences are tested on pairs ([`mcnemar`], [`paired_bootstrap`]); several methods against one baseline need a
//! correction ([`holm`]), and a difference that was not shown may need more problems
//! ([`problems_needed`]), or be too small for those there were ([`detectable_difference`]).
//!
//! Several seeds: the samples of one problem are not independent, so the problem stays the unit of everything. Each
//! problem counts with its mean over the seeds; intervals come from how these means scatter ([`wilson_clustered`],
//! [`paired_bootstrap`] on them), and so does the test ([`sign_flip`], which is McNemar's for one seed).

mod bootstrap;
mod clustered;
mod error;
mod interval;
mod paired;
mod power;

pub use self::{
    bootstrap::{MeanDifference, paired_bootstrap},
    clustered::{sign_flip, wilson_clustered},
    error::StatsError,
    interval::{Interval, wilson},
    paired::{McNemar, holm, mcnemar},
    power::{detectable_difference, problems_needed},
};

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
        assert_eq!(wilson(0, 0, 0.95), Err(StatsError::NoTrials));
        assert_eq!(wilson(3, 2, 0.95), Err(StatsError::TooManySuccesses { successes: 3, n: 2 }));
        for value in [0.0, 1.0, -0.5, 95.0, f64::INFINITY] {
            assert_eq!(wilson(1, 2, value), Err(StatsError::Confidence { value }));
        }
        assert!(matches!(wilson(1, 2, f64::NAN), Err(StatsError::Confidence { value }) if value.is_nan()));
        assert_eq!(holm(&[0.5, 1.5]), Err(StatsError::PValue { index: 1, value: 1.5 }));
        assert!(matches!(holm(&[f64::NAN]), Err(StatsError::PValue { index: 0, .. })));
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

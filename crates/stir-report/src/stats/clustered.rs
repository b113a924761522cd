use super::{
    error::StatsError,
    interval::{Interval, check_confidence, score_interval},
};

/// Returns the confidence interval of an accuracy over several samples of each problem: the score interval ([`wilson`])
/// with the effective number of samples.
///
/// `successes[i]` of the `trials` samples of problem `i` are right. Samples of one problem resemble each other: if
/// they were all alike, they would be worth one. With the accuracy `p` and the variance `v` of the problems' own accuracies,
/// the worth is `n = p (1 - p) / (v / problems)` (Kish 1965, "Survey Sampling", section 8.2), which lies between
/// the number of problems and the number of samples; the score interval with such an `n` holds its level in clustered
/// samples where a bootstrap of the problems would collapse near 0 and 1 (Dean and Pagano 2015, "Evaluating confidence
/// interval methods for binomial proportions in clustered surveys", Journal of Survey Statistics and Methodology 3).
/// With no or only successes `v` says nothing, and a problem counts once. For one trial a problem this is [`wilson`].
///
/// ```
/// use stir_report::stats::{wilson, wilson_clustered};
/// assert_eq!(wilson_clustered(&[1, 0, 1, 1], 1, 0.95)?, wilson(3, 4, 0.95)?);
/// // Ten samples each that always agree are worth no more than one.
/// assert_eq!(wilson_clustered(&[10, 0, 10, 10], 10, 0.95)?, wilson(3, 4, 0.95)?);
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::NoTrials`] without problems or for `trials = 0`, [`StatsError::TooManySuccesses`], and
/// [`StatsError::Confidence`] unless `0 < confidence < 1`.
///
/// [`wilson`]: super::wilson
pub fn wilson_clustered(successes: &[usize], trials: usize, confidence: f64) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    if successes.is_empty() || trials == 0 {
        return Err(StatsError::NoTrials);
    }
    if let Some(&successes) = successes.iter().find(|&&successes| successes > trials) {
        return Err(StatsError::TooManySuccesses { successes, n: trials });
    }
    let (problems, samples) = (successes.len() as f64, (successes.len() * trials) as f64);
    let p = successes.iter().sum::<usize>() as f64 / samples;
    let variance = successes.iter().map(|&s| (s as f64 / trials as f64 - p).powi(2)).sum::<f64>() / problems;
    let undecided = successes.iter().all(|&s| s == 0) || successes.iter().all(|&s| s == trials);
    let worth = if undecided { problems } else { (p * (1.0 - p) * problems / variance).clamp(problems, samples) };
    Ok(score_interval(p, worth, confidence))
}

/// Returns the exact two-sided p-value of the hypothesis that paired differences are as likely positive as negative: the
/// share of all assignments of signs to them whose sum is at least as far from zero (Fisher 1935, "The Design of Experiments", section 21).
///
/// A difference is the number of right answers of the method to one problem minus that of the baseline, over the same
/// number of seeds. If the two are equally good, they could be exchanged problem by problem. For one seed the differences are wins (1) and
/// losses (-1) and this is the exact test of [`mcnemar`](super::mcnemar). Time and memory grow with the sum of the
/// differences' sizes, over their greatest common divisor; time also with their number.
///
/// ```
/// use stir_report::stats::{mcnemar, sign_flip};
/// let wins_and_losses = [1, 1, 1, 0, 1, -1, 1, 0, 1, 1];
/// assert!((sign_flip(&wins_and_losses) - mcnemar(7, 1).exact).abs() < 1e-12);
/// // Of the 8 ways to put signs to 3, 1, 2 only +++ and --- reach a sum of 6.
/// assert_eq!(sign_flip(&[3, 1, 2]), 0.25);
/// ```
pub fn sign_flip(differences: &[i32]) -> f64 {
    let divisor = differences.iter().fold(0, |divisor, d| greatest_common_divisor(divisor, d.unsigned_abs()));
    let sizes = differences.iter().filter(|&&d| d != 0).map(|d| (d.unsigned_abs() / divisor) as usize);
    let sum: i64 = differences.iter().map(|&d| i64::from(d)).sum();
    // shares[s]: chance that the positive ones sum up to s.
    let (mut shares, mut total) = (vec![1.0f64], 0);
    for size in sizes {
        total += size;
        shares.resize(total + 1, 0.0);
        for s in (0..=total).rev() {
            let with = if s >= size { shares[s - size] } else { 0.0 };
            shares[s] = (shares[s] + with) / 2.0;
        }
    }
    let distance = (sum.unsigned_abs() / u64::from(divisor.max(1))) as usize;
    let tail: f64 = shares[(total + distance) / 2..].iter().rev().sum();
    (2.0 * tail).min(1.0)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::{mcnemar, wilson};

    /// With `n = p * (1 - p) * len(s) / numpy.var(s / trials)`, at most `trials * len(s)`:
    /// `statsmodels.stats.proportion.proportion_confint(p * n, n, 1 - confidence, "wilson")`, statsmodels 0.15.
    #[test]
    fn intervals_over_seeds_match_statsmodels() {
        for (successes, trials, confidence, low, high) in [
            (vec![4, 0, 3, 1, 2, 4, 4, 0, 1, 3], 4, 0.95, 0.32576019729648537, 0.7556110432038408),
            (vec![8, 8, 7, 8, 8, 8, 6, 8, 8, 8, 8, 8], 8, 0.95, 0.8944105918890278, 0.9912626061227717),
            (vec![2, 2, 1, 2, 1, 2, 2, 1], 4, 0.99, 0.21818547694743792, 0.626514508613248),
        ] {
            let found = wilson_clustered(&successes, trials, confidence).unwrap();
            assert!((found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9, "{found:?} {low} {high}");
        }
    }

    /// `scipy.stats.permutation_test((d,), numpy.sum, permutation_type="samples", n_resamples=numpy.inf)`, which goes
    /// through all assignments of signs; scipy 1.17.
    #[test]
    fn sign_flips_match_scipy() {
        for (differences, expected) in [
            (vec![2, -1, 1, 1, 0, 3, -2, 1], 0.40625),
            (vec![4, 4, -1, 2, 3, -3, 1, 0, 2, 1, -1, 2], 0.111328125),
            (vec![6, -2, 4, 2, 2, -4, 8], 0.265625),
            (vec![1, 1, 1, 1, -1, 2, 2, 2, 3, -3, 5, 1, 1, -2], 0.110107421875),
        ] {
            assert_eq!(sign_flip(&differences), expected, "{differences:?}");
        }
    }

    /// 100 problems that differ in difficulty, 4 samples each, drawn anew 2000 times: how often the interval holds the
    /// true accuracy. Taking all 400 samples as independent should hold it in 77 % only, by the normal
    /// approximation: the true variance of the mean is 0.0016375, that of 400 independent samples 0.000625.
    #[test]
    fn intervals_over_seeds_hold_their_level() {
        use stir_core::SampleRng;
        let mut rng = SampleRng::new(11, 0);
        // Easy, middling and hard problems in equal parts: 0.95, 0.5 and 0.05.
        let mut draw = |_: usize| {
            let p = [0.95, 0.5, 0.05][(rng.uniform() * 3.0) as usize];
            (0..4).filter(|_| rng.uniform() < p).count()
        };
        let (mut held, mut naive) = (0, 0);
        for _ in 0..2000 {
            let successes: Vec<usize> = (0..100).map(&mut draw).collect();
            held += usize::from(wilson_clustered(&successes, 4, 0.95).unwrap().contains(0.5));
            naive += usize::from(wilson(successes.iter().sum(), 400, 0.95).unwrap().contains(0.5));
        }
        assert!((1870..=1930).contains(&held), "{held} of 2000");
        assert!(naive < 1640, "{naive} of 2000");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(wilson_clustered(&[], 3, 0.95), Err(StatsError::NoTrials));
        assert_eq!(wilson_clustered(&[0], 0, 0.95), Err(StatsError::NoTrials));
        assert_eq!(wilson_clustered(&[1, 4], 3, 0.95), Err(StatsError::TooManySuccesses { successes: 4, n: 3 }));
        assert_eq!(wilson_clustered(&[1], 3, 1.0), Err(StatsError::Confidence { value: 1.0 }));
    }

    #[test]
    fn without_differences_there_is_no_evidence() {
        assert_eq!(sign_flip(&[]), 1.0);
        assert_eq!(sign_flip(&[0, 0]), 1.0);
        assert_eq!(sign_flip(&[2, -2]), 1.0);
        assert_eq!(sign_flip(&[i32::MIN]), 1.0);
    }

    #[test]
    fn no_and_only_successes_count_problems() {
        assert_eq!(wilson_clustered(&[0; 20], 8, 0.95), wilson(0, 20, 0.95));
        assert_eq!(wilson_clustered(&[8; 20], 8, 0.95), wilson(20, 20, 0.95));
    }

    proptest! {
        #[test]
        fn one_seed_is_the_plain_interval(solved in prop::collection::vec(0usize..=1, 1..200)) {
            let (found, expected) = (
                wilson_clustered(&solved, 1, 0.95).unwrap(),
                wilson(solved.iter().sum(), solved.len(), 0.95).unwrap(),
            );
            prop_assert!((found.low - expected.low).abs() < 1e-12 && (found.high - expected.high).abs() < 1e-12);
        }

        #[test]
        fn more_samples_of_the_same_problems_never_widen(solved in prop::collection::vec(0usize..=6, 2..80)) {
            let problems = solved.len();
            let p = solved.iter().sum::<usize>() as f64 / (6 * problems) as f64;
            let found = wilson_clustered(&solved, 6, 0.95).unwrap();
            let widest = score_interval(p, problems as f64, 0.95);
            prop_assert!(found.low >= widest.low - 1e-12 && found.high <= widest.high + 1e-12);
            prop_assert!(found.contains(p));
        }

        #[test]
        fn wins_and_losses_make_mcnemar(wins in 0usize..300, losses in 0usize..300, scale in 1i32..5) {
            let differences: Vec<i32> =
                std::iter::repeat_n(scale, wins).chain(std::iter::repeat_n(-scale, losses)).collect();
            let (found, expected) = (sign_flip(&differences), mcnemar(wins, losses).exact);
            prop_assert!((found - expected).abs() <= 1e-9 * expected, "{} {}", found, expected);
        }
    }
}

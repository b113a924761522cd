use super::{error::StatsError, interval::normal_quantile};

/// Returns the number of problems that would show an effect like the observed one: that the hypothesis of equally good
/// methods is rejected at level `alpha` (two-sided) with probability `power`.
///
/// `differences` are method minus baseline, one per problem: 1 for a win, -1 for a loss, 0 for a tie, or anything
/// between for means over seeds. With their mean `d` and mean square `q`,
///
/// ```text
/// n = (z(1 - alpha/2) sqrt(q) + z(power) sqrt(q - d^2))^2 / d^2
/// ```
///
/// rounded up. For wins and losses `q` is the rate of both together and this is the sample size of McNemar's test
/// (Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43). It
/// rests on the normal approximation: with that many problems the exact test has a power of 0.77 to 0.79 instead of
/// 0.8 (in the cases of the tests), and results below about 10 mean little. Returns `None` if there is no difference,
/// since no number of problems would show it.
///
/// ```
/// use stir_report::stats::problems_needed;
/// // 10 wins and 4 losses in 100 problems:
/// let differences: Vec<f64> = (0..100).map(|i| if i < 10 { 1.0 } else if i < 14 { -1.0 } else { 0.0 }).collect();
/// assert_eq!(problems_needed(&differences, 0.05, 0.8)?, Some(303));
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::NoPairs`], [`StatsError::NotFinite`] for a difference that is NaN or infinite, and [`StatsError::Rate`]
/// unless `alpha` and `power` lie strictly between 0 and 1.
pub fn problems_needed(differences: &[f64], alpha: f64, power: f64) -> Result<Option<usize>, StatsError> {
    check_rates(alpha, power)?;
    if differences.is_empty() {
        return Err(StatsError::NoPairs);
    }
    if let Some((index, &value)) = differences.iter().enumerate().find(|(_, d)| !d.is_finite()) {
        return Err(StatsError::NotFinite { index, value });
    }
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let square = differences.iter().map(|d| d * d).sum::<f64>() / n;
    if mean == 0.0 {
        return Ok(None);
    }
    Ok(Some(needed(mean, square, alpha, power).ceil().max(1.0) as usize))
}

/// Returns the smallest difference in the share of right answers that `n` problems would have shown: that the hypothesis
/// of equally good methods is rejected at level `alpha` (two-sided) with probability `power`.
///
/// It inverts the sample size of [`problems_needed`]. `discordant` is the share of problems that only one of the methods
/// solved; an effect that is larger than this share comes with that many more of them. Returns `None` if so few problems
/// show no difference at all.
///
/// ```
/// use stir_report::stats::detectable_difference;
/// // 300 problems, 12 % of which one method solves and the other does not:
/// let difference = detectable_difference(300, 0.12, 0.05, 0.8)?;
/// assert!(difference.is_some_and(|d| (d - 0.0558).abs() < 1e-4));
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::NoPairs`] for `n = 0`, and [`StatsError::Rate`] unless `alpha` and `power` lie strictly between 0 and 1
/// and `discordant` in [0, 1].
pub fn detectable_difference(n: usize, discordant: f64, alpha: f64, power: f64) -> Result<Option<f64>, StatsError> {
    check_rates(alpha, power)?;
    if !(0.0..=1.0).contains(&discordant) {
        return Err(StatsError::Rate { rate: "discordant", value: discordant });
    }
    if n == 0 {
        return Err(StatsError::NoPairs);
    }
    let is_shown = |d: f64| needed(d, discordant.max(d), alpha, power) <= n as f64;
    if !is_shown(1.0) {
        return Ok(None);
    }
    // The larger an effect, the fewer problems show it. After 60 halvings the ends are the same number, or nearly so.
    let (mut hidden, mut shown) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (hidden + shown) / 2.0;
        if is_shown(middle) { shown = middle } else { hidden = middle }
    }
    Ok(Some(shown))
}

/// The number of problems that show a mean difference `mean` of mean square `square`, not rounded.
fn needed(mean: f64, square: f64, alpha: f64, power: f64) -> f64 {
    let null = -normal_quantile(alpha / 2.0) * square.sqrt();
    // Rounding may leave the variance of equal differences below zero.
    let effect = normal_quantile(power) * (square - mean * mean).max(0.0).sqrt();
    ((null + effect) / mean).powi(2)
}

fn check_rates(alpha: f64, power: f64) -> Result<(), StatsError> {
    let rates = [("alpha", alpha), ("power", power)];
    match rates.into_iter().find(|(_, value)| !(0.0 < *value && *value < 1.0)) {
        Some((rate, value)) => Err(StatsError::Rate { rate, value }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(wins: usize, losses: usize, n: usize) -> Vec<f64> {
        let ties = std::iter::repeat_n(0.0, n - wins - losses);
        std::iter::repeat_n(1.0, wins).chain(std::iter::repeat_n(-1.0, losses)).chain(ties).collect()
    }

    /// With `d = (w - l) / n` and `q = (w + l) / n` in scipy 1.17:
    /// `((norm.ppf(1 - alpha/2) * sqrt(q) + norm.ppf(power) * sqrt(q - d*d)) / d) ** 2`, rounded up. The exact test's
    /// power with that many problems, summed over `binom.pmf`, is 0.772, 0.793, 0.882, 0.785, 0.794 and 0.770.
    #[test]
    fn sample_sizes_match_scipy() {
        for (wins, losses, n, alpha, power, expected) in [
            (10, 4, 100, 0.05, 0.8, 303),
            (70, 2, 300, 0.05, 0.8, 35),
            (16, 60, 300, 0.05, 0.9, 120),
            (25, 15, 500, 0.01, 0.8, 2333),
            (5, 0, 500, 0.05, 0.8, 783),
            (13, 5, 60, 0.05, 0.8, 131),
            (51, 50, 500, 0.05, 0.8, 396_367),
        ] {
            let found = problems_needed(&outcomes(wins, losses, n), alpha, power).unwrap();
            assert_eq!(found, Some(expected), "{wins}/{losses} of {n}");
        }
        let means_over_seeds = [0.25, 0.5, -0.25, 0.0, 0.75, 0.0, 0.0, -0.5];
        assert_eq!(problems_needed(&means_over_seeds, 0.05, 0.8), Ok(Some(131))); // 130.18
    }

    #[test]
    fn nothing_shows_no_effect() {
        assert_eq!(problems_needed(&outcomes(5, 5, 100), 0.05, 0.8), Ok(None));
        assert_eq!(problems_needed(&outcomes(0, 0, 3), 0.05, 0.8), Ok(None));
    }

    #[test]
    fn the_sign_does_not_matter_and_less_power_needs_less() {
        let needed = |wins, losses, alpha, power| problems_needed(&outcomes(wins, losses, 200), alpha, power).unwrap();
        assert_eq!(needed(20, 9, 0.05, 0.8), needed(9, 20, 0.05, 0.8));
        assert!(needed(20, 9, 0.05, 0.5) < needed(20, 9, 0.05, 0.9));
        assert!(needed(20, 9, 0.05, 0.8) < needed(20, 9, 0.01, 0.8));
    }

    #[test]
    fn the_detectable_difference_inverts_the_number_needed() {
        for (n, discordant, alpha, power) in [(303, 0.14, 0.05, 0.8), (120, 0.05, 0.025, 0.8), (1319, 0.2, 0.01, 0.9)] {
            let d = detectable_difference(n, discordant, alpha, power).unwrap().unwrap();
            assert!((needed(d, discordant.max(d), alpha, power) - n as f64).abs() < 1e-6 * n as f64, "{n}: {d}");
        }
        // 10 wins and 4 losses of 100 need 303.
        let d = detectable_difference(303, 0.14, 0.05, 0.8).unwrap().unwrap();
        assert!((d - 0.06).abs() < 1e-4, "{d}");
        // No method differs anywhere: an effect would bring its own wins. (z(0.975) / sqrt(d) + ..)^2 = n.
        let d = detectable_difference(100, 0.0, 0.05, 0.8).unwrap().unwrap();
        assert!(0.05 < d && d < 0.08, "{d}");
        assert_eq!(detectable_difference(3, 0.5, 0.05, 0.8), Ok(None));
        assert_eq!(detectable_difference(0, 0.5, 0.05, 0.8), Err(StatsError::NoPairs));
        assert!(matches!(detectable_difference(9, 1.5, 0.05, 0.8), Err(StatsError::Rate { rate: "discordant", .. })));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(problems_needed(&[], 0.05, 0.8), Err(StatsError::NoPairs));
        assert_eq!(problems_needed(&[1.0], 0.0, 0.8), Err(StatsError::Rate { rate: "alpha", value: 0.0 }));
        assert_eq!(problems_needed(&[1.0], 0.05, 1.0), Err(StatsError::Rate { rate: "power", value: 1.0 }));
        assert!(matches!(problems_needed(&[1.0], 0.05, f64::NAN), Err(StatsError::Rate { rate: "power", .. })));
        assert!(matches!(problems_needed(&[0.0, f64::NAN], 0.05, 0.8), Err(StatsError::NotFinite { index: 1, .. })));
    }
}

use serde::Serialize;

use super::{
    error::StatsError,
    interval::{Interval, check_confidence},
};

/// The mean difference between a method and the baseline, in the units of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanDifference {
    /// The mean of method minus baseline over the pairs.
    pub mean: f64,
    /// The interval of the mean under resampling.
    pub interval: Interval,
}

/// Returns the mean of `method[i] - baseline[i]` with a percentile bootstrap interval (Efron 1979, "Bootstrap methods:
/// another look at the jackknife", Annals of Statistics 7).
///
/// Pairs are resampled, so the difficulty of a problem for both methods cancels. Use it for quantities without a simple
/// distribution, such as tokens per answer. `confidence` is the coverage (0.95); 10 000 resamples settle the bounds to
/// about a percent of the interval's width. Quantiles between two resampled means are interpolated linearly. The same
/// arguments give the same result on every platform.
///
/// ```
/// use stir_report::stats::paired_bootstrap;
/// let (baseline, method) = ([100.0, 220.0, 140.0, 310.0], [90.0, 150.0, 145.0, 200.0]);
/// let saved = paired_bootstrap(&baseline, &method, 1000, 0.95, 7)?;
/// assert_eq!(saved.mean, -46.25);
/// assert!(saved.interval.contains(saved.mean));
/// # Ok::<(), stir_report::StatsError>(())
/// ```
///
/// # Errors
/// [`StatsError::UnequalLengths`], [`StatsError::NoPairs`], [`StatsError::NotFinite`] for a difference that is NaN or
/// infinite, [`StatsError::NoResamples`], and [`StatsError::Confidence`] unless `0 < confidence < 1`.
pub fn paired_bootstrap(
    baseline: &[f64],
    method: &[f64],
    resamples: usize,
    confidence: f64,
    seed: u64,
) -> Result<MeanDifference, StatsError> {
    check_confidence(confidence)?;
    if baseline.len() != method.len() {
        return Err(StatsError::UnequalLengths { baseline: baseline.len(), method: method.len() });
    }
    if baseline.is_empty() {
        return Err(StatsError::NoPairs);
    }
    if resamples == 0 {
        return Err(StatsError::NoResamples);
    }
    let differences: Vec<f64> = baseline.iter().zip(method).map(|(b, m)| m - b).collect();
    if let Some((index, &value)) = differences.iter().enumerate().find(|(_, d)| !d.is_finite()) {
        return Err(StatsError::NotFinite { index, value });
    }
    let n = differences.len() as f64;
    let mut rng = SplitMix64(seed);
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| differences.iter().map(|_| differences[rng.below(differences.len())]).sum::<f64>() / n)
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Ok(MeanDifference {
        mean: differences.iter().sum::<f64>() / n,
        interval: Interval { low: quantile(&means, tail), high: quantile(&means, 1.0 - tail) },
    })
}

/// Returns the quantile of sorted values, linear between neighbours (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): resampling needs even
/// and repeatable indices, nothing more, and this way no dependency decides which.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns an index below `bound`, by the high half of a product: off from even by less than `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the authors' `splitmix64.c` for seed 1234567.
    #[test]
    fn generator_matches_its_reference() {
        let mut rng = SplitMix64(1_234_567);
        let found: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(found, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    fn samples() -> (Vec<f64>, Vec<f64>) {
        let walk =
            |step: u32, start: u32, modulus: u32| (0..50).map(|i| f64::from((step * i + start) % modulus)).collect();
        (walk(37, 0, 101), walk(53, 20, 97))
    }

    /// With `d` the 50 differences and `g` the generator above in Python:
    /// `numpy.quantile([numpy.mean([d[(next(g) * 50) >> 64] for _ in range(50)]) for _ in range(2000)], [.025, .975])`,
    /// and the same for `[.25, .75]`.
    #[test]
    fn bounds_match_numpy() {
        let (baseline, method) = samples();
        for (confidence, low, high) in [(0.95, -11.1005, 9.9605), (0.5, -3.78, 3.4)] {
            let found = paired_bootstrap(&baseline, &method, 2000, confidence, 42).unwrap();
            assert!((found.mean + 0.28).abs() < 1e-12);
            assert!((found.interval.low - low).abs() < 1e-9, "{found:?}");
            assert!((found.interval.high - high).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let (baseline, method) = samples();
        let run = |seed| paired_bootstrap(&baseline, &method, 100, 0.9, seed).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let one = paired_bootstrap(&[1.0], &[3.0], 1, 0.9, 0).unwrap();
        assert_eq!(one, MeanDifference { mean: 2.0, interval: Interval { low: 2.0, high: 2.0 } });
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let run = |baseline: &[f64], method: &[f64], resamples, confidence| {
            paired_bootstrap(baseline, method, resamples, confidence, 0).unwrap_err()
        };
        assert_eq!(run(&[1.0], &[], 9, 0.9), StatsError::UnequalLengths { baseline: 1, method: 0 });
        assert_eq!(run(&[], &[], 9, 0.9), StatsError::NoPairs);
        assert_eq!(run(&[1.0], &[1.0], 0, 0.9), StatsError::NoResamples);
        assert_eq!(run(&[1.0], &[1.0], 9, 1.0), StatsError::Confidence { value: 1.0 });
        let value = f64::INFINITY;
        assert_eq!(run(&[1.0, -f64::MAX], &[1.0, f64::MAX], 9, 0.9), StatsError::NotFinite { index: 1, value });
        assert!(matches!(run(&[f64::NAN], &[1.0], 9, 0.9), StatsError::NotFinite { index: 0, .. }));
    }
}

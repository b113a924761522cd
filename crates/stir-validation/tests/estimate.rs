//! Bounds against a plain simulation: they must hold as often as they say.

use stir_core::SampleRng;
use stir_validation::{Measured, Pooled, Trials, Uplift, design_effect};

const LEVEL: f64 = 0.9;

/// Trials of `entries` on shared problems, with their true uplifts. A problem has a chance of being solved, and an effect
/// of its own on top of each entry's uplift; half of the pairs have the same luck with and without.
fn simulate(rng: &mut SampleRng, entries: usize, starts: usize, mean: f64, spread: f64) -> Vec<(f64, Trials)> {
    let problems: Vec<f64> = (0..40).map(|_| 0.3 + 0.3 * rng.uniform()).collect();
    let plain: Vec<[f64; 4]> = problems.iter().map(|_| std::array::from_fn(|_| rng.uniform())).collect();
    let entry = |_| {
        let uplift = (mean + spread * rng.normal()).clamp(-0.2, 0.3);
        let mut trials = Trials::default();
        let first = (rng.uniform() * 40.0) as usize;
        for problem in (first..first + starts).map(|problem| problem % 40) {
            let own = 0.1 * (2.0 * rng.uniform() - 1.0);
            for luck in plain[problem] {
                let with = if rng.uniform() < 0.5 { luck } else { rng.uniform() };
                trials.add(problem, with < problems[problem] + uplift + own, luck < problems[problem]);
            }
        }
        (uplift, trials)
    };
    (0..entries).map(entry).collect()
}

/// Returns how often the lower bounds of entries hold, and that of the mean.
fn coverage(seed: u64, entries: usize, starts: usize, mean: f64, spread: f64, runs: usize) -> (f64, f64) {
    let mut rng = SampleRng::new(seed, 0);
    let (mut held, mut mean_held) = (0, 0);
    for _ in 0..runs {
        let simulated = simulate(&mut rng, entries, starts, mean, spread);
        let trials: Vec<&Trials> = simulated.iter().map(|(_, trials)| trials).collect();
        let (pooled, effect) = (Pooled::of_trials(&trials).unwrap(), design_effect(trials.iter().copied()));
        mean_held +=
            usize::from(pooled.uplift().lower(LEVEL) <= simulated.iter().map(|s| s.0).sum::<f64>() / entries as f64);
        for (uplift, trials) in &simulated {
            held += usize::from(pooled.shrink(trials.measured(effect).unwrap()).lower(LEVEL) <= *uplift);
        }
    }
    (held as f64 / (entries * runs) as f64, mean_held as f64 / runs as f64)
}

#[test]
fn lower_bounds_hold_as_often_as_they_say() {
    let runs = 200;
    for (nth, (entries, starts, mean, spread)) in [
        (6, 8, 0.0, 0.0),
        (6, 8, 0.05, 0.1),
        (30, 8, 0.0, 0.0),
        (30, 8, 0.0, 0.05),
        (30, 8, 0.0, 0.1),
        (30, 4, 0.05, 0.1),
        (60, 16, -0.05, 0.1),
    ]
    .into_iter()
    .enumerate()
    {
        let (entry, of_mean) = coverage(nth as u64, entries, starts, mean, spread, runs);
        // Entries of a run share their luck, so runs are what counts: three standard errors of that many.
        let margin = 3.0 * (LEVEL * (1.0 - LEVEL) / runs as f64).sqrt();
        let made = format!("{entries} entries, {starts} starts, {mean} \u{b1} {spread}: {entry:.3}, mean {of_mean:.3}");
        assert!(entry >= LEVEL - margin && of_mean >= LEVEL - margin, "{made}");
    }
}

#[test]
fn a_few_equal_trials_are_no_certainty() {
    let mut trials = Trials::default();
    assert_eq!(trials.measured(1.0), None);
    (0..4).for_each(|problem| trials.add(problem, true, true));
    let Measured { difference, variance } = trials.measured(1.0).unwrap();
    // Four ties, and half a trial more of each kind: one win or loss in six.
    assert!(difference == 0.0 && (variance - 1.0 / 36.0).abs() < 1e-12);
    (0..4).for_each(|problem| trials.add(problem, true, false));
    let Measured { difference, variance } = trials.measured(2.0).unwrap();
    assert!((difference - 0.4).abs() < 1e-12);
    assert!((variance - 2.0 * (0.5 - 0.16) / 10.0).abs() < 1e-12);
    assert_eq!((trials.pairs(), trials.problems(), trials.right()), (8, 4, (8, 4)));
}

/// The variance between entries is where variance times restricted likelihood is largest, found here on a grid.
#[test]
fn the_mean_is_that_of_random_effects() {
    let measured: Vec<Measured> = [(0.1, 0.01), (0.3, 0.02), (-0.1, 0.01), (0.5, 0.04), (0.05, 0.005)]
        .map(|(difference, variance)| Measured { difference, variance })
        .to_vec();
    let mean = |a: f64| {
        let weights: f64 = measured.iter().map(|m| 1.0 / (m.variance + a)).sum();
        (measured.iter().map(|m| m.difference / (m.variance + a)).sum::<f64>() / weights, weights)
    };
    let density = |a: f64| {
        let (mu, weights) = mean(a);
        let normal = |m: &Measured| {
            let variance = m.variance + a;
            (-(m.difference - mu).powi(2) / (2.0 * variance)).exp() / variance.sqrt()
        };
        a * measured.iter().map(normal).product::<f64>() / weights.sqrt()
    };
    let grid = (1..200_000).map(|i| f64::from(i) * 1e-5);
    let between = grid.max_by(|a, b| density(*a).total_cmp(&density(*b))).unwrap();
    let pooled = Pooled::new(&measured).unwrap();
    assert!((pooled.between - between).abs() < 1e-4 * between.max(0.1), "{} and {between}", pooled.between);
    let (mu, weights) = mean(pooled.between);
    assert!((pooled.mean - mu).abs() < 1e-12 && (pooled.error - weights.sqrt().recip()).abs() < 1e-12);
    assert_eq!(Pooled::new(&[]), None);
    // Shrinkage brings every estimate nearer to the mean, the least certain the most.
    let pull = |m: &Measured| {
        let Uplift { value, error } = pooled.shrink(*m);
        assert!(error > 0.0);
        (m.difference - value) / (m.difference - pooled.mean)
    };
    let pulls: Vec<f64> = measured.iter().map(pull).collect();
    assert!(pulls.iter().all(|pull| (0.0..1.0).contains(pull)));
    assert!(pulls[3] > pulls[1] && pulls[1] > pulls[0] && pulls[0] > pulls[4]);
}

/// Few entries say next to nothing about how they differ, and that must not make their mean worthless.
#[test]
fn the_mean_of_few_entries_is_as_certain_as_they_are() {
    let like = |difference| Measured { difference, variance: 0.01 };
    for entries in 1..4 {
        let pooled = Pooled::new(&vec![like(0.16); entries]).unwrap();
        assert!((pooled.mean - 0.16).abs() < 1e-12 && pooled.between == 0.0);
        assert!((pooled.error - (0.01 / entries as f64).sqrt()).abs() < 1e-12, "{entries}: {}", pooled.error);
    }
    // Half the squared difference, less the variance of the errors.
    let pooled = Pooled::new(&[like(0.1), like(0.5)]).unwrap();
    assert!((pooled.between - (0.08 - 0.01)).abs() < 1e-12, "{}", pooled.between);
}

/// Trials that always agree within a problem count as one trial of it.
#[test]
fn alike_trials_of_a_problem_count_less() {
    let mut rng = SampleRng::new(5, 0);
    let mut of = |alike: bool| {
        let mut trials = Trials::default();
        for problem in 0..400 {
            let shared = rng.uniform();
            for _ in 0..4 {
                let luck = if alike { shared } else { rng.uniform() };
                trials.add(problem, luck < 0.3, luck > 0.6);
            }
        }
        design_effect([&trials])
    };
    let (alike, independent) = (of(true), of(false));
    assert!((alike - 4.0).abs() < 0.4 && independent < 1.2, "{alike} and {independent}");
}

//! The entries that each rule chooses.

use std::collections::BTreeSet;

use crate::common::{candidates, vector};
use proptest::prelude::*;
use stir_basis::{BasisConfig, BasisError, DppConfig, SelectionMethod, greedy_dpp, normalize, select};
use stir_core::{SampleRng, SettingError};

fn dpp(budget: usize, lambda: f64, epsilon: f64) -> DppConfig {
    DppConfig { budget, lambda, epsilon, ..DppConfig::default() }
}

/// The natural logarithm of a determinant, by Gaussian elimination.
fn log_det(mut a: Vec<Vec<f64>>) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        let pivot = (i..a.len()).max_by(|&x, &y| a[x][i].abs().total_cmp(&a[y][i].abs())).unwrap();
        a.swap(i, pivot);
        sum += a[i][i].abs().ln();
        for j in i + 1..a.len() {
            let factor = a[j][i] / a[i][i];
            let (above, below) = a.split_at_mut(j);
            below[0].iter_mut().zip(&above[i]).for_each(|(x, y)| *x -= factor * y);
        }
    }
    sum
}

/// The objective, as written.
fn objective(keys: &[Vec<f64>], quality: &[f64], set: &[usize], lambda: f64, epsilon: f64) -> f64 {
    let kernel = |i: usize, j: usize| {
        keys[i].iter().zip(&keys[j]).map(|(x, y)| x * y).sum::<f64>() + if i == j { epsilon } else { 0.0 }
    };
    let matrix = set.iter().map(|&i| set.iter().map(|&j| kernel(i, j)).collect()).collect();
    set.iter().map(|&i| quality[i].ln_1p()).sum::<f64>() + lambda * log_det(matrix)
}

#[test]
fn greedy_picks_are_those_of_the_naive_determinant() {
    for seed in 0..60 {
        let mut rng = SampleRng::new(seed, 0);
        let (n, width, budget) = (4 + rng.below(20), 3 + rng.below(40), 2 + rng.below(10));
        let keys: Vec<Vec<f32>> = (0..n).map(|_| vector(&mut rng, width)).collect();
        let quality: Vec<f64> = (0..n).map(|_| rng.uniform()).collect();
        let (lambda, epsilon) = (2.0 * rng.uniform(), 1e-2);
        let first: Vec<usize> = (0..rng.below(3)).collect();

        let wide: Vec<Vec<f64>> = keys
            .iter()
            .map(|key| {
                let norm = key.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                key.iter().map(|&x| f64::from(x) / norm).collect()
            })
            .collect();
        let mut naive = first.clone();
        while naive.len() < budget.min(n) {
            let value = |i: usize| objective(&wide, &quality, &[&naive[..], &[i]].concat(), lambda, epsilon);
            let best = (0..n).filter(|i| !naive.contains(i)).max_by(|&a, &b| value(a).total_cmp(&value(b)));
            naive.push(best.unwrap());
        }
        let picks = {
            let config = DppConfig { budget: budget.max(first.len()), lambda, epsilon, first };
            greedy_dpp(&keys.concat(), &quality, &config).unwrap()
        };
        assert_eq!(picks, naive, "seed {seed}");
    }
}

/// The plain greedy rule: every row is brought up to date after every pick. Sums are plain, in f64.
fn plain_greedy(keys: &[Vec<f32>], quality: &[f64], budget: usize, lambda: f64, epsilon: f64) -> Vec<usize> {
    let unit: Vec<Vec<f64>> = keys
        .iter()
        .map(|key| {
            let norm = key.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            key.iter().map(|&x| f64::from(x) / norm).collect()
        })
        .collect();
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut lines = vec![Vec::new(); keys.len()];
    let mut variance: Vec<f64> = unit.iter().map(|key| product(key, key) + epsilon).collect();
    let mut picks: Vec<usize> = Vec::new();
    while picks.len() < budget {
        let gain = |i: usize| quality[i].ln_1p() + lambda * variance[i].ln();
        let left = (0..keys.len()).filter(|i| !picks.contains(i) && variance[*i] > 1e-12);
        // Of equal gains the first stays.
        let Some(best) = left.reduce(|best, i| if gain(i) > gain(best) { i } else { best }) else { break };
        let (line, deviation) = (lines[best].clone(), variance[best].sqrt());
        for i in 0..keys.len() {
            let next = (product(&unit[best], &unit[i]) - product(&line, &lines[i])) / deviation;
            lines[i].push(next);
            variance[i] -= next * next;
        }
        picks.push(best);
    }
    picks
}

/// Keys of whole numbers and of length 4, so that their products are exact and ties are ties.
fn exact_key(rng: &mut SampleRng, width: usize) -> Vec<f32> {
    let mut key = vec![0.0; width];
    for at in places(rng, width) {
        key[at] = if rng.below(2) == 0 { 2.0 } else { -2.0 };
    }
    key
}

fn places(rng: &mut SampleRng, width: usize) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    while chosen.len() < 4 {
        chosen.insert(rng.below(width));
    }
    chosen
}

#[test]
fn greedy_picks_are_those_of_the_plain_rule() {
    // The last is large enough for threads.
    for (seed, n, width, budget) in [(0, 40, 8, 40), (1, 200, 33, 60), (2, 300, 64, 100), (3, 3000, 400, 20)] {
        for epsilon in [1e-2, 1e-4] {
            let mut rng = SampleRng::new(seed, 0);
            let keys: Vec<_> = (0..n).map(|_| vector(&mut rng, width)).collect();
            for levels in [1, 4, 1000] {
                let mut quality: Vec<f64> = (0..n).map(|_| rng.below(levels) as f64 / levels as f64).collect();
                // One is best: among equals the rounding of the diagonal would choose the first pick.
                quality[7] = 1.0;
                let picks = greedy_dpp(&keys.concat(), &quality, &dpp(budget, 0.5, epsilon)).unwrap();
                assert_eq!(picks.len(), budget.min(n));
                assert_eq!(picks, plain_greedy(&keys, &quality, budget, 0.5, epsilon), "seed {seed}, {levels} levels");
            }
        }
    }
}

#[test]
fn ties_and_duplicates_go_to_the_lower_index() {
    for (seed, n, width, budget) in [(0, 60, 12, 8), (1, 400, 40, 20), (2, 2000, 320, 40)] {
        let mut rng = SampleRng::new(seed, 0);
        let mut keys: Vec<Vec<f32>> = (0..n / 2).map(|_| exact_key(&mut rng, width)).collect();
        keys.extend_from_within(..);
        let picks = greedy_dpp(&keys.concat(), &vec![1.0; n], &dpp(budget, 0.5, 1e-2)).unwrap();
        assert_eq!(picks, plain_greedy(&keys, &vec![1.0; n], budget, 0.5, 1e-2), "seed {seed}");
        assert_eq!(picks[0], 0);
    }
}

#[test]
fn picks_do_not_depend_on_threads() {
    let mut rng = SampleRng::new(5, 0);
    let keys: Vec<f32> = vector(&mut rng, 2000 * 320);
    let pick = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| greedy_dpp(&keys, &[1.0; 2000], &dpp(50, 0.5, 1e-4)).unwrap())
    };
    let alone = pick(1);
    assert_eq!((pick(2), pick(5)), (alone.clone(), alone));
}

#[test]
fn equal_keys_stop_the_choice_only_without_epsilon() {
    let keys = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    let quality = [0.5, 0.5, 0.0, 0.9];
    // Two directions: two picks, the better of equal keys first.
    assert_eq!(greedy_dpp(&keys, &quality, &dpp(4, 1.0, 0.0)).unwrap(), [3, 2]);
    // With epsilon the repetitions follow, of equal gains the lower index.
    assert_eq!(greedy_dpp(&keys, &quality, &dpp(4, 1.0, 1e-4)).unwrap(), [3, 2, 0, 1]);
    // Rows that were given count even where they add no direction.
    let given = DppConfig { first: vec![0, 1], ..dpp(4, 1.0, 0.0) };
    assert_eq!(greedy_dpp(&keys, &quality, &given).unwrap(), [0, 1, 2]);
}

#[test]
fn greedy_refuses_what_has_no_value() {
    let ok = [1.0, 0.0, 0.0, 1.0];
    let refused = |keys: &[f32], quality: &[f64], first: &[usize], lambda, epsilon| {
        greedy_dpp(keys, quality, &DppConfig { first: first.to_vec(), ..dpp(2, lambda, epsilon) }).unwrap_err().field
    };
    assert_eq!(refused(&ok[..3], &[1.0; 2], &[], 0.5, 0.1), "rows");
    assert_eq!(refused(&[], &[1.0; 2], &[], 0.5, 0.1), "rows");
    assert_eq!(refused(&[1.0, 0.0, 0.0, 0.0], &[1.0; 2], &[], 0.5, 0.1), "key");
    assert_eq!(refused(&[1.0, f32::NAN, 0.0, 1.0], &[1.0; 2], &[], 0.5, 0.1), "key");
    assert_eq!(refused(&ok, &[1.0, -0.1], &[], 0.5, 0.1), "quality");
    assert_eq!(refused(&ok, &[1.0; 2], &[2], 0.5, 0.1), "row");
    assert_eq!(refused(&ok, &[1.0; 2], &[1, 1], 0.5, 0.1), "row");
    assert_eq!(refused(&[], &[], &[0], 0.5, 0.1), "row");
    assert_eq!(refused(&ok, &[1.0; 2], &[], -0.5, 0.1), "lambda");
    assert_eq!(refused(&ok, &[1.0; 2], &[], 0.5, f64::NAN), "epsilon");
    assert!(greedy_dpp(&[], &[], &dpp(3, 0.5, 0.1)).unwrap().is_empty());
}

const METHODS: [SelectionMethod; 5] = [
    SelectionMethod::Dpp,
    SelectionMethod::Top,
    SelectionMethod::Random { seed: 4 },
    SelectionMethod::KMeans { seed: 4 },
    SelectionMethod::Dbscan { tolerance: 0.8, min_points: 2 },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the method: no entry twice, the budget kept, the quota in front, the same again on the same input.
    #[test]
    fn every_method_keeps_the_rules(
        seed in any::<u64>(), pairs in 1usize..20, budget in 1usize..30, quota in 0usize..4, condition in any::<bool>()
    ) {
        let candidates = candidates(seed, pairs, 6);
        for method in METHODS {
            let config = BasisConfig {
                budget, min_per_control_point: quota, condition_on_quota: condition, method, ..BasisConfig::default()
            };
            let library = select(&candidates, &config).unwrap();
            let indices = &library.selection().unwrap().indices;
            prop_assert!(indices.len() <= budget);
            prop_assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), indices.len());
            for (entry, &index) in library.entries().iter().zip(indices) {
                let pair = &candidates.pairs[index / 2];
                let key = if index % 2 == 0 { &pair.mu_minus } else { &pair.mu_plus };
                prop_assert_eq!(Some(entry.key.to_vec()), normalize(key));
                prop_assert_eq!(entry.vector().map(<[f32]>::to_vec), (index % 2 == 0).then(|| pair.delta()));
            }
            if method == SelectionMethod::Dpp || method == SelectionMethod::Top {
                prop_assert_eq!(indices.len(), budget.min(2 * pairs));
            }
            let expected = quota_by_hand(&candidates, quota, budget);
            prop_assert_eq!(&indices[..expected.len()], &expected);
            prop_assert_eq!(&select(&candidates, &config).unwrap(), &library);
        }
    }
}

fn quota_by_hand(candidates: &stir_basis::MinedPairs, quota: usize, budget: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    for m in 1..=2 {
        let mut at: Vec<usize> = (0..2 * candidates.pairs.len()).filter(|i| candidates.pairs[i / 2].m == m).collect();
        at.sort_by(|a, b| candidates.pairs[b / 2].quality.total_cmp(&candidates.pairs[a / 2].quality));
        chosen.extend(at.into_iter().take(quota));
    }
    chosen.truncate(budget);
    chosen
}

#[test]
fn clustering_covers_separate_bundles() {
    // Four directions, six states around each, and one state apart from all.
    let mut rng = SampleRng::new(9, 0);
    let mut candidates = candidates(0, 13, 8);
    for index in 0..26 {
        let mut state = vec![0.0; 8];
        state[if index < 24 { index % 4 } else { index - 19 }] = 3.0;
        state.iter_mut().for_each(|x| *x += 0.02 * rng.normal() as f32);
        let pair = &mut candidates.pairs[index / 2];
        *(if index % 2 == 0 { &mut pair.mu_minus } else { &mut pair.mu_plus }) = state;
    }
    let chosen = |method, budget| {
        let config = BasisConfig { budget, min_per_control_point: 0, method, ..BasisConfig::default() };
        select(&candidates, &config).unwrap().selection().unwrap().indices.clone()
    };
    let bundles = |indices: &[usize]| indices.iter().map(|&i| if i < 24 { i % 4 } else { i }).collect::<BTreeSet<_>>();
    assert_eq!(bundles(&chosen(SelectionMethod::KMeans { seed: 1 }, 6)).len(), 6);
    let dbscan = chosen(SelectionMethod::Dbscan { tolerance: 0.2, min_points: 3 }, 20);
    assert_eq!(dbscan.len(), 6);
    // Representatives of clusters come before what lies in none.
    assert_eq!(bundles(&dbscan[..4]), BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(chosen(SelectionMethod::Dbscan { tolerance: 0.2, min_points: 3 }, 3).len(), 3);
}

#[test]
fn unusable_entries_are_skipped_and_counted() {
    let mut candidates = candidates(1, 4, 3);
    candidates.pairs[0].mu_plus[1] = f32::NAN; // spoils the key of entry 1 and the vector of entry 0
    candidates.pairs[1].mu_plus = vec![0.0; 3]; // entry 3 has no direction
    candidates.pairs[2].mu_plus = vec![f32::MAX; 3];
    candidates.pairs[2].mu_minus = vec![-f32::MAX; 3]; // the vector of entry 4 overflows
    let library = select(&candidates, &BasisConfig::default()).unwrap();
    let selection = library.selection().unwrap();
    assert_eq!((selection.offered, selection.skipped), (8, 4));
    assert_eq!(selection.indices.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([2, 5, 6, 7]));
}

#[test]
fn nothing_to_choose_from_is_an_error() {
    let mut candidates = candidates(1, 1, 3);
    candidates.pairs[0].mu_plus = vec![f32::NAN; 3];
    let error = select(&candidates, &BasisConfig::default()).unwrap_err();
    assert!(matches!(error, BasisError::NoEntries { skipped: 2 }), "{error}");
    candidates.pairs.clear();
    let error = select(&candidates, &BasisConfig::default()).unwrap_err();
    assert!(matches!(error, BasisError::NoEntries { skipped: 0 }), "{error}");
    let error = select(&candidates, &BasisConfig { budget: 0, ..BasisConfig::default() }).unwrap_err();
    assert!(matches!(error, BasisError::Setting(SettingError { setting: "budget", .. })), "{error}");
}

#[test]
fn a_bad_pair_is_named() {
    let ok = candidates(1, 3, 3);
    let with = |change: fn(&mut stir_basis::Pair)| {
        let mut candidates = ok.clone();
        change(&mut candidates.pairs[2]);
        match select(&candidates, &BasisConfig::default()).unwrap_err() {
            BasisError::Content(error) => (error.index, error.field),
            error => panic!("{error}"),
        }
    };
    assert_eq!(with(|pair| pair.layer = 3), (2, "layer"));
    assert_eq!(with(|pair| pair.quality = f64::INFINITY), (2, "quality"));
    assert_eq!(with(|pair| pair.mu_plus.truncate(2)), (2, "mu_plus"));
    assert_eq!(with(|pair| pair.mu_minus.push(0.0)), (2, "mu_minus"));
    assert_eq!(with(|pair| pair.vector = Some(vec![0.0; 4])), (2, "vector"));
    assert_eq!(with(|pair| pair.quality_error = Some(-0.1)), (2, "quality_error"));
    assert_eq!(with(|pair| pair.quality_error = Some(f64::NAN)), (2, "quality_error"));
}

//! Means, heads and evidence: what they do, and what is refused of them.

use crate::common::{candidates, fingerprint, library, vector};
use safetensors::SafeTensors;
use stir_basis::{
    Action, BasisConfig, BasisError, ContentError, Entry, Evidence, Library, MinedPairs, StateMean, ValueHead,
    normalize, select,
};
use stir_core::SampleRng;

const EVIDENCE: Evidence =
    Evidence { strength: 0.5, trials: 16, with_right: 9, without_right: 4, uplift: 0.3, error: 0.1, lower: 0.1 };

fn means(seed: u64, width: usize) -> Vec<StateMean> {
    let mut rng = SampleRng::new(seed, 7);
    let places = (0..3).flat_map(|layer| (0..4).map(move |m| (layer, m)));
    places.map(|(layer, m)| StateMean { layer, m, count: 9, mean: vector(&mut rng, width) }).collect()
}

fn head(layer: usize) -> ValueHead {
    ValueHead { layer, weights: vec![0.5, -1.0], bias: 0.25, auc: Some(0.6) }
}

fn minus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The same by hand: centre the states, and leave the means out.
#[test]
fn centred_selection_and_retrieval_are_those_of_centred_states() {
    for seed in 0..20 {
        let mut mined = candidates(seed, 12, 5);
        for (i, pair) in mined.pairs.iter_mut().enumerate() {
            pair.vector = (i % 3 > 0).then(|| pair.mu_plus.iter().map(|x| 2.0 * x).collect());
        }
        mined.pairs[0].m = 0;
        mined.means = means(seed, 5);
        let mean = |layer, m| &mined.means.iter().find(|mean| (mean.layer, mean.m) == (layer, m)).unwrap().mean;
        let mut by_hand = MinedPairs { means: Vec::new(), ..mined.clone() };
        for pair in &mut by_hand.pairs {
            let mean = mean(pair.layer, pair.m);
            pair.vector = Some(pair.steering_vector());
            (pair.mu_plus, pair.mu_minus) = (minus(&pair.mu_plus, mean), minus(&pair.mu_minus, mean));
        }
        for method in ["dpp", "kmeans"] {
            let config = BasisConfig { budget: 14, method: method.parse().unwrap(), ..BasisConfig::default() };
            let (library, expected) = (select(&mined, &config).unwrap(), select(&by_hand, &config).unwrap());
            assert_eq!(library.entries(), expected.entries());
            assert_eq!((library.means(), expected.means()), (&mined.means[..], &[][..]));
            let state = vector(&mut SampleRng::new(seed, 9), 5);
            for (layer, m) in [(1, 1), (2, 2), (1, 0), (2, 0)] {
                let hits = library.retrieve(m, &[(layer, &state)], 5);
                assert_eq!(hits, expected.retrieve(m, &[(layer, &minus(&state, mean(layer, m)))], 5));
            }
        }
    }
}

/// Returns which item is refused, and for which field.
fn refused<T: std::fmt::Debug>(result: Result<T, BasisError>) -> (&'static str, usize, &'static str) {
    match result.unwrap_err() {
        BasisError::Content(ContentError { item, index, field, .. }) => (item, index, field),
        error => panic!("{error}"),
    }
}

#[test]
fn means_are_checked() {
    let library = library(1, 6, 2);
    let with = |change: fn(&mut Vec<StateMean>)| {
        let mut bad = means(1, 2);
        change(&mut bad);
        refused(library.clone().with_means(bad))
    };
    assert_eq!(with(|means| means[2].layer = 3), ("mean", 2, "layer"));
    assert_eq!(with(|means| means[2].m = 1), ("mean", 2, "layer and m"));
    assert_eq!(with(|means| means[1].count = 0), ("mean", 1, "count"));
    assert_eq!(with(|means| means[1].mean.push(0.0)), ("mean", 1, "mean"));
    assert_eq!(with(|means| means[1].mean[0] = f32::NAN), ("mean", 1, "mean"));
    let at = library.entries()[0].m;
    let elsewhere = StateMean { m: 9, ..means(1, 2)[0].clone() };
    assert_eq!(refused(library.clone().with_means(vec![elsewhere])), ("entry", 0, "layer and m"), "{at}");
    assert!(library.with_means(Vec::new()).is_ok());

    let mut mined = candidates(1, 3, 2);
    mined.means = means(1, 2);
    mined.pairs[2].m = 4;
    assert_eq!(refused(select(&mined, &BasisConfig::default())), ("pair", 2, "layer and m"));
}

#[test]
fn heads_are_checked_and_read() {
    let library = library(1, 6, 2);
    let with = |change: fn(&mut Vec<ValueHead>)| {
        let mut bad = vec![head(0), head(2)];
        change(&mut bad);
        refused(library.clone().with_heads(bad))
    };
    assert_eq!(with(|heads| heads[1].layer = 3), ("head", 1, "layer"));
    assert_eq!(with(|heads| heads[1].layer = 0), ("head", 1, "layer"));
    assert_eq!(with(|heads| heads[0].weights.truncate(1)), ("head", 0, "weights"));
    assert_eq!(with(|heads| heads[0].weights[1] = f32::INFINITY), ("head", 0, "weights"));
    assert_eq!(with(|heads| heads[0].bias = f32::NAN), ("head", 0, "bias"));
    assert_eq!(with(|heads| heads[0].auc = Some(1.5)), ("head", 0, "auc"));
    assert_eq!(with(|heads| heads[0].auc = Some(f64::NAN)), ("head", 0, "auc"));

    let value = head(0).value(&[2.0, 3.0]);
    assert!((value - 1.0 / (1.0 + 1.75f64.exp())).abs() < 1e-12, "{value}");
    for state in [&[1.0][..], &[f32::INFINITY, 0.0], &[f32::NAN, 0.0]] {
        assert!(head(0).value(state).is_nan(), "{state:?}");
    }
    assert_eq!(library.with_heads(vec![head(2)]).unwrap().heads(), [head(2)]);
}

#[test]
fn evidence_is_checked() {
    let with = |change: fn(&mut Evidence)| {
        let mut bad = EVIDENCE;
        change(&mut bad);
        let entry = Entry { key: [0.0, 1.0].into(), evidence: Some(bad), ..Entry::default() };
        refused(Library::from_entries(fingerprint(2), vec![entry])).2
    };
    assert_eq!(with(|e| e.strength = 0.0), "evidence.strength");
    assert_eq!(with(|e| e.strength = f64::INFINITY), "evidence.strength");
    assert_eq!(with(|e| e.trials = 0), "evidence.trials");
    assert_eq!(with(|e| e.with_right = 17), "evidence.with_right");
    assert_eq!(with(|e| e.without_right = 17), "evidence.without_right");
    assert_eq!(with(|e| e.uplift = 1.1), "evidence.uplift");
    assert_eq!(with(|e| e.error = -0.1), "evidence.error");
    assert_eq!(with(|e| e.lower = 0.4), "evidence.lower");
    assert_eq!(with(|e| e.lower = f64::NAN), "evidence.lower");
}

#[test]
fn a_library_is_validated_when_every_vector_was_tried() {
    let mined = candidates(4, 10, 3);
    let library = select(&mined, &BasisConfig::default()).unwrap();
    assert!(!library.validated());
    let tried = |entry: &Entry| Entry { quality: EVIDENCE.lower, evidence: Some(EVIDENCE), ..entry.clone() };
    let all = library.filter_map(|_, entry| Some(tried(entry))).unwrap();
    assert!(all.validated());
    assert_eq!((all.fingerprint(), all.provenance()), (library.fingerprint(), library.provenance()));
    assert_eq!(all.selection(), library.selection());
    // Only vectors need to be tried, and what is left out leaves the record of the selection too.
    let some =
        library.filter_map(|i, entry| (i % 3 > 0).then(|| entry.vector().map_or(entry.clone(), |_| tried(entry))));
    let some = some.unwrap();
    assert!(some.validated());
    let kept = library.selection().unwrap().indices.iter().enumerate().filter(|(i, _)| i % 3 > 0);
    assert_eq!(some.selection().unwrap().indices, kept.map(|(_, &index)| index).collect::<Vec<_>>());
    assert!(matches!(library.filter_map(|_, _| None), Err(BasisError::NoEntries { .. })));
    let narrow = library.filter_map(|_, entry| Some(Entry { action: Action::Steer(vec![1.0]), ..entry.clone() }));
    assert_eq!(refused(narrow), ("entry", 0, "vector"));
}

#[test]
fn the_export_has_means_heads_and_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.safetensors");
    let entry = |m, evidence| Entry { m, key: normalize(&[1.0, 1.0]).unwrap().into(), evidence, ..Entry::default() };
    let library = Library::from_entries(fingerprint(2), vec![entry(0, None), entry(1, Some(EVIDENCE))]).unwrap();
    let library = library.with_means(means(3, 2)).unwrap().with_heads(vec![head(2)]).unwrap();
    library.export_safetensors(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| (tensors.tensor(name).unwrap().shape().to_vec(), tensors.tensor(name).unwrap().data());
    let doubles: Vec<f64> = read("evidence").1.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    assert_eq!(read("evidence").0, [2, 7]);
    assert!(doubles[..7].iter().all(|x| x.is_nan()));
    assert_eq!(doubles[7..], [0.5, 16.0, 9.0, 4.0, 0.3, 0.1, 0.1]);
    let le = |xs: &[f32]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let flat: Vec<f32> = means(3, 2).into_iter().flat_map(|mean| mean.mean).collect();
    assert_eq!(read("means"), (vec![12, 2], &le(&flat)[..]));
    let integers = |xs: &[i64]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    assert_eq!(read("mean_point"), (vec![12], &integers(&[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])[..]));
    assert_eq!(read("mean_layer"), (vec![12], &integers(&[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])[..]));
    assert_eq!(read("mean_count"), (vec![12], &integers(&[9; 12])[..]));
    assert_eq!(read("heads"), (vec![1, 2], &le(&[0.5, -1.0])[..]));
    assert_eq!(read("head_bias"), (vec![1], &le(&[0.25])[..]));
    assert_eq!(read("head_layer"), (vec![1], &integers(&[2])[..]));
}

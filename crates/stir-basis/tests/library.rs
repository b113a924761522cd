//! Retrieval, and what a library refuses.

use crate::common::{fingerprint, library, vector};
use proptest::prelude::*;
use safetensors::SafeTensors;
use stir_basis::{Action, BasisError, Entry, Hit, Library, normalize};
use stir_core::{Fingerprint, FingerprintMismatch, SampleRng};

fn entry(layer: usize, key: [f32; 2], action: Action) -> Entry {
    Entry {
        problem: "p".into(),
        m: 1,
        layer,
        quality: 1.0,
        key: normalize(&key).unwrap().into(),
        action,
        ..Entry::default()
    }
}

fn small(entries: Vec<Entry>) -> Result<Library, BasisError> {
    Library::from_entries(fingerprint(2), entries)
}

proptest! {
    #[test]
    fn retrieval_is_brute_force(seed in any::<u64>(), n in 1usize..60, width in 1usize..80, k in 0usize..20) {
        let library = library(seed, n, width);
        let mut rng = SampleRng::new(seed, 2);
        let states: Vec<Vec<f32>> = (0..3).map(|_| vector(&mut rng, width)).collect();
        for m in 1..=3 {
            for layers in [vec![0], vec![0, 2], vec![2, 1, 0], vec![7]] {
                let queries: Vec<_> = layers.iter().map(|&layer| (layer, &states[layer % 3][..])).collect();
                let hits = library.retrieve(m, &queries, k);
                let mut all: Vec<(f64, usize)> = Vec::new();
                for (i, entry) in library.entries().iter().enumerate() {
                    if entry.m == m && layers.contains(&entry.layer) {
                        let query = &states[entry.layer];
                        let wide = |a: &[f32], b: &[f32]| -> f64 {
                            a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
                        };
                        let cosine = wide(&entry.key, query) / wide(query, query).sqrt();
                        all.push((cosine, i));
                    }
                }
                prop_assert_eq!(hits.len(), k.min(all.len()));
                for hit in &hits {
                    let (cosine, _) = all.iter().find(|(_, i)| *i == hit.entry).unwrap();
                    prop_assert!((f64::from(hit.similarity) - cosine).abs() < 1e-5);
                    // Nothing that was left out is nearer.
                    let worse = all.iter().filter(|(c, _)| *c > cosine + 1e-5).count();
                    prop_assert!(worse < k);
                }
                let ordered = |w: &[Hit]| (-w[0].similarity, w[0].entry) < (-w[1].similarity, w[1].entry);
                prop_assert!(hits.windows(2).all(ordered));
            }
        }
    }
}

#[test]
fn many_sequences_find_what_each_finds_alone() {
    // The second library is large enough for threads, on which nothing may depend.
    for (n, width) in [(150, 7), (6000, 400)] {
        let library = library(3, n, width);
        let mut rng = SampleRng::new(4, 0);
        let states: Vec<Vec<f32>> = (0..6).map(|_| vector(&mut rng, width)).collect();
        let none = vec![0.0; width];
        let sequences: [&[(usize, &[f32])]; 6] = [
            &[(0, &states[0]), (1, &states[1])],
            &[(1, &states[2])],
            &[],
            &[(2, &none), (0, &states[3])],
            &[(7, &states[4])],
            &[(0, &states[5]), (2, &states[5])],
        ];
        let together = library.retrieve_all(1, &sequences, 8);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone: Vec<_> = sequences.iter().map(|queries| pool.install(|| library.retrieve(1, queries, 8))).collect();
        let bits = |hits: &[Vec<Hit>]| -> Vec<Vec<(usize, u32)>> {
            hits.iter().map(|hits| hits.iter().map(|hit| (hit.entry, hit.similarity.to_bits())).collect()).collect()
        };
        assert_eq!(bits(&together), bits(&alone));
        assert!(together[2].is_empty() && together[4].is_empty() && together[5].len() == 8);
    }
    assert!(library(3, 5, 4).retrieve_all(1, &[], 8).is_empty());
}

#[test]
fn ties_go_to_the_lower_entry_over_all_layers() {
    let keys = [(1, [0.0, 1.0]), (0, [1.0, 0.0]), (1, [1.0, 0.0]), (0, [2.0, 0.0])];
    let library = small(keys.map(|(layer, key)| entry(layer, key, Action::Stay)).to_vec()).unwrap();
    let nearest = |k| -> Vec<usize> {
        library.retrieve(1, &[(0, &[5.0, 0.0]), (1, &[0.1, 0.0])], k).iter().map(|hit| hit.entry).collect()
    };
    assert_eq!(nearest(8), [1, 2, 3, 0]);
    assert_eq!(nearest(2), [1, 2]);
    assert!(nearest(0).is_empty());
    assert_eq!((library.layers(), library.group_len(1), library.group_len(2)), (vec![0, 1], 4, 0));
}

#[test]
fn a_query_without_direction_finds_nothing() {
    let library = small(vec![entry(0, [1.0, 0.0], Action::Stay)]).unwrap();
    for query in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[1.0], &[1.0, 0.0, 0.0], &[]] {
        assert!(library.retrieve(1, &[(0, query)], 8).is_empty(), "{query:?}");
    }
    assert_eq!(library.retrieve(1, &[(0, &[f32::MAX, f32::MAX])], 8).len(), 1);
}

#[test]
fn the_mean_is_taken_per_layer() {
    let steer = |v: [f32; 2]| Action::Steer(v.to_vec());
    let entries = vec![
        entry(0, [1.0, 0.0], steer([1.0, 2.0])),
        entry(0, [1.0, 0.0], Action::Stay),
        entry(0, [0.0, 1.0], steer([3.0, -2.0])),
        entry(1, [0.0, 1.0], steer([9.0, 9.0])),
        entry(2, [0.0, 1.0], Action::Stay),
    ];
    let library = small(entries).unwrap();
    assert_eq!(library.mean_delta(0), Some(vec![2.0, 0.0]));
    assert_eq!(library.mean_delta(1), Some(vec![9.0, 9.0]));
    assert_eq!(library.mean_delta(2), None);
}

#[test]
fn entries_are_checked() {
    let field = |change: fn(&mut Entry)| {
        let mut bad = entry(0, [1.0, 0.0], Action::Steer(vec![0.0; 2]));
        change(&mut bad);
        match small(vec![entry(0, [1.0, 0.0], Action::Stay), bad]).unwrap_err() {
            BasisError::Content(error) => (error.index, error.field),
            error => panic!("{error}"),
        }
    };
    assert_eq!(field(|e| e.layer = 3), (1, "layer"));
    assert_eq!(field(|e| e.quality = -1.0), (1, "quality"));
    assert_eq!(field(|e| e.key = vec![1.0].into()), (1, "key"));
    assert_eq!(field(|e| e.key = vec![1.0, 1.0].into()), (1, "key"));
    assert_eq!(field(|e| e.key = vec![f32::NAN, 1.0].into()), (1, "key"));
    assert_eq!(field(|e| e.action = Action::Steer(vec![1.0])), (1, "vector"));
    assert_eq!(field(|e| e.action = Action::Steer(vec![1.0, f32::INFINITY])), (1, "vector"));
    assert!(matches!(small(vec![]), Err(BasisError::NoEntries { skipped: 0 })));
}

#[test]
fn another_model_is_refused_by_the_field_that_differs() {
    let library = small(vec![entry(0, [1.0, 0.0], Action::Stay)]).unwrap();
    assert!(library.check(&fingerprint(2), false).is_ok());
    match library.check(&Fingerprint { tokenizer: "u".into(), ..fingerprint(2) }, false).unwrap_err() {
        BasisError::Fingerprint(FingerprintMismatch::Model { field, .. }) => assert_eq!(field, "tokenizer"),
        error => panic!("{error}"),
    }
}

/// The file keeps the name of the quantisation, and the error says both.
#[test]
fn another_quantisation_is_refused_unless_it_is_allowed() {
    let with = |weights: &str| Fingerprint { weights: weights.into(), ..fingerprint(2) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.stir");
    let entries = vec![entry(0, [1.0, 0.0], Action::Stay)];
    Library::from_entries(with("BF16:w"), entries).unwrap().save(&path).unwrap();
    let library = Library::load(&path).unwrap();
    assert_eq!(library.fingerprint().quantisation(), Some("BF16"));

    let error = library.check(&with("Q4_K+Q6_K:v"), false).unwrap_err();
    assert!(matches!(error, BasisError::Requantised(_)));
    for word in ["BF16 there", "Q4_K+Q6_K in the model at hand", "allow_requantised"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(library.check(&with("Q4_K+Q6_K:v"), true).is_ok());
    // The same formats and other weights: another model, and so is what does not say.
    for other in ["BF16:v", "v"] {
        assert!(matches!(library.check(&with(other), true), Err(BasisError::Fingerprint(_))), "{other}");
    }
    // What an earlier version wrote of the same model.
    assert!(library.check(&with("w"), false).is_ok());
}

#[test]
fn export_keeps_order_and_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.safetensors");
    let entries = vec![entry(2, [0.0, 2.0], Action::Stay), entry(1, [1.0, 0.0], Action::Steer(vec![0.5, -0.5]))];
    small(entries).unwrap().export_safetensors(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| (tensors.tensor(name).unwrap().shape().to_vec(), tensors.tensor(name).unwrap().data());
    let le = |xs: &[f32]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let integers = |xs: [i64; 2]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    assert_eq!(read("keys"), (vec![2, 2], &le(&[0.0, 1.0, 1.0, 0.0])[..]));
    assert_eq!(read("vectors"), (vec![2, 2], &le(&[0.0, 0.0, 0.5, -0.5])[..]));
    assert_eq!(read("quality"), (vec![2], &[1.0f64.to_le_bytes(), 1.0f64.to_le_bytes()].concat()[..]));
    assert_eq!(read("point"), (vec![2], &integers([1, 1])[..]));
    assert_eq!(read("layer"), (vec![2], &integers([2, 1])[..]));
    assert_eq!(read("kind"), (vec![2], &integers([1, 0])[..]));
}

#[test]
fn vectors_of_ones_own_need_a_place_and_a_direction() {
    let entry = |key: [f32; 2], layer| Entry { layer, key: key.into(), ..Entry::default() };
    let library = Library::from_vectors([entry([3.0, 4.0], 7), entry([0.0, -2.0], 2)]).unwrap();
    assert_eq!(library.entries()[0].key[..], [0.6, 0.8]);
    assert_eq!(library.entries()[1].key[..], [0.0, -1.0]);
    assert_eq!((library.fingerprint().n_layers, library.fingerprint().hidden_size), (8, 2));
    // They name no model, so they are those of none that has a name.
    assert!(matches!(library.check(&fingerprint(2), true), Err(BasisError::Fingerprint(_))));
    assert!(library.check(library.fingerprint(), false).is_ok());

    let refused = |entries: Vec<Entry>| match Library::from_vectors(entries).unwrap_err() {
        BasisError::Content(error) => (error.index, error.field),
        error => panic!("{error}"),
    };
    assert_eq!(refused(vec![entry([1.0, 0.0], 0), entry([0.0, 0.0], 0)]), (1, "key"));
    assert_eq!(refused(vec![entry([1.0, f32::NAN], 0)]), (0, "key"));
    assert_eq!(refused(vec![entry([1.0, 0.0], 0), Entry { key: [1.0].into(), ..Entry::default() }]), (1, "key"));
    let short = Action::Steer(vec![1.0]);
    assert_eq!(refused(vec![Entry { action: short, ..entry([1.0, 0.0], 0) }]), (0, "vector"));
    assert!(matches!(Library::from_vectors([]), Err(BasisError::NoEntries { skipped: 0 })));
}

#[test]
fn a_library_says_what_it_was_made_of() {
    let settings = std::collections::BTreeMap::from([("rollout".to_owned(), "{}".to_owned())]);
    let delimiter = stir_core::Delimiter::new("\n").unwrap();
    let entry = Entry { key: [1.0, 0.0].into(), ..Entry::default() };
    let library = Library::from_entries(fingerprint(2), vec![entry]).unwrap();
    assert_eq!((library.delimiter(), library.provenance().len()), (&stir_core::Delimiter::default(), 0));
    let library = library.with_delimiter(delimiter.clone()).with_provenance(settings.clone());
    assert_eq!((library.delimiter(), library.provenance()), (&delimiter, &settings));
}

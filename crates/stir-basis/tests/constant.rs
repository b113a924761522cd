//! Constant vectors: what a library gives, and a library of them.

use std::collections::BTreeMap;

use crate::common::{fingerprint, library};
use proptest::prelude::*;
use stir_basis::{Action, BasisError, ContentError, Library};

type Vectors = BTreeMap<usize, Vec<f32>>;

fn bits(vectors: &Vectors) -> Vec<(usize, Vec<u32>)> {
    vectors.iter().map(|(&layer, vector)| (layer, vector.iter().map(|x| x.to_bits()).collect())).collect()
}

fn refused(result: Result<impl std::fmt::Debug, BasisError>) -> (&'static str, usize, &'static str) {
    match result {
        Err(BasisError::Content(ContentError { item, index, field, .. })) => (item, index, field),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_library_of_constant_vectors_gives_them_back(
        rows in (1..20usize).prop_flat_map(|width| {
            let number = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
            prop::collection::vec(prop::collection::vec(number, width), 3)
        }),
    ) {
        let vectors: Vectors = (0..).zip(rows).filter(|(_, row)| row.iter().any(|x| *x != 0.0)).collect();
        prop_assume!(!vectors.is_empty());
        let width = vectors.values().next().unwrap().len();
        let library = Library::from_constant_vectors(fingerprint(width), &vectors).unwrap();
        prop_assert_eq!(library.entries().len(), vectors.len());
        prop_assert_eq!(bits(&library.constant_vectors()), bits(&vectors));
        let dir = tempfile::tempdir().unwrap();
        library.save(dir.path().join("l.stir")).unwrap();
        let library = Library::load(dir.path().join("l.stir")).unwrap();
        let all: Vec<usize> = (0..vectors.len()).collect();
        prop_assert_eq!(bits(&library.constant_vectors_of(&all).unwrap()), bits(&vectors));
    }

    #[test]
    fn means_are_those_of_the_chosen_entries(seed in any::<u64>(), chosen in prop::collection::vec(0..20usize, 1..8)) {
        let library = library(seed, 40, 6);
        // Every other entry has a vector.
        let chosen: Vec<usize> = chosen.into_iter().map(|i| 2 * i).collect();
        let found = library.constant_vectors_of(&chosen).unwrap();
        for layer in 0..3 {
            let of: Vec<&[f32]> = chosen.iter().map(|&i| library.entry(i).unwrap()).filter(|e| e.layer == layer)
                .map(|e| e.vector().unwrap()).collect();
            prop_assert_eq!(found.contains_key(&layer), !of.is_empty());
            for (i, x) in found.get(&layer).into_iter().flatten().enumerate() {
                let mean = of.iter().map(|v| f64::from(v[i])).sum::<f64>() / of.len() as f64;
                prop_assert!((f64::from(*x) - mean).abs() < 1e-6);
            }
        }
        let means: Vectors = (0..3).filter_map(|l| Some((l, library.mean_delta(l)?))).collect();
        prop_assert_eq!(library.constant_vectors(), means);
    }
}

#[test]
fn an_entry_alone_is_exported_as_it_is() {
    let library = library(3, 10, 5);
    let entry = &library.entries()[4];
    let found = library.constant_vectors_of(&[4]).unwrap();
    assert_eq!(found, [(entry.layer, entry.vector().unwrap().to_vec())].into());
}

#[test]
fn entries_without_a_vector_or_beyond_the_last_are_refused() {
    let library = library(3, 10, 5);
    assert_eq!(library.entries()[7].action, Action::Stay);
    assert_eq!(refused(library.constant_vectors_of(&[0, 7])), ("entry", 7, "action"));
    assert_eq!(refused(library.constant_vectors_of(&[10])), ("entry", 10, "index"));
    assert!(matches!(library.constant_vectors_of(&[]), Err(BasisError::NoEntries { skipped: 0 })));
}

#[test]
fn vectors_that_do_not_fit_the_model_are_refused_by_their_layer() {
    let library = |vectors: &[(usize, &[f32])]| {
        let vectors = vectors.iter().map(|(layer, vector)| (*layer, vector.to_vec())).collect();
        Library::from_constant_vectors(fingerprint(2), &vectors)
    };
    assert_eq!(refused(library(&[(1, &[1.0, 0.0]), (3, &[1.0, 0.0])])), ("direction", 3, "layer"));
    let told = library(&[(3, &[1.0, 0.0])]).unwrap_err().to_string();
    assert_eq!(told, "direction 3: layer must be below the fingerprint's n_layers");
    assert_eq!(refused(library(&[(1, &[1.0, 0.0]), (2, &[1.0])])), ("direction", 2, "vector"));
    assert_eq!(refused(library(&[(1, &[1.0, f32::NAN])])), ("direction", 1, "vector"));
    assert!(matches!(library(&[]), Err(BasisError::NoEntries { skipped: 0 })));
    assert!(matches!(library(&[(1, &[0.0, -0.0])]), Err(BasisError::NoEntries { skipped: 1 })));
    // A vector that adds nothing is left out.
    let left = library(&[(1, &[0.0, 0.0]), (2, &[3.0, 4.0])]).unwrap();
    assert_eq!((left.layers(), &left.entries()[0].key[..]), (vec![2], &[0.6, 0.8][..]));
    assert_eq!((left.entries()[0].m, left.entries()[0].quality), (1, 1.0));
}

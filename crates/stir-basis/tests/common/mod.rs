//! Small candidates and libraries to test with.

#![allow(dead_code, reason = "the test of memory uses a part")]

use std::collections::BTreeMap;

use stir_basis::{Action, Entry, Library, MinedPairs, Pair, normalize};
use stir_core::{Delimiter, Fingerprint, SampleRng};

pub(crate) fn fingerprint(hidden_size: usize) -> Fingerprint {
    Fingerprint {
        architecture: "toy".into(),
        n_layers: 3,
        hidden_size,
        vocab_size: 40,
        tokenizer: "t".into(),
        weights: "w".into(),
    }
}

pub(crate) fn vector(rng: &mut SampleRng, width: usize) -> Vec<f32> {
    (0..width).map(|_| rng.normal() as f32).collect()
}

/// Pairs over two control points and two layers, of few distinct qualities, some states repeated.
pub(crate) fn candidates(seed: u64, pairs: usize, width: usize) -> MinedPairs {
    let mut rng = SampleRng::new(seed, 0);
    let mut states: Vec<Vec<f32>> = Vec::new();
    for _ in 0..2 * pairs {
        let again = !states.is_empty() && rng.below(5) == 0;
        let state = if again { states[rng.below(states.len())].clone() } else { vector(&mut rng, width) };
        states.push(state);
    }
    let pairs = states
        .chunks(2)
        .enumerate()
        .map(|(i, state)| Pair {
            problem: format!("p{i}"),
            m: 1 + rng.below(2),
            layer: 1 + rng.below(2),
            quality: rng.below(4) as f64 / 4.0,
            mu_plus: state[0].clone(),
            mu_minus: state[1].clone(),
            ..Pair::default()
        })
        .collect();
    let provenance = BTreeMap::from([("induction".to_owned(), "{}".to_owned())]);
    MinedPairs { pairs, provenance, ..mined(width) }
}

/// No pairs, of a model of width `width`.
pub(crate) fn mined(width: usize) -> MinedPairs {
    MinedPairs {
        fingerprint: fingerprint(width),
        delimiter: Delimiter::default(),
        pairs: Vec::new(),
        means: Vec::new(),
        heads: Vec::new(),
        provenance: BTreeMap::new(),
    }
}

pub(crate) fn library(seed: u64, entries: usize, width: usize) -> Library {
    let mut rng = SampleRng::new(seed, 1);
    let entries = (0..entries)
        .map(|i| Entry {
            problem: String::new(),
            m: 1 + rng.below(2),
            layer: rng.below(3),
            quality: rng.uniform(),
            key: normalize(&vector(&mut rng, width)).unwrap().into(),
            action: if i % 2 == 0 { Action::Steer(vector(&mut rng, width)) } else { Action::Stay },
            ..Entry::default()
        })
        .collect();
    Library::from_entries(fingerprint(width), entries).unwrap()
}

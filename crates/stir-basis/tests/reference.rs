//! The selection that a plain, slow implementation of the method made on mined pairs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use safetensors::SafeTensors;
use serde::Deserialize;
use stir_basis::{Action, BasisConfig, MinedPairs, Pair, select};
use stir_core::{Delimiter, Fingerprint};

#[derive(Deserialize)]
struct PairLine {
    id: String,
    m: usize,
    layer: usize,
    quality: f64,
}

#[derive(Deserialize)]
struct Selected {
    selected: Vec<usize>,
    selected_without_quota: Vec<usize>,
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rows(tensors: &SafeTensors<'_>, name: &str) -> Vec<Vec<f32>> {
    let tensor = tensors.tensor(name).unwrap();
    let width = tensor.shape()[1];
    let numbers: Vec<f32> = tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    numbers.chunks(width).map(<[f32]>::to_vec).collect()
}

fn candidates() -> (MinedPairs, Vec<Vec<f32>>) {
    let bytes = fixture("pairs.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let lines: Vec<PairLine> = serde_json::from_slice(&fixture("pairs.json")).unwrap();
    let states = rows(&tensors, "right").into_iter().zip(rows(&tensors, "wrong"));
    let pairs: Vec<Pair> = lines
        .into_iter()
        .zip(states)
        .map(|(PairLine { id, m, layer, quality }, (mu_plus, mu_minus))| Pair {
            problem: id,
            m,
            layer,
            quality,
            mu_plus,
            mu_minus,
            ..Pair::default()
        })
        .collect();
    let fingerprint = Fingerprint {
        architecture: "qwen2".into(),
        n_layers: 5,
        hidden_size: 128,
        vocab_size: 408,
        tokenizer: String::new(),
        weights: String::new(),
    };
    let candidates = MinedPairs {
        fingerprint,
        delimiter: Delimiter::default(),
        pairs,
        means: Vec::new(),
        heads: Vec::new(),
        provenance: BTreeMap::new(),
    };
    (candidates, rows(&tensors, "delta"))
}

#[test]
fn selects_what_the_reference_selects() {
    let (candidates, deltas) = candidates();
    let expected: Selected = serde_json::from_slice(&fixture("selected.json")).unwrap();
    for (min_per_control_point, expected) in [(4, expected.selected), (0, expected.selected_without_quota)] {
        let config = BasisConfig { budget: 64, min_per_control_point, ..BasisConfig::default() };
        let library = select(&candidates, &config).unwrap();
        let selection = library.selection().unwrap();
        assert_eq!(selection.indices, expected);
        assert_eq!((selection.offered, selection.skipped), (2 * candidates.pairs.len(), 0));
        for (entry, index) in library.entries().iter().zip(expected) {
            match &entry.action {
                Action::Steer(delta) => assert_eq!((index % 2, delta), (0, &deltas[index / 2])),
                Action::Stay => assert_eq!(index % 2, 1),
            }
        }
    }
}

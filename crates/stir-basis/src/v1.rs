//! What version 1 of the format holds. It is read and no longer written.

use std::collections::BTreeMap;

use serde::Deserialize;
use stir_core::{Delimiter, Fingerprint};

use crate::{Action, Entry, Key, MinedPairs, Pair, Selection, library::Stored};

#[derive(Deserialize)]
struct PairV1 {
    problem: String,
    m: usize,
    layer: usize,
    quality: f64,
    mu_plus: Vec<f32>,
    mu_minus: Vec<f32>,
}

#[derive(Deserialize)]
pub(crate) struct MinedPairsV1 {
    fingerprint: Fingerprint,
    delimiter: Delimiter,
    pairs: Vec<PairV1>,
    provenance: BTreeMap<String, String>,
}

impl From<MinedPairsV1> for MinedPairs {
    fn from(old: MinedPairsV1) -> Self {
        let pair = |PairV1 { problem, m, layer, quality, mu_plus, mu_minus }| Pair {
            problem,
            m,
            layer,
            quality,
            mu_plus,
            mu_minus,
            ..Pair::default()
        };
        let MinedPairsV1 { fingerprint, delimiter, pairs, provenance } = old;
        let pairs = pairs.into_iter().map(pair).collect();
        Self { fingerprint, delimiter, pairs, means: Vec::new(), heads: Vec::new(), provenance }
    }
}

#[derive(Deserialize)]
struct EntryV1 {
    problem: String,
    m: usize,
    layer: usize,
    quality: f64,
    key: Key,
    action: Action,
}

#[derive(Deserialize)]
pub(crate) struct StoredV1 {
    fingerprint: Fingerprint,
    delimiter: Delimiter,
    entries: Vec<EntryV1>,
    selection: Option<Selection>,
    provenance: BTreeMap<String, String>,
}

impl From<StoredV1> for Stored {
    fn from(old: StoredV1) -> Self {
        let entry = |EntryV1 { problem, m, layer, quality, key, action }| Entry {
            problem,
            m,
            layer,
            quality,
            key,
            action,
            evidence: None,
        };
        let StoredV1 { fingerprint, delimiter, entries, selection, provenance } = old;
        let entries = entries.into_iter().map(entry).collect();
        Self { fingerprint, delimiter, entries, means: Vec::new(), heads: Vec::new(), selection, provenance }
    }
}

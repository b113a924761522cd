use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

/// One contrast between what succeeded and what failed at a control point: the output of mining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Id of the problem it was mined on.
    pub problem: String,
    /// Control point, from 1.
    pub m: usize,
    /// Decoder layer whose output (`resid_post`) was contrasted, 0-based.
    pub layer: usize,
    /// Mean reward of the successes minus mean reward of the failures; finite, >= 0.
    pub quality: f64,
    /// `[hidden_size]`: mean hidden state of the successes at the boundary token.
    pub mu_plus: Vec<f32>,
    /// `[hidden_size]`: mean hidden state of the failures at the boundary token.
    pub mu_minus: Vec<f32>,
}

impl Pair {
    /// `mu_plus - mu_minus`, the direction from failure to success, `[hidden_size]`.
    pub fn delta(&self) -> Vec<f32> {
        self.mu_plus.iter().zip(&self.mu_minus).map(|(plus, minus)| plus - minus).collect()
    }
}

/// The best pairs of a mining run, by falling quality, with what they were mined on and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidates {
    /// The model whose states these are.
    pub fingerprint: Fingerprint,
    /// The text that ended a segment; steering must use the same.
    pub delimiter: Delimiter,
    /// By falling quality, ties by earlier discovery. Pair `i` yields entry `2i` (wrong) and `2i + 1` (right).
    pub pairs: Vec<Pair>,
    /// Settings of every stage so far: stage name to JSON text.
    pub provenance: BTreeMap<String, String>,
}

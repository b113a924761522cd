use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

use crate::error::{ContentError, Rules};

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

impl Candidates {
    /// Checks what no later stage could repair: places, qualities and widths. Numbers that are not finite are left to
    /// [`select`](crate::select), which skips and counts them.
    ///
    /// # Errors
    /// [`ContentError`] with the first pair and field that break a rule.
    pub fn validate(&self) -> Result<(), ContentError> {
        let Fingerprint { n_layers, hidden_size, .. } = self.fingerprint;
        self.pairs.iter().enumerate().try_for_each(|(index, pair)| {
            let rules = Rules { item: "pair", index };
            rules.place(pair.m, pair.layer, n_layers, pair.quality)?;
            rules.width("mu_plus", &pair.mu_plus, hidden_size)?;
            rules.width("mu_minus", &pair.mu_minus, hidden_size)
        })
    }

    /// What a file must keep besides: finite numbers.
    pub(crate) fn validate_for_file(&self) -> Result<(), ContentError> {
        self.validate()?;
        self.pairs.iter().enumerate().try_for_each(|(index, pair)| {
            let rules = Rules { item: "pair", index };
            rules.finite("mu_plus", &pair.mu_plus)?;
            rules.finite("mu_minus", &pair.mu_minus)
        })
    }
}

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

use crate::{
    codec::{self, FileError, FileKind},
    content::{ContentError, Rules},
};

/// A contrast between successes and failures at a control point: the output of mining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The id of the problem it was mined on.
    pub problem: String,
    /// The control point, from 1.
    pub m: usize,
    /// The decoder layer whose output (`resid_post`) was contrasted, 0-based.
    pub layer: usize,
    /// The mean reward of the successes minus that of the failures; finite, >= 0.
    pub quality: f64,
    /// The mean hidden state of the successes at the boundary token, `[hidden_size]`.
    pub mu_plus: Vec<f32>,
    /// The mean hidden state of the failures at the boundary token, `[hidden_size]`.
    pub mu_minus: Vec<f32>,
}

impl Pair {
    /// Returns `mu_plus - mu_minus`, the direction from failure to success, `[hidden_size]`.
    pub fn delta(&self) -> Vec<f32> {
        self.mu_plus.iter().zip(&self.mu_minus).map(|(plus, minus)| plus - minus).collect()
    }
}

/// The best pairs of a mining run, by falling quality, with what they were mined on and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinedPairs {
    /// The model whose states these are.
    pub fingerprint: Fingerprint,
    /// The text that ended a segment; steering must use the same.
    pub delimiter: Delimiter,
    /// The pairs by falling quality, ties by earlier discovery. Pair `i` yields entry `2i` (wrong) and `2i + 1` (right).
    pub pairs: Vec<Pair>,
    /// The settings of every stage so far: from a stage's name to JSON text.
    pub provenance: BTreeMap<String, String>,
}

impl MinedPairs {
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

    /// Writes the pairs to `path`, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`FileError`]: [`Inconsistent`](FileError::Inconsistent) for content that [`load`](Self::load) would refuse,
    /// otherwise when the file cannot be written or would be too large.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        codec::consistent(path, self.validate_for_file())?;
        codec::write(path, FileKind::MinedPairs, self)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`FileError`] with the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let pairs: Self = codec::read(path, FileKind::MinedPairs)?;
        codec::consistent(path, pairs.validate_for_file())?;
        Ok(pairs)
    }

    /// Checks what a file must keep besides: finite numbers.
    pub(crate) fn validate_for_file(&self) -> Result<(), ContentError> {
        self.validate()?;
        self.pairs.iter().enumerate().try_for_each(|(index, pair)| {
            let rules = Rules { item: "pair", index };
            rules.finite("mu_plus", &pair.mu_plus)?;
            rules.finite("mu_minus", &pair.mu_minus)
        })
    }
}

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

use crate::{
    StateMean, ValueHead,
    codec::{self, Content, FileError, FileKind},
    content::{ContentError, Rules},
    head, mean,
    v1::MinedPairsV1,
};

/// A contrast between successes and failures at a control point: the output of mining.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pair {
    /// The id of the problem it was mined on.
    pub problem: String,
    /// The control point; 0 is the end of the prompt.
    pub m: usize,
    /// The decoder layer whose output (`resid_post`) was contrasted, 0-based.
    pub layer: usize,
    /// The mean reward of the successes minus that of the failures; finite, >= 0.
    pub quality: f64,
    /// The standard error of `quality`, where it was estimated; finite, >= 0.
    #[serde(default)]
    pub quality_error: Option<f64>,
    /// The mean hidden state of the successes at the boundary token, `[hidden_size]`.
    pub mu_plus: Vec<f32>,
    /// The mean hidden state of the failures at the boundary token, `[hidden_size]`.
    pub mu_minus: Vec<f32>,
    /// The vector to steer by where it is not [`delta`](Self::delta), `[hidden_size]`.
    #[serde(default)]
    pub vector: Option<Vec<f32>>,
}

impl Pair {
    /// Returns `mu_plus - mu_minus`, the direction from failure to success, `[hidden_size]`.
    pub fn delta(&self) -> Vec<f32> {
        self.mu_plus.iter().zip(&self.mu_minus).map(|(plus, minus)| plus - minus).collect()
    }

    /// Returns the vector to steer by, `[hidden_size]`: `vector`, or else [`delta`](Self::delta).
    pub fn steering_vector(&self) -> Vec<f32> {
        self.vector.clone().unwrap_or_else(|| self.delta())
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
    /// The mean states to subtract before a cosine, one for every layer and control point of a pair; empty where states
    /// are compared as they are.
    #[serde(default)]
    pub means: Vec<StateMean>,
    /// Read-outs of success, at most one a layer.
    #[serde(default)]
    pub heads: Vec<ValueHead>,
    /// The settings of every stage so far: from a stage's name to JSON text.
    pub provenance: BTreeMap<String, String>,
}

impl Content for MinedPairs {
    const KIND: FileKind = FileKind::MinedPairs;
    type V1 = MinedPairsV1;
}

impl MinedPairs {
    /// Checks what no later stage could repair: places, qualities, widths, means and heads. Numbers of a pair that are
    /// not finite are left to [`select`](crate::select), which skips and counts them.
    ///
    /// # Errors
    /// [`ContentError`] with the first pair, mean or head and the field that breaks a rule.
    pub fn validate(&self) -> Result<(), ContentError> {
        let Fingerprint { n_layers, hidden_size, .. } = self.fingerprint;
        self.pairs.iter().enumerate().try_for_each(|(index, pair)| {
            let rules = Rules { item: "pair", index };
            rules.place(pair.layer, n_layers, pair.quality)?;
            let error = pair.quality_error.unwrap_or(0.0);
            rules.ensure(error.is_finite() && error >= 0.0, "quality_error", "finite and >= 0")?;
            rules.width("mu_plus", &pair.mu_plus, hidden_size)?;
            rules.width("mu_minus", &pair.mu_minus, hidden_size)?;
            rules.width("vector", pair.vector.as_ref().unwrap_or(&pair.mu_minus), hidden_size)
        })?;
        let used = self.pairs.iter().map(|pair| ("pair", pair.layer, pair.m));
        mean::check(&self.means, n_layers, hidden_size, used)?;
        head::check(&self.heads, n_layers, hidden_size)
    }

    /// Returns `state` less the mean of its place, as it is compared with others, `[hidden_size]`; the state itself where
    /// that has no mean.
    pub fn centred<'s>(&self, layer: usize, m: usize, state: &'s [f32]) -> Cow<'s, [f32]> {
        match mean::find(&self.means, layer, m) {
            Some(mean) => mean::centred(state, mean).into(),
            None => state.into(),
        }
    }

    /// Writes the pairs to `path`, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`FileError`]: [`Inconsistent`](FileError::Inconsistent) for content that [`load`](Self::load) would refuse,
    /// otherwise when the file cannot be written or would be too large.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        codec::consistent(path, self.validate_for_file())?;
        codec::write(path, self)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`FileError`] with the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let pairs: Self = codec::read(path)?;
        codec::consistent(path, pairs.validate_for_file())?;
        Ok(pairs)
    }

    /// Checks what a file must keep besides: finite numbers.
    pub(crate) fn validate_for_file(&self) -> Result<(), ContentError> {
        self.validate()?;
        self.pairs.iter().enumerate().try_for_each(|(index, pair)| {
            let rules = Rules { item: "pair", index };
            rules.finite("mu_plus", &pair.mu_plus)?;
            rules.finite("mu_minus", &pair.mu_minus)?;
            rules.finite("vector", pair.vector.as_deref().unwrap_or(&[]))
        })
    }
}

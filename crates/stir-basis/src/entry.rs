use serde::{Deserialize, Serialize};

use crate::{
    error::{ContentError, Rules},
    vector::is_unit,
};

/// What a library says to do near one of its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Add this vector, `[hidden_size]`, raw: from failure to success.
    Steer(Vec<f32>),
    /// Leave the model alone: here it succeeded.
    Stay,
}

/// One line of a library: where in the residual stream, and what to do there.
///
/// ```
/// use stir_basis::{normalize, Action, Entry};
/// let entry = Entry {
///     problem: "p1".into(), m: 1, layer: 14, quality: 0.8,
///     key: normalize(&[1.0, 2.0, 2.0]).expect("neither zero nor infinite"),
///     action: Action::Steer(vec![0.5, 0.0, -0.5]),
/// };
/// assert_eq!(entry.vector(), Some(&[0.5, 0.0, -0.5][..]));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Id of the problem it was mined on.
    pub problem: String,
    /// Control point, from 1.
    pub m: usize,
    /// Decoder layer whose output (`resid_post`) the key and the vector belong to, 0-based.
    pub layer: usize,
    /// How much better the successes were rewarded than the failures; finite, >= 0.
    pub quality: f64,
    /// `[hidden_size]`, of length 1.
    pub key: Vec<f32>,
    /// What to do near the key.
    pub action: Action,
}

impl Entry {
    /// The vector to add, if there is one.
    pub fn vector(&self) -> Option<&[f32]> {
        match &self.action {
            Action::Steer(vector) => Some(vector),
            Action::Stay => None,
        }
    }

    pub(crate) fn check(&self, index: usize, n_layers: usize, width: usize) -> Result<(), ContentError> {
        let rules = Rules { item: "entry", index };
        rules.place(self.m, self.layer, n_layers, self.quality)?;
        rules.width("key", &self.key, width)?;
        rules.ensure(is_unit(&self.key), "key", "of length 1")?;
        let vector = self.vector().unwrap_or(&self.key);
        rules.width("vector", vector, width)?;
        rules.finite("vector", vector)
    }
}

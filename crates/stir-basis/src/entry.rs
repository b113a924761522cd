use std::{fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
///     key: normalize(&[1.0, 2.0, 2.0]).expect("neither zero nor infinite").into(),
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
    pub key: Key,
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

/// Numbers of an [`Entry`]'s key. They read as a slice and are shared by clones.
///
/// Those of a library's entries at one control point and layer follow each other in memory, which is what lets
/// [`retrieve`](crate::Library::retrieve) go through them as fast as memory is read.
///
/// ```
/// use stir_basis::Key;
/// let key = Key::from(vec![0.6, 0.8]);
/// assert_eq!((key.len(), key[1]), (2, 0.8));
/// ```
#[derive(Clone, Default)]
pub struct Key {
    matrix: Arc<Vec<f32>>,
    start: usize,
    width: usize,
}

impl Key {
    /// The keys that `matrix`, `[n, width]`, is made of.
    pub(crate) fn rows(matrix: &Arc<Vec<f32>>, width: usize) -> impl Iterator<Item = Self> {
        (0..matrix.len() / width).map(move |row| Self { matrix: matrix.clone(), start: row * width, width })
    }
}

impl From<Vec<f32>> for Key {
    fn from(key: Vec<f32>) -> Self {
        Self { start: 0, width: key.len(), matrix: Arc::new(key) }
    }
}

impl Deref for Key {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.matrix[self.start..][..self.width]
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into())
    }
}

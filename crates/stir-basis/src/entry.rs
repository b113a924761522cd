use std::{fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Evidence,
    content::{ContentError, Rules},
    vector::is_unit,
};

/// The action that a library advises near one of its keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Action {
    /// Add this vector, `[hidden_size]`, as it is: the way from failure to success.
    Steer(Vec<f32>),
    /// Leave the model alone, because here it succeeded.
    #[default]
    Stay,
}

/// One line of a library: a place in the residual stream, and what to do there.
///
/// ```
/// use stir_basis::{Action, Entry};
/// let action = Action::Steer(vec![0.5, 0.0, -0.5]);
/// let entry = Entry { m: 1, layer: 14, key: [0.6, 0.0, 0.8].into(), action, ..Entry::default() };
/// assert_eq!(entry.quality, 1.0);
/// assert_eq!(entry.vector(), Some(&[0.5, 0.0, -0.5][..]));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The id of the problem it was mined on; empty for vectors that were not mined.
    pub problem: String,
    /// The control point; 0 is the end of the prompt.
    pub m: usize,
    /// The decoder layer whose output (`resid_post`) the key and the vector belong to, 0-based.
    pub layer: usize,
    /// The trust in the entry: by how much the successes were rewarded better than the failures, or the lower bound of
    /// the uplift that a trial found; finite, >= 0.
    pub quality: f64,
    /// The direction of the states that the entry is for, `[hidden_size]`, of length 1.
    pub key: Key,
    /// The action near the key.
    pub action: Action,
    /// What a trial of the vector found; `None` where it was not tried.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

impl Default for Entry {
    /// Returns an entry of quality 1 at the first control point and layer 0 that says to stay. It has no key yet.
    fn default() -> Self {
        Self {
            problem: String::new(),
            m: 1,
            layer: 0,
            quality: 1.0,
            key: Key::default(),
            action: Action::default(),
            evidence: None,
        }
    }
}

impl Entry {
    /// Returns the vector to add, if there is one.
    pub fn vector(&self) -> Option<&[f32]> {
        match &self.action {
            Action::Steer(vector) => Some(vector),
            Action::Stay => None,
        }
    }

    pub(crate) fn check(&self, index: usize, n_layers: usize, width: usize) -> Result<(), ContentError> {
        let rules = Rules { item: "entry", index };
        rules.place(self.layer, n_layers, self.quality)?;
        rules.width("key", &self.key, width)?;
        rules.ensure(is_unit(&self.key), "key", "of length 1")?;
        let vector = self.vector().unwrap_or(&self.key);
        rules.width("vector", vector, width)?;
        rules.finite("vector", vector)?;
        self.evidence.map_or(Ok(()), |evidence| evidence.check(rules))
    }
}

/// The numbers of an [`Entry`]'s key. They read as a slice and are shared by clones.
///
/// The keys of a library's entries at one control point and layer follow each other in memory, which lets
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
    /// Returns the keys that `matrix`, `[n, width]`, is made of.
    pub(crate) fn rows(matrix: &Arc<Vec<f32>>, width: usize) -> impl Iterator<Item = Self> {
        (0..matrix.len() / width).map(move |row| Self { matrix: matrix.clone(), start: row * width, width })
    }
}

impl From<Vec<f32>> for Key {
    fn from(key: Vec<f32>) -> Self {
        Self { start: 0, width: key.len(), matrix: Arc::new(key) }
    }
}

impl From<&[f32]> for Key {
    fn from(key: &[f32]) -> Self {
        key.to_vec().into()
    }
}

impl<const N: usize> From<[f32; N]> for Key {
    fn from(key: [f32; N]) -> Self {
        key.to_vec().into()
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

/// A value that breaks a rule of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{item} {index}: {field} must be {rule}")]
pub struct ContentError {
    /// The kind of item that the value belongs to: `pair`, `entry`, `row` and so on.
    pub item: &'static str,
    /// The number of the item, from 0.
    pub index: usize,
    /// The field.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// Checks rules about one item and names the first that is broken.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) item: &'static str,
    pub(crate) index: usize,
}

impl Rules {
    pub(crate) fn ensure(self, holds: bool, field: &'static str, rule: &'static str) -> Result<(), ContentError> {
        if holds { Ok(()) } else { Err(ContentError { item: self.item, index: self.index, field, rule }) }
    }

    /// The rules that pairs and entries share.
    pub(crate) fn place(self, layer: usize, n_layers: usize, quality: f64) -> Result<(), ContentError> {
        self.layer(layer, n_layers)?;
        self.quality(quality)
    }

    pub(crate) fn layer(self, layer: usize, n_layers: usize) -> Result<(), ContentError> {
        self.ensure(layer < n_layers, "layer", "below the fingerprint's n_layers")
    }

    pub(crate) fn quality(self, quality: f64) -> Result<(), ContentError> {
        self.ensure(quality.is_finite() && quality >= 0.0, "quality", "finite and >= 0")
    }

    pub(crate) fn width(self, field: &'static str, vector: &[f32], width: usize) -> Result<(), ContentError> {
        self.ensure(vector.len() == width, field, "as wide as the fingerprint's hidden_size")
    }

    pub(crate) fn finite(self, field: &'static str, vector: &[f32]) -> Result<(), ContentError> {
        self.ensure(vector.iter().all(|x| x.is_finite()), field, "finite")
    }
}

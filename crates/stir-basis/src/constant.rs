//! One vector for each layer, to be added whatever the state: from a library, and as one.

use std::collections::BTreeMap;

use stir_core::Fingerprint;

use crate::{
    Action, BasisError, Entry, Library,
    content::{ContentError, Rules},
    normalize,
};

impl Library {
    /// Returns the mean of all vectors at `layer`, `[hidden_size]`: one static steering vector, the baseline to beat.
    /// `None` when the layer has none.
    pub fn mean_delta(&self, layer: usize) -> Option<Vec<f32>> {
        self.mean(self.entries().iter().filter(|entry| entry.layer == layer).filter_map(Entry::vector))
    }

    /// Returns the mean of the vectors of each layer that has any, `[hidden_size]`, by layer: what steers as a constant.
    ///
    /// ```
    /// # use stir_basis::{Action, Entry, Library};
    /// # let entry = |layer, vector: [f32; 2]| {
    /// #     Entry { layer, key: [1.0, 0.0].into(), action: Action::Steer(vector.to_vec()), ..Entry::default() }
    /// # };
    /// let library = Library::from_vectors([entry(7, [1.0, 0.0]), entry(8, [4.0, 0.0]), entry(8, [0.0, 2.0])])?;
    /// assert_eq!(library.constant_vectors(), [(7, vec![1.0, 0.0]), (8, vec![2.0, 1.0])].into());
    /// assert_eq!(library.constant_vectors_of(&[1])?, [(8, vec![4.0, 0.0])].into());
    /// # Ok::<(), stir_basis::BasisError>(())
    /// ```
    pub fn constant_vectors(&self) -> BTreeMap<usize, Vec<f32>> {
        self.layers().into_iter().filter_map(|layer| Some((layer, self.mean_delta(layer)?))).collect()
    }

    /// Returns the same for the vectors of `entries` alone, which are indices in [`entries`](Self::entries). The vector of
    /// an entry that is the only one of its layer is returned bit for bit.
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] without entries; [`BasisError::Content`] for the first that the library does not have or
    /// that has no vector.
    pub fn constant_vectors_of(&self, entries: &[usize]) -> Result<BTreeMap<usize, Vec<f32>>, BasisError> {
        let mut layers: BTreeMap<usize, Vec<&[f32]>> = BTreeMap::new();
        for &index in entries {
            let refused = |field, rule| ContentError { item: "entry", index, field, rule };
            let entry = self.entry(index).ok_or(refused("index", "below the number of the library's entries"))?;
            let vector = entry.vector().ok_or(refused("action", "to add a vector"))?;
            layers.entry(entry.layer).or_default().push(vector);
        }
        if layers.is_empty() {
            return Err(BasisError::NoEntries { skipped: 0 });
        }
        Ok(layers.into_iter().filter_map(|(layer, vectors)| Some((layer, self.mean(vectors)?))).collect())
    }

    /// Creates a library of constant vectors, `[hidden_size]` each, by the decoder layer (from 0) to whose output they are
    /// added: one entry for each that is not zero, which adds nothing.
    ///
    /// Constant vectors have no states that they are for. What steers without looking at the state, the mean of a layer's
    /// vectors, is therefore all that they are meant for. The entries are at control point 1, of quality 1, and their keys
    /// are the directions of the vectors themselves.
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] without vectors, or if all are zero; [`BasisError::Content`] for the first vector (item
    /// `direction`, by its layer) at a layer that the fingerprint does not have, of another width or not finite.
    pub fn from_constant_vectors(
        fingerprint: Fingerprint,
        vectors: &BTreeMap<usize, Vec<f32>>,
    ) -> Result<Self, BasisError> {
        let mut entries = Vec::new();
        for (&layer, vector) in vectors {
            let rules = Rules { item: "direction", index: layer };
            rules.layer(layer, fingerprint.n_layers)?;
            rules.width("vector", vector, fingerprint.hidden_size)?;
            rules.finite("vector", vector)?;
            if let Some(key) = normalize(vector) {
                let action = Action::Steer(vector.clone());
                entries.push(Entry { layer, key: key.into(), action, ..Entry::default() });
            }
        }
        match entries.is_empty() {
            true => Err(BasisError::NoEntries { skipped: vectors.len() }),
            false => Self::from_entries(fingerprint, entries),
        }
    }

    /// Returns the mean of vectors, `[hidden_size]`; `None` when there are none.
    fn mean<'v>(&self, vectors: impl IntoIterator<Item = &'v [f32]>) -> Option<Vec<f32>> {
        // What is added to -0 stays as it is, 0 and -0 too.
        let (mut sum, mut count) = (vec![-0.0; self.width()], 0.0);
        for vector in vectors {
            count += 1.0;
            sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        (count > 0.0).then(|| sum.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}

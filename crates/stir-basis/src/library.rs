use std::{collections::BTreeMap, mem, sync::Arc};

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

use crate::{
    BasisConfig, BasisError, Entry, Key,
    error::ContentError,
    vector::{WORTH_THREADS, dot, normalize},
};

/// Entries chosen for one model, ready for retrieval.
///
/// ```
/// use std::collections::BTreeMap;
/// use stir_basis::{normalize, Action, Entry, Library};
/// use stir_core::{Delimiter, Fingerprint};
///
/// let fingerprint = Fingerprint {
///     architecture: "qwen2".into(), n_layers: 28, hidden_size: 2, vocab_size: 100,
///     tokenizer: "a1".into(), weights: "b2".into(),
/// };
/// let entry = |key: [f32; 2], action| Entry {
///     problem: "p1".into(), m: 1, layer: 14, quality: 0.8, key: normalize(&key).expect("not zero").into(), action,
/// };
/// let entries = vec![entry([1.0, 0.0], Action::Steer(vec![0.5, 0.5])), entry([1.0, 1.0], Action::Stay)];
/// let library = Library::from_entries(fingerprint, Delimiter::default(), entries, BTreeMap::new())?;
///
/// // At the first control point, with this state after layer 14:
/// let hits = library.retrieve(1, &[(14, &[2.0, 1.8])], 8);
/// assert_eq!(hits.iter().map(|hit| hit.entry).collect::<Vec<_>>(), [1, 0]);
/// assert!(hits[0].similarity > 0.99);
/// # Ok::<(), stir_basis::BasisError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Library {
    stored: Stored,
    /// By (control point, layer).
    groups: Vec<Group>,
}

/// What a library's file holds; the rest follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    fingerprint: Fingerprint,
    delimiter: Delimiter,
    entries: Vec<Entry>,
    selection: Option<Selection>,
    provenance: BTreeMap<String, String>,
}

/// How [`select`](crate::select) arrived at a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The settings.
    pub config: BasisConfig,
    /// Entries there were to choose from: two per pair.
    pub offered: usize,
    /// How many of them were not usable (zero or non-finite).
    pub skipped: usize,
    /// For every entry of the library, its index among those offered: `2i` is pair `i` wrong, `2i + 1` right.
    pub indices: Vec<usize>,
}

/// An entry near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its index in [`Library::entries`].
    pub entry: usize,
    /// Cosine of the angle between its key and the query, in [-1, 1] up to rounding.
    pub similarity: f32,
}

/// The entries of one control point and layer.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    m: usize,
    layer: usize,
    entries: Vec<usize>,
    /// `[entries, hidden_size]`, shared with the entries.
    keys: Arc<Vec<f32>>,
}

impl Library {
    /// A library of vectors that come from elsewhere than [`select`](crate::select). Keys must be of length 1 (see
    /// [`normalize`]).
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] without entries; [`BasisError::Content`] for the first entry whose key or vector does
    /// not have the fingerprint's width or is not finite, or whose control point, layer or quality is out of range.
    pub fn from_entries(
        fingerprint: Fingerprint,
        delimiter: Delimiter,
        entries: Vec<Entry>,
        provenance: BTreeMap<String, String>,
    ) -> Result<Self, BasisError> {
        Self::new(fingerprint, delimiter, entries, None, provenance)
    }

    pub(crate) fn new(
        fingerprint: Fingerprint,
        delimiter: Delimiter,
        entries: Vec<Entry>,
        selection: Option<Selection>,
        provenance: BTreeMap<String, String>,
    ) -> Result<Self, BasisError> {
        if entries.is_empty() {
            return Err(BasisError::NoEntries { skipped: 0 });
        }
        Ok(Self::from_stored(Stored { fingerprint, delimiter, entries, selection, provenance })?)
    }

    pub(crate) fn from_stored(mut stored: Stored) -> Result<Self, ContentError> {
        let Fingerprint { n_layers, hidden_size, .. } = stored.fingerprint;
        stored.entries.iter().enumerate().try_for_each(|(i, entry)| entry.check(i, n_layers, hidden_size))?;
        if let Some(selection) = &stored.selection {
            let (expected, index) = (stored.entries.len(), selection.indices.len());
            if expected != index {
                return Err(ContentError { item: "selection of", index, field: "indices", rule: "one per entry" });
            }
        }
        let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (i, entry) in stored.entries.iter().enumerate() {
            groups.entry((entry.m, entry.layer)).or_default().push(i);
        }
        let gather = |((m, layer), entries): (_, Vec<usize>)| {
            let mut keys = Vec::with_capacity(entries.len() * hidden_size);
            // What is copied is given back at once: at no time are there two of every key.
            entries.iter().for_each(|&i| keys.extend_from_slice(&mem::take(&mut stored.entries[i].key)));
            let keys = Arc::new(keys);
            entries.iter().zip(Key::rows(&keys, hidden_size)).for_each(|(&i, key)| stored.entries[i].key = key);
            Group { m, layer, entries, keys }
        };
        let groups = groups.into_iter().map(gather).collect();
        Ok(Self { stored, groups })
    }

    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The model whose residual stream the vectors belong to.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.stored.fingerprint
    }

    /// The text that ended a segment when the entries were mined; steering must use the same.
    pub fn delimiter(&self) -> &Delimiter {
        &self.stored.delimiter
    }

    /// The entries in the order in which they were selected.
    pub fn entries(&self) -> &[Entry] {
        &self.stored.entries
    }

    /// Entry `index`, as a [`Hit`] names it.
    pub fn entry(&self, index: usize) -> Option<&Entry> {
        self.stored.entries.get(index)
    }

    /// How the entries were selected; `None` for a library [`from_entries`](Self::from_entries).
    pub fn selection(&self) -> Option<&Selection> {
        self.stored.selection.as_ref()
    }

    /// Settings of the stages before selection: stage name to JSON text.
    pub fn provenance(&self) -> &BTreeMap<String, String> {
        &self.stored.provenance
    }

    /// The layers that have entries, ascending.
    pub fn layers(&self) -> Vec<usize> {
        let mut layers: Vec<usize> = self.groups.iter().map(|group| group.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        layers
    }

    /// Entries at control point `m`, over all layers.
    pub fn group_len(&self, m: usize) -> usize {
        self.groups.iter().filter(|group| group.m == m).map(|group| group.entries.len()).sum()
    }

    /// Whether the library was made for the model `found`.
    ///
    /// # Errors
    /// [`BasisError::Fingerprint`] with the first field that differs.
    pub fn check(&self, found: &Fingerprint) -> Result<(), BasisError> {
        Ok(self.stored.fingerprint.check(found)?)
    }

    /// The `k` entries at control point `m` with the highest cosine similarity to the query of their layer, over all
    /// queries together; by falling similarity, ties to the lower entry. The search is exact: one dot product per entry.
    ///
    /// Each query is a layer, named at most once, and the state after it, `[hidden_size]`, of any length. A query that
    /// is zero, not finite or of another width has no similarity to anything and yields nothing.
    pub fn retrieve(&self, m: usize, queries: &[(usize, &[f32])], k: usize) -> Vec<Hit> {
        self.retrieve_all(m, &[queries], k).pop().unwrap_or_default()
    }

    /// What [`retrieve`](Self::retrieve) finds for each of several sequences at the same control point, `[sequences]`,
    /// bit for bit, reading the keys once for all of them.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use stir_basis::{normalize, Action, Entry, Library};
    /// # use stir_core::{Delimiter, Fingerprint};
    /// # let fingerprint = Fingerprint {
    /// #     architecture: "qwen2".into(), n_layers: 28, hidden_size: 2, vocab_size: 100,
    /// #     tokenizer: "a1".into(), weights: "b2".into(),
    /// # };
    /// # let entry = |key: [f32; 2]| Entry {
    /// #     problem: "p1".into(), m: 1, layer: 14, quality: 0.8,
    /// #     key: normalize(&key).expect("not zero").into(), action: Action::Stay,
    /// # };
    /// # let entries = vec![entry([1.0, 0.0]), entry([1.0, 1.0])];
    /// # let library = Library::from_entries(fingerprint, Delimiter::default(), entries, BTreeMap::new())?;
    /// let (first, second) = ([2.0, 1.8], [3.0, 0.1]);
    /// let hits = library.retrieve_all(1, &[&[(14, &first)], &[(14, &second)]], 1);
    /// assert_eq!((hits[0][0].entry, hits[1][0].entry), (1, 0));
    /// # Ok::<(), stir_basis::BasisError>(())
    /// ```
    pub fn retrieve_all(&self, m: usize, sequences: &[&[(usize, &[f32])]], k: usize) -> Vec<Vec<Hit>> {
        let mut hits = vec![Vec::new(); sequences.len()];
        for group in self.groups.iter().filter(|group| group.m == m) {
            let states: Vec<(usize, Vec<f32>)> = (sequences.iter().enumerate())
                .flat_map(|(i, queries)| queries.iter().map(move |query| (i, query)))
                .filter(|(_, (layer, state))| *layer == group.layer && state.len() == self.width())
                .filter_map(|(i, (_, state))| Some((i, normalize(state)?)))
                .collect();
            for ((sequence, _), near) in states.iter().zip(scan(&group.entries, &group.keys, &states, k)) {
                hits[*sequence].extend(near);
            }
        }
        hits.iter_mut().for_each(|hits| keep_nearest(hits, k));
        hits
    }

    fn width(&self) -> usize {
        self.stored.fingerprint.hidden_size
    }

    /// The mean of all vectors at `layer`, `[hidden_size]`: one static steering vector, the baseline to beat. `None`
    /// when the layer has none.
    pub fn mean_delta(&self, layer: usize) -> Option<Vec<f32>> {
        let mut sum = vec![0.0; self.width()];
        let mut count = 0.0;
        for vector in self.entries().iter().filter(|entry| entry.layer == layer).filter_map(Entry::vector) {
            count += 1.0;
            sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        (count > 0.0).then(|| sum.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}

/// For each state the nearest `k` of `entries`, whose keys are `keys`, `[entries, width]`.
fn scan(entries: &[usize], keys: &[f32], states: &[(usize, Vec<f32>)], k: usize) -> Vec<Vec<Hit>> {
    let width = keys.len() / entries.len();
    if entries.len() > 1 && keys.len() * states.len() >= WORTH_THREADS {
        let half = entries.len() / 2;
        let ((front, back), (front_keys, back_keys)) = (entries.split_at(half), keys.split_at(half * width));
        let (mut hits, others) =
            rayon::join(|| scan(front, front_keys, states, k), || scan(back, back_keys, states, k));
        for (hits, others) in hits.iter_mut().zip(others) {
            hits.extend(others);
            keep_nearest(hits, k);
        }
        return hits;
    }
    let mut hits = vec![Vec::with_capacity(entries.len()); states.len()];
    for (&entry, key) in entries.iter().zip(keys.chunks_exact(width)) {
        for (hits, (_, state)) in hits.iter_mut().zip(states) {
            hits.push(Hit { entry, similarity: dot(key, state) });
        }
    }
    hits.iter_mut().for_each(|hits| keep_nearest(hits, k));
    hits
}

/// Leaves the nearest `k`, by falling similarity, ties to the lower entry.
fn keep_nearest(hits: &mut Vec<Hit>, k: usize) {
    let order = |a: &Hit, b: &Hit| b.similarity.total_cmp(&a.similarity).then(a.entry.cmp(&b.entry));
    if k < hits.len() {
        hits.select_nth_unstable_by(k, order);
        hits.truncate(k);
    }
    hits.sort_unstable_by(order);
}

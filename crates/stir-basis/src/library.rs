use std::{collections::BTreeMap, mem, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint, FingerprintMismatch};

use crate::{
    BasisConfig, BasisError, Entry, Key, StateMean, ValueHead,
    codec::{self, Content, FileError, FileKind},
    content::ContentError,
    head, mean,
    v1::StoredV1,
    vector::normalize,
};

/// The entries chosen for one model, ready for retrieval.
///
/// ```
/// use stir_basis::{Action, Entry, Library};
///
/// let steer = Action::Steer(vec![0.5, 0.5]);
/// let library = Library::from_vectors([
///     Entry { m: 1, layer: 14, key: [1.0, 0.0].into(), action: steer, ..Entry::default() },
///     Entry { m: 1, layer: 14, key: [1.0, 1.0].into(), action: Action::Stay, ..Entry::default() },
/// ])?;
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

/// The content of a library's file; everything else is derived from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) delimiter: Delimiter,
    pub(crate) entries: Vec<Entry>,
    pub(crate) means: Vec<StateMean>,
    pub(crate) heads: Vec<ValueHead>,
    pub(crate) selection: Option<Selection>,
    pub(crate) provenance: BTreeMap<String, String>,
}

impl Content for Stored {
    const KIND: FileKind = FileKind::Library;
    type V1 = StoredV1;
}

/// A record of how [`select`](crate::select) arrived at a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The settings.
    pub config: BasisConfig,
    /// The number of entries there were to choose from: two per pair.
    pub offered: usize,
    /// The number of those that were not usable (zero or not finite).
    pub skipped: usize,
    /// For every entry of the library, its index among those offered: `2i` is pair `i` wrong, `2i + 1` right.
    pub indices: Vec<usize>,
}

/// The entries of one control point and layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) m: usize,
    pub(crate) layer: usize,
    pub(crate) entries: Vec<usize>,
    /// `[entries, hidden_size]`, shared with the entries.
    pub(crate) keys: Arc<Vec<f32>>,
}

impl Library {
    /// Creates a library from your own vectors. It names no model, so nothing checks that it steers the one it was made
    /// for. Keys may have any length but zero.
    ///
    /// An entry is retrieved at its control point `m` only. A vector for several control points needs an entry for
    /// each.
    ///
    /// ```
    /// use stir_basis::{Action, Entry, Library};
    /// let action = Action::Steer(vec![0.5, 0.0, -0.5]);
    /// let library = Library::from_vectors([Entry { layer: 14, key: [3.0, 0.0, 4.0].into(), action, ..Entry::default()
    /// }])?; assert_eq!(library.entries()[0].key[..], [0.6, 0.0, 0.8]);
    /// # Ok::<(), stir_basis::BasisError>(())
    /// ```
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] without entries; [`BasisError::Content`] for the first entry whose key is zero, whose
    /// key or vector differs in length from the first key or is not finite, or whose control point or quality is out of
    /// range.
    pub fn from_vectors(entries: impl IntoIterator<Item = Entry>) -> Result<Self, BasisError> {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        for (index, entry) in entries.iter_mut().enumerate() {
            let rule = "neither zero nor infinite";
            let unit = normalize(&entry.key).ok_or(ContentError { item: "entry", index, field: "key", rule })?;
            entry.key = unit.into();
        }
        let fingerprint = Fingerprint {
            architecture: String::new(),
            n_layers: entries.iter().map(|entry| entry.layer.saturating_add(1)).max().unwrap_or(0),
            hidden_size: entries.first().map_or(0, |entry| entry.key.len()),
            vocab_size: 0,
            tokenizer: String::new(),
            weights: String::new(),
        };
        Self::from_entries(fingerprint, entries)
    }

    /// Creates a library for the model `fingerprint` from entries that [`select`](crate::select) did not choose.
    /// Keys must be of length 1 (see [`normalize`]).
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] without entries; [`BasisError::Content`] for the first entry whose key or vector does
    /// not have the fingerprint's width or is not finite, or whose control point, layer or quality is out of range.
    pub fn from_entries(fingerprint: Fingerprint, entries: Vec<Entry>) -> Result<Self, BasisError> {
        if entries.is_empty() {
            return Err(BasisError::NoEntries { skipped: 0 });
        }
        let (delimiter, provenance) = (Delimiter::default(), BTreeMap::new());
        let (means, heads) = (Vec::new(), Vec::new());
        Ok(Self::from_stored(Stored { fingerprint, delimiter, entries, means, heads, selection: None, provenance })?)
    }

    /// Returns a library with the entries that `change` returns, given each with its index, and all else as it is here.
    ///
    /// # Errors
    /// [`BasisError::NoEntries`] when none is left; [`BasisError::Content`] for the first that breaks a rule.
    pub fn filter_map(&self, mut change: impl FnMut(usize, &Entry) -> Option<Entry>) -> Result<Self, BasisError> {
        let changed = self.entries().iter().enumerate().map(|(i, entry)| change(i, entry));
        let changed: Vec<Option<Entry>> = changed.collect();
        let mut stored = Stored { entries: Vec::new(), ..self.stored.clone() };
        if let Some(selection) = &mut stored.selection {
            let kept = changed.iter().zip(&selection.indices).filter(|(entry, _)| entry.is_some());
            selection.indices = kept.map(|(_, &index)| index).collect();
        }
        stored.entries = changed.into_iter().flatten().collect();
        if stored.entries.is_empty() {
            return Err(BasisError::NoEntries { skipped: 0 });
        }
        Ok(Self::from_stored(stored)?)
    }

    /// Returns the library with the mean states that its keys were centred by; a query is centred by them too.
    ///
    /// # Errors
    /// [`BasisError::Content`] for the first mean that breaks a rule, and for the first entry at whose layer and control
    /// point there is none, unless `means` is empty.
    pub fn with_means(mut self, means: Vec<StateMean>) -> Result<Self, BasisError> {
        self.stored.means = means;
        self.stored.check()?;
        Ok(self)
    }

    /// Returns the library with other read-outs of success, at most one a layer.
    ///
    /// # Errors
    /// [`BasisError::Content`] for the first that breaks a rule.
    pub fn with_heads(mut self, heads: Vec<ValueHead>) -> Result<Self, BasisError> {
        self.stored.heads = heads;
        self.stored.check()?;
        Ok(self)
    }

    /// Returns the library with another delimiter than the default one.
    pub fn with_delimiter(mut self, delimiter: Delimiter) -> Self {
        self.stored.delimiter = delimiter;
        self
    }

    /// Returns the library with the settings of the stages before it: from a stage's name to JSON text.
    pub fn with_provenance(mut self, provenance: BTreeMap<String, String>) -> Self {
        self.stored.provenance = provenance;
        self
    }

    /// Writes the library to `path`, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be written or would be too large.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        codec::write(path.as_ref(), &self.stored)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`FileError`] with the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        codec::consistent(path, Self::from_stored(codec::read(path)?))
    }

    /// Reads the bytes of a file that [`save`](Self::save) wrote; errors call the file `name`.
    ///
    /// ```
    /// use stir_basis::{FileError, Library};
    /// assert!(matches!(Library::from_bytes("upload", b"no library"), Err(FileError::Kind { found: None, .. })));
    /// ```
    ///
    /// # Errors
    /// Fails like [`load`](Self::load).
    pub fn from_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Self, FileError> {
        let name = name.as_ref();
        codec::consistent(name, Self::from_stored(codec::parse(name, bytes)?))
    }

    pub(crate) fn from_stored(mut stored: Stored) -> Result<Self, ContentError> {
        stored.check()?;
        let hidden_size = stored.fingerprint.hidden_size;
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

    /// Returns the model whose residual stream the vectors belong to.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.stored.fingerprint
    }

    /// Returns the text that ended a segment when the entries were mined; steering must use the same.
    pub fn delimiter(&self) -> &Delimiter {
        &self.stored.delimiter
    }

    /// Returns the entries in the order in which they were selected.
    pub fn entries(&self) -> &[Entry] {
        &self.stored.entries
    }

    /// Returns entry `index`, as a [`Hit`](crate::Hit) names it.
    pub fn entry(&self, index: usize) -> Option<&Entry> {
        self.stored.entries.get(index)
    }

    /// Returns the mean states that keys and queries are centred by; empty where states are compared as they are.
    pub fn means(&self) -> &[StateMean] {
        &self.stored.means
    }

    /// Returns the read-outs of success, at most one a layer.
    pub fn heads(&self) -> &[ValueHead] {
        &self.stored.heads
    }

    /// Returns whether every vector of the library was tried on other problems than its own.
    pub fn validated(&self) -> bool {
        self.entries().iter().all(|entry| entry.vector().is_none() || entry.evidence.is_some())
    }

    /// Returns how the entries were selected; `None` where that was not done by [`select`](crate::select).
    pub fn selection(&self) -> Option<&Selection> {
        self.stored.selection.as_ref()
    }

    /// Returns the settings of the stages before selection: from a stage's name to JSON text.
    pub fn provenance(&self) -> &BTreeMap<String, String> {
        &self.stored.provenance
    }

    /// Returns the layers that have entries, ascending.
    pub fn layers(&self) -> Vec<usize> {
        let mut layers: Vec<usize> = self.groups.iter().map(|group| group.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        layers
    }

    /// Returns the number of entries at control point `m`, over all layers.
    pub fn group_len(&self, m: usize) -> usize {
        self.groups.iter().filter(|group| group.m == m).map(|group| group.entries.len()).sum()
    }

    /// Checks that the library was made for the model `found`. With `allow_requantised` a model whose weights are
    /// stored in other formats will do, with a warning.
    ///
    /// # Errors
    /// [`BasisError::Requantised`] for such a model, unless it is allowed; [`BasisError::Fingerprint`] for another one,
    /// in any case.
    pub fn check(&self, found: &Fingerprint, allow_requantised: bool) -> Result<(), BasisError> {
        match self.stored.fingerprint.check_or_requantised("the library", found, allow_requantised) {
            Err(source @ FingerprintMismatch::Quantisation { .. }) => Err(BasisError::Requantised(source)),
            checked => Ok(checked?),
        }
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn width(&self) -> usize {
        self.stored.fingerprint.hidden_size
    }
}

impl Stored {
    fn check(&self) -> Result<(), ContentError> {
        let Fingerprint { n_layers, hidden_size, .. } = self.fingerprint;
        self.entries.iter().enumerate().try_for_each(|(i, entry)| entry.check(i, n_layers, hidden_size))?;
        let used = self.entries.iter().map(|entry| ("entry", entry.layer, entry.m));
        mean::check(&self.means, n_layers, hidden_size, used)?;
        head::check(&self.heads, n_layers, hidden_size)?;
        if let Some(selection) = &self.selection {
            let (expected, index) = (self.entries.len(), selection.indices.len());
            let broken = |field, rule| ContentError { item: "selection of", index, field, rule };
            if expected != index {
                return Err(broken("indices", "one per entry"));
            }
            selection.config.validate().map_err(|error| broken(error.setting, error.bound))?;
        }
        Ok(())
    }
}

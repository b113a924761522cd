use crate::{
    Library,
    mean::{centred, find},
    vector::{WORTH_THREADS, dot, normalize},
};

/// An entry near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its index in [`Library::entries`].
    pub entry: usize,
    /// The cosine of the angle between its key and the query, in [-1, 1] up to rounding.
    pub similarity: f32,
}

impl Library {
    /// Returns the `k` entries at control point `m` with the highest cosine similarity to the query of their layer,
    /// over all queries together; by falling similarity, ties to the lower entry. The search is exact: one dot product
    /// per entry.
    ///
    /// Each query is a layer, named at most once, and the state after it, `[hidden_size]`, of any length. Where the
    /// library has [`means`](Self::means), that of the layer and `m` is subtracted from the state first. A query that
    /// is zero then, not finite or of another width has no similarity to anything and yields nothing.
    pub fn retrieve(&self, m: usize, queries: &[(usize, &[f32])], k: usize) -> Vec<Hit> {
        self.retrieve_all(m, &[queries], k).pop().unwrap_or_default()
    }

    /// Returns what [`retrieve`](Self::retrieve) finds for each of several sequences at the same control point,
    /// `[sequences]`, bit for bit, reading the keys once for all of them.
    ///
    /// ```
    /// # use stir_basis::{Entry, Library};
    /// # let entry = |key: [f32; 2]| Entry { layer: 14, key: key.into(), ..Entry::default() };
    /// # let library = Library::from_vectors([entry([1.0, 0.0]), entry([1.0, 1.0])])?;
    /// let (first, second) = ([2.0, 1.8], [3.0, 0.1]);
    /// let hits = library.retrieve_all(1, &[&[(14, &first)], &[(14, &second)]], 1);
    /// assert_eq!((hits[0][0].entry, hits[1][0].entry), (1, 0));
    /// # Ok::<(), stir_basis::BasisError>(())
    /// ```
    pub fn retrieve_all(&self, m: usize, sequences: &[&[(usize, &[f32])]], k: usize) -> Vec<Vec<Hit>> {
        let mut hits = vec![Vec::new(); sequences.len()];
        for group in self.groups().iter().filter(|group| group.m == m) {
            let mean = find(self.means(), group.layer, m);
            let direction = |state: &[f32]| match mean {
                Some(mean) => normalize(&centred(state, mean)),
                None => normalize(state),
            };
            let states: Vec<(usize, Vec<f32>)> = (sequences.iter().enumerate())
                .flat_map(|(i, queries)| queries.iter().map(move |query| (i, query)))
                .filter(|(_, (layer, state))| *layer == group.layer && state.len() == self.width())
                .filter_map(|(i, (_, state))| Some((i, direction(state)?)))
                .collect();
            for ((sequence, _), near) in states.iter().zip(scan(&group.entries, &group.keys, &states, k)) {
                hits[*sequence].extend(near);
            }
        }
        hits.iter_mut().for_each(|hits| keep_nearest(hits, k));
        hits
    }
}

/// Returns for each state the nearest `k` of `entries`, whose keys are `keys`, `[entries, width]`.
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

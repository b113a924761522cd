use std::{borrow::Cow, cmp::Ordering};

use stir_core::SampleRng;
use tracing::{info, info_span, warn};

#[cfg(feature = "clustering")]
use crate::cluster;
use crate::{
    Action, BasisConfig, BasisError, DppConfig, Entry, Library, MinedPairs, Selection, SelectionMethod,
    dpp::greedy_rows, library::Stored, vector::normalize,
};

/// Chooses a library from mined pairs.
///
/// Pair `i` offers entry `2i` (wrong: key `mu_minus`, steer by [`steering_vector`](crate::Pair::steering_vector)) and
/// `2i + 1` (right: key `mu_plus`, stay); both carry the pair's quality. Where there are means, keys are centred by that
/// of their layer and control point; vectors never are. Entries whose key is zero, or whose key or vector is not finite,
/// are skipped and counted. Every control point first gets its quota, in ascending order while room remains; then
/// `config.method` fills the rest.
///
/// ```
/// use std::collections::BTreeMap;
/// use stir_basis::{select, BasisConfig, MinedPairs, Pair};
/// use stir_core::{Delimiter, Fingerprint};
///
/// let fingerprint = Fingerprint {
///     architecture: "qwen2".into(), n_layers: 28, hidden_size: 2, vocab_size: 100,
///     tokenizer: "a1".into(), weights: "b2".into(),
/// };
/// let pair = Pair {
///     problem: "p1".into(), m: 1, layer: 14, quality: 0.9, mu_plus: vec![3.0, 4.0], mu_minus: vec![4.0, 3.0],
///     ..Pair::default()
/// };
/// let mined = MinedPairs {
///     fingerprint, delimiter: Delimiter::default(), pairs: vec![pair],
///     means: vec![], heads: vec![], provenance: BTreeMap::new(),
/// };
/// let library = select(&mined, &BasisConfig::default())?;
/// assert_eq!(library.entries()[0].vector(), Some(&[-1.0, 1.0][..]));
/// assert_eq!(library.entries()[1].vector(), None);
/// # Ok::<(), stir_basis::BasisError>(())
/// ```
///
/// # Errors
/// [`BasisError::Setting`] for a bad setting, [`BasisError::Content`] for a bad pair, [`BasisError::NoEntries`] when no
/// entry is usable, [`BasisError::NoClustering`] for a method that clusters in a build without the feature.
pub fn select(mined: &MinedPairs, config: &BasisConfig) -> Result<Library, BasisError> {
    config.validate()?;
    mined.validate()?;
    let pool = Pool::new(mined);
    let offered = 2 * mined.pairs.len();
    let skipped = offered - pool.rows.len();
    let span = info_span!("selection", method = %config.method, budget = config.budget, offered);
    let _entered = span.enter();
    if skipped > 0 {
        warn!(skipped, "skipped entries whose key is zero, or whose key or vector is not finite");
    }
    if pool.rows.is_empty() {
        return Err(BasisError::NoEntries { skipped });
    }
    let indices: Vec<usize> = pool.choose(config)?.into_iter().map(|row| pool.rows[row].index).collect();
    let entries = indices.iter().map(|&index| entry(mined, index)).collect::<Option<_>>();
    let entries: Vec<Entry> = entries.ok_or(BasisError::NoEntries { skipped })?;
    info!(entries = entries.len(), "the library is selected");
    Ok(Library::from_stored(Stored {
        fingerprint: mined.fingerprint.clone(),
        delimiter: mined.delimiter.clone(),
        entries,
        means: mined.means.clone(),
        heads: mined.heads.clone(),
        selection: Some(Selection { config: config.clone(), offered, skipped, indices }),
        provenance: mined.provenance.clone(),
    })?)
}

/// Returns the state that becomes the key of entry `index`.
fn state(mined: &MinedPairs, index: usize) -> Cow<'_, [f32]> {
    let pair = &mined.pairs[index / 2];
    let state = if is_wrong(index) { &pair.mu_minus } else { &pair.mu_plus };
    mined.centred(pair.layer, pair.m, state)
}

fn is_wrong(index: usize) -> bool {
    index.is_multiple_of(2)
}

/// Returns entry `index` of `mined`; `None` when it is not usable.
fn entry(mined: &MinedPairs, index: usize) -> Option<Entry> {
    let pair = &mined.pairs[index / 2];
    let entry = Entry {
        problem: pair.problem.clone(),
        m: pair.m,
        layer: pair.layer,
        quality: pair.quality,
        key: normalize(&state(mined, index))?.into(),
        action: if is_wrong(index) { Action::Steer(pair.steering_vector()) } else { Action::Stay },
        evidence: None,
    };
    // Two finite states can differ by more than f32 holds.
    entry.vector().unwrap_or(&[]).iter().all(|x| x.is_finite()).then_some(entry)
}

/// The usable entries, as far as choosing needs them; rows keep the order of the mined.
struct Pool<'a> {
    mined: &'a MinedPairs,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    index: usize,
    m: usize,
    quality: f64,
}

impl<'a> Pool<'a> {
    fn new(mined: &'a MinedPairs) -> Self {
        let mut pool = Self { mined, rows: Vec::new() };
        for index in 0..2 * mined.pairs.len() {
            if let Some(entry) = entry(mined, index) {
                pool.rows.push(Row { index, m: entry.m, quality: entry.quality });
            }
        }
        pool
    }

    /// Rows in the order in which they are taken.
    fn choose(&self, config: &BasisConfig) -> Result<Vec<usize>, BasisError> {
        let mut chosen = self.quota(config.min_per_control_point, config.budget);
        let mut rest = self.without(&chosen);
        let room = (config.budget - chosen.len()).min(rest.len());
        if room == 0 {
            return Ok(chosen);
        }
        match config.method {
            SelectionMethod::Dpp => {
                let given: &[usize] = if config.condition_on_quota { &chosen } else { &[] };
                let rows = [given, &rest].concat();
                let first: Vec<usize> = (0..given.len()).collect();
                let quality: Vec<f64> = rows.iter().map(|&row| self.rows[row].quality).collect();
                let budget = given.len() + room;
                let dpp = DppConfig { budget, lambda: config.lambda, epsilon: config.epsilon, first };
                let states = self.states(&rows);
                let states: Vec<&[f32]> = states.iter().map(|state| &**state).collect();
                let picks = greedy_rows(&states, &quality, &dpp)?;
                rest = picks[given.len()..].iter().map(|&pick| rows[pick]).collect();
            }
            SelectionMethod::Top => rest.sort_by(|&a, &b| self.better(a, b)),
            SelectionMethod::Random { seed } => shuffle_front(&mut rest, room, &mut SampleRng::new(seed, 0)),
            SelectionMethod::KMeans { .. } | SelectionMethod::Dbscan { .. } => {
                rest = self.clustered(rest, room, config)?
            }
        }
        chosen.extend(rest.into_iter().take(room));
        Ok(chosen)
    }

    /// Returns for each control point, in ascending order, its `min` rows of highest quality, while there is room.
    fn quota(&self, min: usize, budget: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| self.rows[a].m.cmp(&self.rows[b].m).then(self.better(a, b)));
        let points = order.chunk_by(|&a, &b| self.rows[a].m == self.rows[b].m);
        points.flat_map(|rows| rows.iter().take(min)).copied().take(budget).collect()
    }

    fn without(&self, taken: &[usize]) -> Vec<usize> {
        let mut free = vec![true; self.rows.len()];
        taken.iter().for_each(|&row| free[row] = false);
        (0..free.len()).filter(|&row| free[row]).collect()
    }

    /// Orders `rest` by clusters of their keys.
    #[cfg(not(feature = "clustering"))]
    fn clustered(&self, _: Vec<usize>, _: usize, config: &BasisConfig) -> Result<Vec<usize>, BasisError> {
        Err(BasisError::NoClustering { method: config.method.name() })
    }

    /// Orders `rest` by clusters of their keys: representatives first, which may be all there is.
    #[cfg(feature = "clustering")]
    fn clustered(&self, rest: Vec<usize>, room: usize, config: &BasisConfig) -> Result<Vec<usize>, BasisError> {
        let keys = self.keys(&rest);
        match config.method {
            SelectionMethod::KMeans { seed } => {
                let labels = cluster::kmeans(&keys, rest.len(), room, &mut SampleRng::new(seed, 0))?;
                Ok(self.representatives(&rest, &labels))
            }
            SelectionMethod::Dbscan { tolerance, min_points } => {
                let labels = cluster::dbscan(&keys, rest.len(), tolerance, min_points)?;
                let noise = rest.iter().zip(&labels).filter(|(_, label)| label.is_none());
                let mut noise: Vec<usize> = noise.map(|(&row, _)| row).collect();
                noise.sort_by(|&a, &b| self.better(a, b));
                let mut order = self.representatives(&rest, &labels);
                order.append(&mut noise);
                Ok(order)
            }
            _ => Ok(rest),
        }
    }

    /// Returns the row nearest the centroid of each cluster, by falling quality.
    #[cfg(feature = "clustering")]
    fn representatives(&self, rows: &[usize], labels: &[Option<usize>]) -> Vec<usize> {
        let mut nearest: Vec<usize> =
            cluster::nearest_to_centroids(&self.keys(rows), labels).into_iter().map(|i| rows[i]).collect();
        nearest.sort_by(|&a, &b| self.better(a, b));
        nearest
    }

    /// Orders higher quality first, ties to the lower index.
    fn better(&self, a: usize, b: usize) -> Ordering {
        self.rows[b].quality.total_cmp(&self.rows[a].quality).then(a.cmp(&b))
    }

    /// Returns the states of `rows` as they were mined: f32 keys have lost the digits that break ties.
    fn states(&self, rows: &[usize]) -> Vec<Cow<'a, [f32]>> {
        rows.iter().map(|&row| state(self.mined, self.rows[row].index)).collect()
    }

    /// Returns the keys of `rows`, `[rows, hidden_size]`.
    #[cfg(feature = "clustering")]
    fn keys(&self, rows: &[usize]) -> Vec<f32> {
        self.states(rows).iter().filter_map(|state| normalize(state)).flatten().collect()
    }
}

/// Puts `count` items, drawn without replacement, in front (Fisher-Yates, stopped early).
fn shuffle_front(items: &mut [usize], count: usize, rng: &mut SampleRng) {
    for i in 0..count {
        let j = i + rng.below(items.len() - i);
        items.swap(i, j);
    }
}

//! The sequences that one pass extends.

use std::ops::Range;

use burn::tensor::DType;

use crate::{
    cache::{Extension, KvCache},
    shared_rows::SharedRows,
};

/// Sequences that one pass extends, with the tokens that each gets, which lie one row after another.
///
/// Rows that hold the same tokens may begin as one: only the [leaders](Self::leaders) are computed then, until
/// [`fan_out`](Self::fan_out) gives every row its own place among the tokens of the pass.
pub(crate) struct Batch<'c> {
    rows: Vec<Extension<'c>>,
    /// For each row the place of its tokens among those that are computed.
    places: Vec<Range<usize>>,
    /// The rows that share another row's computation; `None` when every row is computed.
    shared: Option<SharedRows>,
}

impl<'c> Batch<'c> {
    /// Reserves room in each cache for as many new positions.
    pub(crate) fn new(mut rows: Vec<Extension<'c>>, shared: Option<SharedRows>) -> Self {
        rows.iter_mut().for_each(|row| row.cache.reserve(row.tokens.len()));
        let all = places(&rows);
        let places = shared.as_ref().map_or_else(|| all.clone(), |shared| shared.places(&all));
        Self { rows, places, shared }
    }

    /// Computes every row from here on, if the batch is one whose rows differ after `layer`. Returns for each token of
    /// the batch, in order, which of the tokens computed so far it continues.
    pub(crate) fn fan_out(&mut self, layer: usize) -> Option<Vec<usize>> {
        self.shared.take_if(|shared| shared.layers() == layer + 1)?;
        let from = self.places.iter().cloned().flatten().collect();
        self.places = places(&self.rows);
        Some(from)
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of new tokens of all rows.
    pub(crate) fn n_tokens(&self) -> usize {
        self.rows.iter().map(|row| row.tokens.len()).sum()
    }

    pub(crate) fn cache(&self, row: usize) -> &KvCache {
        self.rows[row].cache
    }

    /// Returns the new tokens of a row among those that are computed.
    pub(crate) fn tokens(&self, row: usize) -> Range<usize> {
        self.places[row].clone()
    }

    /// Returns the rows that are computed, each with the place of its tokens.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (&Extension<'c>, Range<usize>)> {
        let is_leader = |row: usize| self.shared.as_ref().is_none_or(|shared| shared.is_leader(row));
        let rows = self.rows.iter().zip(&self.places).enumerate().filter(move |(row, _)| is_leader(*row));
        rows.map(|(_, (row, place))| (row, place.clone()))
    }

    /// Returns every sequence, computed or not, to write the keys and values of its new tokens to.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = (&mut KvCache, Range<usize>)> {
        self.rows.iter_mut().zip(&self.places).map(|(row, place)| (&mut *row.cache, place.clone()))
    }

    /// Returns the absolute positions of the tokens that are computed.
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.leaders().flat_map(|(row, _)| row.positions()).collect()
    }

    /// Returns the type that keys and values are kept in.
    pub(crate) fn dtype(&self) -> Option<DType> {
        self.rows.first().map(|row| row.cache.dtype())
    }

    /// Makes the positions written part of their caches.
    pub(crate) fn finish(self) {
        self.rows.into_iter().for_each(|row| row.cache.advance(row.tokens, row.untouched));
    }
}

/// Returns the places of the rows' tokens where all of them are computed.
fn places(rows: &[Extension<'_>]) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |row: &Extension<'_>| {
        end += row.tokens.len();
        end - row.tokens.len()..end
    };
    rows.iter().map(place).collect()
}

//! Rows of a pass that are the same up to some layer.
//!
//! An addition to the residual stream changes the layers above it and none below. So the probes of a control point, and
//! a session that follows its steered fork, are computed once below the lowest layer that is steered, for as long as
//! they hold the same tokens. What a row gets is, bit for bit, what it would have computed itself.

use std::{collections::HashMap, ops::Range};

use stir_core::{HookPoint, Session};

use crate::cache::Extension;

/// The rows that are computed once in the first layers.
pub(crate) struct SharedRows {
    /// The number of layers in which rows are shared.
    layers: usize,
    /// For each row the first row that equals it: itself, if there is none before it.
    leader: Vec<usize>,
}

impl SharedRows {
    /// Finds the rows that can be shared in at most the first `layers` layers; `None` when there are none.
    pub(crate) fn find(rows: &[Extension<'_>], mut layers: usize) -> Option<Self> {
        let mut leader: Vec<usize> = (0..rows.len()).collect();
        let mut leaders: HashMap<_, Vec<usize>> = HashMap::new();
        let mut found = false;
        for (i, row) in rows.iter().enumerate() {
            // Only forks of one sequence are looked at.
            let Some(root) = row.cache.root() else { continue };
            let leaders = leaders.entry((root, row.cache.len(), row.tokens)).or_default();
            match leaders.iter().find(|&&first| rows[first].cache.same_tokens(row.cache)) {
                Some(&first) => {
                    (leader[i], found) = (first, true);
                    layers = layers.min(rows[first].cache.untouched()).min(row.cache.untouched());
                }
                None => leaders.push(i),
            }
        }
        (found && layers > 0).then_some(Self { layers, leader })
    }

    /// Returns the number of layers after which every row is computed by itself.
    pub(crate) fn layers(&self) -> usize {
        self.layers
    }

    /// Returns whether a row is computed, and not merely given what another row computes.
    pub(crate) fn is_leader(&self, row: usize) -> bool {
        self.leader[row] == row
    }

    /// Returns the place of each row's tokens among those that are computed, given the places among all tokens.
    pub(crate) fn places(&self, all: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut end = 0;
        for (row, &leader) in self.leader.iter().enumerate() {
            let place = if row == leader { end..end + all[row].len() } else { places[leader].clone() };
            end = end.max(place.end);
            places.push(place);
        }
        places
    }
}

/// Returns the number of layers below `point`: those that an addition there leaves as they are.
pub(crate) fn layers_before(point: HookPoint) -> usize {
    match point {
        HookPoint::ResidPost(layer) => layer + 1,
        // Whatever happens within a layer leaves those below it as they are.
        point => point.layer(),
    }
}

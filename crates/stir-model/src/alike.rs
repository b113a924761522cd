//! Rows of a pass that are the same up to some layer.
//!
//! An addition to the residual stream changes the layers above it and none below. So the probes of a control point, and
//! a session that follows its steered fork, are computed once below the lowest layer that is steered, for as long as
//! they hold the same tokens. What a row gets is, bit for bit, what it would have computed itself.

use std::{collections::HashMap, ops::Range};

use stir_core::{HookPoint, Session};

use crate::cache::Extension;

/// Which rows are computed once in the first layers.
pub(crate) struct Alike {
    /// How many layers.
    layers: usize,
    /// Of each row, the first that it is like: itself, if there is none.
    leader: Vec<usize>,
}

impl Alike {
    /// What can be shared below the first `layers` layers; `None` where that is nothing.
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

    /// After how many layers every row is on its own.
    pub(crate) fn layers(&self) -> usize {
        self.layers
    }

    /// Of each row, whether it is computed.
    pub(crate) fn leads(&self) -> impl Iterator<Item = bool> {
        self.leader.iter().enumerate().map(|(row, &leader)| row == leader)
    }

    /// Where the tokens of each row are among those that are computed, given where they are among all.
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

/// How many layers come before what an addition at `point` changes, and what is read there.
pub(crate) fn layers_before(point: HookPoint) -> usize {
    match point {
        HookPoint::ResidPre(layer) => layer,
        HookPoint::ResidPost(layer) => layer + 1,
    }
}

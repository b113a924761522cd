//! At which starts an entry is tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stir_controller::{ControlState, Controller, LayerState, Planned};
use stir_rollout::sample_stream;

use crate::Start;

/// For every entry, the starts at which the controller would probe it, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    pub(crate) starts: BTreeMap<usize, Vec<usize>>,
    /// The control point of every entry.
    pub(crate) points: BTreeMap<usize, usize>,
}

impl Plan {
    /// Notes the candidates of the controller at start `place`, where it read `states`. An entry is not tried on the
    /// problem that it was mined on.
    pub(crate) fn add(&mut self, controller: &Controller, start: &Start, place: usize, states: Vec<LayerState>) {
        let Planned::Probe(plan) = controller.plan(&ControlState { sequence: 0, m: start.m, states }) else { return };
        for candidate in plan.candidates() {
            let own = |problem: &str| !problem.is_empty() && problem == start.problem.id;
            if controller.library().entry(candidate.entry).is_some_and(|entry| !own(&entry.problem)) {
                self.starts.entry(candidate.entry).or_default().push(place);
                self.points.insert(candidate.entry, start.m);
            }
        }
    }

    /// Returns the number of starts at which some entry would be probed.
    pub(crate) fn boundaries(&self) -> usize {
        self.starts.values().flatten().collect::<BTreeSet<_>>().len()
    }

    /// Keeps at most `most` starts of every entry: those of as many problems as possible, drawn at random in one order
    /// for all entries, so that entries share starts and with them the plain continuations.
    pub(crate) fn choose(&mut self, starts: &[Start], most: usize) {
        for places in self.starts.values_mut() {
            places.sort_by_cached_key(|&place| sample_stream(&starts[place].name(), usize::MAX));
            let mut rounds: HashMap<&str, usize> = HashMap::new();
            let mut turn = |place: usize| {
                let round = rounds.entry(&starts[place].problem.id).or_default();
                *round += 1;
                *round
            };
            let mut ordered: Vec<(usize, usize)> = places.iter().map(|&place| (turn(place), place)).collect();
            // Stable: within a round the random order stands.
            ordered.sort_by_key(|(round, _)| *round);
            *places = ordered.into_iter().map(|(_, place)| place).take(most).collect();
        }
    }
}

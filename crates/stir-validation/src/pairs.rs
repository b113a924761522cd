//! Rescue and harm: mined vectors, replayed at the boundaries that they were mined at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use stir_basis::{MinedPairs, Pair, cosine};
use stir_controller::LayerState;
use stir_core::{Sampling, Text};
use stir_rollout::{Replayed, sample_stream};

use crate::{
    Arm, Cost, Impulse, Job, Judge, Observer, ReplayConfig, Replays, Start, Starts, ValidationError, read_states,
};

/// The settings of a replay of mined pairs. Continuations are greedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairReplayConfig {
    /// The most boundaries of wrong rollouts, and of right ones.
    pub boundaries: usize,
    /// The lengths of the impulse, as shares of the length of the stream where it is added.
    pub strengths: Vec<f64>,
    /// How an answer is continued. Its sampling is replaced by greedy decoding.
    pub replay: ReplayConfig,
}

impl Default for PairReplayConfig {
    fn default() -> Self {
        Self { boundaries: 100, strengths: vec![0.15, 0.3, 0.6], replay: ReplayConfig::default() }
    }
}

/// Which vector is replayed at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// That of the pair that was mined there.
    Own,
    /// That of the pair of another problem, layer and control point being the same, whose state of failure is nearest.
    Other,
}

/// A replay of mined pairs.
#[derive(Debug)]
pub struct PairReplay<'p, E> {
    /// The model that they were mined on.
    pub engine: &'p E,
    /// The pairs.
    pub pairs: &'p MinedPairs,
    /// The settings.
    pub config: &'p PairReplayConfig,
    /// The judge of whole answers.
    pub judge: Judge<'p>,
}

/// What an intervention did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervention {
    /// Its name, such as `own vector, x0.3`.
    pub name: String,
    /// What it did at each boundary.
    pub outcomes: Vec<Replayed>,
}

impl<E: Text> PairReplay<'_, E> {
    /// Continues rollouts greedily from those of `starts` that pairs of `layer` were mined at: without anything, with the
    /// pair's own vector, and with that of the nearest pair of another problem, at each strength. Wrong rollouts show what is
    /// rescued, right ones what is harmed. At the end of a prompt no rollout is right or wrong yet: pairs of control point 0
    /// are left out. Returns what each intervention did, and the cost.
    ///
    /// # Errors
    /// [`ValidationError`]; what is finished is kept in `out`.
    pub fn run(
        &self,
        layer: usize,
        starts: &Starts,
        out: impl AsRef<Path>,
        observer: &mut Observer<'_>,
    ) -> Result<(Vec<Intervention>, Cost), ValidationError<E::Error>> {
        let Self { engine, pairs, config, judge } = *self;
        let replay =
            ReplayConfig { sampling: Sampling::GREEDY, delimiter: pairs.delimiter.clone(), ..config.replay.clone() };
        let of_layer: Vec<&Pair> = pairs.pairs.iter().filter(|pair| pair.layer == layer).collect();
        let (chosen, vectors) = self.choose(layer, &of_layer, &starts.starts, observer)?;
        let (arms, jobs) = (self.arms(&of_layer), self.jobs(&vectors));
        let mut replays = Replays::open(engine, &replay, &chosen, &arms, &jobs, judge, out)?;
        replays.run(&jobs, observer)?;

        let problems = crate::board::problems(&chosen);
        let mut found = Vec::new();
        for (whose, name) in [(Whose::Own, "own vector"), (Whose::Other, "nearest vector of another problem")] {
            for (nth, strength) in config.strengths.iter().enumerate() {
                let did = |(place, start): (usize, &Start)| {
                    let right = |arm| replays.right(Job { start: place, arm, sample: 0 });
                    let (plain, steered) = (right(0)?, right(self.arm_of(*vectors[place].get(&whose)?, nth))?);
                    let Start { sample, m, right, .. } = *start;
                    Some(Replayed { problem: problems[place], sample, m, right, plain, steered })
                };
                let outcomes = chosen.iter().enumerate().filter_map(did).collect();
                found.push(Intervention { name: format!("{name}, x{strength}"), outcomes });
            }
        }
        let cost = replays.cost();
        replays.finish::<E::Error>()?;
        Ok((found, cost))
    }

    /// Returns the starts that are continued, each with the places among `pairs` of the vectors that are tried there.
    #[expect(clippy::type_complexity, reason = "it has one caller")]
    fn choose(
        &self,
        layer: usize,
        pairs: &[&Pair],
        starts: &[Start],
        observer: &mut Observer<'_>,
    ) -> Result<(Vec<Start>, Vec<BTreeMap<Whose, usize>>), ValidationError<E::Error>> {
        let mut own: HashMap<(&str, usize), usize> = HashMap::new();
        for (place, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.m > 0) {
            // The first is the best.
            own.entry((&pair.problem, pair.m)).or_insert(place);
        }
        let own_pair = |start: &Start| own.get(&(start.problem.id.as_str(), start.m)).copied();
        let chosen = draw(starts, self.config.boundaries, |start| own_pair(start).is_some());
        let mut vectors = vec![BTreeMap::new(); chosen.len()];
        let found = |place: usize, states: Vec<LayerState>| {
            let start = &chosen[place];
            let centred = |state| self.pairs.centred(layer, start.m, state);
            let state = centred(states.first().map_or(&[][..], |state| &state.values));
            let others = pairs.iter().enumerate().filter(|(_, p)| p.m == start.m && p.problem != start.problem.id);
            let near = others.map(|(pair, p)| (pair, cosine(&state, &centred(&p.mu_minus))));
            let nearest = near.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(pair, _)| (Whose::Other, pair));
            vectors[place] = own_pair(start).map(|pair| (Whose::Own, pair)).into_iter().chain(nearest).collect();
        };
        read_states(self.engine, &chosen, &[layer], self.config.replay.max_batch, found, observer)?;
        Ok((chosen, vectors))
    }

    /// Returns the arms: the first adds nothing, each of the others a pair's vector at a strength.
    fn arms(&self, pairs: &[&Pair]) -> Vec<Arm> {
        let arm = |(place, pair): (usize, &&Pair)| {
            let (layer, vector) = (pair.layer, Arc::<[f32]>::from(pair.steering_vector()));
            self.config.strengths.iter().map(move |&strength| Arm {
                name: format!("pair {place} at {strength}"),
                impulse: Some(Impulse { layer, vector: vector.clone(), strength }),
            })
        };
        [Arm::plain()].into_iter().chain(pairs.iter().enumerate().flat_map(arm)).collect()
    }

    fn arm_of(&self, pair: usize, strength: usize) -> usize {
        1 + pair * self.config.strengths.len() + strength
    }

    fn jobs(&self, vectors: &[BTreeMap<Whose, usize>]) -> Vec<Job> {
        let strengths = 0..self.config.strengths.len();
        let arms = |pair: usize| strengths.clone().map(move |strength| self.arm_of(pair, strength));
        let of_start = |(start, of): (usize, &BTreeMap<Whose, usize>)| {
            let arms: BTreeSet<usize> = [0].into_iter().chain(of.values().flat_map(|&pair| arms(pair))).collect();
            arms.into_iter().map(move |arm| Job { start, arm, sample: 0 }).collect::<Vec<_>>()
        };
        vectors.iter().enumerate().flat_map(of_start).collect()
    }
}

/// Returns at most `most` starts of wrong rollouts, and as many of right ones, that are `wanted`: drawn at random, then in
/// the order in which they were found.
fn draw(starts: &[Start], most: usize, wanted: impl Fn(&Start) -> bool) -> Vec<Start> {
    let mut places = Vec::new();
    for right in [false, true] {
        let mut side: Vec<usize> =
            (0..starts.len()).filter(|&place| starts[place].right == right && wanted(&starts[place])).collect();
        side.sort_by_cached_key(|&place| sample_stream(&starts[place].name(), usize::MAX));
        places.extend(side.into_iter().take(most));
    }
    places.sort_unstable();
    places.into_iter().map(|place| starts[place].clone()).collect()
}

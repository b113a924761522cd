//! Rescue and harm: mined vectors, replayed at the boundaries that they were mined at.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde::{Deserialize, Serialize};
use stir_basis::{MinedPairs, Pair};
use stir_core::{Sampling, Text};
use stir_rollout::sample_stream;

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

/// What an intervention did at one boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// The number of the problem, by first appearance.
    pub problem: usize,
    /// The number of the rollout among those of the problem.
    pub sample: usize,
    /// The control point.
    pub m: usize,
    /// True if the rollout itself is right.
    pub right: bool,
    /// True if the greedy continuation without the impulse is right.
    pub plain: bool,
    /// True if the one with it is right.
    pub steered: bool,
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
    /// rescued, right ones what is harmed. Returns what each intervention did, and the cost.
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
        let mut own: HashMap<(&str, usize), usize> = HashMap::new();
        for (place, pair) in of_layer.iter().enumerate() {
            // The first is the best.
            own.entry((&pair.problem, pair.m)).or_insert(place);
        }
        let own_pair = |start: &Start| own.get(&(start.problem.id.as_str(), start.m)).copied();
        let chosen: Vec<Start> = choose(&starts.starts, config.boundaries, |start| own_pair(start).is_some());

        // The vectors of every boundary, by whose they are.
        let mut vectors: Vec<BTreeMap<Whose, usize>> = vec![BTreeMap::new(); chosen.len()];
        read_states(engine, &chosen, &[layer], replay.max_batch, |place, states| {
            let start = &chosen[place];
            vectors[place].extend(own_pair(start).map(|pair| (Whose::Own, pair)));
            let state = states.first().map_or(&[][..], |state| &state.values);
            let others = of_layer.iter().enumerate().filter(|(_, p)| p.m == start.m && p.problem != start.problem.id);
            let mean =
                pairs.means.iter().find(|mean| (mean.layer, mean.m) == (layer, start.m)).map(|mean| &mean.mean[..]);
            let similarity = |p: &Pair| cosine(&centred(state, mean), &centred(&p.mu_minus, mean));
            let near = others.map(|(pair, p)| (pair, similarity(p))).max_by(|a, b| a.1.total_cmp(&b.1));
            vectors[place].extend(near.map(|(pair, _)| (Whose::Other, pair)));
        })
        .map_err(ValidationError::Engine)?;

        // An arm is a pair at a strength; the first adds nothing.
        let at = config.strengths.iter();
        let arm = |(place, pair): (usize, &&Pair)| {
            let vector: std::sync::Arc<[f32]> = pair.steering_vector().into();
            at.clone().map(move |&strength| Arm {
                name: format!("pair {place} at {strength}"),
                impulse: Some(Impulse { layer, vector: vector.clone(), strength }),
            })
        };
        let arms: Vec<Arm> = [Arm::plain()].into_iter().chain(of_layer.iter().enumerate().flat_map(arm)).collect();
        let arm_of = |pair: usize, nth: usize| 1 + pair * config.strengths.len() + nth;
        let job = |start, arm| Job { start, arm, sample: 0 };
        let mut jobs = Vec::new();
        for (start, whose) in vectors.iter().enumerate() {
            jobs.push(job(start, 0));
            jobs.extend(
                whose
                    .values()
                    .flat_map(|&pair| (0..config.strengths.len()).map(move |nth| job(start, arm_of(pair, nth)))),
            );
        }
        jobs.sort_unstable();
        jobs.dedup();
        let mut replays = Replays::open(engine, &replay, &chosen, &arms, &jobs, judge, out)?;
        replays.run(&jobs, observer)?;

        let problems = crate::board::problems(&chosen);
        let mut found = Vec::new();
        for (whose, name) in [(Whose::Own, "own vector"), (Whose::Other, "nearest vector of another problem")] {
            for (nth, strength) in config.strengths.iter().enumerate() {
                let did = |(place, start): (usize, &Start)| {
                    let steered = arm_of(*vectors[place].get(&whose)?, nth);
                    let (plain, steered) = (replays.right(job(place, 0))?, replays.right(job(place, steered))?);
                    let Start { sample, m, right, .. } = *start;
                    Some(Replayed { problem: problems[place], sample, m, right, plain, steered })
                };
                let outcomes: Vec<Replayed> = chosen.iter().enumerate().filter_map(did).collect();
                found.push(Intervention { name: format!("{name}, x{strength}"), outcomes });
            }
        }
        let cost = replays.cost();
        replays.finish::<E::Error>()?;
        Ok((found, cost))
    }
}

/// Returns at most `most` starts of wrong rollouts, and as many of right ones, that are `wanted`: drawn at random, then in
/// the order in which they were found.
fn choose(starts: &[Start], most: usize, wanted: impl Fn(&Start) -> bool) -> Vec<Start> {
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

fn centred(state: &[f32], mean: Option<&[f32]>) -> Vec<f32> {
    mean.map_or_else(|| state.to_vec(), |mean| state.iter().zip(mean).map(|(x, mean)| x - mean).collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

use std::collections::{HashMap, VecDeque};

use stir_core::{HookPoint, Scheduler, Session, Text};
use stir_rollout::{Boundary, Rollout, RolloutError};
use tracing::warn;

use crate::{
    InductionConfig, InductionError, PositiveSource, Skipped,
    contrast::Member,
    mine::{check_model, layers},
    read::{Reader, prefill},
    walk::{Walk, Walked},
};

/// The states at the boundaries of all rollouts of problems that have right and wrong ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// The boundaries, by problem, `m` and sample. A problem has its place among those that were read, from 0, a sample its
    /// place among those of the problem that can be used, by rising `k`, from 0.
    pub boundaries: Vec<Boundary>,
    /// The states: layers, rising, each with its values, `[boundaries, hidden_size]`.
    pub layers: Vec<(usize, Vec<f32>)>,
    /// What could not be used.
    pub skipped: Skipped,
    /// The number of rollouts left out for a state that is not finite.
    pub non_finite: usize,
}

/// Reads the states of `rollouts`, problem by problem, at every boundary up to `max_control_points`, whether mining would
/// contrast it or not: what a diagnosis is made of. Of `config`, the layers, the delimiter, `max_control_points`,
/// `max_batch` and `allow_requantised` count. `rollout_settings` (JSON text) are those under which the rollouts were made,
/// if they are known. All states are held in memory.
///
/// # Errors
/// Fails like [`Induction::new`](crate::Induction::new) and [`Induction::run`](crate::Induction::run), for rollouts of
/// another model too.
pub fn capture<E: Text>(
    engine: &E,
    rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
    rollout_settings: Option<&str>,
    config: &InductionConfig,
) -> Result<Captured, InductionError<E::Error>> {
    config.validate()?;
    let config = &InductionConfig { positives: PositiveSource::Rollout, ..config.clone() };
    let layers = layers(engine, config)?;
    check_model(engine, rollout_settings, config)?;
    let points: Vec<HookPoint> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
    let solutions = HashMap::new();
    let reader = Reader { engine, config, solutions: &solutions };
    let mut skipped = Skipped::default();
    let mut rollouts = rollouts.into_iter().enumerate();
    let mut scheduler = Scheduler::new(engine, config.max_batch);
    let mut ready: VecDeque<Walk<'_, E::Session>> = VecDeque::new();
    let mut running: HashMap<(usize, usize), Member> = HashMap::new();
    let (mut rows, mut non_finite) = (Vec::new(), 0);
    loop {
        while scheduler.has_room() {
            if let Some(walk) = ready.pop_front() {
                scheduler.push(walk);
                continue;
            }
            let Some((problem, group)) = rollouts.next() else { break };
            let group = group?;
            let Some(Rollout { id, prompt, .. }) = group.first() else { continue };
            let Ok(prompt_tokens) = engine.encode_prompt(prompt) else {
                warn!(id, "skipped a problem whose prompt the tokenizer refuses");
                skipped.unencodable_prompts += 1;
                continue;
            };
            let members = reader.members(&group, prompt, prompt_tokens.len(), &mut skipped);
            if members.iter().all(|member| member.correct) || !members.iter().any(|member| member.correct) {
                continue;
            }
            let prefix = prefill(engine, &prompt_tokens).map_err(InductionError::Engine)?;
            for (sample, member) in members.into_iter().enumerate().filter(|(_, m)| !m.boundaries.is_empty()) {
                let mut stops = member.boundaries.clone();
                stops.dedup();
                let mut tokens = member.tokens.clone();
                tokens.truncate(stops.last().map_or(0, |last| last + 1));
                ready.push_back(Walk::new(prefix.fork(), tokens, stops, &points, problem, sample));
                running.insert((problem, sample), member);
            }
        }
        if scheduler.is_empty() {
            break;
        }
        let finished = scheduler.step().map_err(|error| InductionError::Engine(error.source))?;
        // A walk looks at no logits and always ends well.
        for Walked { problem, member: sample, states } in finished.into_iter().filter_map(|(_, walked)| walked.ok()) {
            let Some(member) = running.remove(&(problem, sample)) else { continue };
            if states.iter().flat_map(|(_, layers)| layers).flatten().any(|x| !x.is_finite()) {
                warn!(problem, sample, "skipped a rollout whose states are not finite");
                non_finite += 1;
                continue;
            }
            for (token, states) in states {
                let m = 1 + member.boundaries.iter().position(|&boundary| boundary == token).unwrap_or_default();
                let (length, right) = (member.tokens.len(), member.correct);
                rows.push((Boundary { problem, sample, m, token, length, right }, states));
            }
        }
    }
    rows.sort_by_key(|(b, _)| (b.problem, b.m, b.sample));
    let values = |slot: usize| rows.iter().filter_map(|(_, states)| states.get(slot)).flatten().copied().collect();
    let layers = layers.into_iter().enumerate().map(|(slot, layer)| (layer, values(slot))).collect();
    let boundaries = rows.iter().map(|(boundary, _)| *boundary).collect();
    Ok(Captured { boundaries, layers, skipped, non_finite })
}

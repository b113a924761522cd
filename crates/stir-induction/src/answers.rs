//! One pass over the states of whole answers, whatever is made of them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use stir_core::{HookPoint, Scheduler, Session, Text, TokenId};
use stir_rollout::{Rollout, RolloutError};
use tracing::warn;

use crate::{
    InductionConfig, InductionError, Skipped,
    contrast::Member,
    read::{Reader, encoded},
    walk::{Walk, Walked},
};

/// An answer that was run through the model.
pub(crate) struct Answer {
    /// Place of the problem among those that were read.
    pub(crate) problem: usize,
    /// Place of the answer among those of the problem that can be used.
    pub(crate) sample: usize,
    /// The number of answers of the problem that are run.
    pub(crate) chosen: usize,
    pub(crate) prompt: Arc<[TokenId]>,
    pub(crate) member: Member,
    /// By rising token, the states after each layer at each boundary token: `[layers, hidden_size]`.
    pub(crate) states: Vec<(usize, Vec<Vec<f32>>)>,
}

/// What a pass came across.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) problems: usize,
    pub(crate) rollouts: usize,
    pub(crate) encoded_rollouts: usize,
    pub(crate) encoded_tokens: usize,
    pub(crate) skipped: Skipped,
}

/// Runs the answers that `wanted` chooses of each problem through the model, many at a time, and gives them to `take` by
/// problem and sample: sums over them do not depend on the size of the batch. Answers without a boundary are left out.
pub(crate) fn each_answer<E: Text>(
    engine: &E,
    rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
    config: &InductionConfig,
    points: &[HookPoint],
    wanted: impl Fn(&[Member]) -> Vec<usize>,
    mut take: impl FnMut(Answer),
) -> Result<Passed, InductionError<E::Error>> {
    let solutions = HashMap::new();
    let reader = Reader { engine, config, solutions: &solutions };
    let mut passed = Passed::default();
    let mut rollouts = rollouts.into_iter();
    let mut scheduler = Scheduler::new(engine, config.max_batch);
    let mut ready: VecDeque<Walk<'_, E::Session>> = VecDeque::new();
    let (mut running, mut finished) = (BTreeMap::new(), BTreeMap::new());
    loop {
        while scheduler.has_room() {
            if let Some(walk) = ready.pop_front() {
                scheduler.push(walk);
                continue;
            }
            let Some(group) = rollouts.next() else { break };
            let (group, problem) = (group?, passed.problems);
            passed.problems += 1;
            passed.rollouts += group.len();
            let Some(Rollout { id, prompt, .. }) = group.first() else { continue };
            let Ok(prompt_tokens) = engine.encode_prompt(prompt) else {
                warn!(id, "skipped a problem whose prompt the tokenizer refuses");
                passed.skipped.unencodable_prompts += 1;
                continue;
            };
            let members = reader.members(&group, prompt, prompt_tokens.len(), &mut passed.skipped);
            let mut chosen = wanted(&members);
            chosen.retain(|&sample| !members[sample].boundaries.is_empty());
            if chosen.is_empty() {
                continue;
            }
            let prefix = encoded(engine, &prompt_tokens).map_err(InductionError::Engine)?;
            passed.encoded_tokens += prompt_tokens.len();
            let (prompt, number): (Arc<[TokenId]>, usize) = (prompt_tokens.into(), chosen.len());
            for sample in chosen {
                let member = members[sample].clone();
                let mut stops = member.boundaries.clone();
                stops.dedup();
                let mut tokens = member.tokens.clone();
                tokens.truncate(stops.last().map_or(0, |last| last + 1));
                passed.encoded_rollouts += 1;
                passed.encoded_tokens += tokens.len();
                ready.push_back(Walk::new(prefix.fork(), tokens, 0, stops, points, problem, sample));
                running.insert((problem, sample), (member, prompt.clone(), number));
            }
        }
        if scheduler.is_empty() {
            return Ok(passed);
        }
        let walked = scheduler.step().map_err(|error| InductionError::Engine(error.source))?;
        // A walk looks at no logits and always ends well.
        for Walked { problem, member: sample, states } in walked.into_iter().filter_map(|(_, walked)| walked.ok()) {
            let Some((member, prompt, chosen)) = running.remove(&(problem, sample)) else { continue };
            if states.iter().flat_map(|(_, layers)| layers).flatten().all(|x| x.is_finite()) {
                finished.insert((problem, sample), Answer { problem, sample, chosen, prompt, member, states });
            } else {
                warn!(problem, sample, "skipped a rollout whose states are not finite");
                passed.skipped.non_finite_rollouts += 1;
            }
        }
        let first = running.keys().next().copied().unwrap_or((usize::MAX, 0));
        while let Some(next) = finished.first_entry().filter(|next| *next.key() < first) {
            take(next.remove());
        }
    }
}

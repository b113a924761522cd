use stir_core::{HookPoint, Text};
use stir_rollout::{Boundary, Rollout, RolloutError};

use crate::{
    InductionConfig, InductionError, PositiveSource, Skipped,
    answers::{Answer, each_answer},
    contrast::{Member, is_mixed},
    mine::{check_model, layers},
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
    let mixed = |members: &[Member]| if is_mixed(members) { (0..members.len()).collect() } else { Vec::new() };
    let mut rows = Vec::new();
    let passed = each_answer(engine, rollouts, config, &points, mixed, |answer| {
        let Answer { problem, sample, member, states, .. } = answer;
        for (token, states) in states {
            let m = 1 + member.boundaries.iter().position(|&boundary| boundary == token).unwrap_or_default();
            let (length, right) = (member.tokens.len(), member.correct);
            rows.push((Boundary { problem, sample, m, token, length, right }, states));
        }
    })?;
    rows.sort_by_key(|(b, _)| (b.problem, b.m, b.sample));
    let values = |slot: usize| rows.iter().filter_map(|(_, states)| states.get(slot)).flatten().copied().collect();
    let layers = layers.into_iter().enumerate().map(|(slot, layer)| (layer, values(slot))).collect();
    let boundaries = rows.iter().map(|(boundary, _)| *boundary).collect();
    Ok(Captured { boundaries, layers, skipped: passed.skipped })
}

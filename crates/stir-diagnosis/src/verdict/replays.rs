//! What replaying says: which interventions rescue, and which harm.

use stir_report::stats::holm;

use super::{Topic, Weight, rules::Reasons};
use crate::{Replay, ReplaySide};

/// P-value below which a replay is taken to have an effect, once it is adjusted for all that were tried.
const SIGNIFICANT: f64 = 0.05;

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Better,
    Worse,
    Unknown,
}

/// Adds the reasons of a layer's replays. Their tests, of rescue and of harm, are adjusted together (Holm).
pub(super) fn add(found: &mut Reasons, replays: &[Replay]) {
    let sides: Vec<[Option<ReplaySide>; 2]> = replays.iter().map(|replay| [replay.rescue, replay.harm]).collect();
    let p_values: Vec<f64> = sides.iter().flatten().flatten().map(|side| side.mcnemar_p).collect();
    // Values of a test lie in [0, 1].
    let mut adjusted = holm(&p_values).unwrap_or_default().into_iter();
    let mut tested = |side: Option<ReplaySide>| {
        let side = side?;
        let p = adjusted.next().unwrap_or(1.0);
        let effect = match (p < SIGNIFICANT, side.wins > side.losses) {
            (false, _) => Effect::Unknown,
            (true, true) => Effect::Better,
            (true, false) => Effect::Worse,
        };
        Some((side, p, effect))
    };
    let tests: Vec<_> = sides.into_iter().map(|[rescue, harm]| (tested(rescue), tested(harm))).collect();
    let is = |test: &Option<(ReplaySide, f64, Effect)>, wanted| test.is_some_and(|(_, _, effect)| effect == wanted);
    // Where one intervention rescues and does no harm, what others do is only to be heeded.
    let one_serves = tests.iter().any(|(rescue, harm)| is(rescue, Effect::Better) && !is(harm, Effect::Worse));
    let against = if one_serves { Weight::Caution } else { Weight::Against };

    for (replay, (rescue, harm)) in replays.iter().zip(&tests) {
        let name = &replay.intervention;
        match rescue {
            Some((side, p, Effect::Better)) => {
                found.add(Topic::Rescue, Weight::For, rescued(name, "rescues", *side, *p))
            }
            Some((side, p, Effect::Worse)) => {
                found.add(Topic::Rescue, against, rescued(name, "makes it worse", *side, *p));
            }
            _ => {}
        }
        if let Some((side, p, Effect::Worse)) = harm {
            let ReplaySide { steered, boundaries, plain, .. } = side;
            let text = format!(
                "Replayed where answers were right, {name} harms: right from {steered} of {boundaries}, {plain} without \
                 (McNemar p {p:.3})."
            );
            found.add(Topic::Harm, against, text);
        }
    }
    let unknown = replays.iter().zip(&tests).filter_map(|(replay, (rescue, _))| Some((replay, rescue.as_ref()?)));
    let unknown: Vec<_> = unknown.collect();
    if unknown.iter().all(|(_, (_, _, effect))| *effect == Effect::Unknown)
        && let Some((replay, (side, p, _))) =
            unknown.iter().max_by_key(|(_, (side, ..))| side.wins as i64 - side.losses as i64)
    {
        let text = rescued(&replay.intervention, "is not seen to rescue", *side, *p);
        found.add(Topic::Rescue, Weight::Caution, text);
    }
}

fn rescued(name: &str, says: &str, side: ReplaySide, p: f64) -> String {
    let ReplaySide { steered, boundaries, plain, .. } = side;
    format!(
        "Replayed where it was mined, {name} {says}: right from {steered} of {boundaries} wrong rollouts, {plain} without \
         (McNemar p {p:.3})."
    )
}

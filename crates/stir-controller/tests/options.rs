//! The settings that are not published, one by one on states made by hand, and samples that begin with an impulse.

use std::ops::ControlFlow;

use crate::common::{Impulse, WARM, encode, library, prompts, rich, steer};
use stir_basis::{Action, Entry, Library, ValueHead};
use stir_controller::{
    Commit, ControlState, Controller, ControllerConfig, ControllerError, Decision, LayerState, Next, Placement, Plan,
    Planned, Probe, ProbeScores, Steered, Strength, Variant,
};
use stir_core::{
    Delimiter, Engine, Request, SampleRng, Sampling, SegmentCounter, Session, Text, Vocab, drive, prefill,
    toy::ToyEngine,
};

/// Two entries of vectors 5 and 10 long near the same key at layer 1.
fn two() -> Library {
    let entry = |vector: [f32; 2], quality| Entry {
        layer: 1,
        quality,
        key: [1.0, 0.0].into(),
        action: Action::Steer(vector.to_vec()),
        ..Entry::default()
    };
    Library::from_vectors([entry([3.0, 4.0], 1.0), entry([6.0, 8.0], 0.5)]).unwrap()
}

fn controller(config: ControllerConfig) -> Controller {
    Controller::unchecked(two(), config).unwrap()
}

/// At control point 1, with a state 20 long.
fn here() -> ControlState {
    ControlState { sequence: 0, m: 1, states: vec![LayerState { layer: 1, values: vec![20.0, 0.0] }] }
}

fn plan(controller: &Controller, at: &ControlState) -> Plan {
    match controller.plan(at) {
        Planned::Probe(plan) => plan,
        Planned::Decided(decision) => panic!("{decision:?}"),
    }
}

fn decide(controller: &Controller, gains: [f64; 2]) -> Decision {
    let scores = ProbeScores { null: 0.0, candidates: gains.to_vec() };
    controller.decide(plan(controller, &here()), &scores).unwrap()
}

#[test]
fn strength_is_measured_by_the_stream() {
    let with = |strength, k_scale| controller(ControllerConfig { strength, k_scale, ..ControllerConfig::default() });
    // Without gains the first wins with a score of 2.
    for (strength, k_scale, probe_scales, scale) in [
        (Strength::Score, 1.5, [1.0, 1.0], 3.0),
        (Strength::Clipped(0.5), 1.5, [1.0, 1.0], 2.0),
        (Strength::Clipped(0.125), 1.5, [0.5, 0.25], 0.5),
        (Strength::Clipped(0.125), 0.1, [0.5, 0.25], 0.2),
        (Strength::Relative(0.5), 1.5, [2.0, 1.0], 2.0),
        (Strength::Relative(0.5), 0.0, [2.0, 1.0], 2.0),
    ] {
        let controller = with(strength, k_scale);
        let plan = plan(&controller, &here());
        let found: Vec<f32> = plan.candidates().iter().map(|c| c.probe_scale).collect();
        assert_eq!(found, probe_scales, "{strength}");
        assert_eq!(plan.candidates()[1].relative_length, 0.5);
        let commit = decide(&controller, [0.0, 0.0]).commit.unwrap();
        assert!((commit.scale - scale).abs() < 1e-6, "{strength}: {}", commit.scale);
    }
    // A score that is not finite is left out, although the scale does not depend on it.
    let decision = decide(&with(Strength::Relative(0.5), 1.0), [f64::NAN, 0.0]);
    assert_eq!((decision.commit.unwrap().entry, decision.non_finite), (Some(1), 1));
}

#[test]
fn the_static_vector_obeys_strength() {
    let static_vector = |strength| {
        let variant = Variant::StaticVector;
        controller(ControllerConfig { variant, strength, k_scale: 4.0, ..ControllerConfig::default() })
    };
    let scale = |strength| match static_vector(strength).plan(&here()) {
        Planned::Decided(decision) => decision.commit.unwrap().scale,
        Planned::Probe(plan) => panic!("{plan:?}"),
    };
    // The mean is 7.5 long.
    assert_eq!(scale(Strength::Score), 4.0);
    assert!((scale(Strength::Relative(0.375)) - 1.0).abs() < 1e-6);
    assert!((scale(Strength::Clipped(0.75)) - 2.0).abs() < 1e-6);
    assert!(!static_vector(Strength::Score).needs_states(1) && static_vector(Strength::Clipped(1.0)).needs_states(1));
    // Without the state there is nothing to measure by.
    let nowhere = ControlState { states: Vec::new(), ..here() };
    for strength in [Strength::Relative(0.5), Strength::Clipped(0.5)] {
        let Planned::Decided(decision) = static_vector(strength).plan(&nowhere) else { panic!() };
        assert_eq!((decision.commit, decision.non_finite), (None, 1));
    }
}

#[test]
fn a_gain_below_the_least_does_not_win() {
    let with = |min_gain| controller(ControllerConfig { min_gain, rho: 1.0, ..ControllerConfig::default() });
    let chosen = |min_gain, gains| decide(&with(min_gain), gains).commit.and_then(|commit| commit.entry);
    assert_eq!(chosen(None, [0.1, 0.2]), Some(0));
    assert_eq!(chosen(Some(0.1), [0.1, 0.2]), Some(0));
    assert_eq!(chosen(Some(0.15), [0.1, 0.2]), Some(1));
    let decision = decide(&with(Some(0.3)), [0.1, 0.2]);
    assert_eq!((decision.commit, decision.score, decision.non_finite), (None, decision.null_score, 0));
}

#[test]
fn settings_are_checked_and_left_out_where_they_are_the_default() {
    let default = ControllerConfig::default();
    let json = serde_json::to_value(&default).unwrap();
    for name in ["strength", "probe", "min_gain", "placement", "at_prompt"] {
        assert!(json.get(name).is_none(), "{name}");
    }
    let text = r#"{"strength": {"relative": 0.3}, "probe": "value", "min_gain": 0.02, "at_prompt": true,
        "placement": {"segment": {"decay": 0.5}}}"#;
    let config: ControllerConfig = serde_json::from_str(text).unwrap();
    assert_eq!((config.strength, config.placement), (Strength::Relative(0.3), Placement::Segment { decay: 0.5 }));
    assert_eq!((config.probe, config.min_gain, config.at_prompt), (Probe::Value, Some(0.02), true));
    assert_eq!(serde_json::from_str::<ControllerConfig>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    for (bad, name) in [
        (ControllerConfig { strength: Strength::Relative(0.0), ..default.clone() }, "strength"),
        (ControllerConfig { strength: Strength::Clipped(f64::NAN), ..default.clone() }, "strength"),
        (ControllerConfig { min_gain: Some(f64::INFINITY), ..default.clone() }, "min_gain"),
        (ControllerConfig { placement: Placement::Segment { decay: 1.1 }, ..default.clone() }, "decay"),
        (ControllerConfig { placement: Placement::Segment { decay: f64::NAN }, ..default }, "decay"),
    ] {
        assert_eq!(bad.validate().unwrap_err().setting, name);
    }
    for text in ["relative:", "relative:x", "share:1", "score:1"] {
        assert!(text.parse::<Strength>().is_err(), "{text}");
    }
    for text in ["segment:", "boundary:1", "token"] {
        assert!(text.parse::<Placement>().is_err(), "{text}");
    }
}

#[test]
fn the_best_head_reads_the_last_token_that_both_probes_encode() {
    let config = ControllerConfig { probe: Probe::Value, ..ControllerConfig::default() };
    assert!(matches!(Controller::unchecked(two(), config.clone()), Err(ControllerError::NoHead)));
    let head = |layer, auc| ValueHead { layer, weights: vec![1.0, 0.0], bias: 0.0, auc };
    let chosen = |heads: Vec<ValueHead>| {
        let controller = Controller::unchecked(two().with_heads(heads).unwrap(), config.clone()).unwrap();
        (controller.layers().to_vec(), controller.probe(&SegmentCounter::new(Delimiter::default()), 9).layer().unwrap())
    };
    assert_eq!(chosen(vec![head(0, Some(0.7)), head(1, Some(0.6))]), (vec![0, 1], 0));
    assert_eq!(chosen(vec![head(1, None), head(0, Some(0.2))]), (vec![0, 1], 0));
    assert_eq!(chosen(vec![head(0, Some(0.7)), head(1, Some(0.7))]), (vec![1], 1));

    let library = two().with_heads(vec![head(1, None)]).unwrap();
    let controller = Controller::unchecked(library, config).unwrap();
    let vocab = Vocab::new([&b"a"[..], b"\n\n", b""], [2]);
    let probe = |tokens: &[usize], logits: &[f32]| {
        let mut branch = controller.probe(&SegmentCounter::new(Delimiter::default()), 9);
        for (&token, &logit) in tokens.iter().zip(logits) {
            branch.read(&[logit, 0.0]);
            let mut row = [0.0; 3];
            row[token] = 1.0;
            branch.push(&row, &vocab);
        }
        branch
    };
    let value = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    // Four tokens, of which three and the boundary token are encoded; two; one; none.
    let null = probe(&[0, 0, 0, 0], &[1.0, 2.0, 3.0, 4.0]);
    let same = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    same(probe(&[0, 0, 0, 0], &[0.0, 0.0, 0.0, 5.0]).gain(&null), value(5.0) - value(4.0));
    same(probe(&[0, 1], &[0.0, 5.0]).gain(&null), value(5.0) - value(2.0));
    same(probe(&[2], &[5.0]).gain(&null), value(5.0) - value(1.0));
    assert!(probe(&[], &[]).gain(&null).is_nan());
    let scores = ProbeScores::of(&null, &[probe(&[0, 1], &[0.0, 5.0])]);
    assert_eq!(scores.null, 0.0);
    same(scores.candidates[0], value(5.0) - value(2.0));
}

#[test]
fn reading_values_takes_no_pass_more() {
    let engine = ToyEngine::without_eos(17);
    let library = rich(&engine, &[0, 2], "\n\n", 5);
    let run = |probe| {
        // Without weight the gain decides nothing.
        let config = ControllerConfig { probe, rho: 0.0, k_scale: 2.0, ..ControllerConfig::default() };
        let mut answers = steer(&engine, &library, &config, &prompts(12, 8, 1), 40, Sampling::GREEDY, 4);
        let candidates = answers.iter_mut().flat_map(|a| &mut a.steps).flat_map(|step| &mut step.candidates);
        let gains: Vec<f64> = candidates.map(|scored| std::mem::take(&mut scored.gain)).collect();
        (answers, gains)
    };
    let ((by_tokens, gains), (by_value, values)) = (run(Probe::LogProb), run(Probe::Value));
    assert_eq!(by_tokens, by_value);
    assert!(gains.len() > 20 && gains.iter().zip(&values).all(|(gain, value)| gain != value && value.abs() < 1.0));
}

/// A probe of the whole segment is the segment: of a steered one nothing is left to compute.
#[test]
fn a_probe_at_the_scale_that_is_committed_is_not_computed_twice() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let run = |sampling| {
        let strength = Strength::Relative(0.5);
        let config = ControllerConfig { strength, probe_tokens: 40, ..ControllerConfig::default() };
        steer(&engine, &library, &config, &prompts(8, 8, 1), 40, sampling, 1)
    };
    // The likeliest token is always drawn from one, but nothing tells the lane so.
    let drawn = Sampling { temperature: 1.0, top_k: 1, ..Sampling::GREEDY };
    let mut saved = 0;
    for (kept, again) in run(Sampling::GREEDY).iter().zip(&run(drawn)) {
        assert_eq!((&kept.steps, &kept.generated.tokens), (&again.steps, &again.generated.tokens));
        let passes = |of: &Steered| of.generated.forward_passes;
        let last = kept.steps.iter().rposition(|step| step.candidates.is_empty()).unwrap();
        // One pass a token, and as many again, less one, for a segment that was probed whole.
        let steered = kept.steps[..last].iter().filter(|step| step.steered());
        let least: usize = steered.map(|step| step.tokens - 1).sum();
        assert!(passes(again) >= passes(kept) + least, "{} {} {least}", passes(again), passes(kept));
        saved += least;
    }
    assert!(saved > 20, "{saved}");
}

/// A continuation that begins with an impulse, the slow way.
fn continued(engine: &ToyEngine, request: &Request, first: Option<&Commit>, config: &ControllerConfig) -> Vec<u32> {
    let mut text = request.prompt.clone();
    let mut rng = SampleRng::new(request.seed, request.stream);
    let (from, mut first) = (text.len() - 1, first);
    while text.len() < request.prompt.len() + request.max_tokens {
        let factor = |t: usize| match config.placement {
            Placement::Segment { decay } => decay.powf(t as f64) as f32,
            _ => f32::from(u8::from(t == 0)),
        };
        let impulses = first.iter().flat_map(|c| {
            let at = |position| (c.layer, position, c.vector.to_vec(), c.scale * factor(position - from));
            (from..text.len()).map(at)
        });
        let impulses: Vec<_> =
            impulses.map(|(layer, position, vector, scale)| Impulse { layer, position, vector, scale }).collect();
        let logits = encode(engine, &text, &impulses, &[]).logits;
        let token = request.sampling.pick(&logits, &text, &mut rng).unwrap().token;
        text.push(token);
        if engine.vocab().text(&text[request.prompt.len()..]).contains("\n\n") {
            first = None;
        }
        if engine.vocab().is_eos(token) {
            break;
        }
    }
    text.split_off(request.prompt.len())
}

#[test]
fn a_sample_begins_with_an_impulse_of_ones_own() {
    let mut changed = 0;
    for seed in 0..24u64 {
        let engine = if seed % 3 == 0 { ToyEngine::new(seed) } else { ToyEngine::without_eos(seed) };
        let library = library(&engine, &[0, 1], "\n\n", 8, 5);
        let placement = if seed % 2 == 0 { Placement::Boundary } else { Placement::Segment { decay: 0.8 } };
        let config = ControllerConfig { variant: Variant::NoMemory, placement, ..ControllerConfig::default() };
        let vector = library.entries().iter().find_map(|entry| entry.vector()).unwrap().into();
        let commit = Commit { entry: Some(3), layer: 1, vector, scale: 2.0 };
        let controller = Controller::new(library, engine.fingerprint(), config.clone()).unwrap();
        let sampling = if seed % 4 < 2 { Sampling::GREEDY } else { WARM };
        let request = Request { max_tokens: 40, sampling, seed, ..Request::new(engine.encode("one\n\ntwo").unwrap()) };
        let prefix = prefill(&engine, &request.prompt).unwrap();
        let run = |first: Option<Commit>, session| -> Steered {
            let lane = controller.resume_with(&engine, session, &request, 0, first).unwrap();
            let mut found = Vec::new();
            let take = |_, steered| {
                found.push(steered);
                ControlFlow::Continue(())
            };
            drive(&engine, [lane], 1, take).unwrap();
            found.remove(0)
        };
        let plain = run(None, prefix.fork());
        assert_eq!(plain.generated.tokens, continued(&engine, &request, None, &config));
        let steered = run(Some(commit.clone()), prefix.fork());
        assert_eq!(steered.generated.tokens, continued(&engine, &request, Some(&commit), &config));
        assert_eq!(steered.generated.tokens, run(Some(commit.clone()), engine.session()).generated.tokens);
        let step = &steered.steps[0];
        assert_eq!((step.segment, step.chosen, step.layer, step.scale), (1, Some(3), Some(1), 2.0));
        assert!(steered.steps[1..].iter().all(|step| !step.steered()));
        changed += usize::from(steered.generated.tokens != plain.generated.tokens);
        // What is not finite is not added.
        let broken = run(Some(Commit { scale: f32::NAN, ..commit }), prefix.fork());
        assert_eq!((broken.generated.tokens, broken.non_finite), (plain.generated.tokens, 1));
    }
    assert!(changed > 6, "{changed}");
}

#[test]
fn the_first_token_knows_of_the_decision_at_the_prompt() {
    let controller = controller(ControllerConfig { at_prompt: true, ..ControllerConfig::default() });
    let mut steering = controller.steer(0);
    assert!(matches!(steering.next(), Next::Read { .. }));
    // There are no entries for control point 0.
    steering.states(here().states).unwrap();
    steering.token(b"a", false).unwrap();
    assert!(steering.place(0).step.is_some());
    let commit = Commit { entry: None, layer: 1, vector: [1.0, 1.0].into(), scale: 1.0 };
    let mut steering = controller.steer_with(0, Some(commit));
    assert!(matches!(steering.next(), Next::Commit(_)));
    steering.committed().unwrap();
    steering.token(b"a\n\n", false).unwrap();
    assert_eq!(*steering.next(), Next::Reencode { last: 2 });
    assert!(steering.place(0).steered() && steering.place(0).step.is_some());
}

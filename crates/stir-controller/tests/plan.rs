//! `plan` and `decide` alone, called from a loop that caches nothing, do what the lane does: for every variant.

use crate::common::{Impulse, encode, library, prompts, steer};
use stir_controller::{
    Candidate, ControlState, Controller, ControllerConfig, Decision, LayerState, Planned, ProbeScores, Variant,
};
use stir_core::{Engine, SampleRng, Sampling, SegmentCounter, TokenId, toy::ToyEngine};

/// Decodes greedily and steers with `plan` and `decide`; returns the tokens and the decisions.
fn run(
    engine: &ToyEngine,
    controller: &Controller,
    sequence: u64,
    prompt: &[TokenId],
    budget: usize,
) -> (Vec<TokenId>, Vec<Decision>) {
    let (mut tokens, mut decisions, mut impulse) = (prompt.to_vec(), Vec::new(), None);
    let mut counter = SegmentCounter::new(controller.library().delimiter().clone());
    while tokens.len() < prompt.len() + budget {
        tokens.push(next(engine, &tokens, impulse.as_ref()).0);
        let completed = counter.push(engine.vocab().bytes(*tokens.last().unwrap()));
        if completed == 0 || tokens.len() == prompt.len() + budget || decisions.len() == 8 {
            continue;
        }
        let read = encode(engine, &tokens, &[], controller.points()).captures;
        let layers = controller.points().iter().map(|point| point.layer());
        let states = layers.zip(read).map(|(layer, values)| LayerState { layer, values }).collect();
        let decision = match controller.plan(&ControlState { sequence, m: counter.count(), states }) {
            Planned::Decided(decision) => decision,
            Planned::Probe(plan) => {
                let probe = |candidate: Option<&Candidate>| {
                    let impulse = candidate.map(|c| impulse_at(&tokens, c.layer, &c.vector, 1.0));
                    probe(engine, controller, &counter, &tokens, impulse.as_ref())
                };
                let candidates = plan.candidates().iter().map(|candidate| probe(Some(candidate))).collect();
                controller.decide(plan, &ProbeScores { null: probe(None), candidates }).unwrap()
            }
        };
        impulse = decision.commit.as_ref().map(|c| impulse_at(&tokens, c.layer, &c.vector, c.scale));
        decisions.push(decision);
    }
    (tokens.split_off(prompt.len()), decisions)
}

fn impulse_at(tokens: &[TokenId], layer: usize, vector: &[f32], scale: f32) -> Impulse {
    Impulse { layer, position: tokens.len() - 1, vector: vector.to_vec(), scale }
}

fn next(engine: &ToyEngine, tokens: &[TokenId], impulse: Option<&Impulse>) -> (TokenId, f32) {
    let logits = encode(engine, tokens, impulse.cloned().as_slice(), &[]).logits;
    let choice = Sampling::GREEDY.pick(&logits, &[], &mut SampleRng::new(0, 0)).unwrap();
    (choice.token, choice.log_prob)
}

fn probe(
    engine: &ToyEngine,
    controller: &Controller,
    counter: &SegmentCounter,
    tokens: &[TokenId],
    impulse: Option<&Impulse>,
) -> f64 {
    let (mut tokens, mut counter, mut sum, mut count) = (tokens.to_vec(), counter.clone(), 0.0, 0);
    while count < controller.config().probe_tokens && tokens.len() < engine.shape().max_context {
        let (token, log_prob) = next(engine, &tokens, impulse);
        tokens.push(token);
        (sum, count) = (sum + f64::from(log_prob), count + 1);
        if counter.push(engine.vocab().bytes(token)) > 0 || engine.vocab().is_eos(token) {
            break;
        }
    }
    sum / count as f64
}

#[test]
fn every_variant_through_plan_and_decide_alone() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let prompts = prompts(8, 8, 1);
    let mut texts = Vec::new();
    for (variant, _) in Variant::ALL {
        let config = ControllerConfig { variant, k_scale: 1.5, ..ControllerConfig::default() };
        let controller = Controller::new(library.clone(), engine.fingerprint(), config.clone()).unwrap();
        let lanes = steer(&engine, &library, &config, &prompts, 50, Sampling::GREEDY, 4);
        let mut steered = 0;
        for (sequence, (lane, prompt)) in (0..).zip(lanes.iter().zip(&prompts)) {
            let (tokens, decisions) = run(&engine, &controller, sequence, prompt, 50);
            assert_eq!(tokens, lane.generated.tokens, "{variant}");
            assert_eq!(decisions.len(), lane.steps.len() - 1);
            for (decision, step) in decisions.iter().zip(&lane.steps[1..]) {
                assert_eq!(decision.commit.as_ref().and_then(|commit| commit.entry), step.chosen, "{variant}");
                assert_eq!(decision.commit.as_ref().map_or(0.0, |commit| commit.scale), step.scale, "{variant}");
                assert_eq!((decision.score, decision.null_score), (step.score, step.null_score), "{variant}");
                assert_eq!(decision.candidates, step.candidates, "{variant}");
            }
            steered += decisions.iter().filter(|decision| decision.commit.is_some()).count();
        }
        assert_eq!(steered > 4, variant != Variant::NoMemory, "{variant}: {steered}");
        texts.push(lanes.iter().map(|lane| lane.generated.tokens.clone()).collect::<Vec<_>>());
    }
    // The static vector is not the method.
    assert_ne!(texts.first(), texts.last());
}

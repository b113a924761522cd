//! Rescue and harm on the toy engine, against continuations made by hand.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use crate::common::{HIDDEN, LAYER, engine, judge, rollouts, toward};
use stir_basis::{MinedPairs, Pair};
use stir_controller::Scope;
use stir_core::{Addition, Delimiter, Engine, HookPoint, Row, SampleRng, TokenId, argmax, toy::ToyEngine};
use stir_validation::{Intervention, Judge, PairReplay, PairReplayConfig, ReplayConfig, Start, Starts};

const MAX_TOKENS: usize = 9;

fn starts(engine: &ToyEngine) -> Starts {
    Starts::of_rollouts(engine, rollouts(engine, 9), &Delimiter::default(), 1..=7).unwrap()
}

/// Pairs of the first seven problems at control point 1, of some at 2, and of another layer.
fn pairs(engine: &ToyEngine) -> MinedPairs {
    let mut rng = SampleRng::new(3, 0);
    let mut noise = || -> Vec<f32> { (0..HIDDEN).map(|_| rng.normal() as f32).collect() };
    let q = toward(engine, 16);
    let mut pairs = Vec::new();
    for (problem, m, layer) in (0..7).flat_map(|p| [(p, 1, LAYER), (p, 2, LAYER), (p, 1, 0)]) {
        if m == 1 || problem % 2 == 0 {
            let mu_minus = noise();
            let push = if problem % 3 == 0 { q.clone() } else { noise() };
            let mu_plus = mu_minus.iter().zip(push).map(|(a, b)| a + b).collect();
            pairs.push(Pair {
                problem: format!("p{problem}"),
                m,
                layer,
                quality: 1.0,
                mu_plus,
                mu_minus,
                ..Pair::default()
            });
        }
    }
    let (fingerprint, delimiter, provenance) = (engine.fingerprint().clone(), Delimiter::default(), BTreeMap::new());
    MinedPairs { fingerprint, delimiter, pairs, means: vec![], heads: vec![], provenance }
}

/// Continues a start greedily; the impulse stays. Returns whether the answer is right.
fn by_hand(engine: &ToyEngine, start: &Start, impulse: Option<(&[f32], f64)>) -> bool {
    let points = [HookPoint::ResidPost(LAYER)];
    let prefix = start.prefix();
    let run = |tokens: &[TokenId], scale: f32, vector: &[f32]| {
        let addition = Addition { point: points[0], position: prefix.len() - 1, vector, scale };
        let row =
            Row { session: &mut engine.session(), tokens, additions: vec![addition], capture: &points, logits: true };
        engine.forward(&mut [row]).unwrap().remove(0)
    };
    let zero = vec![0.0; HIDDEN];
    let state = run(&prefix, 0.0, &zero).captures.remove(0);
    let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (vector, scale) = match impulse {
        Some((vector, strength)) => (vector, (strength * norm(&state) / norm(vector)) as f32),
        None => (&zero[..], 0.0),
    };
    let mut tokens = prefix.clone();
    while tokens.len() < prefix.len() + MAX_TOKENS {
        let token = argmax(&run(&tokens, scale, vector).logits).unwrap() as TokenId;
        tokens.push(token);
        if engine.vocab().is_eos(token) {
            break;
        }
    }
    judge(&start.problem, &engine.vocab().text(&tokens[start.prompt.len()..]))
}

#[test]
fn rescue_and_harm_are_those_of_greedy_continuations() {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let (found, mined) = (starts(&engine), pairs(&engine));
    let replay = ReplayConfig { max_tokens: MAX_TOKENS, scope: Scope::Persistent, ..ReplayConfig::default() };
    let config = PairReplayConfig { boundaries: 100, strengths: vec![0.5, 3.0], replay };
    let run = |config: &PairReplayConfig, name: &str| {
        let out = folder.path().join(name);
        let mut observer = |_| ControlFlow::Continue(());
        let judge = Judge { name: "has a letter", is_right: &judge };
        let replay = PairReplay { engine: &engine, pairs: &mined, config, judge };
        replay.run(LAYER, &found, out, &mut observer).unwrap()
    };
    let (interventions, cost) = run(&config, "r.jsonl");
    let names: Vec<&str> = interventions.iter().map(|i| i.name.as_str()).collect();
    let other = "nearest vector of another problem";
    assert_eq!(names, ["own vector, x0.5", "own vector, x3", &format!("{other}, x0.5"), &format!("{other}, x3")]);

    // Every boundary of a problem with a pair there, and only those.
    let wanted: Vec<&Start> = found
        .starts
        .iter()
        .filter(|start| mined.pairs.iter().any(|p| p.layer == LAYER && p.m == start.m && p.problem == start.problem.id))
        .collect();
    let own: HashMap<(&str, usize), Vec<f32>> =
        mined.pairs.iter().filter(|p| p.layer == LAYER).map(|p| ((p.problem.as_str(), p.m), p.delta())).collect();
    let mut rescued = 0;
    for (Intervention { outcomes, .. }, strength) in interventions.iter().zip([0.5, 3.0]) {
        assert_eq!(outcomes.len(), wanted.len());
        for (outcome, start) in outcomes.iter().zip(&wanted) {
            assert_eq!((outcome.sample, outcome.m, outcome.right), (start.sample, start.m, start.right));
            let vector = &own[&(start.problem.id.as_str(), start.m)];
            assert_eq!(outcome.plain, by_hand(&engine, start, None));
            assert_eq!(outcome.steered, by_hand(&engine, start, Some((vector, strength))));
            rescued += usize::from(outcome.steered && !outcome.plain);
        }
    }
    assert!(rescued > 0);
    // Plain, and each vector at each strength.
    assert_eq!(cost.continuations, wanted.len() * 5);

    // A bound takes as many of each side, and resumes nothing that is of another choice.
    let few = PairReplayConfig { boundaries: 2, ..config.clone() };
    let (bounded, _) = run(&few, "few.jsonl");
    for right in [false, true] {
        assert_eq!(bounded[0].outcomes.iter().filter(|outcome| outcome.right == right).count(), 2);
    }
    assert_eq!(run(&config, "r.jsonl"), (interventions, cost));
}

//! `Steering` in a loop that is not ours: it knows no engine contract, no lane and no cache, and encodes the whole text
//! for every token. Random case by random case it decides what the lane decides and writes what the lane writes.

use crate::common::{Impulse, WARM, encode, library, prompts, rich};
use stir_basis::Library;
use stir_controller::{
    Candidate, Controller, ControllerConfig, ControllerError, LayerState, Next, Placement, Probe, ProbeBranch,
    ProbeScores, Scope, Steered, Steering, Step, Strength, Variant,
};
use stir_core::{Engine, GenerateOptions, HookPoint, Request, SampleRng, Sampling, TokenId, toy::ToyEngine};

/// The results of a foreign loop at the end of a sequence.
#[derive(Debug, Default)]
struct Foreign {
    tokens: Vec<TokenId>,
    log_probs: Vec<f32>,
    probe_tokens: usize,
}

/// Generates one sample of `request`, steered.
fn foreign(engine: &ToyEngine, steering: &mut Steering, request: &Request) -> Foreign {
    let (vocab, room) = (engine.vocab(), engine.shape().max_context);
    let mut rng = SampleRng::new(request.seed, request.stream);
    let mut text = request.prompt.clone();
    let mut impulses: Vec<Impulse> = Vec::new();
    let mut out = Foreign::default();
    loop {
        let last = text.len() - 1;
        match steering.next() {
            Next::Decode => {
                impulses.extend(steering.impulse().map(|(commit, scale)| {
                    let (layer, vector) = (commit.layer, commit.vector.to_vec());
                    Impulse { layer, position: last, vector, scale }
                }));
                let logits = encode(engine, &text, &impulses, &[]).logits;
                let choice = request.sampling.pick(&logits, &text, &mut rng).unwrap();
                text.push(choice.token);
                out.tokens.push(choice.token);
                out.log_probs.push(choice.log_prob);
                let written = vocab.text(&out.tokens);
                let ended = request.stop.iter().any(|stop| written.contains(stop.as_str()))
                    || vocab.is_eos(choice.token)
                    || out.tokens.len() == request.max_tokens
                    || text.len() == room;
                steering.token(vocab.bytes(choice.token), ended).unwrap();
            }
            Next::Reencode { last } => {
                let from = text.len() - last;
                assert!(impulses.iter().any(|impulse| impulse.position == from));
                impulses.retain(|impulse| impulse.position < from);
                steering.reencoded().unwrap();
            }
            Next::Read { layers } => {
                let points: Vec<_> = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
                let read = encode(engine, &text, &impulses, &points).captures;
                let states = layers.iter().zip(read).map(|(&layer, values)| LayerState { layer, values });
                steering.states(states.collect()).unwrap();
            }
            Next::Probe(plan) => {
                let placement = steering.controller().config().placement;
                let probe = |candidate: Option<&Candidate>| -> ProbeBranch {
                    let mut impulses = impulses.clone();
                    let (mut branch, mut text) = (steering.probe(room - text.len()), text.clone());
                    let points: Vec<_> = branch.layer().into_iter().map(HookPoint::ResidPost).collect();
                    loop {
                        let position = text.len() - 1;
                        let factor = placement.factor(position - last);
                        impulses.extend(candidate.filter(|_| factor != 0.0).map(|c| {
                            let (layer, vector) = (c.layer, c.vector.to_vec());
                            Impulse { layer, position, vector, scale: c.probe_scale * factor }
                        }));
                        let output = encode(engine, &text, &impulses, &points);
                        output.captures.iter().for_each(|state| branch.read(state));
                        if !branch.push(&output.logits, vocab) {
                            return branch;
                        }
                        text.push(branch.choices().last().unwrap().token);
                    }
                };
                let null = probe(None);
                let branches: Vec<_> = plan.candidates().iter().map(|c| probe(Some(c))).collect();
                out.probe_tokens += null.choices().len();
                out.probe_tokens += branches.iter().map(|branch| branch.choices().len()).sum::<usize>();
                steering.scores(&ProbeScores::of(&null, &branches)).unwrap();
            }
            Next::Commit(commit) => {
                let (layer, vector, scale) = (commit.layer, commit.vector.to_vec(), commit.scale);
                impulses.push(Impulse { layer, position: last, vector, scale });
                steering.committed().unwrap();
            }
            Next::Done => return out,
        }
    }
}

/// One of `items`.
fn one_of<T: Copy>(rng: &mut SampleRng, items: &[T]) -> T {
    items[rng.below(items.len())]
}

/// Mostly the defaults, which act; one of the others now and then.
fn settings(rng: &mut SampleRng, variant: Variant, scope: Scope) -> ControllerConfig {
    let mut rare = || rng.below(5) == 0;
    let default = ControllerConfig { k_scale: 1.5, scope, variant, ..ControllerConfig::default() };
    let [few, wide, long, bound, strict, late, early, gain] = std::array::from_fn(|_| rare());
    ControllerConfig {
        max_control_points: if few { one_of(rng, &[1, 2, 3, 50]) } else { 8 },
        retrieve: if wide { one_of(rng, &[1, 4, 100]) } else { 8 },
        candidates: 1 + rng.below(5),
        probe_tokens: if long { one_of(rng, &[1, 2, 9, 200]) } else { 4 },
        beta: if gain { one_of(rng, &[0.0, 0.5]) } else { 2.0 },
        rho: one_of(rng, &[0.0, 0.1, 0.1, 5.0]),
        tau_null: if strict { one_of(rng, &[-1.0, 0.8]) } else { 0.0 },
        k_scale: if bound { one_of(rng, &[0.0, 0.75, 3.0, 1e300]) } else { 1.5 },
        min_entries: if wide { 13 } else { 1 },
        min_similarity: if strict { 0.9 } else { one_of(rng, &[-1.0, 0.0]) },
        min_m: late.then_some(2),
        max_m: early.then_some(4),
        seed: rng.below(5) as u64,
        ..default
    }
}

/// The same, and what is not published.
fn with_options(rng: &mut SampleRng, config: ControllerConfig) -> ControllerConfig {
    let share = one_of(rng, &[0.1, 0.5, 2.0]);
    let decay = one_of(rng, &[1.0, 0.6, 0.0]);
    ControllerConfig {
        strength: one_of(rng, &[Strength::Score, Strength::Clipped(share), Strength::Relative(share)]),
        probe: one_of(rng, &[Probe::LogProb, Probe::Value, Probe::Value]),
        min_gain: one_of(rng, &[None, None, Some(-0.05), Some(0.01)]),
        placement: one_of(rng, &[Placement::Boundary, Placement::Segment { decay }]),
        at_prompt: rng.below(2) == 0,
        ..config
    }
}

/// The decisions that mattered over a set of cases.
#[derive(Debug, Default)]
struct Seen {
    steered: usize,
    unsteered: usize,
    stopped: usize,
}

#[test]
fn a_foreign_loop_decides_and_writes_what_the_lane_does() {
    sweep(360, false);
}

#[test]
fn so_it_does_with_what_is_not_published() {
    sweep(360, true);
}

fn sweep(cases: usize, options: bool) {
    let mut rng = SampleRng::new(20, 26);
    let engines: Vec<ToyEngine> =
        [1, 10, 17, 19].map(ToyEngine::without_eos).into_iter().chain([1, 9].map(ToyEngine::new)).collect();
    let libraries: Vec<Vec<Library>> = engines
        .iter()
        .map(|engine| {
            let of = |(layers, delimiter): &(&[usize], &str)| match options {
                true => rich(engine, layers, delimiter, 5),
                false => library(engine, layers, delimiter, 8, 5),
            };
            [(&[0, 1][..], "\n\n"), (&[0, 1, 2], "\n\n"), (&[2], "."), (&[0, 2], "\n")].iter().map(of).collect()
        })
        .collect();
    let kinds: Vec<(Variant, Scope)> = Variant::ALL
        .iter()
        .flat_map(|(variant, _)| [Scope::Segment, Scope::Persistent].map(|scope| (*variant, scope)))
        .collect();
    let mut seen: Vec<Seen> = kinds.iter().map(|_| Seen::default()).collect();
    for case in 0..cases {
        let kind = case % kinds.len();
        let mut config = settings(&mut rng, kinds[kind].0, kinds[kind].1);
        if options {
            config = with_options(&mut rng, config);
        }
        let at = rng.below(engines.len());
        let (engine, library) = (&engines[at], &libraries[at][rng.below(4)]);
        let controller = Controller::new(library.clone(), engine.fingerprint(), config.clone()).unwrap();
        let all_on = Sampling { temperature: 1.2, top_p: 0.95, top_k: 20, min_p: 0.02, repetition_penalty: 1.05 };
        let penalised = Sampling { repetition_penalty: 1.4, ..Sampling::GREEDY };
        let longest = one_of(&mut rng, &[8, 8, 8, 80]);
        let request = Request {
            max_tokens: one_of(&mut rng, &[1, 20, 40, 40, 100]),
            sampling: one_of(&mut rng, &[Sampling::GREEDY, Sampling::GREEDY, WARM, all_on, penalised]),
            stop: one_of(&mut rng, &[None, None, Some("\n\n\n"), Some("ab")]).map(String::from).into_iter().collect(),
            seed: rng.below(3) as u64,
            stream: rng.below(9) as u64,
            ..Request::new(prompts(1, longest, rng.below(1000) as u64).remove(0))
        };

        let lane: Steered = controller
            .generate(engine, std::slice::from_ref(&request), GenerateOptions::default())
            .unwrap()
            .concat()
            .remove(0);
        let mut steering = controller.steer(request.stream);
        let found = foreign(engine, &mut steering, &request);
        let what = || format!("case {case}: {config:?} {request:?}");
        assert_eq!(found.tokens, lane.generated.tokens, "{}", what());
        assert_eq!(found.log_probs, lane.generated.log_probs, "{}", what());
        assert_eq!(found.probe_tokens, lane.probe_tokens, "{}", what());
        assert_eq!(steering.non_finite(), lane.non_finite, "{}", what());
        // A score may be NaN; as text one equals another.
        assert_eq!(format!("{:?}", steering.steps()), format!("{:?}", lane.steps), "{}", what());

        let steered = |step: &&Step| step.steered();
        seen[kind].steered += lane.steps.iter().filter(steered).count();
        seen[kind].unsteered +=
            lane.steps.iter().skip(usize::from(!config.at_prompt)).filter(|step| !step.steered()).count();
        seen[kind].stopped += usize::from(lane.generated.finish == stir_core::Finish::Stop);
    }
    for ((variant, scope), seen) in kinds.iter().zip(&seen) {
        assert!(seen.unsteered > 4, "{variant} {scope:?}: {seen:?}");
        assert_eq!(seen.steered > 4, *variant != Variant::NoMemory, "{variant} {scope:?}: {seen:?}");
    }
    assert!(seen.iter().map(|seen| seen.stopped).sum::<usize>() > 4, "{seen:?}");
}

/// A loop that answers another wish than the one that was made gets an error, and can continue.
#[test]
fn what_is_not_wanted_is_refused() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let controller = Controller::new(library, engine.fingerprint(), ControllerConfig::default()).unwrap();
    let mut steering = controller.steer(0);
    let refused = |result: Result<(), ControllerError>| match result {
        Err(ControllerError::OutOfTurn { wanted, .. }) => wanted,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(steering.states(Vec::new())), "a token");
    assert_eq!(refused(steering.scores(&ProbeScores::default())), "a token");
    assert_eq!(refused(steering.committed()), "a token");
    assert_eq!(refused(steering.reencoded()), "a token");
    steering.token(b"so\n\n", false).unwrap();
    assert!(matches!(steering.next(), Next::Read { layers } if layers[..] == [0, 1]));
    let error = steering.token(b"a", false).unwrap_err();
    assert_eq!(error.to_string(), "the steering was given a token where it wants states");
    let key = controller.library().entries().iter().find(|entry| entry.m == 1 && entry.vector().is_some()).unwrap();
    steering.states(vec![LayerState { layer: key.layer, values: key.key.to_vec() }]).unwrap();
    let Next::Probe(plan) = steering.next().clone() else { panic!("{:?}", steering.next()) };
    let count = plan.candidates().len();
    let scores = |n| ProbeScores { null: 0.0, candidates: vec![0.0; n] };
    assert!(matches!(
        steering.scores(&scores(count + 1)),
        Err(ControllerError::ProbeCount { expected, found }) if (expected, found) == (count, count + 1)
    ));
    steering.scores(&scores(count)).unwrap();
    assert!(matches!(steering.next(), Next::Commit(_) | Next::Decode));
}

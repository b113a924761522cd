//! Laws of steered generation on the toy engine.

use crate::common::{WARM, batch, library, max_batch, plain, prompts, steer};
use stir_basis::{Action, Library};
use stir_controller::{
    ControlState, Controller, ControllerConfig, LayerState, Planned, Scope, Scored, Steered, Step, Variant,
};
use stir_core::{
    Engine, Finish, GenerateError, Output, RequestError, Row, SampleId, Sampling, TokenId,
    toy::{ToyEngine, ToySession, Watched},
};

const SAMPLINGS: [Sampling; 2] = [Sampling::GREEDY, WARM];

fn base() -> ControllerConfig {
    ControllerConfig { k_scale: 1.5, ..ControllerConfig::default() }
}

/// An engine that reaches many boundaries, a library for it, and prompts.
fn scene() -> (ToyEngine, Library, Vec<Vec<TokenId>>) {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    (engine, library, prompts(16, 8, 1))
}

fn steered(answers: &[Steered]) -> usize {
    answers.iter().flat_map(|a| &a.steps).filter(|step| step.scale > 0.0).count()
}

/// A toy engine whose outputs are altered: `alter` learns whether the row is the first of several probes, and gets the row and
/// its output.
fn altered(
    toy: ToyEngine,
    alter: impl Fn(bool, &Row<'_, ToySession>, &mut Output) + Send + Sync,
) -> Watched<impl Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> {
    Watched::new(toy, move |rows, outputs| {
        // Where one lane probes, that is its unsteered branch, if it has not ended.
        let probes = rows.len() > 1 && rows.iter().all(|row| row.additions.is_empty() && row.logits);
        let rows = rows.iter().zip(outputs).enumerate();
        rows.for_each(|(i, (row, output))| alter(probes && i == 0, row, output));
    })
}

#[test]
fn no_memory_is_plain_decoding() {
    for engine in [ToyEngine::new(9), ToyEngine::without_eos(17)] {
        let library = library(&engine, &[0, 1], "\n\n", 8, 5);
        let prompts = prompts(16, 8, 1);
        let config = ControllerConfig { variant: Variant::NoMemory, ..base() };
        for sampling in SAMPLINGS {
            let plain = plain(&engine, &batch(&prompts, 50, sampling, 3), 4);
            for batch_size in [1, 4, 16] {
                let answers = steer(&engine, &library, &config, &prompts, 50, sampling, batch_size);
                for (answer, plain) in answers.iter().zip(&plain) {
                    assert_eq!(
                        (&answer.generated.tokens, &answer.generated.log_probs),
                        (&plain.tokens, &plain.log_probs)
                    );
                    assert_eq!(
                        (answer.generated.finish, answer.generated.forward_passes),
                        (plain.finish, plain.forward_passes)
                    );
                    assert_eq!(answer.probe_tokens, 0);
                }
            }
        }
    }
}

#[test]
fn a_batch_equals_its_singles_and_runs_repeat() {
    let (engine, library, prompts) = scene();
    for (variant, _) in Variant::ALL {
        for scope in [Scope::Segment, Scope::Persistent] {
            let config = ControllerConfig { variant, scope, ..base() };
            for sampling in SAMPLINGS {
                let run = |batch_size| steer(&engine, &library, &config, &prompts, 50, sampling, batch_size);
                let one = run(1);
                assert_eq!(one, run(3));
                assert_eq!(one, run(16));
                assert_eq!(steered(&one) > 0, variant != Variant::NoMemory);
            }
        }
    }
}

#[test]
fn seeds_of_the_ablations() {
    let (engine, library, prompts) = scene();
    for variant in [Variant::RandomVector, Variant::RandomChoice] {
        let run = |seed| {
            let config = ControllerConfig { variant, seed, ..base() };
            steer(&engine, &library, &config, &prompts, 50, Sampling::GREEDY, 4)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}

/// A library that holds the noise instead of the vectors it replaces does the same.
#[test]
fn random_vectors_change_nothing_but_the_vectors() {
    let (engine, library, prompts) = scene();
    let config = ControllerConfig { variant: Variant::RandomVector, seed: 6, ..base() };
    let all = ControllerConfig { retrieve: 1000, candidates: 1000, max_control_points: 1000, ..config.clone() };
    let controller = Controller::new(library.clone(), library.fingerprint(), all).unwrap();
    let mut entries = library.entries().to_vec();
    for (i, entry) in library.entries().iter().enumerate().filter(|(_, entry)| entry.vector().is_some()) {
        let states = vec![LayerState { layer: entry.layer, values: entry.key.to_vec() }];
        let planned = controller.plan(&ControlState { sequence: 0, m: entry.m, states });
        let Planned::Probe(plan) = planned else { panic!("{planned:?}") };
        let candidate = plan.candidates().iter().find(|candidate| candidate.entry == i).unwrap();
        entries[i].action = Action::Steer(candidate.vector.to_vec());
    }
    let fingerprint = engine.fingerprint().clone();
    let noise = Library::from_entries(fingerprint, entries).unwrap().with_delimiter(library.delimiter().clone());
    let run = |library, config| steer(&engine, library, &config, &prompts, 50, Sampling::GREEDY, 4);
    assert_eq!(run(&library, config), run(&noise, base()));
    assert_ne!(run(&library, base()), run(&noise, base()));
}

#[test]
fn scopes_differ() {
    let (engine, library, prompts) = scene();
    let run = |scope| {
        let config = ControllerConfig { scope, ..base() };
        steer(&engine, &library, &config, &prompts, 60, Sampling::GREEDY, 4)
    };
    assert_ne!(run(Scope::Segment), run(Scope::Persistent));
}

#[test]
fn the_log_accounts_for_every_token() {
    let (engine, library, prompts) = scene();
    for (variant, _) in Variant::ALL {
        for max_control_points in [1, 2, 4] {
            let config = ControllerConfig { variant, max_control_points, ..base() };
            for answer in steer(&engine, &library, &config, &prompts, 60, WARM, 4) {
                assert_eq!(answer.steps.iter().map(|step| step.tokens).sum::<usize>(), answer.generated.tokens.len());
                assert_eq!(
                    (answer.generated.tokens.len(), answer.generated.log_probs.len()),
                    (60, 60),
                    "probes are not in the budget"
                );
                assert_eq!(answer.generated.finish, Finish::Length);
                let segments: Vec<_> = answer.steps.iter().map(|step| step.segment).collect();
                let points = engine.vocab().text(&answer.generated.tokens[..59]).matches("\n\n").count();
                // What follows the last segment that may be steered is one stretch.
                assert_eq!(segments, (1..=(points + 1).min(max_control_points + 1)).collect::<Vec<_>>());
                for step in &answer.steps {
                    assert!(step.scale == 0.0 || (2..=max_control_points).contains(&step.segment));
                }
            }
        }
    }
}

#[test]
fn the_static_vector_is_added_at_every_control_point() {
    let (engine, library, prompts) = scene();
    let config = ControllerConfig { variant: Variant::StaticVector, max_control_points: 4, ..base() };
    for answer in steer(&engine, &library, &config, &prompts, 60, Sampling::GREEDY, 4) {
        for step in &answer.steps {
            let scale = if (2..=4).contains(&step.segment) { 1.5 } else { 0.0 };
            assert_eq!((step.chosen, step.scale), (None, scale));
        }
        assert_eq!(answer.probe_tokens, 0);
    }
    // A strength that f32 cannot hold is never added.
    let config = ControllerConfig { k_scale: 1e300, ..config };
    let answers = steer(&engine, &library, &config, &prompts, 60, Sampling::GREEDY, 4);
    assert!(answers.iter().map(|a| a.non_finite).sum::<usize>() > 0);
    assert_eq!(steered(&answers), 0);
}

#[test]
fn where_nothing_is_added_the_text_is_plain_and_the_probe_is_its_start() {
    let (engine, library, prompts) = scene();
    for sampling in SAMPLINGS {
        let plain = plain(&engine, &batch(&prompts, 60, sampling, 3), 4);
        for probe_tokens in [1, 4, 9] {
            let config = ControllerConfig { k_scale: 0.0, probe_tokens, ..base() };
            let answers = steer(&engine, &library, &config, &prompts, 60, sampling, 4);
            let (mut probed, mut passes) = (0, 0);
            for (answer, plain) in answers.iter().zip(&plain) {
                assert_eq!((&answer.generated.tokens, &answer.generated.log_probs), (&plain.tokens, &plain.log_probs));
                probed += answer.steps.iter().filter(|step| !step.candidates.is_empty()).count();
                passes += answer.generated.forward_passes - plain.forward_passes;
            }
            assert!(probed > 20);
            // At most a pass for each probe token, and far fewer where the null probe's tokens are kept.
            assert!(passes <= probed * probe_tokens);
            if probe_tokens == 4 {
                assert_eq!(passes < 2 * probed, sampling.is_greedy(), "{passes} passes for {probed} probes");
            }
        }
    }
}

#[test]
fn a_broken_state_is_counted_and_never_steers() {
    let (engine, library, prompts) = scene();
    let (config, plain) = (base(), plain(&engine, &batch(&prompts, 40, Sampling::GREEDY, 3), 1));
    // Both layers, at every boundary.
    let alter = |_, _: &Row<'_, _>, output: &mut Output| output.captures.iter_mut().for_each(|c| c[3] = f32::NAN);
    let broken = altered(engine.clone(), alter);
    let answers = steer(&broken, &library, &config, &prompts, 40, Sampling::GREEDY, 4);
    for (answer, plain) in answers.iter().zip(&plain) {
        assert_eq!(answer.generated.tokens, plain.tokens);
        assert_eq!(answer.non_finite, 2 * (answer.steps.len() - 1).min(7));
        assert!(answer.steps.iter().all(|step| step.scale == 0.0 && step.retrieved.is_empty()));
    }
    // One layer, up to a position: the other layer's entries are still found.
    let alter = |_, row: &Row<'_, ToySession>, output: &mut Output| {
        use stir_core::Session;
        if row.session.len() < 30 {
            output.captures.iter_mut().take(1).for_each(|c| c.fill(f32::INFINITY));
        }
    };
    let answers = steer(&altered(engine, alter), &library, &config, &prompts, 40, Sampling::GREEDY, 1);
    let entries = library.entries();
    let mut layers = [0, 0];
    for (answer, prompt) in answers.iter().zip(&prompts) {
        let (mut position, mut broken) = (prompt.len(), 0);
        for step in &answer.steps {
            let early = position < 30;
            broken += usize::from(early && (2..=8).contains(&step.segment));
            for hit in &step.retrieved {
                layers[entries[hit.entry].layer] += 1;
                assert!(!early || entries[hit.entry].layer == 1);
            }
            position += step.tokens;
        }
        assert_eq!(answer.non_finite, broken);
    }
    assert!(layers[0] > 0 && layers[1] > 0 && steered(&answers) > 0);
}

#[test]
fn a_probe_without_a_score_is_counted_and_never_wins() {
    let (engine, library, prompts) = scene();
    let (config, plain) = (base(), plain(&engine, &batch(&prompts, 40, Sampling::GREEDY, 3), 1));
    // Every impulse breaks the logits.
    let alter = |_, row: &Row<'_, _>, output: &mut Output| {
        if !row.additions.is_empty() {
            output.logits[0] = f32::NAN;
        }
    };
    let broken = altered(engine.clone(), alter);
    let answers = steer(&broken, &library, &config, &prompts, 40, Sampling::GREEDY, 4);
    for (answer, plain) in answers.iter().zip(&plain) {
        assert_eq!((&answer.generated.tokens, &answer.generated.log_probs), (&plain.tokens, &plain.log_probs));
        assert_eq!(answer.non_finite, answer.steps.iter().map(|step| step.candidates.len()).sum::<usize>());
    }
    assert!(answers.iter().any(|answer| answer.non_finite > 0));
    // The unsteered probe loses its second row of logits: no candidate has a gain. Where it had but one row, that is
    // what the first of the candidates loses.
    let alter = |is_first_probe, _: &Row<'_, _>, output: &mut Output| {
        if is_first_probe {
            output.logits.clear();
        }
    };
    let broken = altered(engine.clone(), alter);
    let answers = steer(&broken, &library, &config, &prompts, 40, Sampling::GREEDY, 1);
    for answer in &answers {
        let lost = |candidate: &&Scored| candidate.gain.is_nan();
        let candidates = || answer.steps.iter().flat_map(|step| &step.candidates);
        assert!(candidates().filter(lost).all(|candidate| candidate.score.is_nan()));
        assert_eq!(answer.non_finite, candidates().filter(lost).count());
        assert!(
            answer.steps.iter().all(|step| step.scale == 0.0 || step.candidates.iter().any(|c| c.gain.is_finite()))
        );
    }
    let all_lost = |step: &Step| step.candidates.len() > 1 && step.candidates.iter().all(|c| c.gain.is_nan());
    assert!(answers.iter().flat_map(|answer| &answer.steps).any(all_lost));
    // A broken row of the sequence itself is an error.
    let alter = |_, _: &Row<'_, _>, output: &mut Output| output.logits[0] = f32::NAN;
    let controller = Controller::new(library.clone(), library.fingerprint(), config.clone()).unwrap();
    let broken = altered(engine, alter);
    let error = controller.generate(&broken, &batch(&prompts, 40, Sampling::GREEDY, 3), max_batch(4)).unwrap_err();
    assert!(matches!(error, GenerateError::Sampling { sample: SampleId { request: 0, sample: 0 }, .. }));
}

#[test]
fn requests_that_cannot_be_served() {
    let (engine, library, _) = scene();
    let controller = Controller::new(library.clone(), library.fingerprint(), base()).unwrap();
    let refused = |prompt: Vec<TokenId>, max_tokens, sampling| match controller.generate(
        &engine,
        &batch(&[vec![1], prompt], max_tokens, sampling, 0),
        max_batch(2),
    ) {
        Err(GenerateError::Request { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(vec![], 5, WARM), RequestError::EmptyPrompt);
    assert_eq!(refused(vec![1; 96], 5, WARM), RequestError::PromptTooLong { tokens: 96, max_context: 96 });
    assert_eq!(refused(vec![1], 0, WARM), RequestError::ZeroBudget);
    assert!(matches!(refused(vec![1], 5, Sampling { top_p: 0.0, ..WARM }), RequestError::Sampling(_)));
    assert_eq!(controller.generate(&engine, &[], max_batch(2)).unwrap(), [] as [Vec<Steered>; 0]);
}

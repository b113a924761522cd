//! Steered streams tell what steered generation returns, and what was decided where.

use std::collections::BTreeMap;

use crate::common::{WARM, batch, library, max_batch, prompts};
use stir_controller::{Controller, ControllerConfig, Place, Steered, Step, Variant};
use stir_core::{Engine, Event, Finish, Flow, Request, SampleId, Sampling, TokenId, generate, toy::ToyEngine};

#[derive(Default)]
struct Heard {
    tokens: Vec<TokenId>,
    log_probs: Vec<f32>,
    text: String,
    places: Vec<Place>,
    answer: Option<Steered>,
}

fn hear(
    controller: &Controller,
    engine: &ToyEngine,
    requests: &[Request],
    mut flow: impl FnMut(SampleId, usize) -> Flow,
) -> BTreeMap<SampleId, Heard> {
    let mut all: BTreeMap<SampleId, Heard> = BTreeMap::new();
    controller
        .stream(engine, requests, max_batch(4), |id, event| {
            let heard = all.entry(id).or_default();
            match event {
                Event::Token(token) => {
                    assert_eq!(token.index, heard.tokens.len());
                    heard.tokens.push(token.id);
                    heard.log_probs.push(token.log_prob);
                    heard.text += &token.text;
                    heard.places.push(token.note);
                    return flow(id, token.index);
                }
                Event::Finished { text, answer } => {
                    heard.text += &text;
                    assert!(heard.answer.replace(answer).is_none());
                }
                Event::Failed { error, .. } => panic!("{error}"),
            }
            Flow::Continue
        })
        .unwrap();
    for heard in all.values() {
        let answer = heard.answer.as_ref().unwrap();
        assert_eq!((&heard.tokens, &heard.log_probs), (&answer.generated.tokens, &answer.generated.log_probs));
        assert_eq!(heard.text, answer.text(engine.vocab()));
        assert_places(&heard.places, &answer.steps);
    }
    all
}

/// Every token is in its segment, and the first one after a control point says what was decided there.
fn assert_places(places: &[Place], steps: &[Step]) {
    let mut rest = places;
    for (i, step) in steps.iter().enumerate() {
        let (own, after) = rest.split_at(step.tokens);
        for (j, place) in own.iter().enumerate() {
            assert_eq!((place.segment, place.scale, place.steered()), (step.segment, step.scale, step.steered()));
            assert_eq!(place.step.is_some(), i > 0 && j == 0);
            let Some(told) = &place.step else { continue };
            assert!((1..=step.tokens).contains(&told.tokens));
            assert_eq!(Step { tokens: step.tokens, ..told.clone() }, *step);
        }
        rest = after;
    }
    assert!(rest.is_empty());
}

fn requests(sampling: Sampling, stop: &[&str]) -> Vec<Request> {
    let stop: Vec<String> = stop.iter().map(|stop| (*stop).to_owned()).collect();
    let requests = batch(&prompts(8, 8, 1), 50, sampling, 3).into_iter().enumerate();
    requests.map(|(i, request)| Request { samples: 1 + i % 3, stop: stop.clone(), ..request }).collect()
}

#[test]
fn a_stream_tells_what_was_generated_and_decided() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let config = ControllerConfig { k_scale: 1.5, ..ControllerConfig::default() };
    let controller = Controller::new(library.clone(), engine.fingerprint(), config).unwrap();
    let all_on = Sampling { temperature: 1.2, top_p: 0.95, top_k: 20, min_p: 0.02, repetition_penalty: 1.05 };
    for sampling in [Sampling::GREEDY, WARM, all_on, Sampling { repetition_penalty: 1.4, ..Sampling::GREEDY }] {
        // Two stop strings that occur, each over several tokens.
        let free = controller.generate(&engine, &requests(sampling, &[]), max_batch(3)).unwrap();
        let texts = [0, 1].map(|i| free[i][0].text(engine.vocab()).chars().skip(20).take(3).collect::<String>());
        for stop in [&[][..], &[texts[0].as_str(), &texts[1]]] {
            let requests = requests(sampling, stop);
            let answers = controller.generate(&engine, &requests, max_batch(3)).unwrap();
            let heard = hear(&controller, &engine, &requests, |_, _| Flow::Continue);
            assert_eq!(heard.len(), answers.iter().map(Vec::len).sum::<usize>());
            let (mut steered, mut stopped) = (0, 0);
            for (id, heard) in heard {
                let answer = heard.answer.unwrap();
                assert_eq!(answer, answers[id.request][id.sample]);
                steered += heard.places.iter().filter(|place| place.steered()).count();
                stopped += usize::from(answer.generated.finish == Finish::Stop);
                for step in answer.steps.iter().filter(|step| step.steered()) {
                    assert_eq!(step.winner().map(|w| w.entry), step.chosen);
                    assert_eq!(step.layer, library.entry(step.chosen.unwrap()).map(|entry| entry.layer));
                }
            }
            assert!(steered > 0 && (stopped > 0) != stop.is_empty(), "{sampling:?}: {steered}, {stopped}");
        }
    }
}

/// Also where the unsteered probe's tokens are kept: with a penalty they are not, for the probe knows none.
#[test]
fn never_steering_is_plain_generation_with_every_setting() {
    for engine in [ToyEngine::new(9), ToyEngine::without_eos(17)] {
        let library = library(&engine, &[0, 1], "\n\n", 8, 5);
        let all_on = Sampling { temperature: 0.9, top_p: 0.9, top_k: 9, min_p: 0.05, repetition_penalty: 1.3 };
        let penalised = Sampling { repetition_penalty: 1.4, ..Sampling::GREEDY };
        for (sampling, k_scale, variant) in [
            (Sampling::GREEDY, 0.0, Variant::Stir),
            (penalised, 0.0, Variant::Stir),
            (all_on, 0.0, Variant::Stir),
            (all_on, 1.5, Variant::NoMemory),
        ] {
            let config = ControllerConfig { variant, k_scale, ..ControllerConfig::default() };
            let controller = Controller::new(library.clone(), engine.fingerprint(), config).unwrap();
            for stop in [&[][..], &["\n\n"], &["ab", "s", "\n\n\n"]] {
                let requests = requests(sampling, stop);
                let plain = generate(&engine, &requests, max_batch(4)).unwrap();
                let steered = controller.generate(&engine, &requests, max_batch(4)).unwrap();
                for (steered, plain) in steered.iter().flatten().zip(plain.iter().flatten()) {
                    assert_eq!(
                        (&steered.generated.tokens, &steered.generated.log_probs),
                        (&plain.tokens, &plain.log_probs)
                    );
                    assert_eq!((steered.generated.finish, steered.generated.text_len), (plain.finish, plain.text_len));
                }
            }
        }
    }
}

#[test]
fn a_cancelled_answer_accounts_for_its_tokens() {
    let engine = ToyEngine::without_eos(17);
    let library = library(&engine, &[0, 1], "\n\n", 8, 5);
    let config = ControllerConfig { k_scale: 1.5, probe_tokens: 6, ..ControllerConfig::default() };
    let controller = Controller::new(library.clone(), engine.fingerprint(), config).unwrap();
    let requests = requests(Sampling::GREEDY, &[]);
    let whole = controller.generate(&engine, &requests, max_batch(4)).unwrap();
    for at in 0..50 {
        let heard = hear(&controller, &engine, &requests, |_, index| match index == at {
            true => Flow::Cancel,
            false => Flow::Continue,
        });
        for (id, heard) in &heard {
            let (answer, whole) = (heard.answer.as_ref().unwrap(), &whole[id.request][id.sample]);
            assert!((at + 1..=at + 6).contains(&answer.generated.tokens.len()), "no more than was computed at once");
            assert_eq!(answer.generated.tokens, whole.generated.tokens[..answer.generated.tokens.len()]);
            let finish = if answer.generated.tokens.len() == 50 { Finish::Length } else { Finish::Cancelled };
            assert_eq!(answer.generated.finish, finish);
        }
    }
    let heard = hear(&controller, &engine, &requests, |_, _| Flow::CancelAll);
    assert_eq!(heard.len(), whole.iter().map(Vec::len).sum::<usize>());
    assert!(heard.values().all(|heard| heard.answer.as_ref().unwrap().generated.finish == Finish::Cancelled));
    assert_eq!(heard.values().filter(|heard| !heard.tokens.is_empty()).count(), 4);
}

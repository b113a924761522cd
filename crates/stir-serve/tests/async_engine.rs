//! The engine for async code says what engine and controller say. These tests have runtimes of one thread, or none:
//! whatever blocks it ends them.

use std::{
    future::Future,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake},
    thread::{self, Thread},
};

use crate::toy::{events, greedy, library, plain, request, start, whole};
use futures_util::future::join_all;
use stir_controller::{Controller, ControllerConfig, Place, Steered};
use stir_core::{
    Engine, Event, Flow, GenerateOptions, Output, Request, Row, Token, stream,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_serve::AsyncConfig;

#[tokio::test]
async fn a_plain_stream_is_that_of_the_engine() {
    let toy = ToyEngine::new(1);
    let engine = start(toy.clone(), AsyncConfig::default());
    for seed in 0..20 {
        let request = Request { stop: vec!["q".into()], ..request("abc", seed) };
        let mut expected = Vec::new();
        stream(&toy, std::slice::from_ref(&request), GenerateOptions::default(), |_, event| {
            expected.push(event);
            Flow::Continue
        })
        .unwrap();
        let told = events(engine.answer(request).await.unwrap()).await;
        assert_eq!(told.len(), expected.len());
        for (told, expected) in told.into_iter().zip(expected) {
            match (told, expected) {
                (Event::Token(told), Event::Token(Token { index, id, log_prob, text, note: () })) => {
                    assert_eq!(told, Token { index, id, log_prob, text, note: None });
                }
                (Event::Finished { text: told, answer }, Event::Finished { text, answer: expected }) => {
                    assert_eq!((told, answer.steps.len()), (text, 0));
                    assert_eq!((answer.generated.tokens, answer.generated.finish), (expected.tokens, expected.finish));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_steered_stream_is_that_of_the_controller() {
    let toy = ToyEngine::without_eos(1);
    let engine = start(toy.clone(), AsyncConfig::default());
    let controller = Controller::new(library(&toy, 1), toy.fingerprint(), ControllerConfig::default()).unwrap();
    let mut acted = 0;
    for seed in 0..10 {
        let request = request("abc", seed);
        let mut expected: Vec<Event<Steered, Place>> = Vec::new();
        controller
            .stream(&toy, std::slice::from_ref(&request), GenerateOptions::default(), |_, event| {
                expected.push(event);
                Flow::Continue
            })
            .unwrap();
        let told = events(engine.steered(&controller, request).await.unwrap()).await;
        assert_eq!(told.len(), expected.len());
        for (told, expected) in told.into_iter().zip(expected) {
            match (told, expected) {
                (Event::Token(told), Event::Token(Token { index, id, log_prob, text, note })) => {
                    assert_eq!(told, Token { index, id, log_prob, text, note: Some(note) });
                }
                (Event::Finished { text: told, answer }, Event::Finished { text, answer: expected }) => {
                    acted += answer.steps.iter().filter(|step| step.steered()).count();
                    assert_eq!((told, answer.steps), (text, expected.steps));
                    assert_eq!(answer.generated.tokens, expected.generated.tokens);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(acted > 10, "{acted}");
}

#[tokio::test]
async fn streams_that_were_asked_for_share_passes() {
    let (open, gate) = mpsc::channel::<()>();
    let (gate, sizes) = (Mutex::new(gate), Arc::new(Mutex::new(Vec::new())));
    let seen = sizes.clone();
    // Passes wait until all are asked for.
    let engine = Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], _: &mut [Output]| {
        seen.lock().unwrap().push(rows.iter().filter(|row| row.logits).count());
        let _ = gate.lock().unwrap().recv();
    });
    let engine = start(engine, AsyncConfig { max_batch: 8, queue: 8, ..AsyncConfig::default() });
    let mut answers = Vec::new();
    for seed in 0..16 {
        answers.push(engine.answer(request("abc", seed)).await.unwrap());
    }
    drop(open);
    for (answer, _) in join_all(answers.into_iter().map(whole)).await {
        assert_eq!(answer.generated.tokens.len(), 60);
    }
    // One pass encodes the prompt, and the first answer may begin a pass before the others.
    let sizes = sizes.lock().unwrap();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (16 * 60, Some(&8)));
    assert!(sizes.len() <= 1 + 2 * 60 + 2, "{} passes", sizes.len());
}

#[tokio::test]
async fn many_streams_are_not_mixed() {
    let toy = ToyEngine::new(1);
    let engine = start(toy.clone(), AsyncConfig { max_batch: 8, queue: 8, ..AsyncConfig::default() });
    let controller = Controller::new(library(&toy, 1), toy.fingerprint(), ControllerConfig::default()).unwrap();
    let requests: Vec<_> = (0..150).map(|seed| request(["abc", "xyz", "n"][seed as usize % 3], seed)).collect();
    let answers = join_all(requests.iter().enumerate().map(async |(i, request)| {
        let steered = i % 10 == 0;
        let asked = if steered {
            engine.steered(&controller, request.clone()).await
        } else {
            engine.answer(request.clone()).await
        };
        whole(asked.unwrap()).await
    }))
    .await;
    for (i, (request, (answer, text))) in requests.iter().zip(answers).enumerate() {
        let expected = match i % 10 {
            0 => {
                let options = GenerateOptions::default();
                let mut expected = controller.generate(&toy, std::slice::from_ref(request), options).unwrap();
                expected.remove(0).remove(0).generated
            }
            _ => plain(&toy, request).remove(0),
        };
        assert_eq!((&answer.generated.tokens, text), (&expected.tokens, expected.text(toy.vocab())), "{i}");
    }
}

#[test]
fn no_runtime_is_needed() {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let engine = start(ToyEngine::new(1), AsyncConfig::default());
    let mut told = std::pin::pin!(async { whole(engine.answer(greedy("abc")).await.unwrap()).await });
    let waker = Arc::new(Unpark(thread::current())).into();
    let (answer, _) = loop {
        match told.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(told) => break told,
            Poll::Pending => thread::park(),
        }
    };
    assert_eq!(answer.generated.tokens, plain(&ToyEngine::new(1), &greedy("abc"))[0].tokens);
}

//! What the toy engine answers, by itself and in async code, and what it is steered by.
#![allow(dead_code, reason = "without `http` a part is enough")]

use std::sync::Arc;

use futures_util::StreamExt;
use stir_basis::{Action, Entry, Library, normalize};
use stir_controller::Steered;
use stir_core::{
    Delimiter, Engine, Event, GenerateOptions, Generated, Request, SampleRng, Sampling, Text, generate,
    toy::{ToyEngine, ToySession},
};
use stir_serve::{AnswerEvent, AnswerStream, AsyncConfig, AsyncEngine};

pub fn plain<E: Engine>(engine: &E, request: &Request) -> Vec<Generated> {
    generate(engine, std::slice::from_ref(request), GenerateOptions::default()).unwrap().remove(0)
}

/// A library whose entries are anywhere, so that some are near whatever the state is. A segment ends with an `n`, of
/// which the toy engine writes many.
pub fn library(engine: &ToyEngine, seed: u64) -> Library {
    let mut rng = SampleRng::new(seed, 0);
    let mut vector = || -> Vec<f32> { (0..10).map(|_| rng.normal() as f32).collect() };
    let entries = (1..8).flat_map(|m| (0..12).map(move |_| m)).map(|m| {
        let (key, action) = (normalize(&vector()).unwrap().into(), Action::Steer(vector()));
        Entry { m, layer: 1, quality: 0.8, key, action, ..Entry::default() }
    });
    let library = Library::from_entries(engine.fingerprint().clone(), entries.collect()).unwrap();
    library.with_delimiter(Delimiter::new("n").unwrap())
}

/// A drawn answer to `prompt`.
pub fn request(prompt: &str, seed: u64) -> Request {
    let (prompt, sampling) =
        (ToyEngine::new(1).encode(prompt).unwrap(), Sampling { temperature: 2.0, ..Sampling::GREEDY });
    Request { max_tokens: 60, sampling, seed, ..Request::new(prompt) }
}

pub fn start<E: Engine<Session = ToySession> + 'static>(engine: E, config: AsyncConfig) -> AsyncEngine<E> {
    AsyncEngine::new(Arc::new(engine), config).unwrap()
}

/// The whole answer, and its text as it came.
pub async fn whole(mut answer: AnswerStream) -> (Steered, String) {
    let mut told = String::new();
    loop {
        match answer.next().await.unwrap().unwrap() {
            Event::Token(token) => told += &token.text,
            Event::Finished { text, answer } => return (answer, told + &text),
            Event::Failed { error, .. } => panic!("{error}"),
        }
    }
}

/// A greedy answer to `prompt`.
pub fn greedy(prompt: &str) -> Request {
    Request { sampling: Sampling::GREEDY, ..request(prompt, 0) }
}

pub async fn events(answer: AnswerStream) -> Vec<AnswerEvent> {
    answer.map(Result::unwrap).collect().await
}

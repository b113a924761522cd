//! A server: clients ask at any time, and their answers, steered, share the passes of the model. A client that drops
//! its receiver cancels its own answer and no other.
//!
//! ```text
//! cargo run --release --example serve      # after the examples rollout, induce and basis
//! ```
#![allow(clippy::print_stdout)]

use std::{collections::HashMap, error::Error, sync::mpsc, thread};

use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig},
    core::{Engine, Event, Generator, Request, Sampling, Text},
    model::{DeviceSpec, Lm},
};

/// A request, and where the pieces of its answer go.
type Call = (Request, mpsc::Sender<String>);

/// Answers calls until every client is gone.
fn serve(lm: &Lm, controller: &Controller, calls: &mpsc::Receiver<Call>) -> Result<(), Box<dyn Error>> {
    // Steering is this closure; `Generator::new(lm, 8)` generates without it.
    let start = |lm: &_, session, request: &_, sample| controller.resume(lm, session, request, sample);
    let (mut generator, mut clients) = (Generator::with(lm, 8, start), HashMap::new());
    loop {
        // Waits for a call only if nothing is being generated, then takes all that have arrived since the last pass.
        let first = if generator.is_empty() { Some(calls.recv()) } else { None };
        let Ok(first) = first.transpose() else { return Ok(()) };
        for (request, client) in first.into_iter().chain(calls.try_iter()) {
            // If a request is refused, its client is dropped and gets no piece.
            let _ = generator.push(request).map(|id| clients.insert(id, client));
        }
        for (id, event) in generator.step()? {
            match event {
                Event::Token(token) => {
                    if clients[&id.request].send(token.text).is_err() {
                        generator.cancel_request(id.request);
                    }
                }
                Event::Finished { text, .. } | Event::Failed { text, .. } => {
                    let _ = clients.remove(&id.request).map(|client| client.send(text));
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let library = Library::load("runs/examples/library.stir")?;
    let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;
    let (server, calls) = mpsc::channel();
    thread::scope(|scope| {
        // The second client leaves after twenty pieces.
        for (patience, question) in [
            (usize::MAX, "Mia has 41 coins. Mia finds 26. Mia sells 38. How many coins now?"),
            (20, "Ben has 17 apples. Ben finds 25. Ben loses 13. How many apples now?"),
            (usize::MAX, "Leo has 29 cards. Leo buys 34. Leo loses 17. How many cards now?"),
        ] {
            let prompt = lm.encode_prompt(&lm.chat_prompt(question)?)?;
            let request = Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) };
            let server = server.clone();
            scope.spawn(move || {
                let (client, answer) = mpsc::channel();
                let _ = server.send((request, client));
                println!("--- {question}\n{}\n", answer.iter().take(patience).collect::<String>());
            });
        }
        drop(server);
        serve(&lm, &controller, &calls)
    })
}

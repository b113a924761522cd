//! Two questions at once, token by token: both answers share the passes of the model, the scale of each impulse shows
//! in brackets where it was added, and an answer can be cancelled between two tokens.
//!
//! ```text
//! cargo run --release --example stream     # after the examples rollout, induce and basis
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::sync::atomic::AtomicBool;

use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig},
    core::{Engine, Event, Flow, GenerateOptions, Request, Sampling, Text},
    model::{DeviceSpec, Lm},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let library = Library::load("runs/examples/library.stir")?;
    let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;

    let mut requests = Vec::new();
    for question in [
        "Mia has 41 coins. Mia finds 26. Mia sells 38. How many coins now?",
        "Ana has 36 apples. Ana gets 27. Ana loses 15. How many apples now?",
    ] {
        let prompt = lm.encode_prompt(&lm.chat_prompt(question)?)?;
        requests.push(Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) });
    }

    // Another thread may set this to end all answers; each keeps what it has.
    let cancel = AtomicBool::new(false);
    let mut texts = vec![String::new(); requests.len()];
    let options = GenerateOptions { cancel: Some(&cancel), ..GenerateOptions::default() };
    controller.stream(&lm, &requests, options, |id, event| {
        let text = &mut texts[id.request];
        match event {
            Event::Token(token) => {
                // The note of a token says which segment it belongs to and what was decided just before it.
                if let Some(step) = token.note.step.filter(|step| step.steered()) {
                    *text += &format!("[{:+.2}] ", step.scale);
                }
                *text += &token.text;
                // This cancels one answer and no other.
                if token.index == 150 { Flow::Cancel } else { Flow::Continue }
            }
            Event::Finished { text: rest, answer } => {
                let (tokens, finish) = (answer.generated.tokens.len(), answer.generated.finish);
                println!("--- answer {}: {tokens} tokens, {finish:?}\n{text}{rest}\n", id.request);
                Flow::Continue
            }
            Event::Failed { error, .. } => {
                eprintln!("answer {} failed: {error}", id.request);
                Flow::Continue
            }
        }
    })?;
    Ok(())
}

//! Steering vectors of your own, with nothing mined: two beginnings of an answer are encoded, the difference of their
//! states is the vector, and the controller decides where it helps.
//!
//! ```text
//! cargo run --release --example own_vectors
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::{
    basis::{Action, Entry, Library},
    controller::{Controller, ControllerConfig},
    core::{Engine, GenerateOptions, HookPoint, Request, Row, Sampling, Text, generate},
    model::{DeviceSpec, Lm},
};

/// The decoder layer that is read and steered.
const LAYER: usize = 2;

/// Returns the state after the last token of `text`, `[hidden_size]`.
fn state(lm: &Lm, text: &str) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let (mut session, tokens) = (lm.session(), lm.encode_prompt(text)?);
    let capture = [HookPoint::ResidPost(LAYER)];
    let row = Row { session: &mut session, tokens: &tokens, additions: Vec::new(), capture: &capture, logits: false };
    Ok(lm.forward(&mut [row])?.remove(0).captures.remove(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;

    // These are the first sentences of this model's careful answers and of its hasty ones.
    let prompt = lm.chat_prompt("Ben has 17 apples. Ben finds 25. Ben loses 13. How many apples now?")?;
    let careful = state(&lm, &format!("{prompt}Let me go one step at a time.\n\n"))?;
    let hasty = state(&lm, &format!("{prompt}That is quick.\n\n"))?;

    // The key is a state where the vector helps. It is compared with the state at the end of segment `m`, and only
    // there: a vector for several segments needs an entry for each.
    let vector = careful.iter().zip(&hasty).map(|(careful, hasty)| careful - hasty).collect();
    let action = Action::Steer(vector);
    let entry = Entry { m: 1, layer: LAYER, key: hasty.into(), action, ..Entry::default() };
    let library = Library::from_vectors([entry])?;

    // Steer only near the key: at similarities below 0.8 the model is left alone.
    let config = ControllerConfig { min_similarity: 0.8, ..ControllerConfig::default() };
    // This library names no model, so nothing checks that it fits this one.
    let controller = Controller::unchecked(library, config)?;

    let question = "Leo has 29 cards. Leo buys 34. Leo loses 17. How many cards now?";
    let prompt = lm.encode_prompt(&lm.chat_prompt(question)?)?;
    let requests = [Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) }];
    let plain = &generate(&lm, &requests, GenerateOptions::default())?[0][0];
    println!("--- plain\n{}\n", plain.text(lm.vocab()));
    let steered = &controller.generate(&lm, &requests, GenerateOptions::default())?[0][0];
    println!("--- steered\n{}\n", steered.text(lm.vocab()));
    for step in steered.steps.iter().filter(|step| step.steered()) {
        println!("segment {} was steered at scale {:.2}", step.segment, step.scale);
    }
    Ok(())
}

//! Stage 4: at the end of each segment of an answer the controller looks at the model's state, retrieves similar states
//! from the library, probes what their vectors would change, and commits the best impulse, if any.
//!
//! ```text
//! cargo run --release --example steer      # after the examples rollout, induce and basis
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig},
    core::{Engine, GenerateOptions, Request, Sampling, Text, generate},
    model::{DeviceSpec, Lm},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let library = Library::load("runs/examples/library.stir")?;
    let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;

    let question = "Leo has 29 cards. Leo buys 34. Leo loses 17. How many cards now?";
    let prompt = lm.encode_prompt(&lm.chat_prompt(question)?)?;
    let requests = [Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) }];

    // A request may ask for several samples: answers come request by request, sample by sample.
    let plain = &generate(&lm, &requests, GenerateOptions::default())?[0][0];
    println!("--- plain\n{}\n", plain.text(lm.vocab()));
    let steered = &controller.generate(&lm, &requests, GenerateOptions::default())?[0][0];
    println!("--- steered\n{}\n", steered.text(lm.vocab()));

    // Every decision is on record, with what was retrieved, what was probed and how it scored.
    for step in &steered.steps {
        let nearest = step.retrieved.first().map_or(0.0, |nearest| nearest.similarity);
        print!("segment {}: {} retrieved, the nearest at {nearest:.3}; ", step.segment, step.retrieved.len());
        match (step.chosen, step.layer) {
            (Some(entry), Some(layer)) => println!("entry {entry} at layer {layer}, scale {:.2}", step.scale),
            _ => println!("not steered"),
        }
    }
    println!("{} tokens of probes", steered.probe_tokens);
    Ok(())
}

//! Answers prompts on candle, steered by a library that was mined with burn, and compares with what burn answered.
//!
//! ```text
//! cargo run --release [-- MODEL LIBRARY ANSWERS]
//! ```
//!
//! MODEL is a Hugging Face folder, LIBRARY a file that `stir basis` wrote, ANSWERS one that `stir steer` wrote.

use std::{error::Error, fs, path::Path, process::ExitCode};

use candle_engine::CandleEngine;
use serde::Deserialize;
use stir_basis::Library;
use stir_controller::{Controller, ControllerConfig, Step};
use stir_core::{Engine, GenerateOptions, Request, Sampling, Text, TokenId, generate};

/// The fields of a line of ANSWERS that are compared.
#[derive(Deserialize)]
struct Answer {
    prompt: String,
    token_ids: Vec<TokenId>,
    steps: Vec<Step>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let path = |place: usize, default: &str| paths.get(place).map_or_else(|| here.join(default), Into::into);
    let answers = fs::read_to_string(path(2, "data/answers.jsonl"))?;
    let answers: Vec<Answer> = answers.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;

    // The engine is ours; all that follows is what a user of any engine writes.
    let engine = CandleEngine::load(&path(0, "../../crates/stir-cli/assets/tiny"))?;
    let library = Library::load(path(1, "data/library.stir"))?;
    println!("{} entries for a model of {} layers", library.entries().len(), engine.shape().n_layers);

    // Refuses a library that was mined on another model.
    let controller = Controller::new(library, engine.fingerprint(), ControllerConfig::default())?;
    let request = |answer: &Answer| {
        let prompt = engine.encode_prompt(&answer.prompt)?;
        Ok(Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) })
    };
    let requests = answers.iter().map(request).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let plain = generate(&engine, &requests[..1], GenerateOptions::default())?.concat();
    let steered = controller.generate(&engine, &requests, GenerateOptions::default())?.concat();

    println!("\n{}", answers[0].prompt);
    println!("--- plain\n{}\n\n--- steered", plain[0].text(engine.vocab()));
    let mut rest = steered[0].generated.tokens.as_slice();
    for step in &steered[0].steps {
        if let Some(entry) = step.chosen {
            print!("[entry {entry}, scale {:.2}] ", step.scale);
        }
        let (segment, behind) = rest.split_at(step.tokens);
        print!("{}", engine.vocab().text(segment));
        rest = behind;
    }

    let same_text = answers.iter().zip(&steered).filter(|(burn, own)| burn.token_ids == own.generated.tokens).count();
    let same_steps = answers.iter().zip(&steered).filter(|(burn, own)| same_decisions(&burn.steps, &own.steps)).count();
    let impulses = steered.iter().flat_map(|answer| &answer.steps).filter(|step| step.steered()).count();
    println!("\n\n--- {} answers, {impulses} steered segments", answers.len());
    println!("{same_text} answers are token by token burn's, {same_steps} have all decisions in common with it");
    Ok(ExitCode::from(u8::from(same_text < answers.len() || same_steps < answers.len())))
}

/// Whether the same was found, tried and chosen at every control point, with the same numbers but for rounding.
fn same_decisions(burn: &[Step], own: &[Step]) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
    let same = |(burn, own): (&Step, &Step)| {
        let found = |step: &Step| step.retrieved.iter().map(|hit| hit.entry).collect::<Vec<_>>();
        let tried = |step: &Step| step.candidates.iter().map(|candidate| candidate.entry).collect::<Vec<_>>();
        (burn.segment, burn.tokens, burn.chosen, burn.layer) == (own.segment, own.tokens, own.chosen, own.layer)
            && (found(burn), tried(burn)) == (found(own), tried(own))
            && near(burn.score, own.score)
            && near(burn.scale.into(), own.scale.into())
    };
    burn.len() == own.len() && burn.iter().zip(own).all(same)
}

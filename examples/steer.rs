//! Stage 4: answers, steered at segment boundaries by a library, with every decision on record.
//!
//! ```text
//! cargo run --release --example steer -- --library library.stir --prompts problems.jsonl --out answers.jsonl
//! ```
//!
//! Answers are kept in `<out>.partial` as they are finished; a stopped run goes on where it stopped.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod common;

use std::path::PathBuf;

use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use common::{
    ModelArgs,
    answers::{AnswerArgs, Answered, Problems},
};
use miette::Result;
use stir::controller::Variant;

/// Answer prompts, steered by a library.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Library, as written by the example basis
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
    /// Problems, JSONL: id, question (or a finished prompt) and, to be judged, gold
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Answers to write, JSONL, in the order of the prompts
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The method or one of its ablations
    #[arg(long, default_value = "stir",
        value_parser = PossibleValuesParser::new(Variant::ALL.map(|(_, name)| name)).try_map(|s| s.parse::<Variant>()))]
    variant: Variant,
    #[command(flatten)]
    answers: AnswerArgs,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let problems = Problems::open(args.model.load()?, &args.library, &args.prompts, args.model.seed, false)?;
    print(&problems.answer(&args.answers, args.variant, &args.out, "steer")?);
    Ok(())
}

/// Sums up the answers, those of earlier parts of the run included.
fn print(answers: &[Answered]) {
    let mean = |number: fn(&Answered) -> usize| answers.iter().map(number).sum::<usize>() as f64 / answers.len() as f64;
    println!("answers            {}", answers.len());
    let judged: Vec<bool> = answers.iter().filter_map(|answer| answer.correct).collect();
    if !judged.is_empty() {
        println!("right              {} of {}", judged.iter().filter(|&&right| right).count(), judged.len());
    }
    println!("mean tokens        {:.1}", mean(|answer| answer.tokens));
    println!("mean probe tokens  {:.1}", mean(|answer| answer.probe_tokens));
    println!(
        "steered segments   {:.2} per answer",
        mean(|answer| answer.steps.iter().filter(|step| step.scale != 0.0).count())
    );
}

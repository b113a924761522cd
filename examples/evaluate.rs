//! Compares ways of answering the same problems: plain decoding, STIR and its ablations.
//!
//! ```text
//! cargo run --release --example evaluate -- --library library.stir --task problems.jsonl --out results
//! ```
//!
//! Answers are kept in `answers.METHOD.jsonl`; a stopped run goes on where it stopped.

mod common;

use std::path::PathBuf;

use clap::Parser;
use common::{
    ModelArgs,
    answers::{CompareArgs, Problems},
};
use miette::{IntoDiagnostic, Result, WrapErr};

/// Compare plain decoding with STIR on problems with known answers.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Library, as written by the example basis
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
    /// Problems, JSONL: id, gold, and a question or a finished prompt
    #[arg(long, value_name = "FILE")]
    task: PathBuf,
    /// Folder for answers and results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    compare: CompareArgs,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    std::fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    let problems = Problems::open(args.model.load()?, &args.library, &args.task, args.model.seed, true)?;
    problems.compare(&args.compare, &args.out)
}

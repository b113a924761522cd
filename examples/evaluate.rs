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
    answers::{AnswerArgs, MethodName, Problems, load_library, show},
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
    /// Methods to compare, the baseline first
    #[arg(long, value_delimiter = ',', value_parser = MethodName::parse,
        default_value = "plain,stir,no_probing,random_vector,static_vector")]
    methods: Vec<MethodName>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    answers: AnswerArgs,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let (library, digest) = load_library(&args.library)?;
    let lm = args.model.load()?;
    let tasks = common::read_tasks(&lm, &args.task)?;
    std::fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    let (source, seed) = (args.task.as_path(), args.model.seed);
    let problems = Problems {
        lm: &lm,
        library: &library,
        library_path: &args.library,
        digest,
        source,
        tasks: &tasks,
        seed,
        timed: true,
    };
    let comparison = problems.compare(&args.answers, &args.methods, &args.out)?;
    let json = show(&comparison, args.json)?;
    common::write_atomically(&args.out.join("results.json"), json.as_bytes())
}

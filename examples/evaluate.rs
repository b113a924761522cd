//! Compares ways of answering the same problems: plain decoding, the usual baselines, STIR and its ablations.
//!
//! ```text
//! cargo run --release --example evaluate -- --library library.stir --task problems.jsonl --out results
//! cargo run --release --example evaluate -- --experiment examples/experiments/stories.toml --out results
//! ```
//!
//! The first compares on one set of problems, with one library where a method steers; answers are kept in
//! `answers.METHOD.jsonl`. The second runs all that a file describes: models, tasks, what is mined, methods, grids of
//! settings, seeds. Either goes on where it was stopped; what is finished is not done again.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use common::{
    ModelArgs,
    answers::{CompareArgs, Problems},
    lab::CliBackend,
    present::{Shown, present},
    tasks::TaskArgs,
};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use stir::eval::experiment::{Experiment, Outcome, Runner};

/// Compare ways of answering on problems with known answers.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Experiment to run, TOML; it says all that the other flags do, but for --out and --json
    #[arg(long, value_name = "FILE", required_unless_present = "task", conflicts_with_all = [
        "library", "methods", "votes", "max_tokens", "width",
        "ModelArgs", "TaskArgs", "SteeringArgs", "SamplingArgs", "DeerArgs",
    ])]
    experiment: Option<PathBuf>,
    /// Library, as written by the example basis; for methods that steer
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    #[command(flatten)]
    task: Option<TaskArgs>,
    /// Folder for answers and results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    compare: CompareArgs,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    match (&args.experiment, &args.task) {
        (Some(experiment), _) => run(experiment, &args),
        (None, Some(task)) => {
            args.compare.check(args.library.as_deref())?;
            let lm = args.model.load()?;
            Problems::open(&lm, &args.model, args.library.as_deref(), task)?.compare(&args.compare, None, &args.out)
        }
        // The flags are declared so that this cannot be.
        (None, None) => Err(miette!("--task or --experiment must be given")),
    }
}

fn run(path: &Path, args: &Args) -> Result<()> {
    let text = fs::read_to_string(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let read = || path.display().to_string();
    let experiment = Experiment::parse(&text).into_diagnostic().wrap_err_with(read)?;
    let backend = CliBackend::default();
    let runner = Runner::new(&experiment, &backend).into_diagnostic().wrap_err_with(read)?;
    let runs = runner.observer(|event| backend.observe(event)).run(&args.out);
    backend.finish();
    let Outcome { runs, libraries, .. } = runs.into_diagnostic()?;
    let libraries = libraries.iter().map(|files| Shown::of_experiment(files, &libraries)).collect::<Result<_>>()?;
    present(&experiment.name, &runs, libraries, experiment.main.clone(), args.compare.json, &args.out)
}

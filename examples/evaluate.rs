//! Compares ways of answering the same problems: plain decoding, the usual baselines, STIR and its ablations.
//!
//! ```text
//! cargo run --release --example evaluate -- --library library.stir --task problems.jsonl --out results
//! cargo run --release --example evaluate -- --experiment examples/experiments/stories.toml --out results
//! ```
//!
//! The first compares on one set of problems with one library; answers are kept in `answers.METHOD.jsonl`. Where it is
//! stopped, the method under way goes on where it stopped; those before it answer again. The second runs all that a file
//! describes: models, tasks, what is mined, methods, grids of settings, seeds. What it has finished is not done again.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use common::{
    ModelArgs,
    answers::{CompareArgs, Problems, Shown, present},
    lab::Workbench,
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["library", "task"])]
    experiment: Option<PathBuf>,
    /// Library, as written by the example basis
    #[arg(long, value_name = "FILE", required_unless_present = "experiment")]
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
    match (&args.experiment, &args.library, &args.task) {
        (Some(experiment), ..) => run(experiment, &args),
        (None, Some(library), Some(task)) => {
            let lm = args.model.load()?;
            let problems = Problems::open(&lm, library, task, args.model.seed)?;
            problems.compare(&args.compare, &args.model.name(), None, &args.out)
        }
        // The flags are declared so that this cannot be.
        (None, ..) => Err(miette!("--library and --task, or --experiment, must be given")),
    }
}

fn run(path: &Path, args: &Args) -> Result<()> {
    let text = fs::read_to_string(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let read = || path.display().to_string();
    let experiment = Experiment::parse(&text).into_diagnostic().wrap_err_with(read)?;
    let lab = Workbench::default();
    let runner = Runner::new(&experiment, &lab).into_diagnostic().wrap_err_with(read)?;
    let runs = runner.run(&args.out);
    lab.finish();
    let Outcome { runs, libraries } = runs.into_diagnostic()?;
    let libraries = libraries.iter().map(|files| Shown::of_experiment(files, &libraries)).collect::<Result<_>>()?;
    present(&experiment.name, &runs, libraries, experiment.main.clone(), args.compare.json, &args.out)
}

//! `stir evaluate` compares ways of answering the same problems: plain decoding, the usual baselines, STIR and its
//! ablations.
//!
//! ```text
//! stir evaluate --library library.stir --task problems.jsonl --out results
//! stir evaluate --experiment examples/experiments/stories.toml --out results
//! ```
//!
//! The first compares on one set of problems, with one library where a method steers; answers are kept in
//! `answers.METHOD.jsonl`. The second runs all that a file describes: models, tasks, what is mined, methods, grids of
//! settings, seeds. Either resumes where it was stopped; finished parts are not done again. With `--shard I/N` a process
//! answers its part of the problems, or of the cells of an experiment, and shows nothing: results are those of all parts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use stir::eval::experiment::{Experiment, Outcome, Runner};

use crate::{
    answers::{CompareArgs, ProblemFiles},
    backend::CliBackend,
    model::ModelArgs,
    present::{LibraryView, present},
    shard::ShardArgs,
    tasks::TaskArgs,
};

/// Compare ways of answering problems whose answers are known
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Experiment to run, TOML; it says all that the flags of settings say
    #[arg(long, value_name = "FILE", required_unless_present = "task", conflicts_with_all = [
        "library", "methods", "max_tokens", "max_batch",
        "ModelArgs", "TaskArgs", "ControllerArgs", "SamplingArgs", "SelfConsistencyArgs", "ConstantVectorArgs",
        "DeerArgs",
    ])]
    experiment: Option<PathBuf>,
    /// Library, as `stir basis` writes it; for methods that steer
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Preset, as `stir calibrate` writes it; it says what the library, the settings of steering and those of answers are
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "experiment", "library", "max_tokens", "ControllerArgs", "SamplingArgs", "ConstantVectorArgs",
    ])]
    preset: Option<PathBuf>,
    #[command(flatten)]
    task: Option<TaskArgs>,
    /// Folder for answers and results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    shard: ShardArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    if let Some(path) = &args.preset {
        args.library = args.compare.preset(path)?;
    }
    fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    match (&args.experiment, &args.task) {
        (Some(path), _) => experiment(path, &args),
        (None, Some(task)) => {
            args.compare.check(args.library.is_some())?;
            let model = args.model.open()?;
            let render = |system: Option<&str>, user: &str| model.render(system, user);
            let files = ProblemFiles::open(&render, args.library.as_deref(), task)?;
            files.check_all(&model, &args.compare, args.shard.shard, &args.out)?;
            let lm = model.load()?;
            files.with(&lm, &args.model).compare(&args.compare, args.shard, None, &args.out)
        }
        // The flags are declared so that this cannot be.
        (None, None) => Err(miette!("--task or --experiment must be given")),
    }
}

fn experiment(path: &Path, args: &Args) -> Result<()> {
    let text = fs::read_to_string(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let read = || path.display().to_string();
    let experiment = Experiment::parse(&text).into_diagnostic().wrap_err_with(read)?;
    let backend = CliBackend::default();
    let runner = Runner::new(&experiment, &backend).into_diagnostic().wrap_err_with(read)?;
    let mut runner = runner.observer(|event| backend.observe(event));
    if let Some(shard) = args.shard.shard {
        runner = runner.shard(shard);
    }
    let runs = runner.run(&args.out);
    backend.finish();
    let Outcome { runs, libraries, .. } = runs.into_diagnostic()?;
    if args.shard.shard.is_some() {
        args.shard.tell();
        return Ok(());
    }
    let libraries =
        libraries.iter().map(|files| LibraryView::of_experiment(files, &libraries)).collect::<Result<_>>()?;
    present(&experiment.name, &runs, libraries, experiment.main.clone(), args.compare.json, &args.out)
}

//! `stir rollout`, stage 1: samples of every problem, judged and rewarded.
//!
//! ```text
//! stir rollout --task problems.jsonl --out rollouts.jsonl
//! ```
//!
//! A stopped run resumes when it is started again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "results go to stdout, what failed to stderr")]

use std::{ops::ControlFlow, path::PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{eval::questions::location, rollout::Rollouts};

use crate::{model::ModelArgs, progress::Progress, settings::RolloutArgs, tasks::TaskArgs};

/// Stage 1: draw samples of every problem, judge and reward them
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,
    /// File of rollouts to write, JSONL; what it holds of this very run is kept
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    settings: RolloutArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    let lm = args.model.load()?;
    let questions = args.task.open(&lm)?;
    let prompts = questions.prompts();
    let shown = Progress::new(0, "rollout");
    let run =
        Rollouts::new(&lm, config).into_diagnostic()?.judge_name(questions.judge_name()).on_progress(|progress| {
            shown.set_total(progress.total as u64);
            shown.set_done(progress.done as u64);
            shown.set_note(format!("{} tokens", progress.tokens));
            ControlFlow::Continue(())
        });
    let summary = run.run(&prompts, &|prompt, text| questions.is_right(prompt, text), &args.out);
    drop(shown);
    let summary = summary.into_diagnostic()?;

    let show = |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |x| format!("{x:.digits$}"));
    println!("samples      {} of {} problems", summary.samples, summary.sampled);
    println!("accuracy     {}", show(summary.accuracy(), 4));
    println!("mean tokens  {}", show(summary.mean_tokens(), 1));
    println!("mixed share  {}", show(summary.mixed_share(), 4));
    println!("failures     {}", summary.failures.len());
    let failed = summary.failures.len();
    for failure in summary.failures {
        let index = prompts.iter().position(|prompt| prompt.id == failure.id).unwrap_or_default();
        let place = location(&args.task.task, index, &failure.id);
        let report = Err::<(), _>(failure.reason).into_diagnostic().wrap_err(place);
        report.unwrap_or_else(|report| eprintln!("{report:?}"));
    }
    ensure!(failed == 0, "{failed} problems or samples failed; all others are in {}", args.out.display());
    Ok(())
}

//! Stage 1: samples of every problem, judged and rewarded.
//!
//! ```text
//! cargo run --release --example rollout -- --task problems.jsonl --out rollouts.jsonl
//! ```
//!
//! A stopped run goes on where it stopped when it is started again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "results go to stdout, what failed to stderr")]

mod common;

use std::{ops::ControlFlow, path::PathBuf};

use clap::Parser;
use common::{
    ModelArgs, SamplingArgs,
    tasks::TaskArgs,
};
use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::rollout::{RolloutConfig, Rollouts};

/// Draw, judge and reward samples of every problem.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Rollouts, JSONL; what is there of this very run is kept
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Samples per problem (K)
    #[arg(long, default_value_t = 8)]
    samples: usize,
    #[command(flatten)]
    sampling: SamplingArgs<true>,
    /// New tokens per sample at most (T_max)
    #[arg(long, default_value_t = 200)]
    max_tokens: usize,
    /// What a sample of T_max tokens loses of its reward
    #[arg(long, default_value_t = 0.01)]
    eta: f64,
    /// Sequences decoded side by side
    #[arg(long, default_value_t = 32)]
    width: usize,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let config = RolloutConfig {
        samples: args.samples,
        max_tokens: args.max_tokens,
        eta: args.eta,
        sampling: args.sampling.sampling(),
        stop: args.sampling.stop,
        seed: args.model.seed,
        width: args.width,
    };
    config.validate().into_diagnostic()?;
    let lm = args.model.load()?;
    let asked = args.task.open(&lm)?;
    let (tasks, judge) = (asked.prompts(), asked.rollout_judge());
    let bar = common::progress(0, "rollout");
    let run = Rollouts::new(&lm, config).into_diagnostic()?.on_device(args.model.device.to_string());
    let summary = run.run(&tasks, &judge, &args.out, |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(format!("{} tokens", progress.tokens));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let summary = summary.into_diagnostic()?;

    let show = |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |x| format!("{x:.digits$}"));
    println!("samples      {} of {} problems", summary.samples, summary.sampled);
    println!("accuracy     {}", show(summary.accuracy(), 4));
    println!("mean tokens  {}", show(summary.mean_tokens(), 1));
    println!("mixed share  {}", show(summary.mixed_share(), 4));
    println!("failures     {}", summary.failures.len());
    let failed = summary.failures.len();
    for failure in summary.failures {
        let index = tasks.iter().position(|task| task.id == failure.id).unwrap_or_default();
        let place = stir::eval::questions::location(&args.task.task, index, &failure.id);
        let report = Err::<(), _>(failure.reason).into_diagnostic().wrap_err(place);
        report.unwrap_or_else(|report| eprintln!("{report:?}"));
    }
    ensure!(failed == 0, "{failed} problems or samples failed; all others are in {}", args.out.display());
    Ok(())
}

//! `stir fork`: continuations from the segment boundaries of rollouts, which say what a boundary is worth.
//!
//! ```text
//! stir fork --task problems.jsonl --rollouts rollouts.jsonl --out forks.jsonl
//! ```
//!
//! A stopped run resumes when it is started again.

use std::{ops::ControlFlow, path::PathBuf};

use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure};
use serde::Deserialize;
use stir::{
    core::Engine,
    files::Settings,
    rollout::{Forks, check_fork_output, sampled_by},
};

use super::rollout::{cannot_begin, failed};
use crate::{
    files::{check_output, rollout_settings},
    model::ModelArgs,
    output::{self, show},
    progress::Progress,
    settings::ForkArgs,
    tasks::{TaskArgs, check_known, read_groups},
};

/// Sample continuations from segment boundaries of rollouts, where it is open whether they end right
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of rollouts, JSONL; those of another model or judge are refused if settings next to it tell
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    #[command(flatten)]
    task: TaskArgs,
    /// File of continuations to write, JSONL; what it holds of this very run is kept
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    settings: ForkArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    check_output(&args.out, [args.rollouts.clone(), Settings::path(&args.rollouts)])?;
    let problems = read_groups(&args.rollouts)?;
    let settings = rollout_settings(&args.rollouts)?;
    let model = args.model.open()?;
    model.check_rollouts(settings.as_deref())?;
    let questions = args.task.open(&|system, user| model.render(system, user))?;
    let judge_name = questions.judge_name();
    check_judge(&args, settings.as_deref(), &judge_name)?;
    check_known(&questions, &problems, &args.rollouts)?;
    check_fork_output(&config, &problems, Some(&judge_name), &args.out).map_err(cannot_begin)?;
    let lm = model.load()?;
    if let Some(model) = settings.as_deref().and_then(sampled_by) {
        let same = model.check_or_requantised("the set of rollouts", lm.fingerprint(), false);
        same.into_diagnostic().wrap_err_with(|| args.rollouts.display().to_string())?;
    }
    let shown = Progress::new(0, "fork");
    let run = Forks::new(&lm, config).into_diagnostic()?.judge_name(judge_name).on_progress(|progress| {
        shown.set_total(progress.total as u64);
        shown.set_done(progress.problems as u64);
        shown.set_note(format!("{} continuations, {} tokens", progress.continuations, progress.tokens));
        ControlFlow::Continue(())
    });
    let summary = run.run(&problems, &|prompt, text| questions.is_right(prompt, text), &args.out);
    drop(shown);
    let summary = summary.map_err(failed)?;

    show!("problems       {} with right and wrong rollouts", summary.problems)?;
    show!("boundaries     {} ({} decided)", summary.nodes, summary.decided)?;
    show!("continuations  {} ({} right)", summary.continuations, summary.correct)?;
    show!("tokens         {} generated, {} encoded in this run", summary.tokens, summary.encoded)?;
    show!("failures       {}", summary.failures.len())?;
    let failed = summary.failures.len();
    for failure in summary.failures {
        output::warn(&Report::from_err(failure.reason).wrap_err(format!("problem {:?}", failure.id)));
    }
    ensure!(failed == 0, "{failed} problems or continuations failed; all others are in {}", args.out.display());
    Ok(())
}

/// Checks that the rollouts were judged as their continuations will be, where their settings tell.
fn check_judge(args: &Args, settings: Option<&str>, judge_name: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Judged {
        judge: Option<String>,
    }
    let judged = settings.and_then(|json| serde_json::from_str::<Judged>(json).ok()).and_then(|judged| judged.judge);
    if let Some(judge) = judged {
        ensure!(
            judge == judge_name,
            help = "give the task that the rollouts are of, with the same --answers",
            "the rollouts in {} were judged by {judge:?}, but the answers of --task are judged by {judge_name:?}",
            args.rollouts.display()
        );
    }
    Ok(())
}

//! `stir rollout`, stage 1: samples of every problem, judged and rewarded.
//!
//! ```text
//! stir rollout --task problems.jsonl --out rollouts.jsonl
//! ```
//!
//! A stopped run resumes when it is started again. With `--shard I/N` several machines share the work. With the feature
//! `remote`, `--server` has a server sample.

use std::{ops::ControlFlow, path::PathBuf};

use miette::{IntoDiagnostic, Report, Result, ensure};
#[cfg(feature = "remote")]
use stir::rollout::remote::{RemoteError, RemoteRollouts};
use stir::{
    eval::questions::location,
    model::ModelError,
    rollout::{self, Prompt, RolloutError, Rollouts, RunError, Summary, check_output},
};

use crate::{
    files::begun,
    model::ModelArgs,
    output::{self, show},
    progress::Progress,
    settings::RolloutArgs,
    shard::ShardArgs,
    tasks::TaskArgs,
};
#[cfg(feature = "remote")]
use crate::{server::ServerArgs, tokens::FileTokens};

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
    shard: ShardArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[cfg(feature = "remote")]
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    let model = args.model.open()?;
    let questions = args.task.open(&|system, user| model.render(system, user))?;
    let (prompts, judge_name) = (questions.prompts(), questions.judge_name());
    let shard = args.shard.shard;
    check_output(&config, &prompts, Some(&judge_name), shard, &args.out).map_err(cannot_begin)?;
    let judge = |prompt: &Prompt, text: &str| questions.is_right(prompt, text);

    #[cfg(feature = "remote")]
    if let Some(server) = args.server.server()? {
        let tokens = FileTokens::new(model.files)?;
        let shown = Progress::new(0, "rollout");
        let mut run = RemoteRollouts::new(&tokens, server, config).into_diagnostic()?.judge_name(judge_name);
        if let Some(shard) = shard {
            run = run.shard(shard);
        }
        let summary = run.on_progress(|progress| show_on(&shown, progress)).run(&prompts, &judge, &args.out);
        drop(shown);
        return report(summary.map_err(unanswered)?, &prompts, &args);
    }

    let lm = model.load()?;
    let shown = Progress::new(0, "rollout");
    let mut run = Rollouts::new(&lm, config).into_diagnostic()?.judge_name(judge_name);
    if let Some(shard) = shard {
        run = run.shard(shard);
    }
    let summary = run.on_progress(|progress| show_on(&shown, progress)).run(&prompts, &judge, &args.out);
    drop(shown);
    report(summary.map_err(failed)?, &prompts, &args)
}

fn show_on(shown: &Progress, progress: rollout::Progress) -> ControlFlow<()> {
    shown.set_total(progress.total as u64);
    shown.set_done(progress.done as u64);
    shown.set_note(format!("{} tokens", progress.tokens));
    ControlFlow::Continue(())
}

/// Shows what was drawn, and what could not be.
fn report(summary: Summary<ModelError>, prompts: &[Prompt], args: &Args) -> Result<()> {
    let show = |value: Option<f64>, digits| value.map_or_else(|| "-".to_owned(), |x| format!("{x:.digits$}"));
    show!("samples      {} of {} problems", summary.samples, summary.sampled)?;
    show!("accuracy     {}", show(summary.accuracy(), 4))?;
    show!("mean tokens  {}", show(summary.mean_tokens(), 1))?;
    show!("at limit     {} of {} tokens", summary.at_limit, args.settings.max_tokens)?;
    show!("mixed share  {}", show(summary.mixed_share(), 4))?;
    show!("failures     {}", summary.failures.len())?;
    let failed = summary.failures.len();
    for failure in summary.failures {
        let index = prompts.iter().position(|prompt| prompt.id == failure.id).unwrap_or_default();
        let place = location(&args.task.task, index, &failure.id);
        output::warn(&Report::from_err(failure.reason).wrap_err(place));
    }
    args.shard.tell();
    ensure!(failed == 0, "{failed} problems or samples failed; all others are in {}", args.out.display());
    Ok(())
}

/// Returns the error of a run on a server, with advice where its output cannot be resumed.
#[cfg(feature = "remote")]
fn unanswered(error: RemoteError) -> Report {
    match error {
        RemoteError::Rollout(error) => cannot_begin(error),
        error => Report::from_err(error),
    }
}

/// Returns the error of a run, with advice where its output cannot be resumed.
pub(crate) fn failed(error: RunError<ModelError>) -> Report {
    match error {
        RunError::Rollout(error) => cannot_begin(error),
        error => Report::from_err(error),
    }
}

pub(crate) fn cannot_begin(error: RolloutError) -> Report {
    match error {
        RolloutError::File(error) => begun(error),
        error => Report::from_err(error),
    }
}

//! `stir induce`, stage 2: contrasts of successes and failures at segment boundaries.
//!
//! ```text
//! stir induce --rollouts rollouts.jsonl --layers 0.6 --out candidates.stir
//! ```

use std::{ops::ControlFlow, path::PathBuf};

use miette::{IntoDiagnostic, Result};
use serde::Deserialize;
use serde_json::Value;
use stir::{
    files::Settings,
    induction::{Induction, InductionReport, Skipped},
    rollout::read_groups,
};

use crate::{
    files::{check_output, read_jsonl, rollout_settings},
    model::ModelArgs,
    output::show,
    progress::Progress,
    settings::InductionArgs,
};

/// Stage 2: mine pairs of hidden states from rollouts that went right and wrong
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of rollouts, JSONL; settings next to it (FILE.settings.json) are kept with the pairs, and
    /// those of another model are refused
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    /// File of mined pairs to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File with the solutions of the data set, JSONL: id and solution
    #[arg(long, value_name = "FILE", required_if_eq_any([("positives", "gold"), ("positives", "rollout_or_gold")]))]
    gold: Option<PathBuf>,
    #[command(flatten)]
    settings: InductionArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// A data set's solution.
#[derive(Deserialize)]
struct Solution {
    id: Value,
    solution: String,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    let solutions: Vec<Solution> = args.gold.as_deref().map(read_jsonl).transpose()?.unwrap_or_default();
    let inputs = [Some(args.rollouts.clone()), Some(Settings::path(&args.rollouts)), args.gold.clone()];
    check_output(&args.out, inputs.into_iter().flatten())?;
    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let settings = rollout_settings(&args.rollouts)?;
    let model = args.model.open()?;
    model.check_layers(&config.layers)?;
    model.check_rollouts(settings.as_deref())?;
    let lm = model.load()?;

    // An id may be a number, as in every other file.
    let solutions = solutions.into_iter().map(|Solution { id, solution }| match id {
        Value::String(id) => (id, solution),
        id => (id.to_string(), solution),
    });
    let shown = Progress::new(0, "induce");
    let mut run = Induction::new(&lm, config).into_diagnostic()?.solutions(solutions);
    if let Some(settings) = settings {
        run = run.rollout_settings(settings);
    }
    let run = run.on_progress(|progress| {
        shown.set_total(progress.total.unwrap_or_default() as u64);
        shown.set_done(progress.problems as u64);
        shown.set_note(format!("{} pairs, {} tokens", progress.pairs, progress.tokens));
        ControlFlow::Continue(())
    });
    let mined = run.run(groups);
    if let Ok((_, report)) = &mined {
        shown.set_done(report.problems as u64);
    }
    drop(shown);
    let (candidates, report) = mined.into_diagnostic()?;
    candidates.save(&args.out).into_diagnostic()?;
    print(&report)
}

fn print(report: &InductionReport) -> Result<()> {
    show!("problems     {} ({} with a contrast)", report.problems, report.with_contrast)?;
    show!("rollouts     {} ({} encoded, {} tokens)", report.rollouts, report.encoded_rollouts, report.encoded_tokens)?;
    show!("contrasts    {:?} at control points 1 to {}", report.found, report.found.len())?;
    show!("pairs kept   {}", report.kept)?;
    print_skipped(&report.skipped)?;
    if report.kept == 0 {
        show!(
            "There is nothing to select from: a pair needs a problem with right and wrong samples that have boundaries."
        )?;
    }
    Ok(())
}

/// Tells what could not be used; nothing if there is nothing.
pub(super) fn print_skipped(skipped: &Skipped) -> Result<()> {
    let skipped = serde_json::to_value(skipped).into_diagnostic()?;
    for (what, count) in skipped.as_object().into_iter().flatten().filter(|(_, count)| **count != 0) {
        show!("skipped      {count} {}", what.replace('_', " "))?;
    }
    Ok(())
}

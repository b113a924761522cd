//! `stir induce`, stage 2: contrasts of successes and failures at segment boundaries.
//!
//! ```text
//! stir induce --rollouts rollouts.jsonl --layers 0.6 --out candidates.stir
//! stir induce --rollouts rollouts.jsonl --forks forks.jsonl --preset sound --heads --out candidates.stir
//! stir induce --rollouts rollouts.jsonl --layers 18 --states states --state-layers 19 --out candidates.stir
//! ```

use std::{ops::ControlFlow, path::PathBuf};

use miette::{IntoDiagnostic, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use stir::{
    basis::ValueHead,
    core::{Engine, Text},
    diagnosis::value_heads,
    files::Settings,
    induction::{Contrast, Induction, InductionConfig, InductionReport, Skipped, StoredStates, capture},
    rollout::{ReadForks, ReadGroups, read_forks, read_groups},
};

use crate::{
    files::{check_output, read_jsonl, rollout_settings},
    model::ModelArgs,
    output::show,
    progress::Progress,
    settings::InductionArgs,
    shard::ShardArgs,
    tokens::FileTokens,
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
    /// File of the rollouts' forks, JSONL, as `stir fork` writes it; for --contrast forked
    #[arg(long, value_name = "FILE")]
    forks: Option<PathBuf>,
    /// Add linear read-outs of success, which probes can ask (reads all rollouts once more)
    #[arg(long, conflicts_with = "shard")]
    heads: bool,
    /// Folder with hidden states that vLLM wrote (extract_hidden_states), a safetensors file for each text: no weights
    /// are then loaded
    #[arg(long, value_name = "DIR", requires = "state_layers")]
    states: Option<PathBuf>,
    /// Layers of those files as vLLM was told, rising: N is the state after N layers, so 19 where --layers says 18
    #[arg(long, value_name = "N,..", value_delimiter = ',', requires = "states")]
    state_layers: Vec<usize>,
    #[command(flatten)]
    settings: InductionArgs,
    #[command(flatten)]
    shard: ShardArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// A data set's solution.
#[derive(Deserialize)]
struct Solution {
    id: Value,
    solution: String,
}

/// What is mined, as read.
struct Inputs {
    groups: ReadGroups,
    settings: Option<String>,
    solutions: Vec<Solution>,
    forks: Option<ReadForks>,
    fork_settings: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.settings.check()?;
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    let is_forked = config.contrast == Contrast::Forked;
    ensure!(
        is_forked == args.forks.is_some(),
        help = "`stir fork` draws forks of rollouts; --contrast reward does without",
        "--forks and --contrast forked (or --preset sound) need each other"
    );
    let solutions: Vec<Solution> = args.gold.as_deref().map(read_jsonl).transpose()?.unwrap_or_default();
    ensure!(
        args.states.is_none() || !config.contrast.needs_logits(),
        help = "without --states the model itself is run",
        "--max-kl and --stable need a model that computes, and --states has only what was computed before"
    );
    let fork_settings_path = args.forks.as_ref().map(Settings::path);
    let inputs = [Some(args.rollouts.clone()), Some(Settings::path(&args.rollouts)), args.gold.clone()];
    let inputs = inputs.into_iter().chain([args.forks.clone(), fork_settings_path, args.states.clone()]);
    check_output(&args.out, inputs.flatten())?;
    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let settings = rollout_settings(&args.rollouts)?;
    let forks = args.forks.as_deref().map(read_forks).transpose().into_diagnostic()?;
    let fork_settings = args.forks.as_deref().map(rollout_settings).transpose()?.flatten();
    let model = args.model.open()?;
    check_output(&args.out, [&model.files.path])?;
    model.check_layers(&config.layers)?;
    model.check_rollouts(settings.as_deref())?;
    model.check_rollouts(fork_settings.as_deref())?;
    let inputs = Inputs { groups, settings, solutions, forks, fork_settings };
    let Some(dir) = &args.states else {
        return mine(&model.load()?, &args, config, inputs, None);
    };
    let fingerprint = model.files.fingerprint();
    let states = StoredStates::open(dir, args.state_layers.as_slice(), FileTokens::new(model.files)?, fingerprint);
    let states = states.into_diagnostic()?;
    let origin = json!({ "layer_ids": states.layer_ids(), "types": states.computation() }).to_string();
    mine(&states, &args, config, inputs, Some(origin))
}

/// Mines with an engine; `states` says where its states are from if it does not compute them.
fn mine<E: Text>(
    engine: &E,
    args: &Args,
    config: InductionConfig,
    inputs: Inputs,
    states: Option<String>,
) -> Result<()> {
    let Inputs { groups, settings, solutions, forks, fork_settings } = inputs;
    // An id may be a number, as in every other file.
    let solutions = solutions.into_iter().map(|Solution { id, solution }| match id {
        Value::String(id) => (id, solution),
        id => (id.to_string(), solution),
    });
    let shown = Progress::new(0, "induce");
    let mut run = Induction::new(engine, config.clone()).into_diagnostic()?.solutions(solutions);
    if let Some(settings) = &settings {
        run = run.rollout_settings(settings);
    }
    if let Some(forks) = forks {
        run = run.forks(forks);
    }
    if let Some(settings) = fork_settings {
        run = run.fork_settings(settings);
    }
    if let Some(shard) = args.shard.shard {
        run = run.shard(shard);
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
    let (mut candidates, report) = mined.into_diagnostic()?;
    candidates.provenance.extend(states.map(|states| ("states".to_owned(), states)));
    if args.heads {
        candidates.heads = heads(args, engine, settings.as_deref(), &config)?;
    }
    candidates.save(&args.out).into_diagnostic()?;
    print(&report)?;
    args.shard.tell();
    for ValueHead { layer, auc, .. } in &candidates.heads {
        let auc = auc.map_or_else(|| "not known".to_owned(), |auc| format!("{auc:.3}"));
        show!("head         of layer {layer}, AUC on problems left out {auc}")?;
    }
    Ok(())
}

/// Fits a read-out of success for every layer, on the states of all rollouts of problems with right and wrong ones.
fn heads<E: Text>(args: &Args, engine: &E, settings: Option<&str>, config: &InductionConfig) -> Result<Vec<ValueHead>> {
    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let shown = Progress::new(groups.size_hint().0 as u64, "heads");
    let captured = capture(engine, groups.inspect(|_| shown.advance()), settings, config).into_diagnostic()?;
    drop(shown);
    value_heads(engine.shape().hidden_size, &captured.boundaries, captured.layers).into_diagnostic()
}

fn print(report: &InductionReport) -> Result<()> {
    show!("problems     {} ({} with a contrast)", report.problems, report.with_contrast)?;
    show!("rollouts     {} ({} encoded, {} tokens)", report.rollouts, report.encoded_rollouts, report.encoded_tokens)?;
    show!("contrasts    {:?} at control points 1 to {}", report.found, report.found.len())?;
    if report.found_at_prompt > 0 {
        show!("             {} at the end of the prompt", report.found_at_prompt)?;
    }
    show!("pairs kept   {}", report.kept)?;
    for estimate in &report.estimates {
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", 100.0 * x));
        let (layer, removed, reliability) = (estimate.layer, share(estimate.removed), share(estimate.reliability));
        show!(
            "layer {layer:<6} {removed} of the variance of states removed, {reliability} of that of vectors is signal"
        )?;
    }
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

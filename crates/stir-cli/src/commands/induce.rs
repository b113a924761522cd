//! Stage 2: contrasts of successes and failures at segment boundaries.
//!
//! ```text
//! cargo run --release --example induce -- --rollouts rollouts.jsonl --layers 0.6 --out candidates.stir
//! ```
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod common;

use std::{fs, io::ErrorKind, ops::ControlFlow, path::PathBuf};

use clap::{
    Parser, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use common::ModelArgs;
use miette::{IntoDiagnostic, Result, WrapErr};
use serde::Deserialize;
use serde_json::Value;
use stir::{
    core::{Delimiter, LayerSpec},
    induction::{Contrast, Induction, InductionConfig, InductionReport, PositiveSource},
    rollout::read_groups,
};

/// Mine pairs of hidden states from rollouts that went right and wrong.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Rollouts, JSONL; settings beside it (FILE.settings.json) go into the provenance
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    /// Candidates to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Layers to mine, with commas: indices (18, -1) or relative depths (0.6, 3/5)
    #[arg(long, value_delimiter = ',', default_value = "0.6", allow_hyphen_values = true)]
    layers: Vec<LayerSpec>,
    /// Control points per problem (M)
    #[arg(long, default_value_t = 8)]
    points: usize,
    /// Successes per contrast, the best (K_pos)
    #[arg(long, default_value_t = 2)]
    k_pos: usize,
    /// Failures per contrast, the worst (K_neg)
    #[arg(long, default_value_t = 3)]
    k_neg: usize,
    /// Pairs kept of the whole run (C)
    #[arg(long, default_value_t = 128)]
    keep: usize,
    /// Successes that a control point needs
    #[arg(long, default_value_t = 1)]
    min_correct: usize,
    /// Failures that a control point needs
    #[arg(long, default_value_t = 1)]
    min_incorrect: usize,
    /// Text that ends a segment; \n, \r, \t and \\ are understood
    #[arg(long, default_value = r"\n\n", value_parser = common::delimiter)]
    delimiter: Delimiter,
    /// Where successes come from
    #[arg(long, default_value = "rollout",
        value_parser = PossibleValuesParser::new(["rollout", "gold", "rollout_or_gold"]).try_map(common::named::<PositiveSource>))]
    positives: PositiveSource,
    /// Solutions of the data set, JSONL: id and solution
    #[arg(long, value_name = "FILE", required_if_eq_any([("positives", "gold"), ("positives", "rollout_or_gold")]))]
    gold: Option<PathBuf>,
    /// What is contrasted
    #[arg(long, value_enum, default_value_t = Contrasted::Reward)]
    contrast: Contrasted,
    /// As in the rollouts (T_max); rewards a gold solution
    #[arg(long, default_value_t = 200)]
    max_tokens: usize,
    /// As in the rollouts; rewards a gold solution
    #[arg(long, default_value_t = 0.01)]
    eta: f64,
    /// Rollouts encoded side by side
    #[arg(long, default_value_t = 32)]
    width: usize,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Contrasted {
    /// The best right rollouts against the worst wrong ones
    Reward,
    /// Ablation: one random half of a problem's rollouts against the other
    RandomSplit,
}

/// A data set's solution.
#[derive(Deserialize)]
struct Solution {
    id: Value,
    solution: String,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let config = config(&args);
    config.validate().into_diagnostic()?;
    let solutions: Vec<Solution> = args.gold.as_deref().map(common::read_jsonl).transpose()?.unwrap_or_default();
    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let lm = args.model.load()?;

    // An id may be a number, as in every other file.
    let solutions = solutions.into_iter().map(|Solution { id, solution }| match id {
        Value::String(id) => (id, solution),
        id => (id.to_string(), solution),
    });
    let mut run = Induction::new(&lm, config).into_diagnostic()?.solutions(solutions);
    let sidecar = common::with_suffix(&args.rollouts, ".settings.json");
    match fs::read_to_string(&sidecar) {
        Ok(settings) => run = run.rollout_settings(settings),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).into_diagnostic().wrap_err_with(|| sidecar.display().to_string()),
    }
    let bar = common::progress(0, "induce");
    let mined = run.run(groups, |progress| {
        bar.set_length(progress.total.unwrap_or_default() as u64);
        bar.set_position(progress.problems as u64);
        bar.set_message(format!("{} pairs, {} tokens", progress.pairs, progress.tokens));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let (candidates, report) = mined.into_diagnostic()?;
    candidates.save(&args.out).into_diagnostic()?;
    print(&report)
}

fn config(args: &Args) -> InductionConfig {
    InductionConfig {
        layers: args.layers.clone(),
        max_control_points: args.points,
        k_pos: args.k_pos,
        k_neg: args.k_neg,
        min_correct: args.min_correct,
        min_incorrect: args.min_incorrect,
        keep: args.keep,
        delimiter: args.delimiter.clone(),
        positives: args.positives,
        contrast: match args.contrast {
            Contrasted::Reward => Contrast::Reward,
            Contrasted::RandomSplit => Contrast::RandomSplit { seed: args.model.seed },
        },
        eta: args.eta,
        max_tokens: args.max_tokens,
        width: args.width,
    }
}

fn print(report: &InductionReport) -> Result<()> {
    println!("problems     {} ({} with a contrast)", report.problems, report.with_contrast);
    println!(
        "rollouts     {} ({} encoded, {} tokens)",
        report.rollouts, report.encoded_rollouts, report.encoded_tokens
    );
    println!("contrasts    {:?} at control points 1 to {}", report.found, report.found.len());
    println!("pairs kept   {}", report.kept);
    let skipped = serde_json::to_value(&report.skipped).into_diagnostic()?;
    for (what, count) in skipped.as_object().into_iter().flatten().filter(|(_, count)| **count != 0) {
        println!("skipped      {count} {}", what.replace('_', " "));
    }
    Ok(())
}

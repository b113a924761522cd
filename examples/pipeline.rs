//! The whole way on the embedded model: rollouts are sampled, contrasts mined, a library selected, generation steered, and
//! a table compares plain decoding with STIR on problems that were not mined.
//!
//! ```text
//! cargo run --release --example pipeline
//! ```
//!
//! The model was made to know more than it shows (see `common/word_problems.rs`): this is a positive control, which says
//! that the machinery works, not what it does for large models.
#![allow(clippy::print_stderr, reason = "what happens is told on stderr, results go to stdout")]

mod common;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Parser;
use common::{
    ModelArgs,
    answers::{CompareArgs, Problems},
    tasks::TaskArgs,
    word_problems::{Split, WordProblem},
};
use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    basis::{BasisConfig, Library, select},
    core::LayerSpec,
    eval::questions::Questions,
    induction::{InductionConfig, induce},
    model::Lm,
    rollout::{RolloutConfig, Rollouts, read_groups},
};

/// Mine, select, steer and compare, in a few minutes.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for everything that is made
    #[arg(long, value_name = "DIR", default_value = "runs/pipeline")]
    out: PathBuf,
    /// Problems to mine
    #[arg(long, value_name = "N", default_value_t = 120)]
    mine: usize,
    /// Problems to compare on
    #[arg(long, value_name = "N", default_value_t = 300)]
    eval: usize,
    /// Rollouts per mined problem
    #[arg(long, default_value_t = 8)]
    samples: usize,
    /// Layers to mine and steer, by index (3, -1) or depth (0.6, 3/5)
    #[arg(long, value_delimiter = ',', default_value = "0.6", allow_negative_numbers = true)]
    layers: Vec<LayerSpec>,
    /// Entries in the library (B)
    #[arg(long, default_value_t = 64)]
    budget: usize,
    #[command(flatten)]
    compare: CompareArgs,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let (start, out) = (Instant::now(), args.out.as_path());
    fs::create_dir_all(out).into_diagnostic().wrap_err_with(|| out.display().to_string())?;
    let lm = args.model.load()?;
    let mined = WordProblem::draw_many(args.mine, args.model.seed, Split::HeldOut, &[]);
    let tested = WordProblem::draw_many(args.eval, args.model.seed.wrapping_add(1), Split::HeldOut, &mined);
    let (mine, eval) = (out.join("mine.jsonl"), out.join("eval.jsonl"));
    write_problems(&mine, "mine", &mined)?;
    write_problems(&eval, "eval", &tested)?;

    let library = out.join("library.stir");
    let mined = TaskArgs::file(&mine).open(&lm)?;
    build_library(&args, &lm, &mined)?.save(&library).into_diagnostic()?;
    let problems = Problems::open(&lm, &args.model, Some(&library), &TaskArgs::file(&eval))?;
    problems.compare(&args.compare, Some(out.join("candidates.stir")), out)?;
    eprintln!("\nall in {:.0} s; everything is in {}", start.elapsed().as_secs_f64(), out.display());
    Ok(())
}

/// Stages 1 to 3.
fn build_library(args: &Args, lm: &Lm, mined: &Questions) -> Result<Library> {
    let (out, tasks) = (args.out.as_path(), mined.prompts());
    let config = RolloutConfig {
        samples: args.samples,
        max_tokens: args.compare.answers.max_tokens,
        seed: args.model.seed,
        ..RolloutConfig::default()
    };
    let path = out.join("rollouts.jsonl");
    let bar = common::progress((tasks.len() * args.samples) as u64, "rollout");
    let judge = mined.rollout_judge();
    let summary = Rollouts::new(lm, config)
        .into_diagnostic()?
        .on_device(args.model.device.to_string())
        .run(&tasks, &judge, &path, |progress| {
            bar.set_position(progress.done as u64);
            ControlFlow::Continue(())
        })
        .into_diagnostic()?;
    bar.finish_and_clear();
    let percent = |share: Option<f64>| share.map_or_else(|| "no".into(), |share| format!("{:.1} %", 100.0 * share));
    eprintln!(
        "rollouts: {} samples of {} problems, {} right; {} of the problems have both right and wrong ones",
        summary.samples,
        summary.problems,
        percent(summary.accuracy()),
        percent(summary.mixed_share())
    );

    let config = InductionConfig {
        layers: args.layers.clone(),
        max_control_points: args.compare.answers.steering.points,
        max_tokens: args.compare.answers.max_tokens,
        ..InductionConfig::default()
    };
    let bar = common::progress(tasks.len() as u64, "induce");
    let (candidates, report) = induce(lm, read_groups(&path).into_diagnostic()?, config, |progress| {
        bar.set_position(progress.problems as u64);
        ControlFlow::Continue(())
    })
    .into_diagnostic()?;
    bar.finish_and_clear();
    candidates.save(out.join("candidates.stir")).into_diagnostic()?;
    eprintln!("induction: {} pairs kept of {} found", report.kept, report.found.iter().sum::<usize>());

    let config = BasisConfig { budget: args.budget, min_per_control_point: 4, ..BasisConfig::default() };
    let library = select(&candidates, &config).into_diagnostic()?;
    eprintln!("library: {} entries of {}", library.entries().len(), 2 * candidates.pairs.len());
    Ok(library)
}

/// Problems as the other programs read them.
fn write_problems(path: &Path, prefix: &str, problems: &[WordProblem]) -> Result<()> {
    let lines = problems.iter().enumerate().map(|(i, problem)| {
        let gold = problem.answer.to_string();
        serde_json::json!({ "id": format!("{prefix}-{i}"), "question": problem.question, "gold": gold }).to_string()
            + "\n"
    });
    common::write_atomically(path, lines.collect::<String>().as_bytes())
}

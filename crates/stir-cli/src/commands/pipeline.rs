//! `stir pipeline`, the whole way on the embedded model: rollouts are sampled, contrasts mined, a library selected,
//! generation steered, and a table compares plain decoding with STIR on problems that were not mined.
//!
//! ```text
//! cargo run --release --example pipeline
//! ```
//!
//! The model was made to know more than it shows (see `stir::eval::word_problems`): this is a positive control, which
//! says that the machinery works, not what it does for large models.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Command;
use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{
    basis::{BasisConfig, Library, select},
    core::LayerSpec,
    eval::{
        questions::Questions,
        word_problems::{Split, WordProblem},
    },
    files::Settings,
    induction::{Induction, InductionConfig},
    model::Lm,
    rollout::{RolloutConfig, Rollouts, read_forks, read_groups},
};

use crate::{
    answers::{CompareArgs, ProblemFiles},
    commands::rollout::failed,
    files::{begun, write_atomically},
    model::{ModelArgs, render},
    output::tell,
    progress::Progress,
    settings::layers,
    shard::ShardArgs,
    tasks::TaskArgs,
};

/// Settings for the embedded model, whose solutions are short and of which few are mined: most new tokens of an answer,
/// entries of the library, entries that every control point gets first, and how `deer` tries answers.
const PRESET: [(&str, &str); 6] = [
    ("max_tokens", "200"),
    ("budget", "64"),
    ("min_per_control_point", "4"),
    ("deer_transition", r"\n\n"),
    ("deer_keep_transition", "true"),
    ("deer_trial_tokens", "8"),
];

/// Gives the flags of `command` the values that suit the embedded model.
pub(crate) fn preset(command: Command) -> Command {
    PRESET.into_iter().fold(command, |command, (name, value)| command.mut_arg(name, |arg| arg.default_value(value)))
}

/// Mine, select, steer and compare on the model that comes with the program, in a few minutes
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder for everything that is made
    #[arg(long, value_name = "DIR", default_value = "runs/pipeline")]
    out: PathBuf,
    /// Number of problems to mine
    #[arg(long, alias = "mine", value_name = "N", default_value_t = 120)]
    mined_problems: usize,
    /// Number of problems to compare on
    #[arg(long, alias = "eval", value_name = "N", default_value_t = 300)]
    compared_problems: usize,
    /// Samples per mined problem (K)
    #[arg(long, value_name = "N", default_value_t = RolloutConfig::default().samples)]
    samples: usize,
    /// Layers to mine and steer, separated by commas: indices (3, -1) or relative depths (0.6, 3/5)
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', default_value = layers(), allow_hyphen_values = true)]
    layers: Vec<LayerSpec>,
    /// Most entries of the library (B); a pair counts as two
    #[arg(long, value_name = "N", default_value_t = BasisConfig::default().budget)]
    budget: usize,
    /// Entries of highest quality that every control point gets first
    #[arg(long, alias = "per-point", value_name = "N", default_value_t = BasisConfig::default().min_per_control_point)]
    min_per_control_point: usize,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (start, out) = (Instant::now(), args.out.as_path());
    for (name, value) in [("mined_problems", args.mined_problems), ("compared_problems", args.compared_problems)] {
        ensure!(value > 0, "{name} is 0, must be >= 1");
    }
    args.compare.check(true)?;
    let configs = configs(&args)?;
    fs::create_dir_all(out).into_diagnostic().wrap_err_with(|| out.display().to_string())?;
    let model = args.model.open()?;
    model.check_layers(&args.layers)?;
    model.check_request(&args.compare.answers.request(args.model.seed))?;
    let lm = model.load()?;
    keep_settings(&args, &configs)?;
    let render = |system: Option<&str>, user: &str| render(&lm, system, user);
    let mined = WordProblem::draw_many(args.mined_problems, args.model.seed, Split::HeldOut, &[]);
    let tested =
        WordProblem::draw_many(args.compared_problems, args.model.seed.wrapping_add(1), Split::HeldOut, &mined);
    let (mine, eval) = (out.join("mine.jsonl"), out.join("eval.jsonl"));
    write_problems(&mine, "mine", &mined)?;
    write_problems(&eval, "eval", &tested)?;

    let [rollouts, candidates, library] =
        ["rollouts.jsonl", "candidates.stir", "library.stir"].map(|name| out.join(name));
    let (rollout, induction, basis) = configs;
    sample(&rollouts, rollout, &lm, &TaskArgs::file(&mine, None).open(&render)?)?;
    build_library(&rollouts, None, &candidates, induction, &basis, &lm)?.save(&library).into_diagnostic()?;
    let problems = ProblemFiles::open(&render, Some(&library), &TaskArgs::file(&eval, None))?;
    problems.with(&lm, &args.model).compare(&args.compare, ShardArgs { shard: None }, Some(candidates), out)?;
    tell!("\nall in {:.0} s; everything is in {}", start.elapsed().as_secs_f64(), out.display());
    Ok(())
}

/// Refuses a folder of other settings before anything in it is replaced.
fn keep_settings(
    args: &Args,
    (rollout, induction, basis): &(RolloutConfig, InductionConfig, BasisConfig),
) -> Result<()> {
    let Args { mined_problems, compared_problems, .. } = args;
    let settings = serde_json::json!({
        "mined_problems": mined_problems, "compared_problems": compared_problems,
        "rollout": rollout, "induction": induction, "basis": basis,
    });
    let (settings, path) = (Settings::new(&settings).into_diagnostic()?, Settings::path(args.out.join("pipeline")));
    if settings.are_in(&path).map_err(begun)? { Ok(()) } else { settings.indented().write(&path).into_diagnostic() }
}

/// Returns the settings of stages 1 to 3. What is wrong with a later stage is found before the first takes its time.
fn configs(args: &Args) -> Result<(RolloutConfig, InductionConfig, BasisConfig)> {
    let (seed, max_tokens) = (args.model.seed, args.compare.answers.max_tokens);
    let rollout = RolloutConfig { samples: args.samples, max_tokens, seed, ..RolloutConfig::default() };
    rollout.validate().into_diagnostic()?;
    let max_control_points = args.compare.answers.steering.max_control_points;
    let layers = args.layers.clone();
    let induction = InductionConfig { layers, max_control_points, max_tokens, ..InductionConfig::default() };
    induction.validate().into_diagnostic()?;
    let (budget, min_per_control_point) = (args.budget, args.min_per_control_point);
    let basis = BasisConfig { budget, min_per_control_point, ..BasisConfig::default() };
    basis.validate().into_diagnostic()?;
    Ok((rollout, induction, basis))
}

/// Stage 1: samples of the problems in `mined` go to the file `path`.
pub(crate) fn sample(path: &Path, config: RolloutConfig, lm: &Lm, mined: &Questions) -> Result<()> {
    let prompts = mined.prompts();
    let shown = Progress::new((prompts.len() * config.samples) as u64, "rollout");
    let run = Rollouts::new(lm, config).into_diagnostic()?.judge_name(mined.judge_name()).on_progress(|progress| {
        shown.set_done(progress.done as u64);
        ControlFlow::Continue(())
    });
    let summary = run.run(&prompts, &|prompt, text| mined.is_right(prompt, text), path).map_err(failed)?;
    drop(shown);
    let percent = |share: Option<f64>| share.map_or_else(|| "no".into(), |share| format!("{:.1} %", 100.0 * share));
    tell!(
        "rollouts: {} samples of {} problems, {} right; {} of the problems have both right and wrong ones",
        summary.samples,
        summary.problems,
        percent(summary.accuracy()),
        percent(summary.mixed_share())
    );
    Ok(())
}

/// Stages 2 and 3: a library of what the samples in the file `rollouts` show, and those in `forks` where these are mined. What was mined goes to the file
/// `candidates`.
pub(crate) fn build_library(
    rollouts: &Path,
    forks: Option<&Path>,
    candidates: &Path,
    induction: InductionConfig,
    basis: &BasisConfig,
    lm: &Lm,
) -> Result<Library> {
    let problems = read_groups(rollouts).into_diagnostic()?.count();
    let shown = Progress::new(problems as u64, "induce");
    let mut run = Induction::new(lm, induction).into_diagnostic()?;
    if let Some(forks) = forks {
        run = run.forks(read_forks(forks).into_diagnostic()?);
    }
    let run = run.on_progress(|progress| {
        shown.set_done(progress.problems as u64);
        ControlFlow::Continue(())
    });
    let (mined, report) = run.run(read_groups(rollouts).into_diagnostic()?).into_diagnostic()?;
    shown.set_done(report.problems as u64);
    drop(shown);
    mined.save(candidates).into_diagnostic()?;
    tell!("induction: {} pairs kept of {} found", report.kept, report.found.iter().sum::<usize>());

    let library = select(&mined, basis).into_diagnostic()?;
    tell!("library: {} entries of {}", library.entries().len(), 2 * mined.pairs.len());
    Ok(library)
}

/// Problems as the other programs read them.
fn write_problems(path: &Path, prefix: &str, problems: &[WordProblem]) -> Result<()> {
    let lines = problems.iter().enumerate().map(|(i, problem)| {
        let gold = problem.answer.to_string();
        serde_json::json!({ "id": format!("{prefix}-{i}"), "question": problem.question, "gold": gold }).to_string()
            + "\n"
    });
    write_atomically(path, lines.collect::<String>().as_bytes())
}

//! Stage 4: answers, steered at segment boundaries by a library, with every decision on record.
//!
//! ```text
//! cargo run --release --example steer -- --library library.stir --prompts problems.jsonl --out answers.jsonl
//! ```
//!
//! Answers are kept in `<out>.partial` as they are finished; a stopped run goes on where it stopped.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod common;

use std::{fs, ops::ControlFlow, path::PathBuf};

use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use common::{ModelArgs, Resumable};
use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig, Scope, Steered, Step, Variant},
    core::{DriveError, Engine, Finish, SampleRng, Sampling, TokenId, drive},
    eval::FinalNumber,
    model::Lm,
    rollout::Task,
};

/// Answer prompts, steered by a library.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Library, as written by the example basis
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
    /// Problems, JSONL: id, question (or a finished prompt) and, to be judged, gold
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Answers to write, JSONL, in the order of the prompts
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// New tokens per answer at most; probes do not count
    #[arg(long, default_value_t = 200)]
    max_tokens: usize,
    /// Segments that may be steered (M)
    #[arg(long, default_value_t = 8)]
    points: usize,
    /// Entries retrieved at a control point (k)
    #[arg(long, default_value_t = 8)]
    retrieve: usize,
    /// Candidates probed at a control point (L)
    #[arg(long, default_value_t = 4)]
    probe: usize,
    /// Tokens of a probe at most
    #[arg(long, default_value_t = 4)]
    probe_tokens: usize,
    /// Weight of the advantage
    #[arg(long, default_value_t = 2.0)]
    beta: f64,
    /// Weight of a probe's gain in mean log-probability
    #[arg(long, default_value_t = 0.1)]
    rho: f64,
    /// Strength of an impulse per unit of score
    #[arg(long, default_value_t = 1.0)]
    k_scale: f64,
    /// Lowest score that may win
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    tau: f64,
    /// The method or one of its ablations
    #[arg(long, default_value = "stir",
        value_parser = PossibleValuesParser::new(Variant::ALL.map(|(_, name)| name)).try_map(|s| s.parse::<Variant>()))]
    variant: Variant,
    /// How long an impulse lives
    #[arg(long, default_value = "segment",
        value_parser = PossibleValuesParser::new(["segment", "persistent"]).try_map(common::named::<Scope>))]
    scope: Scope,
    /// Divisor of the logits; 0 for greedy decoding
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Mass of the nucleus
    #[arg(long, default_value_t = 1.0)]
    top_p: f32,
    /// Sequences decoded side by side
    #[arg(long, default_value_t = 16)]
    width: usize,
}

/// A line of the output.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gold: Option<&'a str>,
    text: String,
    token_ids: &'a [TokenId],
    tokens: usize,
    probe_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<bool>,
    steps: &'a [Step],
    finish: Finish,
    forward_passes: usize,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let sampling = Sampling { temperature: args.temperature, top_p: args.top_p };
    sampling.validate().into_diagnostic()?;
    ensure!(args.width > 0, "width is 0, must be >= 1");
    let library = Library::load(&args.library).into_diagnostic()?;
    let controller = Controller::new(&library, config(&args)).into_diagnostic()?;
    let lm = args.model.load()?;
    controller.check(lm.fingerprint()).into_diagnostic().wrap_err_with(|| args.library.display().to_string())?;
    // All prompts are read and checked before the first token is generated.
    let tasks = common::read_tasks(&lm, &args.prompts)?;
    let prompts = common::encode_prompts(&lm, &args.prompts, &tasks, args.max_tokens)?;

    let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    let mut out = Resumable::begin(&args.out, &settings(&args, &lm, &tasks)?, &ids)?;
    let waiting: Vec<usize> = (0..tasks.len()).filter(|&i| !out.has(i)).collect();
    let bar = common::progress(tasks.len() as u64, "steer");
    bar.set_position(out.len() as u64);
    let lanes = waiting.iter().map(|&i| {
        // Streams are numbered by place in the file, so that an answer does not depend on how often the run stopped.
        let rng = SampleRng::new(args.model.seed, i as u64);
        Ok(controller.lane(&lm, &prompts[i], args.max_tokens, sampling, rng, i as u64)?)
    });
    let mut refused = None;
    let ran = drive(&lm, lanes, args.width, |lane, answer| {
        let place = waiting[lane];
        bar.inc(1);
        match out.push(place, &line(&lm, &tasks[place], &answer)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                refused = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    bar.finish_and_clear();
    ran.map_err(|error| match error {
        DriveError::Sampling { lane, source } => {
            let place = waiting[lane];
            Report::from_err(source).wrap_err(common::location(&args.prompts, place, ids[place]))
        }
        error => Report::from_err(error),
    })?;
    if let Some(error) = refused {
        return Err(error);
    }
    print(&out.finish()?)
}

fn config(args: &Args) -> ControllerConfig {
    ControllerConfig {
        max_control_points: args.points,
        retrieve: args.retrieve,
        candidates: args.probe,
        probe_tokens: args.probe_tokens,
        beta: args.beta,
        rho: args.rho,
        tau_null: args.tau,
        k_scale: args.k_scale,
        variant: args.variant,
        scope: args.scope,
        seed: args.model.seed,
        ..ControllerConfig::default()
    }
}

/// Everything that an answer depends on.
fn settings(args: &Args, lm: &Lm, tasks: &[Task]) -> Result<Value> {
    let library = fs::read(&args.library).into_diagnostic().wrap_err_with(|| args.library.display().to_string())?;
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let mut settings = serde_json::to_value(config(args)).into_diagnostic()?;
    settings["max_tokens"] = json!(args.max_tokens);
    settings["temperature"] = json!(args.temperature);
    settings["top_p"] = json!(args.top_p);
    settings["model"] = json!(lm.fingerprint());
    settings["library"] = json!(digest(&library));
    settings["prompts"] = json!(digest(&serde_json::to_vec(tasks).into_diagnostic()?));
    Ok(settings)
}

fn line<'a>(lm: &Lm, task: &'a Task, answer: &'a Steered) -> Line<'a> {
    let text = lm.vocab().text(&answer.tokens);
    let gold = task.gold.as_deref();
    Line {
        id: &task.id,
        prompt: &task.prompt,
        gold,
        correct: gold.map(|gold| FinalNumber.correct(gold, &text)),
        text,
        token_ids: &answer.tokens,
        tokens: answer.tokens.len(),
        probe_tokens: answer.probe_tokens,
        steps: &answer.steps,
        finish: answer.finish,
        forward_passes: answer.forward_passes,
    }
}

/// Sums up the lines of the output, those of earlier parts of the run included.
fn print(lines: &[String]) -> Result<()> {
    #[derive(Deserialize)]
    struct Numbers {
        tokens: usize,
        probe_tokens: usize,
        correct: Option<bool>,
        steps: Vec<Steering>,
    }
    #[derive(Deserialize)]
    struct Steering {
        scale: f32,
    }
    let answers: Vec<Numbers> =
        lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>().into_diagnostic()?;
    let mean = |number: fn(&Numbers) -> usize| answers.iter().map(number).sum::<usize>() as f64 / answers.len() as f64;
    println!("answers            {}", answers.len());
    let judged: Vec<bool> = answers.iter().filter_map(|answer| answer.correct).collect();
    if !judged.is_empty() {
        println!("right              {} of {}", judged.iter().filter(|&&right| right).count(), judged.len());
    }
    println!("mean tokens        {:.1}", mean(|answer| answer.tokens));
    println!("mean probe tokens  {:.1}", mean(|answer| answer.probe_tokens));
    println!(
        "steered segments   {:.2} per answer",
        mean(|answer| answer.steps.iter().filter(|step| step.scale != 0.0).count())
    );
    Ok(())
}

//! `stir steer`, stage 4: answers, steered at segment boundaries by a library, with every decision on record.
//!
//! ```text
//! stir steer --library library.stir --prompts problems.jsonl --out answers.jsonl
//! ```
//!
//! Answers are appended to `<out>` as they are finished, and put in order at the end; a stopped run resumes.

use std::{ops::ControlFlow, path::PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{IntoDiagnostic, Result, ensure};
use serde::{Deserialize, Serialize};
use stir::{
    controller::{Step, Variant},
    core::{Finish, TokenId},
    eval::{
        AnswerForm,
        answers::Answers,
        calibrate::Preset,
        method::{MethodConfig, Reply},
    },
};

use crate::{
    answers::{ProblemFiles, Problems},
    model::ModelArgs,
    output::show,
    progress::Progress,
    settings::AnswerArgs,
    tasks::{self, TaskArgs},
};

/// Stage 4: answer problems, steered by a library
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Library, as `stir basis` writes it
    #[arg(long, value_name = "FILE", required_unless_present = "preset")]
    library: Option<PathBuf>,
    /// Preset, as `stir calibrate` writes it; it says what the library, the method and the settings of answers are
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["library", "variant", "max_tokens", "ControllerArgs", "SamplingArgs"])]
    preset: Option<PathBuf>,
    /// File of problems, JSONL: id, question (or a finished prompt) and, to be judged, gold
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// The form of the answers, where they are judged: math, number, choice or yes_no. Without it an answer is the number
    /// after its last ####
    #[arg(long = "answers", value_name = "FORM", value_parser = tasks::form)]
    form: Option<AnswerForm>,
    /// File of answers to write, JSONL, in the order of the problems
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The method, or one of its ablations
    #[arg(long, default_value = "stir",
        value_parser = PossibleValuesParser::new(Variant::ALL.map(|(_, name)| name)).try_map(|s| s.parse::<Variant>()))]
    variant: Variant,
    #[command(flatten)]
    answers: AnswerArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// A line of the output. Equal runs give equal lines: there is no time in them.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    prompt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gold: Option<String>,
    text: String,
    token_ids: Vec<TokenId>,
    tokens: usize,
    probe_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<bool>,
    steps: Vec<Step>,
    finish: Finish,
    forward_passes: usize,
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    let config = match &args.preset {
        Some(path) => {
            let Preset { library, method, answers, .. } = Preset::load(path).into_diagnostic()?;
            args.library = library;
            args.answers.take(&answers);
            method.seeded(args.model.seed)
        }
        None => MethodConfig::Stir(args.answers.steering.config(args.variant, args.model.seed)),
    };
    ensure!(args.prompts.exists(), "there is no file {}", args.prompts.display());
    let model = args.model.open()?;
    let task = TaskArgs::file(&args.prompts, args.form);
    let files = ProblemFiles::open(&|system, user| model.render(system, user), args.library.as_deref(), &task)?;
    files.check(&model, &args.answers, &config, None, &args.out)?;
    let lm = model.load()?;
    let problems = files.with(&lm, &args.model);
    let answer_run = problems.answer_run(&args.answers);
    let (method, settings) = problems.method(&answer_run, &config)?;
    problems.check(&answer_run)?;
    let mut answers = problems.begin(&args.out, &settings, None, |line: &Line| line.id.clone())?;
    let there: Vec<bool> = (0..problems.questions.questions.len()).map(|place| answers.contains(place)).collect();

    let shown = Progress::new(there.len() as u64, "steer");
    shown.set_done(answers.len() as u64);
    let mut kept = Ok(());
    let answered = answer_run.replies(
        &*method,
        |place| there[place],
        |place, reply| {
            shown.advance();
            kept = keep(&mut answers, &problems, place, reply);
            if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    );
    drop(shown);
    answered.map_err(|error| problems.located(error))?;
    kept?;
    let lines = answers.finish().into_diagnostic()?;
    print(&lines.collect::<Result<Vec<Line>, _>>().into_diagnostic()?)
}

fn keep(answers: &mut Answers<Line>, problems: &Problems<'_>, place: usize, reply: Reply) -> Result<()> {
    let (question, gold) = (&problems.questions.questions[place], problems.questions.golds[place].clone());
    let line = Line {
        id: question.id.clone(),
        prompt: question.prompt.clone(),
        correct: gold.is_some().then(|| reply.judge(question, &*(problems.questions.judges)(question)).correct()),
        gold,
        text: reply.text,
        token_ids: reply.token_ids,
        tokens: reply.tokens,
        probe_tokens: reply.probe_tokens,
        steps: reply.steps,
        finish: reply.finish,
        forward_passes: reply.forward_passes,
    };
    answers.push(&line).into_diagnostic()
}

/// Sums up the answers, those of earlier parts of the run included.
fn print(answers: &[Line]) -> Result<()> {
    let mean = |number: fn(&Line) -> usize| answers.iter().map(number).sum::<usize>() as f64 / answers.len() as f64;
    show!("answers            {}", answers.len())?;
    let judged: Vec<bool> = answers.iter().filter_map(|answer| answer.correct).collect();
    if !judged.is_empty() {
        show!("right              {} of {}", judged.iter().filter(|&&right| right).count(), judged.len())?;
    }
    show!("mean tokens        {:.1}", mean(|answer| answer.tokens))?;
    let cut_off = answers.iter().filter(|answer| answer.finish == Finish::Length).count();
    show!("cut off            {cut_off} of {}", answers.len())?;
    show!("mean probe tokens  {:.1}", mean(|answer| answer.probe_tokens))?;
    show!(
        "steered segments   {:.2} per answer",
        mean(|answer| answer.steps.iter().filter(|step| step.scale != 0.0).count())
    )
}

//! Answering problems, steered or not: what `steer`, `evaluate` and `pipeline` do alike.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure, miette};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stir::{
    basis::Library,
    controller::{Controller, ControllerConfig, Scope, Steered, Step, Variant},
    core::{DriveError, Engine, Finish, Request, TokenId, drive},
    eval::{Answer, Comparison, FinalNumber, MethodRun},
    model::Lm,
    rollout::Task,
};

use super::{Resumable, SamplingArgs, location, named, progress, read_tasks, requests, write_atomically};

/// How answers are generated and steered.
#[derive(clap::Args)]
pub struct AnswerArgs {
    /// New tokens per answer at most; probes do not count
    #[arg(long, default_value_t = 200)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub steering: SteeringArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs<false>,
    /// Sequences decoded side by side
    #[arg(long, default_value_t = 16)]
    pub width: usize,
}

/// How answers are steered.
#[derive(clap::Args)]
pub struct SteeringArgs {
    /// Segments that may be steered (M)
    #[arg(long, default_value_t = 8)]
    pub points: usize,
    /// Entries retrieved at a control point (k)
    #[arg(long, default_value_t = 8)]
    pub retrieve: usize,
    /// Candidates probed at a control point (L)
    #[arg(long, default_value_t = 4)]
    pub probe: usize,
    /// Tokens of a probe at most
    #[arg(long, default_value_t = 4)]
    pub probe_tokens: usize,
    /// Weight of the advantage
    #[arg(long, default_value_t = 2.0)]
    pub beta: f64,
    /// Weight of a probe's gain in mean log-probability
    #[arg(long, default_value_t = 0.1)]
    pub rho: f64,
    /// Strength of an impulse per unit of score
    #[arg(long, default_value_t = 1.0)]
    pub k_scale: f64,
    /// Lowest score that may win
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub tau: f64,
    /// How long an impulse lives
    #[arg(long, default_value = "segment",
        value_parser = PossibleValuesParser::new(["segment", "persistent"]).try_map(named::<Scope>))]
    pub scope: Scope,
}

impl SteeringArgs {
    /// The controller's settings.
    pub fn config(&self, variant: Variant, seed: u64) -> ControllerConfig {
        ControllerConfig {
            max_control_points: self.points,
            retrieve: self.retrieve,
            candidates: self.probe,
            probe_tokens: self.probe_tokens,
            beta: self.beta,
            rho: self.rho,
            tau_null: self.tau,
            k_scale: self.k_scale,
            variant,
            scope: self.scope,
            seed,
            ..ControllerConfig::default()
        }
    }
}

/// What is compared and how it is shown.
#[derive(clap::Args)]
pub struct CompareArgs {
    /// Methods to compare, the baseline first
    #[arg(long, value_delimiter = ',', value_parser = MethodName::parse,
        default_value = "plain,stir,no_probing,random_vector,static_vector")]
    methods: Vec<MethodName>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub answers: AnswerArgs,
}

/// A line of an answer file.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// The numbers of a line.
#[derive(Deserialize)]
pub struct Answered {
    pub id: String,
    pub tokens: usize,
    pub probe_tokens: usize,
    pub correct: Option<bool>,
    pub steps: Vec<Steering>,
    /// Wall time from the start of the run until this answer was finished, where it was measured.
    #[serde(default)]
    pub seconds: f64,
}

/// The part of a step that the summaries need.
#[derive(Deserialize)]
pub struct Steering {
    pub scale: f32,
}

/// Problems to be answered by a model, with a library at hand.
pub struct Problems {
    lm: Lm,
    library: Library,
    library_path: PathBuf,
    /// Digest of the library's file.
    digest: String,
    /// File the problems come from, for messages.
    source: PathBuf,
    tasks: Vec<Task>,
    seed: u64,
    /// Whether answers carry the time they took, which makes no two runs alike.
    timed: bool,
}

impl Problems {
    /// The problems in the file `source`, to be answered by `lm`, steered with the library in `library`.
    pub fn open(lm: Lm, library: &Path, source: &Path, seed: u64, timed: bool) -> Result<Self> {
        let bytes = fs::read(library).into_diagnostic().wrap_err_with(|| library.display().to_string())?;
        Ok(Self {
            library: Library::load(library).into_diagnostic()?,
            library_path: library.to_owned(),
            digest: digest(&bytes),
            source: source.to_owned(),
            tasks: read_tasks(&lm, source)?,
            lm,
            seed,
            timed,
        })
    }

    /// Answers every problem; the answers go to `out` in the order of the problems.
    pub fn answer(&self, args: &AnswerArgs, variant: Variant, out: &Path, what: &'static str) -> Result<Vec<Answered>> {
        ensure!(args.width > 0, "width is 0, must be >= 1");
        let config = args.steering.config(variant, self.seed);
        let settings = self.settings(args, &config)?;
        let controller = Controller::new(&self.library, self.lm.fingerprint(), config)
            .into_diagnostic()
            .wrap_err_with(|| self.library_path.display().to_string())?;
        // Streams are numbered by place in the file, so that an answer does not depend on how often the run stopped.
        let shared = Request {
            max_tokens: args.max_tokens,
            sampling: args.sampling.sampling(),
            stop: args.sampling.stop.clone(),
            seed: self.seed,
            ..Request::default()
        };
        let requests = requests(&self.lm, &self.source, &self.tasks, &shared)?;

        let ids: Vec<&str> = self.tasks.iter().map(|task| task.id.as_str()).collect();
        let mut file = Resumable::begin(out, &settings, &ids)?;
        let before = parse(file.lines())?.iter().map(|answer| answer.seconds).fold(0.0, f64::max);
        let waiting: Vec<usize> = (0..self.tasks.len()).filter(|&i| !file.has(i)).collect();
        let bar = progress(self.tasks.len() as u64, what);
        bar.set_position(file.len() as u64);
        let start = Instant::now();
        let lanes = waiting.iter().map(|&i| Ok(controller.lane(&self.lm, &requests[i], 0)?));
        let mut refused = None;
        let ran = drive(&self.lm, lanes, args.width, |lane, answer| {
            let place = waiting[lane];
            bar.inc(1);
            match file
                .push(place, &self.line(place, &answer, self.timed.then(|| before + start.elapsed().as_secs_f64())))
            {
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
                Report::from_err(source).wrap_err(location(&self.source, place, ids[place]))
            }
            error => Report::from_err(error),
        })?;
        match refused {
            Some(error) => Err(error),
            None => parse(file.finish()?.iter().map(String::as_str)),
        }
    }

    /// Everything that an answer depends on.
    fn settings(&self, args: &AnswerArgs, config: &ControllerConfig) -> Result<Value> {
        let mut settings = serde_json::to_value(config).into_diagnostic()?;
        settings["max_tokens"] = json!(args.max_tokens);
        if let Value::Object(sampling) = json!(args.sampling.sampling()) {
            sampling.into_iter().for_each(|(name, value)| settings[name] = value);
        }
        settings["stop"] = json!(args.sampling.stop);
        settings["model"] = json!(self.lm.fingerprint());
        settings["compute"] = json!(self.lm.computation());
        settings["library"] = json!(self.digest);
        settings["prompts"] = json!(digest(&serde_json::to_vec(&self.tasks).into_diagnostic()?));
        Ok(settings)
    }

    fn line<'a>(&'a self, place: usize, answer: &'a Steered, seconds: Option<f64>) -> Line<'a> {
        let task = &self.tasks[place];
        let text = answer.text(self.lm.vocab());
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
            seconds,
        }
    }

    /// Answers every problem by every method and shows how they compare; answers go to `dir/answers.METHOD.jsonl`, the
    /// comparison to `dir/results.json`.
    pub fn compare(&self, args: &CompareArgs, dir: &Path) -> Result<()> {
        let mut runs = Vec::with_capacity(args.methods.len());
        for &MethodName { name, variant } in &args.methods {
            let answers = self.answer(&args.answers, variant, &dir.join(format!("answers.{name}.jsonl")), name)?;
            let seconds = answers.iter().map(|answer| answer.seconds).fold(0.0, f64::max);
            let judged = answers.into_iter().map(|a| {
                let unjudged = || miette!("{}: problem {:?} has no gold", self.source.display(), a.id);
                let correct = a.correct.ok_or_else(unjudged)?;
                Ok(Answer { id: a.id, correct, tokens: a.tokens, probe_tokens: a.probe_tokens })
            });
            runs.push(MethodRun { name: name.to_owned(), answers: judged.collect::<Result<_>>()?, seconds });
        }
        let (baseline, others) = runs.split_first().ok_or_else(|| miette!("no methods to compare"))?;
        let comparison = Comparison::new(baseline, others).into_diagnostic()?;
        let json = show(&comparison, args.json)?;
        write_atomically(&dir.join("results.json"), json.as_bytes())
    }
}

/// A way of answering, by the name it has in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodName {
    name: &'static str,
    variant: Variant,
}

impl MethodName {
    /// The method of that name: `plain`, or a variant of the controller.
    pub fn parse(name: &str) -> Result<Self, String> {
        let all = Variant::ALL
            .map(|(variant, own)| Self { name: if variant == Variant::NoMemory { "plain" } else { own }, variant });
        let known = || all.map(|method| method.name).join(", ");
        all.into_iter().find(|method| method.name == name).ok_or_else(|| format!("not one of {}", known()))
    }
}

/// The digest of a file's contents.
fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Shows a comparison: the table to people, one JSON object to programs.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what the programs are for")]
fn show(comparison: &Comparison, as_json: bool) -> Result<String> {
    let json = serde_json::to_string(comparison).into_diagnostic()?;
    if as_json {
        eprintln!("{comparison}");
        println!("{json}");
    } else {
        println!("{comparison}");
    }
    Ok(json)
}

fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Answered>> {
    lines.map(serde_json::from_str).collect::<Result<_, _>>().into_diagnostic()
}

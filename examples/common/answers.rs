//! Answering problems, steered or not: what `steer`, `evaluate` and `pipeline` do alike.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure, miette};
use serde_json::Value;
use stir::{
    basis::Library,
    controller::{ControllerConfig, Scope, Variant},
    core::Request,
    eval::{
        answers::{Answers, AnswersError},
        method::{
            AnswerError, At, Bench, Deer, Exam, Method, MethodConfig, Render, RunError, SelfConsistency, StaticVector,
        },
    },
    model::{Lm, ModelError},
    report::{Record, Run, Settings},
};

use super::{
    ModelArgs, SamplingArgs, location, named,
    present::{Shown, present},
    progress, render,
    tasks::{Asked, TaskArgs},
    unescaped,
};

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
    /// Answers under way side by side
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
    /// Methods to compare, the baseline first: plain, sampling, self_consistency, self_discover, deer, static_boundary,
    /// static_token, stir, and the ablations no_memory, no_probing, random_vector, random_choice, static_vector
    #[arg(long, value_delimiter = ',', value_parser = MethodName::parse,
        default_value = "plain,stir,no_probing,random_vector,static_vector,sampling,self_consistency")]
    methods: Vec<MethodName>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Samples of self_consistency
    #[arg(long, default_value_t = 8)]
    votes: usize,
    #[command(flatten)]
    deer: DeerArgs,
    #[command(flatten)]
    pub answers: AnswerArgs,
}

impl CompareArgs {
    /// That there is a library where a method steers.
    pub fn check(&self, library: Option<&Path>) -> Result<()> {
        match self.methods.iter().find(|method| library.is_none() && method.config.needs_library()) {
            Some(method) => Err(miette!("method {:?} needs a library: give --library", method.name)),
            None => Ok(()),
        }
    }
}

/// How `deer` tries answers.
#[derive(clap::Args)]
struct DeerArgs {
    /// Text after which deer tries an answer, as is or with \n, \r, \t, \\
    #[arg(long, value_name = "TEXT", default_value = r"\n\n", value_parser = unescaped, allow_hyphen_values = true)]
    deer_transition: String,
    /// Text that it asks for an answer with; that of the task where none is given
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_elicit: Option<String>,
    /// Text that ends a trial; that of the task where none is given
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_close: Option<String>,
    /// Tokens of a trial at most
    #[arg(long, value_name = "N", default_value_t = 8)]
    deer_tokens: usize,
    /// Trials of an answer at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    deer_trials: usize,
    /// Mean probability of a trial's tokens from which on thinking ends
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    deer_threshold: f64,
}

impl DeerArgs {
    fn config(&self, [elicit, close]: &[String; 2]) -> Deer {
        Deer {
            transition: self.deer_transition.clone(),
            keep_transition: true,
            elicit: self.deer_elicit.as_ref().unwrap_or(elicit).clone(),
            close: self.deer_close.as_ref().unwrap_or(close).clone(),
            trial_tokens: self.deer_tokens,
            max_trials: self.deer_trials,
            threshold: self.deer_threshold,
            ..Deer::default()
        }
    }
}

/// A way of answering, by the name it has in tables.
#[derive(Debug, Clone, PartialEq)]
struct MethodName {
    name: String,
    config: MethodConfig,
}

impl MethodName {
    fn parse(name: &str) -> Result<Self, String> {
        let fixed = |at| Some(MethodConfig::StaticVector(StaticVector { at, ..StaticVector::default() }));
        let config = match name {
            "static_boundary" => fixed(At::Boundary),
            "static_token" => fixed(At::Token),
            name => MethodConfig::named(name),
        };
        let config = config.ok_or_else(|| "there is no such method".to_owned())?;
        Ok(Self { name: name.to_owned(), config })
    }

    /// With the settings of the command line.
    fn config(&self, args: &CompareArgs, elicit: &[String; 2], seed: u64) -> MethodConfig {
        let steering = &args.answers.steering;
        match &self.config {
            MethodConfig::Stir(own) => MethodConfig::Stir(steering.config(own.variant, seed)),
            MethodConfig::StaticVector(own) => {
                MethodConfig::StaticVector(StaticVector { scale: steering.k_scale, ..own.clone() })
            }
            MethodConfig::SelfConsistency(own) => {
                MethodConfig::SelfConsistency(SelfConsistency { samples: args.votes, ..own.clone() })
            }
            MethodConfig::Deer(_) => MethodConfig::Deer(args.deer.config(elicit)),
            other => other.clone(),
        }
    }
}

/// Problems to be answered by a model.
pub struct Problems<'l> {
    lm: &'l Lm,
    model: &'l ModelArgs,
    library: Option<LibraryFile>,
    pub asked: Asked,
    /// What reports call the task.
    name: String,
    render: Box<Render<'l, ModelError>>,
}

/// A library and where it comes from.
struct LibraryFile {
    library: Library,
    path: PathBuf,
    /// Of the file.
    digest: String,
}

impl LibraryFile {
    fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { library: Library::load(path).into_diagnostic()?, path: path.to_owned(), digest })
    }
}

impl<'l> Problems<'l> {
    /// The problems of `task`, to be answered by `lm`, which is what `model` names, and steered with the library in
    /// `library`.
    pub fn open(lm: &'l Lm, model: &'l ModelArgs, library: Option<&Path>, task: &TaskArgs) -> Result<Self> {
        let library = library.map(LibraryFile::open).transpose()?;
        let (asked, name) = (task.open(lm)?, task.name());
        Ok(Self { lm, model, library, asked, name, render: Box::new(|system, user| render(lm, system, user)) })
    }

    /// The questions put to the model.
    pub fn exam(&self, args: &AnswerArgs) -> Result<Exam<'_, Lm>> {
        ensure!(args.width > 0, "width is 0, must be >= 1");
        let request = Request {
            max_tokens: args.max_tokens,
            sampling: args.sampling.sampling(),
            stop: args.sampling.stop.clone(),
            seed: self.model.seed,
            ..Request::default()
        };
        Ok(Exam { engine: self.lm, questions: &self.asked.questions, request, width: args.width })
    }

    /// That all questions can be asked; those that are too long for the model are told.
    pub fn check(&self, exam: &Exam<'_, Lm>) -> Result<()> {
        let requests = exam.requests().map_err(|error| self.located(error))?;
        for (question, request) in exam.questions.iter().zip(requests) {
            if let Err(source) = request {
                tell_no_room(self.located(AnswerError::Request { id: question.id.clone(), source }));
            }
        }
        Ok(())
    }

    /// A method, and all that its answers to `exam` depend on.
    pub fn method(&self, exam: &Exam<'_, Lm>, config: &MethodConfig) -> Result<(Box<dyn Method<Lm> + '_>, Value)> {
        let file = self.library.as_ref().filter(|_| config.needs_library());
        let (judges, library) = (&*self.asked.judges, file.map(|file| &file.library));
        let method = config.build(Bench { engine: self.lm, judges, library, render: &*self.render }).into_diagnostic();
        let method = match file {
            Some(file) => method.wrap_err_with(|| file.path.display().to_string())?,
            None => method?,
        };
        let (library, device) = (file.map(|file| file.digest.as_str()), self.model.device.to_string());
        Ok((method, exam.settings(config, library, &device).into_diagnostic()?))
    }

    /// The file `out` of answers, begun or taken up.
    pub fn begin(&self, out: &Path, settings: &Value) -> Result<Answers> {
        let ids: Vec<&str> = self.asked.questions.iter().map(|question| question.id.as_str()).collect();
        Answers::begin(out, settings, &ids).map_err(begun)
    }

    /// Answers every problem by every method and shows how they compare; answers go to `dir/answers.METHOD.jsonl`, the
    /// comparison to `dir/results.json`, the report to `dir/report.html`. What is finished of that is taken up.
    /// `candidates` is the file that the library was selected from, to be shown.
    pub fn compare(&self, args: &CompareArgs, candidates: Option<PathBuf>, dir: &Path) -> Result<()> {
        self.asked.check_golds()?;
        let exam = self.exam(&args.answers)?;
        self.check(&exam)?;
        let model = self.model.name();
        let mut runs = Vec::with_capacity(args.methods.len());
        for method in &args.methods {
            let config = method.config(args, &self.asked.elicit, self.model.seed);
            let (way, settings) = self.method(&exam, &config)?;
            let answers = self.begin(&dir.join(format!("answers.{}.jsonl", method.name)), &settings)?;
            let bar = progress(self.asked.questions.len() as u64, &method.name);
            let records = exam.run(&*way, &*self.asked.judges, answers, |done| {
                bar.set_position(done as u64);
                ControlFlow::Continue(())
            });
            bar.finish_and_clear();
            let records = records.map_err(|error| match error {
                RunError::Answer(error) => self.located(error),
                error => Report::from_err(error),
            })?;
            let mut params = settings["method"].as_object().cloned().unwrap_or_default();
            params.remove("method");
            let settings = Settings {
                model: model.clone(),
                task: self.name.clone(),
                method: method.name.clone(),
                mined_from: None,
                seed: self.model.seed,
                params: params.into_iter().collect(),
            };
            runs.push(run(settings, records.unwrap_or_default()));
        }
        let library = self.library.as_ref();
        let library = library.map(|file| Shown::new(&model, &self.name, &file.path, candidates)).transpose()?;
        present(&self.name, &runs, library.into_iter().collect(), BTreeMap::new(), args.json, dir)
    }

    /// An error with the place of its problem in the file.
    pub fn located(&self, error: AnswerError<ModelError>) -> Report {
        let place = match &error {
            AnswerError::Request { id, .. } | AnswerError::Prompt { id, .. } | AnswerError::Sampling { id, .. } => {
                let place = self.asked.questions.iter().position(|question| question.id == *id);
                place.map(|place| location(&self.asked.source, place, id))
            }
            AnswerError::Engine(_) | AnswerError::Settings(_) => None,
        };
        let report = Report::from_err(error);
        match place {
            Some(place) => report.wrap_err(place),
            None => report,
        }
    }
}

/// Tells of a problem whose prompt leaves no room for an answer.
#[allow(clippy::print_stderr, reason = "results go to stdout")]
pub fn tell_no_room(problem: Report) {
    eprintln!("{:?}", problem.wrap_err("one problem gets an empty answer, which counts as wrong"));
}

/// What to do about answers of other settings.
fn begun(error: AnswersError) -> Report {
    match error {
        AnswersError::Settings { .. } => {
            miette!(
                help = "give another --out, remove that file to start over, or go on with the earlier settings",
                "{error}"
            )
        }
        error => Report::from_err(error),
    }
}

fn run(settings: Settings, records: Vec<Record>) -> Run {
    let seconds = records.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
    Run { settings, records, seconds }
}

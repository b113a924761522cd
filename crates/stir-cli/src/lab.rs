//! What an experiment needs of the programs: models in folders, problems in files or made up, mining.

use std::{
    cell::RefCell,
    fmt, fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Report, Result, WrapErr, ensure, miette};
use serde::{Deserialize, Serialize};
use stir::{
    core::Sampling,
    eval::{
        experiment::{self, Event, Lab},
        method::{Judges, Question},
    },
    induction::{ConfigError, Induction, InductionConfig, PositiveSource},
    model::{ComputeType, DeviceSpec, Lm, ModelError},
    rollout::{Failure, RolloutConfig, Rollouts, read_groups},
};

use crate::{
    answers::tell_no_room,
    model::{ModelArgs, render},
    progress::Progress,
    tasks::{self, Asked, TaskArgs, final_number, rollout_tasks},
    word_problems::{Split, WordProblem},
};

/// Where a model comes from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSource {
    /// Its folder; the model that comes with the program, where none is named.
    folder: Option<PathBuf>,
    /// As the flag `--device`.
    device: String,
    /// As the flag `--compute`.
    compute: String,
}

impl Default for ModelSource {
    fn default() -> Self {
        Self { folder: None, device: DeviceSpec::default().to_string(), compute: ComputeType::default().to_string() }
    }
}

/// Problems: those of a file, or stories made up for the model that comes with the sources.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProblemSource {
    /// A JSONL file, as the other programs read them.
    File(PathBuf),
    /// A task, as the flags `--task`, `--data`, `--answers` and `--limit` say.
    Task(TaskArgs),
    /// Stories that the model was not trained on.
    Stories(Stories),
}

/// Which stories.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stories {
    /// How many.
    count: usize,
    /// Which half of all stories they are drawn from: what is mined and what is answered should share none.
    half: Half,
    /// What they count; anything, where none is named.
    #[serde(default)]
    topics: Vec<String>,
    /// How many changes they tell of; 2 to 4, where none is named.
    #[serde(default)]
    steps: Vec<usize>,
    /// Of the draw.
    #[serde(default)]
    seed: u64,
}

/// A half of all stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Half {
    /// To mine from.
    Mine,
    /// To be answered.
    Answer,
}

/// Settings of stage 1. The seed is that of the experiment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutSettings {
    samples: usize,
    max_tokens: usize,
    eta: f64,
    sampling: Sampling,
    stop: Vec<String>,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        let RolloutConfig { samples, max_tokens, eta, sampling, stop, .. } = RolloutConfig::default();
        Self { samples, max_tokens, eta, sampling, stop }
    }
}

/// Settings of stage 2, checked before anything is loaded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "InductionConfig")]
pub struct InductionSettings(InductionConfig);

impl TryFrom<InductionConfig> for InductionSettings {
    type Error = ConfigError;

    fn try_from(config: InductionConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        if config.positives != PositiveSource::Rollout {
            let bound = "rollout in an experiment, as the problems of tasks come without solutions";
            return Err(ConfigError { field: "positives", value: format!("{:?}", config.positives), bound });
        }
        Ok(Self(config))
    }
}

/// A report as an error with a cause, which it is not by itself.
#[derive(Debug)]
pub struct LabError(Report);

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<Report> for LabError {
    fn from(report: Report) -> Self {
        Self(report)
    }
}

/// The lab of these programs.
#[derive(Default)]
pub struct Workbench {
    /// Of the cell under way.
    shown: RefCell<Option<(usize, Progress)>>,
}

impl Workbench {
    /// No bar any more.
    pub fn finish(&self) {
        self.shown.borrow_mut().take();
    }
}

impl Lab for Workbench {
    type Model = ModelSource;
    type Problems = ProblemSource;
    type Rollout = RolloutSettings;
    type Induction = InductionSettings;
    type Engine = Lm;
    type Error = LabError;

    fn load(&self, model: &ModelSource) -> Result<Lm, LabError> {
        let device = model.device.parse().into_diagnostic()?;
        let compute = model.compute.parse().into_diagnostic()?;
        Ok(ModelArgs { model: model.folder.clone(), device, compute, seed: 0 }.load()?)
    }

    fn device(&self, model: &ModelSource) -> String {
        model.device.clone()
    }

    fn questions(&self, lm: &Lm, problems: &ProblemSource) -> Result<experiment::Asked<'_>, LabError> {
        match problems {
            ProblemSource::File(path) => Ok(known(TaskArgs::file(path).open(lm)?)?),
            ProblemSource::Task(task) => Ok(known(task.open(lm)?)?),
            ProblemSource::Stories(stories) => Ok((stories.questions(lm)?, final_number())),
        }
    }

    fn render(&self, lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
        render(lm, system, user)
    }

    fn rollouts(
        &self,
        lm: &Lm,
        questions: &[Question],
        judges: &Judges<'_>,
        settings: &RolloutSettings,
        seed: u64,
        out: &Path,
    ) -> Result<(), LabError> {
        let RolloutSettings { samples, max_tokens, eta, sampling, ref stop } = *settings;
        let config =
            RolloutConfig { samples, max_tokens, eta, sampling, stop: stop.clone(), seed, ..RolloutConfig::default() };
        let golds: Vec<_> = questions.iter().map(|question| Some(question.gold.clone())).collect();
        let (tasks, judge) = (rollout_tasks(questions, &golds), tasks::Rollouts::new(judges, questions));
        let shown = Progress::new((tasks.len() * samples) as u64, "rollout");
        let summary = Rollouts::new(lm, config).into_diagnostic()?.run(&tasks, &judge, out, |progress| {
            shown.set_done(progress.done as u64);
            ControlFlow::Continue(())
        });
        drop(shown);
        let summary = summary.into_diagnostic()?;
        Ok(tell(summary.failures, summary.samples)?)
    }

    fn candidates(&self, lm: &Lm, rollouts: &Path, settings: &InductionSettings, out: &Path) -> Result<(), LabError> {
        let sidecar = stir::files::Settings::path(rollouts);
        let made = fs::read_to_string(&sidecar).into_diagnostic().wrap_err_with(|| sidecar.display().to_string())?;
        let run = Induction::new(lm, settings.0.clone()).into_diagnostic()?.rollout_settings(made);
        let shown = Progress::new(0, "induce");
        let mined = run.run(read_groups(rollouts).into_diagnostic()?, |progress| {
            shown.set_total(progress.total.unwrap_or_default() as u64);
            shown.set_done(progress.problems as u64);
            ControlFlow::Continue(())
        });
        drop(shown);
        Ok(mined.into_diagnostic()?.0.save(out).into_diagnostic()?)
    }

    fn observe(&self, event: Event<'_>) {
        let (cell, cells, settings, done, total) = match event {
            Event::Answers { cell, cells, settings, done, total } => (cell, cells, settings, done, total),
            Event::NoRoom { task, id, reason } => {
                let place = format!("tasks {task:?}: problem {id:?}");
                return tell_no_room(Report::from_err(reason.clone()).wrap_err(place));
            }
            Event::Stage { .. } => return,
        };
        let mut shown = self.shown.borrow_mut();
        if shown.as_ref().is_none_or(|(of, _)| *of != cell) {
            // One ends before the next begins.
            shown.take();
            let new = Progress::new(total as u64, &settings.method);
            new.set_note(format!("{} of {cells}", cell + 1));
            *shown = Some((cell, new));
        }
        if let Some((_, shown)) = &*shown {
            shown.set_done(done as u64);
        }
    }
}

/// Problems whose right answers are known.
fn known(asked: Asked) -> Result<experiment::Asked<'static>> {
    asked.check_golds()?;
    Ok((asked.questions, asked.judges))
}

/// Tells of the problems and samples that failed. They stop an experiment only where there is nothing else.
#[allow(clippy::print_stderr, reason = "results go to stdout")]
fn tell(failures: Vec<Failure<ModelError>>, samples: usize) -> Result<()> {
    for failure in failures {
        let missing = failure.samples;
        let report = Report::from_err(failure);
        if samples == 0 {
            return Err(report);
        }
        eprintln!("{:?}", report.wrap_err(format!("{missing} rollouts are missing; the others are mined")));
    }
    Ok(())
}

impl Stories {
    fn questions(&self, lm: &Lm) -> Result<Vec<Question>> {
        for topic in &self.topics {
            ensure!(WordProblem::topics().any(|known| known == topic), "topics: there are no stories of {topic:?}");
        }
        if let Some(steps) = self.steps.iter().find(|steps| !(2..=4).contains(*steps)) {
            return Err(miette!("steps is {steps}, must be from 2 to 4"));
        }
        let wanted = |problem: &WordProblem| {
            let half = if problem.is_even() { Half::Mine } else { Half::Answer };
            half == self.half
                && (self.topics.is_empty() || self.topics.iter().any(|topic| topic == problem.topic()))
                && (self.steps.is_empty() || self.steps.contains(&problem.steps()))
        };
        let drawn = WordProblem::draw_some(self.count, self.seed, Split::HeldOut, wanted);
        ensure!(drawn.len() == self.count, "count is {}, but only {} such stories were found", self.count, drawn.len());
        let ask = |(i, problem): (usize, WordProblem)| -> Result<Question> {
            let prompt = lm.chat_prompt(&problem.question).into_diagnostic()?;
            let gold = problem.answer.to_string();
            Ok(Question { id: format!("story-{i}"), prompt, user: problem.question, gold, ..Question::default() })
        };
        drawn.into_iter().enumerate().map(ask).collect()
    }
}

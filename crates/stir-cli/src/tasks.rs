//! What is asked: built-in tasks, tasks of one's own, and plain files of problems.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, Result, WrapErr, ensure, miette};
use serde::{Deserialize, Serialize};
use stir::{
    eval::{
        AnswerForm, Prompt, Task,
        method::{Judges, Question},
        task::{Benchmark, answer_form},
    },
    grade::{FinalNumber, GRADING, Judge},
    model::Lm,
    rollout::{self, Judge as RolloutJudge, read_problems},
};

use crate::{files::location, model::render};

/// Which problems.
#[derive(clap::Args, Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskArgs {
    /// Problems, JSONL: id, gold, and a question or a finished prompt; or a built-in task (math500, gsm8k, ..), or the
    /// description of one of your own (TOML; see docs/tasks.md)
    #[arg(long, value_name = "FILE|NAME")]
    pub task: PathBuf,
    /// File or folder with the problems of a built-in task; with the feature hub they are fetched where this is missing
    #[arg(long, value_name = "PATH")]
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// What the answers of a file look like: math, number, choice or yes_no. Without it an answer is the number after
    /// its last ####. Not for built-in tasks
    #[arg(long, value_name = "FORM", value_parser = form)]
    #[serde(default)]
    pub answers: Option<AnswerForm>,
    /// Only the first problems
    #[arg(long, value_name = "N")]
    #[serde(default)]
    pub limit: Option<usize>,
}

fn form(name: &str) -> Result<AnswerForm, String> {
    answer_form(name).map_err(|error| error.to_string())
}

/// Problems, ready to be asked.
pub struct Asked {
    /// In order.
    pub questions: Vec<Question>,
    /// The right answers, where they are known.
    pub golds: Vec<Option<String>>,
    /// Where they come from, for messages.
    pub source: PathBuf,
    /// What elicits an answer from unfinished reasoning, and what closes it.
    pub elicit: [String; 2],
    /// Who judges the answers.
    pub judges: Box<Judges<'static>>,
}

impl TaskArgs {
    /// The problems of a JSONL file whose answers stand after `####`.
    pub fn file(path: &Path) -> Self {
        Self { task: path.to_owned(), data: None, answers: None, limit: None }
    }

    /// What reports call the task: its name, or that of its file.
    pub fn name(&self) -> String {
        self.task.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether a file of problems is meant that follows the convention of `####`.
    fn is_plain(&self) -> bool {
        let described = self.task.extension().is_some_and(|extension| !extension.eq_ignore_ascii_case("jsonl"));
        self.data.is_none() && self.answers.is_none() && self.task.is_file() && !described
    }

    /// That no flag is given that would do nothing.
    fn check(&self) -> Result<()> {
        let task = self.task.display();
        let is_built_in = Benchmark::find(&task.to_string()).is_some() && (self.data.is_some() || !self.task.is_file());
        ensure!(self.limit != Some(0), "--limit is 0, must be at least 1");
        ensure!(
            !is_built_in || self.answers.is_none(),
            "--answers is for a file of problems; what answers of the built-in task {task} look like is known"
        );
        ensure!(
            is_built_in || self.data.is_none() || !self.task.is_file(),
            "--data is for a built-in task and does not go with the file {task}"
        );
        Ok(())
    }

    /// The problems with their prompts for `lm`.
    pub fn open(&self, lm: &Lm) -> Result<Asked> {
        self.check()?;
        let mut asked = if self.is_plain() { plain(lm, &self.task)? } else { self.of_task(lm)? };
        let limit = self.limit.unwrap_or(usize::MAX);
        asked.questions.truncate(limit);
        asked.golds.truncate(limit);
        Ok(asked)
    }

    fn of_task(&self, lm: &Lm) -> Result<Asked> {
        let task = self.load()?;
        let ask = |problem| -> Result<Question> {
            let Prompt { system, user, is_raw } = task.prompt(problem);
            let rendered = || render(lm, system.as_deref(), &user);
            let prompt = if is_raw { Ok(user.clone()) } else { rendered() }.into_diagnostic();
            let prompt = prompt.wrap_err_with(|| format!("{}: problem {:?}", task.name(), problem.id))?;
            let (id, gold) = (problem.id.clone(), problem.gold.clone());
            Ok(Question { id, prompt, system, user, gold, form: Some(task.form()) })
        };
        let questions: Vec<Question> = task.problems().iter().map(ask).collect::<Result<_>>()?;
        let golds = questions.iter().map(|question| Some(question.gold.clone())).collect();
        let elicit = [task.answer_prefix(), task.answer_suffix()].map(str::to_owned);
        let judges = task.problems().iter().map(|problem| (problem.id.clone(), task.judge_of(problem)));
        let judges: HashMap<String, Arc<dyn Judge>> = judges.collect();
        let judges: Box<Judges<'static>> = Box::new(move |question| match judges.get(&question.id) {
            Some(judge) => judge.clone(),
            None => Arc::new(FinalNumber),
        });
        Ok(Asked { questions, golds, source: self.task.clone(), elicit, judges })
    }

    fn load(&self) -> Result<Task> {
        let name = self.task.to_string_lossy();
        match (&self.data, self.answers) {
            (None, Some(form)) => Task::custom(&self.task, Some(form)).into_diagnostic(),
            #[cfg(feature = "hub")]
            (None, None) if !self.task.exists() => fetched(&name),
            (data, _) => Task::open(&name, data.as_deref()).into_diagnostic(),
        }
    }
}

/// A built-in task from the hub.
#[cfg(feature = "hub")]
fn fetched(name: &str) -> Result<Task> {
    let options = stir::eval::hub::Options::from_env().into_diagnostic()?;
    Task::from_hub(name, None, &options, |_| std::ops::ControlFlow::Continue(())).into_diagnostic()
}

/// The problems of a JSONL file: prompts as they are, or questions through the chat template.
fn plain(lm: &Lm, path: &Path) -> Result<Asked> {
    let problems = read_problems(path).into_diagnostic()?;
    let ask = |(i, problem): (usize, &rollout::Problem)| {
        let task = problem.task(|question| lm.chat_prompt(question)).into_diagnostic();
        let rollout::Task { id, prompt, gold } = task.wrap_err_with(|| location(path, i, &problem.id))?;
        let user = problem.question.clone().unwrap_or_else(|| prompt.clone());
        let right = gold.clone().unwrap_or_default();
        Ok((Question { id, prompt, user, gold: right, ..Question::default() }, gold))
    };
    let asked = problems.iter().enumerate().map(ask).collect::<Result<Vec<_>>>()?;
    let (questions, golds) = asked.into_iter().unzip();
    let elicit = ["#### ", "\n"].map(str::to_owned);
    Ok(Asked { questions, golds, source: path.to_owned(), elicit, judges: final_number() })
}

/// Judges by the number after `####`.
pub fn final_number() -> Box<Judges<'static>> {
    Box::new(|_| Arc::new(FinalNumber))
}

impl Asked {
    /// That every right answer is known.
    pub fn check_golds(&self) -> Result<()> {
        match self.golds.iter().position(Option::is_none) {
            Some(place) => {
                Err(miette!("{}: problem {:?} has no gold", self.source.display(), self.questions[place].id))
            }
            None => Ok(()),
        }
    }

    /// The problems as rollouts are drawn of them.
    pub fn tasks(&self) -> Vec<rollout::Task> {
        rollout_tasks(&self.questions, &self.golds)
    }
}

/// Questions as rollouts are drawn of them.
pub fn rollout_tasks(questions: &[Question], golds: &[Option<String>]) -> Vec<rollout::Task> {
    let task = |(question, gold): (&Question, &Option<String>)| rollout::Task {
        id: question.id.clone(),
        prompt: question.prompt.clone(),
        gold: gold.clone(),
    };
    questions.iter().zip(golds).map(task).collect()
}

/// Judges rollouts as answers are judged.
pub struct Rollouts<'j> {
    judges: &'j Judges<'j>,
    form: Option<AnswerForm>,
}

impl<'j> Rollouts<'j> {
    /// Of `questions`, which are all of one task.
    pub fn new(judges: &'j Judges<'j>, questions: &[Question]) -> Self {
        Self { judges, form: questions.first().and_then(|question| question.form) }
    }
}

impl RolloutJudge for Rollouts<'_> {
    fn correct(&self, gold: &str, text: &str) -> bool {
        FinalNumber.correct(gold, text)
    }

    fn solves(&self, task: &rollout::Task, gold: &str, text: &str) -> bool {
        let question = Question { id: task.id.clone(), ..Question::default() };
        (self.judges)(&question).judge(gold, text).correct()
    }

    fn name(&self) -> Option<String> {
        let form = self.form.map_or_else(|| "FinalNumber".to_owned(), |form| format!("{form:?}"));
        Some(format!("{form}, grading {GRADING}"))
    }
}

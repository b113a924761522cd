use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stir_files::FileError;
use stir_grade::AnswerForm;

use super::{
    error::{QuestionError, SourceError},
    set::Questions,
    stories::Stories,
};
use crate::{
    method::Render,
    task::{Benchmark, Task},
};

/// The source of the problems of an experiment. The right answer to every problem must be known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ProblemSource {
    /// A JSONL file whose answers are the numbers after `####`.
    File(PathBuf),
    /// A task.
    Task(TaskSource),
    /// Stories that the tiny model was not trained on.
    Stories(Stories),
}

impl ProblemSource {
    /// Checks everything that can be checked without a model.
    ///
    /// # Errors
    /// [`SourceError`] with the setting to blame.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Self::File(path) => TaskSource::file(path).check(),
            Self::Task(task) => task.check(),
            Self::Stories(stories) => stories.draw().map(|_| ()),
        }
    }

    /// Returns the questions with prompts by `render`: the chat template of a model.
    ///
    /// # Errors
    /// [`QuestionError`] for problems that cannot be read or rendered, or lack a right answer.
    pub fn questions<X>(&self, render: &Render<'_, X>) -> Result<Questions, QuestionError<X>> {
        let asked = match self {
            Self::File(path) => TaskSource::file(path).open(render)?,
            Self::Task(task) => task.open(render)?,
            Self::Stories(stories) => stories.questions(render)?,
        };
        match asked.without_gold() {
            Some(id) => Err(QuestionError::NoGold { path: asked.source.clone(), id: id.to_owned() }),
            None => Ok(asked),
        }
    }
}

/// A task or a file of problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSource {
    /// A file of problems (JSONL), a built-in task (`math500`), or the description of a custom task (TOML).
    pub task: PathBuf,
    /// The file or folder with the problems of a built-in task. With the feature `hub` they are fetched if it is `None`.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// The form of the answers of a file. Without it an answer is the number after its last `####`.
    #[serde(default)]
    pub answers: Option<AnswerForm>,
    /// A file with the ids of the problems to use, one a line; `None` for all. The order stays that of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<PathBuf>,
    /// The number of problems to leave out, from the first of those.
    // Left out where it is 0, as settings of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
    /// The number of problems to use, from the first of those that are left; `None` for all.
    #[serde(default)]
    pub limit: Option<usize>,
}

pub(super) fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl TaskSource {
    /// Returns the source of a JSONL file whose answers are the numbers after `####`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { task: path.into(), data: None, answers: None, ids: None, skip: 0, limit: None }
    }

    /// Returns the name of the task, or that of its file without extension.
    pub fn name(&self) -> String {
        self.task.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Checks that no setting is given that would have no effect.
    ///
    /// # Errors
    /// [`SourceError`] with the setting to blame.
    pub fn check(&self) -> Result<(), SourceError> {
        let task = self.task.display();
        let is_built_in = Benchmark::find(&task.to_string()).is_some() && (self.data.is_some() || !self.task.is_file());
        SourceError::check(self.limit != Some(0), "limit", || "is 0, must be at least 1".into())?;
        SourceError::check(!is_built_in || self.answers.is_none(), "answers", || {
            format!("is for a file of problems; the form of the answers of the built-in task {task} is known")
        })?;
        SourceError::check(is_built_in || self.data.is_none() || !self.task.is_file(), "data", || {
            format!("is for a built-in task and does not go with the file {task}")
        })
    }

    /// Returns the problems with prompts by `render`: the chat template of a model.
    ///
    /// # Errors
    /// Fails like [`check`](Self::check); [`QuestionError`] for problems that cannot be read or rendered.
    pub fn open<X>(&self, render: &Render<'_, X>) -> Result<Questions, QuestionError<X>> {
        self.check()?;
        let asked = match self.is_plain() {
            true => Questions::of_file(&self.task, render)?,
            false => Questions { source: self.task.clone(), ..Questions::of_task(&self.load()?, render)? },
        };
        let asked = match &self.ids {
            Some(path) => asked.only(&listed(path)?).map_err(|id| SourceError {
                setting: "ids",
                reason: format!("has {id:?} in {}, which is no problem of {}", path.display(), self.task.display()),
            })?,
            None => asked,
        };
        let there = asked.questions.len();
        SourceError::check(self.skip == 0 || self.skip < there, "skip", || {
            format!("is {}, but there are only {there} problems", self.skip)
        })?;
        Ok(asked.skip(self.skip).take(self.limit.unwrap_or(usize::MAX)))
    }

    /// Returns whether the source is a file of problems that follows the convention of `####`.
    fn is_plain(&self) -> bool {
        let described = self.task.extension().is_some_and(|extension| !extension.eq_ignore_ascii_case("jsonl"));
        self.data.is_none() && self.answers.is_none() && self.task.is_file() && !described
    }

    fn load<X>(&self) -> Result<Task, QuestionError<X>> {
        let name = self.task.to_string_lossy();
        match (&self.data, self.answers) {
            (None, Some(form)) => Ok(Task::custom(&self.task, Some(form))?),
            #[cfg(feature = "hub")]
            (None, None) if !self.task.exists() => {
                let options = stir_hub::Options::from_env()?;
                Ok(Task::from_hub(&name, None, &options, |_| std::ops::ControlFlow::Continue(()))?)
            }
            (data, _) => Ok(Task::open(&name, data.as_deref().map(Path::new))?),
        }
    }
}

/// Returns the lines of a file, without blank ones.
fn listed<X>(path: &Path) -> Result<Vec<String>, QuestionError<X>> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| FileError::Io { action: "read", path: path.to_owned(), source });
    let text = text.map_err(|error| QuestionError::File(error.into()))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

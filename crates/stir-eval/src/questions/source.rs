use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
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
    /// The number of problems at the start that are left out.
    // Left out where it is 0, as settings of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
    /// The number of problems to use, from the first that is not left out; `None` for all.
    #[serde(default)]
    pub limit: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl TaskSource {
    /// Returns the source of a JSONL file whose answers are the numbers after `####`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { task: path.into(), data: None, answers: None, skip: 0, limit: None }
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
        let (skip, found) = (self.skip, asked.questions.len());
        SourceError::check(skip == 0 || skip < found, "skip", || {
            format!("is {skip}, must be below the number of problems, {found}")
        })?;
        Ok(asked.skip(skip).take(self.limit.unwrap_or(usize::MAX)))
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

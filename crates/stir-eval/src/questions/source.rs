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
        // It could only be the name of a task.
        let is_path = self.task.components().count() > 1 || self.task.extension().is_some();
        let is_named = self.data.is_none() && self.answers.is_none() && !self.task.exists();
        SourceError::check(!(is_named && is_path), "task", || {
            format!("is {}, and there is no such file", self.task.display())
        })?;
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;

    fn ids(source: &ProblemSource) -> Result<Vec<String>, String> {
        let asked = source.questions(&|_, user| Ok::<_, Infallible>(user.to_owned()));
        let asked = asked.map_err(|error| error.to_string())?;
        assert_eq!(asked.questions.len(), asked.golds.len());
        Ok(asked.questions.into_iter().map(|question| question.id).collect())
    }

    #[test]
    fn parts_of_a_source_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (problems, list) = (folder.path().join("p.jsonl"), folder.path().join("list.txt"));
        let lines = (0..6).map(|i| json!({"id": format!("p{i}"), "question": format!("{i}?"), "gold": i}).to_string());
        fs::write(&problems, lines.collect::<Vec<_>>().join("\n")).unwrap();
        fs::write(&list, "p4\n\n p1 \np3\n").unwrap();
        let part =
            |skip, limit, ids| ProblemSource::Task(TaskSource { skip, limit, ids, ..TaskSource::file(&problems) });
        assert_eq!(ids(&part(0, Some(2), None)).unwrap(), ["p0", "p1"]);
        assert_eq!(ids(&part(2, Some(3), None)).unwrap(), ["p2", "p3", "p4"]);
        assert_eq!(ids(&part(4, None, None)).unwrap(), ["p4", "p5"]);
        // The order is that of the problems, whatever that of the list.
        assert_eq!(ids(&part(0, None, Some(list.clone()))).unwrap(), ["p1", "p3", "p4"]);
        assert_eq!(ids(&part(1, Some(1), Some(list.clone()))).unwrap(), ["p3"]);
        assert_eq!(ids(&part(6, None, None)).unwrap_err(), "skip is 6, but there are only 6 problems");
        fs::write(&list, "p9").unwrap();
        assert!(ids(&part(0, None, Some(list))).unwrap_err().starts_with("ids has \"p9\" in "));
        let gone = folder.path().join("gone.txt");
        assert!(ids(&part(0, None, Some(gone.clone()))).unwrap_err().contains("gone.txt"));
        let missing = ids(&ProblemSource::Task(TaskSource::file(&gone))).unwrap_err();
        assert_eq!(missing, format!("task is {}, and there is no such file", gone.display()));
    }

    /// The digests of experiments are made of this: what is not given must not be written.
    #[test]
    fn whole_sources_are_written_as_before() {
        let source = ProblemSource::Task(TaskSource::file("x.jsonl"));
        let written = json!({"task": {"task": "x.jsonl", "data": null, "answers": null, "limit": null}});
        assert_eq!(serde_json::to_value(source).unwrap(), written);
        let stories = json!({"stories": {"count": 3, "half": "mine", "topics": [], "steps": [], "seed": 0}});
        let source: ProblemSource = serde_json::from_value(stories.clone()).unwrap();
        assert_eq!(serde_json::to_value(source).unwrap(), stories);
    }

    #[test]
    fn parts_of_a_draw_of_stories_are_apart() {
        let draw = |skip, count| {
            let source = json!({"stories": {"count": count, "half": "answer", "skip": skip}});
            let source: ProblemSource = serde_json::from_value(source).unwrap();
            let asked = source.questions(&|_, user| Ok::<_, Infallible>(user.to_owned())).unwrap();
            assert!(asked.is_numbered);
            asked.questions.into_iter().map(|question| (question.id, question.user)).collect::<Vec<_>>()
        };
        let (whole, rest) = (draw(0, 30), draw(10, 20));
        assert_eq!(rest[0].0, "story-10");
        assert_eq!(whole[10..], rest);
    }
}

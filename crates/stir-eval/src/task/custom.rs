//! Custom tasks, from files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    AnswerForm, PromptTemplate, Task, TaskError,
    layout::{self, Reading},
    problems, rows,
};
use crate::FormatError;

/// A task in TOML: how to ask, and where the problems are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// The file's own name without extension, where it is not given.
    name: Option<String>,
    /// Relative to the description.
    data: PathBuf,
    answer: Option<AnswerForm>,
    system: Option<String>,
    user: Option<String>,
}

impl Task {
    /// Loads a custom task from problems (`.jsonl`, `.json`, `.parquet`) or from a description in TOML that names them.
    ///
    /// A problem has a `question` (or a whole `prompt`), a `gold` or `answer`, and may have an `id` and `choices`; all
    /// layouts of the built-in tasks work as well. Without a `form`, here or in the description, the answers decide:
    /// options are [`AnswerForm::Choice`], nothing but yes and no [`AnswerForm::YesNo`], nothing but decimals
    /// [`AnswerForm::Number`], and all else [`AnswerForm::Math`].
    ///
    /// ```
    /// use stir_eval::task::{AnswerForm, Task};
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("sky.jsonl"), r#"{"question": "Brightest?", "choices": ["moon", "sun"], "gold": "B"}"#)?;
    /// std::fs::write(folder.path().join("sky.toml"), "data = 'sky.jsonl'\nuser = 'In the sky: {question}'")?;
    /// let task = Task::custom(folder.path().join("sky.toml"), None)?;
    /// assert_eq!((task.name(), task.form()), ("sky", AnswerForm::Choice));
    /// assert_eq!(task.prompt(&task.problems()[0]).user, "In the sky: Brightest?\n\nA. moon\nB. sun");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails like [`load`](Self::load); when the description has other fields than `name`, `data`, `answer`, `system`, `user`,
    /// or the file is of neither kind.
    pub fn custom(path: impl AsRef<Path>, form: Option<AnswerForm>) -> Result<Self, TaskError> {
        let path = path.as_ref();
        match path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("toml") => described(path, form),
            Some("jsonl" | "json" | "parquet") => read(&stem(path), path, form),
            _ => Err(TaskError::Extension { path: path.to_owned() }),
        }
    }
}

fn described(path: &Path, form: Option<AnswerForm>) -> Result<Task, TaskError> {
    let text = fs::read_to_string(path).map_err(TaskError::io(path))?;
    let description: Description = toml::from_str(&text)
        .map_err(|source| TaskError::Description { path: path.to_owned(), source: FormatError::new(source) })?;
    let data = path.parent().unwrap_or(Path::new("")).join(&description.data);
    let name = description.name.unwrap_or_else(|| stem(path));
    let task = read(&name, &data, form.or(description.answer))?;
    let template = match (description.system, description.user) {
        (None, None) => return Ok(task),
        (system, Some(user)) => PromptTemplate::new(system, user)?,
        (system, None) => PromptTemplate::new(system, "{question}")?,
    };
    Ok(task.with_template(template))
}

fn read(name: &str, data: &Path, form: Option<AnswerForm>) -> Result<Task, TaskError> {
    let form = match form {
        Some(form) => form,
        None => layout::form_of(&rows::read(data)?),
    };
    let reading = Reading { task: name, form, whole_prompts: true };
    Task::new(name, form, problems(data, &[data.to_owned()], &reading)?)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

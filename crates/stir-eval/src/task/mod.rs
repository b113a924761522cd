//! Benchmarks: problems, their prompts, and the judges of their answers.
//!
//! A [`Task`] is data plus a judge. Ten benchmarks are built in ([`CATALOGUE`]) and load from a folder or file in any of
//! the layouts they are published in: parquet, JSON lines or a JSON array. The fields of a row decide how it is read.
//! Custom files load with [`Task::custom`]; `docs/tasks.md` has the details.
//!
//! ```
//! use stir_eval::task::Task;
//!
//! let folder = tempfile::tempdir()?;
//! let row = r#"{"question": "Ana has 26 coins and finds 47. How many coins has she?", "answer": "26 + 47 = 73\n#### 73"}"#;
//! std::fs::write(folder.path().join("test.jsonl"), row)?;
//!
//! let task = Task::load("gsm8k", folder.path())?;
//! let problem = &task.problems()[0];
//! assert_eq!((problem.id.as_str(), problem.gold.as_str()), ("gsm8k/0", "73"));
//!
//! let prompt = task.prompt(problem);
//! assert!(prompt.user.starts_with("Ana has 26 coins"));
//! // A model goes here.
//! let judged = task.judge(problem, "26 + 47 is \\boxed{73}.");
//! assert!(judged.correct());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod custom;
mod error;
#[cfg(feature = "hub")]
mod hub;
mod layout;
mod problem;
mod prompt;
mod rows;
mod shards;
mod source;

use std::{collections::HashMap, fmt, path::Path, path::PathBuf, sync::Arc};

pub use catalogue::{Benchmark, CATALOGUE};
pub use error::{Place, TaskError};
pub use problem::Problem;
pub use prompt::{PromptMessages, PromptTemplate};

use layout::Reading;
pub use stir_grade::AnswerForm;
use stir_grade::{Judge, Judged, extract::Fallback};

/// Returns the form of the answers of a task of the catalogue, or the form of that name (`math`, `number`, `choice`,
/// `yes_no`).
///
/// ```
/// use stir_grade::AnswerForm;
/// use stir_eval::task::answer_form;
/// assert_eq!(answer_form("svamp")?, AnswerForm::Number);
/// assert_eq!(answer_form("yes_no")?, AnswerForm::YesNo);
/// assert!(answer_form("poetry").is_err());
/// # Ok::<(), stir_eval::task::TaskError>(())
/// ```
///
/// # Errors
/// When there is neither.
pub fn answer_form(name: &str) -> Result<AnswerForm, TaskError> {
    let known = || {
        let forms = AnswerForm::ALL.map(|(_, form)| form);
        CATALOGUE.iter().map(|benchmark| benchmark.name).chain(forms).collect()
    };
    AnswerForm::named(name)
        .or_else(|| Some(Benchmark::find(name)?.form))
        .ok_or_else(|| TaskError::Unknown { name: name.to_owned(), known: known() })
}

/// A benchmark with its problems.
#[derive(Clone)]
pub struct Task {
    name: String,
    form: AnswerForm,
    problems: Vec<Problem>,
    template: PromptTemplate,
    fallback: Fallback,
    /// Replaces the judge of the form.
    judge: Option<Arc<dyn Judge>>,
}

impl Task {
    /// Returns a custom task with the template and the judge of its form.
    ///
    /// ```
    /// use stir_eval::task::{AnswerForm, Problem, Task, PromptTemplate};
    /// let problem = Problem {
    ///     id: "sum".into(), question: "2 + 2?".into(), choices: vec![], gold: "4".into(),
    ///     subject: None, level: None, is_prompt: false,
    /// };
    /// let task = Task::new("sums", AnswerForm::Number, vec![problem])?
    ///     .with_template(PromptTemplate::new(None, "Compute {question} End with #### and the number.")?);
    /// assert!(task.judge(&task.problems()[0], "#### 4").correct());
    /// # Ok::<(), stir_eval::task::TaskError>(())
    /// ```
    ///
    /// # Errors
    /// When there are no problems, or two of one id.
    pub fn new(name: impl Into<String>, form: AnswerForm, problems: Vec<Problem>) -> Result<Self, TaskError> {
        let name = name.into();
        let path = || PathBuf::from(&name);
        if problems.is_empty() {
            return Err(TaskError::Empty { path: path() });
        }
        let mut seen = HashMap::new();
        for (row, problem) in (1..).zip(&problems) {
            if let Some(first) = seen.insert(problem.id.as_str(), row) {
                return Err(TaskError::DuplicateId {
                    place: Place { path: path(), row },
                    id: problem.id.clone(),
                    first,
                });
            }
        }
        Ok(Self { template: PromptTemplate::of(form), name, form, problems, fallback: Fallback::None, judge: None })
    }

    /// Loads the task `name` of the catalogue from a file or a folder of files: the split that results are reported on,
    /// or the only file of the folder. To load another split, name its file.
    ///
    /// # Errors
    /// When there is no such task, the files cannot be found or read, or a row has no question, answer or options, or
    /// an answer that is none of its options. The error names the file and the row.
    pub fn load(name: &str, source: impl AsRef<Path>) -> Result<Self, TaskError> {
        let benchmark = Benchmark::find(name).ok_or_else(|| unknown(name))?;
        benchmark.load(source.as_ref(), benchmark.split)
    }

    /// Loads the task that a user names: the task `name` of the catalogue from `data`; or, without `data`, a custom task
    /// from the file `name` (see [`custom`](Self::custom)).
    ///
    /// # Errors
    /// Fails like [`load`](Self::load) and [`custom`](Self::custom); a name of the catalogue without data.
    pub fn open(name: &str, data: Option<&Path>) -> Result<Self, TaskError> {
        match (data, Benchmark::find(name)) {
            (Some(data), _) => Self::load(name, data),
            (None, Some(benchmark)) if !Path::new(name).is_file() => {
                Err(TaskError::NoData { name: name.to_owned(), repo: benchmark.repo })
            }
            (None, None) if !Path::new(name).exists() => Err(unknown(name)),
            (None, _) => Self::custom(name, None),
        }
    }

    /// Returns the task with another template.
    #[must_use]
    pub fn with_template(self, template: PromptTemplate) -> Self {
        Self { template, ..self }
    }

    /// Returns the task with a custom judge for all problems.
    #[must_use]
    pub fn with_judge(self, judge: Arc<dyn Judge>) -> Self {
        Self { judge: Some(judge), ..self }
    }

    /// Returns the task with another rule for texts that give no answer.
    #[must_use]
    pub fn with_fallback(self, fallback: Fallback) -> Self {
        Self { fallback, ..self }
    }

    /// Returns the task with only its first `count` problems.
    #[must_use]
    pub fn take(mut self, count: usize) -> Self {
        self.problems.truncate(count);
        self
    }

    /// Returns the name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the form of the answers.
    pub fn form(&self) -> AnswerForm {
        self.form
    }

    /// Returns the problems, in the order of the files.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the share of problems that guessing solves: one of the options, or yes or no. `None` for free answers.
    pub fn guess(&self) -> Option<f64> {
        let options = |problem: &Problem| match self.form {
            AnswerForm::Choice => problem.choices.len(),
            AnswerForm::YesNo => 2,
            AnswerForm::Math | AnswerForm::Number => 0,
        };
        let shares: Vec<f64> = self.problems.iter().map(options).filter(|&n| n > 0).map(|n| 1.0 / n as f64).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / self.problems.len() as f64)
    }

    /// Returns the messages that ask a model to solve `problem`.
    pub fn prompt(&self, problem: &Problem) -> PromptMessages {
        self.template.prompt(problem)
    }

    /// Returns the judge of answers to `problem`: a judge of choices knows the options.
    pub fn judge_of(&self, problem: &Problem) -> Arc<dyn Judge> {
        match &self.judge {
            Some(judge) => judge.clone(),
            None => self.form.judge(&problem.choices, self.fallback).into(),
        }
    }

    /// Returns the answer of `text` to `problem`, and whether it is right.
    pub fn judge(&self, problem: &Problem, text: &str) -> Judged {
        self.judge_of(problem).judge(&problem.gold, text)
    }

    /// Returns a text that elicits an answer when it is appended to unfinished reasoning. Reasoning between tags has to be
    /// closed first. The judge finds an answer in prefix, answer and [suffix](Self::answer_suffix).
    pub fn answer_prefix(&self) -> &str {
        match self.form {
            AnswerForm::Math | AnswerForm::Number => "\n\n**Final answer:** \\boxed{",
            AnswerForm::Choice | AnswerForm::YesNo => "\n\nAnswer: ",
        }
    }

    /// Returns the text that closes an answer elicited by [`answer_prefix`](Self::answer_prefix): the answer ends before
    /// it.
    pub fn answer_suffix(&self) -> &str {
        match self.form {
            AnswerForm::Math | AnswerForm::Number => "}",
            AnswerForm::Choice | AnswerForm::YesNo => "\n",
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, form, problems, template, fallback, judge } = self;
        f.debug_struct("Task")
            .field("name", name)
            .field("form", form)
            .field("problems", &problems.len())
            .field("template", template)
            .field("fallback", fallback)
            .field("has_judge", &judge.is_some())
            .finish()
    }
}

impl Benchmark {
    /// Returns the problems of a split, from a file or folder.
    fn load(&self, source: &Path, split: &str) -> Result<Task, TaskError> {
        let files = match source::files(source, self.config, split) {
            // The hub calls the only split of some exams "train", other places "test".
            Err(TaskError::NoSplit { .. }) if split == "train" && self.split == "train" => {
                source::files(source, self.config, "test")?
            }
            files => files?,
        };
        let reading = Reading { task: self.name, form: self.form, whole_prompts: false };
        Task::new(self.name, self.form, problems(source, &files, &reading)?)
    }
}

/// Returns the problems of all files, with names that are theirs alone.
fn problems(source: &Path, files: &[PathBuf], reading: &Reading<'_>) -> Result<Vec<Problem>, TaskError> {
    let (mut problems, mut seen) = (Vec::new(), HashMap::new());
    for file in files {
        for (place, row) in rows::read(file)? {
            let problem = reading.problem(problems.len(), &place, &row)?;
            if let Some(first) = seen.insert(problem.id.clone(), place.row) {
                return Err(TaskError::DuplicateId { place, id: problem.id, first });
            }
            problems.push(problem);
        }
    }
    if problems.is_empty() { Err(TaskError::Empty { path: source.to_owned() }) } else { Ok(problems) }
}

fn unknown(name: &str) -> TaskError {
    TaskError::Unknown { name: name.to_owned(), known: CATALOGUE.iter().map(|benchmark| benchmark.name).collect() }
}

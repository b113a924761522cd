//! The flags that say what is asked.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, miette};
use stir::{
    eval::{
        AnswerForm,
        method::Render,
        questions::{Questions, TaskSource},
        task::answer_form,
    },
    model::ModelError,
    rollout::Rollout,
};

/// The problems to ask.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct TaskArgs {
    /// Problems, JSONL: id, gold, and a question or a finished prompt; or a built-in task (math500, gsm8k, ..), or the
    /// description of a custom one (TOML; see docs/tasks.md)
    #[arg(long, value_name = "FILE|NAME")]
    pub task: PathBuf,
    /// File or folder with the problems of a built-in task; with the feature hub they are fetched where this is missing
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The form of the answers in a file: math, number, choice or yes_no. Without it an answer is the number after
    /// its last ####. Not for built-in tasks
    #[arg(long, value_name = "FORM", value_parser = form)]
    pub answers: Option<AnswerForm>,
    /// Leave out this many problems at the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip: usize,
    /// Only this many problems
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Reads the value of `--answers`.
pub(crate) fn form(name: &str) -> Result<AnswerForm, String> {
    answer_form(name).map_err(|error| error.to_string())
}

impl TaskArgs {
    /// Returns the problems of a JSONL file whose answers have the given form, or follow `####`.
    pub(crate) fn file(path: &Path, answers: Option<AnswerForm>) -> Self {
        Self { task: path.to_owned(), data: None, answers, skip: 0, limit: None }
    }

    /// Returns the task's name in reports: its own, or that of its file.
    pub(crate) fn name(&self) -> String {
        self.source().name()
    }

    /// Returns the problems with prompts by `render`: the chat template of a model.
    pub(crate) fn open(&self, render: &Render<'_, ModelError>) -> Result<Questions> {
        let source = self.source();
        // The names of the settings are those of the flags.
        source.check().map_err(|error| miette!("--{error}"))?;
        source.open(render).into_diagnostic()
    }

    fn source(&self) -> TaskSource {
        let Self { task, data, answers, skip, limit } = self.clone();
        TaskSource { task, data, answers, skip, limit }
    }
}

/// Reads the rollouts of a file, problem by problem.
pub(crate) fn read_groups(path: &Path) -> Result<Vec<Vec<Rollout>>> {
    stir::rollout::read_groups(path).into_diagnostic()?.collect::<Result<_, _>>().into_diagnostic()
}

/// Checks that rollouts are of problems of the task, and that their right answers are its.
pub(crate) fn check_known(questions: &Questions, rollouts: &[Vec<Rollout>], path: &Path) -> Result<()> {
    let asked = questions.questions.iter().zip(&questions.golds);
    let golds: HashMap<&str, Option<&str>> = asked.map(|(q, gold)| (q.id.as_str(), gold.as_deref())).collect();
    for Rollout { id, gold, .. } in rollouts.iter().filter_map(|group| group.first()) {
        match golds.get(id.as_str()) {
            Some(known) if *known == gold.as_deref() => {}
            Some(_) => {
                return Err(miette!("{}: the gold of problem {id:?} is not that of the task", path.display()));
            }
            None => return Err(miette!("{}: problem {id:?} is not one of the task", path.display())),
        }
    }
    Ok(())
}

/// Checks that every right answer is known.
pub(crate) fn check_golds(questions: &Questions) -> Result<()> {
    match questions.without_gold() {
        Some(id) => Err(miette!("{}: problem {id:?} has no gold", questions.source.display())),
        None => Ok(()),
    }
}

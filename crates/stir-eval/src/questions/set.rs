use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use stir_grade::{FinalNumber, GRADING, Judge};
use stir_rollout::{Prompt, PromptRecord, read_prompts};
use tracing::info;

use super::error::QuestionError;
use crate::{
    method::{Judges, Question, Render},
    task::{Problem, PromptMessages, Task},
};

/// The problems of a task, ready to be asked.
pub struct Questions {
    /// The questions, in order.
    pub questions: Vec<Question>,
    /// The right answer to each question, where it is known.
    pub golds: Vec<Option<String>>,
    /// The file or the task that the problems come from, for messages.
    pub source: PathBuf,
    /// A text that elicits an answer from unfinished reasoning, and the text that closes the answer.
    pub elicit: [String; 2],
    /// True if the system message of the task is at the head of the user message, because the chat template of the model
    /// refuses a system turn.
    pub system_in_user: bool,
    /// True if the ids are made of places in the source, and so say nothing about the problems of another source.
    pub is_numbered: bool,
    /// The share of answers that guessing gets right, where the answers can be guessed: one of the options, yes or no.
    pub guess: Option<f64>,
    /// Returns the judge of the answers to a question.
    pub judges: Box<Judges<'static>>,
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { questions, golds, source, elicit, system_in_user, is_numbered, guess, judges: _ } = self;
        f.debug_struct("Questions")
            .field("questions", questions)
            .field("golds", golds)
            .field("source", source)
            .field("elicit", elicit)
            .field("system_in_user", system_in_user)
            .field("is_numbered", is_numbered)
            .field("guess", guess)
            .finish_non_exhaustive()
    }
}

impl Questions {
    /// Returns questions whose right answers are in their field `gold`.
    pub fn new(questions: Vec<Question>, judges: Box<Judges<'static>>) -> Self {
        let golds = questions.iter().map(|question| Some(question.gold.clone())).collect();
        let elicit = ["#### ", "\n"].map(str::to_owned);
        Self {
            questions,
            golds,
            source: PathBuf::new(),
            elicit,
            system_in_user: false,
            is_numbered: false,
            guess: None,
            judges,
        }
    }

    /// Returns the problems of a task, with prompts by `render`: the chat template of a model. If the template refuses a
    /// system turn, the system messages of all problems go to the head of the user messages.
    ///
    /// # Errors
    /// [`QuestionError::Prompt`] for a prompt that cannot be rendered.
    pub fn of_task<X>(task: &Task, render: &Render<'_, X>) -> Result<Self, QuestionError<X>> {
        let prompts = || task.problems().iter().map(|problem| task.prompt(problem));
        let system_in_user = prompts().any(|prompt| prompt.system.is_some()) && refuses_system(render);
        if system_in_user {
            let task = task.name();
            info!(task, "the chat template refuses a system turn: system messages go to the head of the user's turn");
        }
        let ask = |problem| {
            let prompt = task.prompt(problem);
            let PromptMessages { system, user, is_raw } = if system_in_user { prompt.without_system() } else { prompt };
            let place = || format!("problem {:?} of {}", problem.id, task.name());
            let prompt = match is_raw {
                true => user.clone(),
                false => render(system.as_deref(), &user)
                    .map_err(|source| QuestionError::Prompt { place: place(), source })?,
            };
            let (id, gold) = (problem.id.clone(), problem.gold.clone());
            Ok(Question { id, prompt, system, user, gold, form: Some(task.form()) })
        };
        let questions = task.problems().iter().map(ask).collect::<Result<_, QuestionError<X>>>()?;
        let judges = task.problems().iter().map(|problem| (problem.id.clone(), task.judge_of(problem)));
        let judges: HashMap<String, Arc<dyn Judge>> = judges.collect();
        let judges: Box<Judges<'static>> = Box::new(move |question| match judges.get(&question.id) {
            Some(judge) => judge.clone(),
            None => Arc::new(FinalNumber),
        });
        let elicit = [task.answer_prefix(), task.answer_suffix()].map(str::to_owned);
        let is_place = |(i, problem): (usize, &Problem)| problem.id == format!("{}/{i}", task.name());
        let is_numbered = task.problems().iter().enumerate().all(is_place);
        let guess = task.guess();
        Ok(Self {
            elicit,
            system_in_user,
            is_numbered,
            guess,
            source: task.name().into(),
            ..Self::new(questions, judges)
        })
    }

    /// Returns the problems of a JSONL file whose answers are the numbers after `####`: prompts as they are, or questions
    /// through `render`.
    ///
    /// # Errors
    /// [`QuestionError::File`] for a file that cannot be read, and [`QuestionError::Prompt`] for a prompt that cannot be
    /// rendered.
    pub fn of_file<X>(path: &Path, render: &Render<'_, X>) -> Result<Self, QuestionError<X>> {
        let problems = read_prompts(path).map_err(QuestionError::File)?;
        let ask = |(i, problem): (usize, &PromptRecord)| {
            let place = || location(path, i, &problem.id);
            let prompt = problem.to_prompt(|question| render(None, question));
            let Prompt { id, prompt, gold } =
                prompt.map_err(|source| QuestionError::Prompt { place: place(), source })?;
            let user = problem.question.clone().unwrap_or_else(|| prompt.clone());
            let right = gold.clone().unwrap_or_default();
            Ok((Question { id, prompt, user, gold: right, ..Question::default() }, gold))
        };
        let asked = problems.iter().enumerate().map(ask).collect::<Result<Vec<_>, QuestionError<X>>>()?;
        let (questions, golds) = asked.into_iter().unzip();
        Ok(Self { golds, source: path.to_owned(), ..Self::new(questions, final_number()) })
    }

    /// Returns the questions without the first `n`.
    #[must_use]
    pub fn skip(mut self, n: usize) -> Self {
        self.questions.drain(..n.min(self.questions.len()));
        self.golds.drain(..n.min(self.golds.len()));
        self
    }

    /// Returns the first `limit` questions.
    #[must_use]
    pub fn take(mut self, limit: usize) -> Self {
        self.questions.truncate(limit);
        self.golds.truncate(limit);
        self
    }

    /// Returns the questions with the given ids, in their own order.
    ///
    /// # Errors
    /// The first id that no question has.
    pub fn only(mut self, ids: &[String]) -> Result<Self, String> {
        let there: HashSet<&str> = self.questions.iter().map(|question| question.id.as_str()).collect();
        if let Some(id) = ids.iter().find(|id| !there.contains(id.as_str())) {
            return Err(id.clone());
        }
        let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let asked =
            self.questions.into_iter().zip(self.golds).filter(|(question, _)| ids.contains(question.id.as_str()));
        (self.questions, self.golds) = asked.unzip();
        Ok(self)
    }

    /// Returns the id of the first question without a right answer.
    pub fn without_gold(&self) -> Option<&str> {
        let place = self.golds.iter().position(Option::is_none)?;
        self.questions.get(place).map(|question| question.id.as_str())
    }

    /// Returns the prompts that rollouts are drawn from.
    pub fn prompts(&self) -> Vec<Prompt> {
        let prompt = |(question, gold): (&Question, &Option<String>)| Prompt {
            id: question.id.clone(),
            prompt: question.prompt.clone(),
            gold: gold.clone(),
        };
        self.questions.iter().zip(&self.golds).map(prompt).collect()
    }

    /// Returns whether `text` answers `prompt`, one of [`prompts`](Self::prompts): rollouts are graded as answers are.
    pub fn is_right(&self, prompt: &Prompt, text: &str) -> bool {
        let question = Question { id: prompt.id.clone(), ..Question::default() };
        prompt.gold.as_deref().is_some_and(|gold| (self.judges)(&question).judge(gold, text).correct())
    }

    /// Returns the name of the judge, with the version of the grading rules, for the settings of rollouts.
    pub fn judge_name(&self) -> String {
        let form = self.questions.first().and_then(|question| question.form);
        let form = form.map_or_else(|| "FinalNumber".to_owned(), |form| format!("{form:?}"));
        format!("{form}, grading {GRADING}")
    }
}

/// Returns whether a chat template refuses a system turn. A conversation that is always the same tells, so that all
/// problems of a model are asked in one way. [`PromptMessages::without_system`] says where the system message goes then.
pub fn refuses_system<X>(render: &Render<'_, X>) -> bool {
    let prompt = PromptMessages { system: Some("Be brief.".into()), user: "What is 2 + 2?".into(), is_raw: false };
    let refused = render(prompt.system.as_deref(), &prompt.user).is_err();
    // A template that refuses everything has its error reported for the first problem.
    refused && render(None, &prompt.without_system().user).is_ok()
}

/// Returns judges by the number after `####`.
pub fn final_number() -> Box<Judges<'static>> {
    Box::new(|_| Arc::new(FinalNumber))
}

/// Returns where to find the problem at place `index` (from 0) of a JSONL file: the file, the line, and the id.
pub fn location(path: &Path, index: usize, id: &str) -> String {
    // Problems do not know their lines; blank lines hold none.
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).nth(index);
    let line = line.map_or_else(String::new, |(line, _)| format!(", line {}", line + 1));
    format!("{}{line}: problem {id:?}", path.display())
}

use serde::{Deserialize, Serialize};

/// One problem of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What tells it from the other problems of the task: the name that the data set gives it, else the task's name
    /// and its row, from 0 (`gsm8k/17`).
    pub id: String,
    /// What is asked, without the options.
    pub question: String,
    /// The options of multiple choice, the one called A first; empty where the answer is free.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The right answer, as the task's judge wants it: a letter for multiple choice, `yes` or `no`, the shortest
    /// decimal of a number, a formula of LaTeX.
    pub gold: String,
    /// What field it is from, where the data say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How hard it is, where the data say so; of `Level 3` the `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Whether `question` is a whole prompt, to be used as it is.
    #[serde(default)]
    pub is_prompt: bool,
}

use serde::{Deserialize, Serialize};

/// One problem of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The id: that of the data set, or else the name of the task and the row, from 0 (`gsm8k/17`).
    pub id: String,
    /// The question, without the options.
    pub question: String,
    /// The options of multiple choice, in the order A, B, ..; empty for free answers.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The right answer, in the form that the judge of the task expects: a letter for multiple choice, `yes` or `no`, the shortest
    /// decimal of a number, a formula of LaTeX.
    pub gold: String,
    /// The subject, where the data have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The difficulty, where the data have one: `3` for `Level 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// True if `question` is a whole prompt, to be used as it is.
    #[serde(default)]
    pub is_prompt: bool,
}

use serde::{Deserialize, Serialize};

/// The version of the grading rules. It is part of the settings that are stored with answers and rollouts, so that
/// results that were graded by other rules are never reused. Raise it with every change to an answer that a judge of this
/// crate finds or to a verdict that it gives.
pub const GRADING: u32 = 2;

/// The outcome of comparing two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answers were shown to be the same.
    Equal,
    /// The answers were shown to differ.
    Different,
    /// The rules do not decide. The answer counts as wrong, and deserves a look.
    Unclear,
}

/// A verdict with the rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// The verdict.
    pub verdict: Verdict,
    /// The name of the rule that decided.
    pub rule: String,
    /// The reason why the rules do not decide; `None` unless the verdict is [`Verdict::Unclear`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Grade {
    /// Returns the grade by `rule` of two answers that are the same or not.
    pub(crate) fn by(rule: &str, is_equal: bool) -> Self {
        let verdict = if is_equal { Verdict::Equal } else { Verdict::Different };
        Self { verdict, rule: rule.to_owned(), why: None }
    }
}

/// The answer found in a text, with its grade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The answer found in the text, or `None` if the text gives none.
    pub answer: Option<String>,
    /// The comparison of that answer with the gold answer, or `None` if there is no answer.
    pub grade: Option<Grade>,
}

impl Judged {
    /// Returns true if the text gives an answer that was shown to equal the gold answer.
    pub fn correct(&self) -> bool {
        self.grade.as_ref().is_some_and(|grade| grade.verdict == Verdict::Equal)
    }
}

/// Finds the answer in a text and compares it with the gold answer.
///
/// ```
/// use stir_grade::{Grade, Judge, Verdict};
///
/// /// The whole text is the answer, and upper and lower case are the same.
/// struct Caseless;
///
/// impl Judge for Caseless {
///     fn extract(&self, text: &str) -> Option<String> {
///         Some(text.trim().to_lowercase()).filter(|answer| !answer.is_empty())
///     }
///
///     fn grade(&self, gold: &str, answer: &str) -> Grade {
///         let verdict = if gold.to_lowercase() == answer { Verdict::Equal } else { Verdict::Different };
///         Grade { verdict, rule: "caseless".to_owned(), why: None }
///     }
/// }
///
/// assert!(Caseless.judge("Paris", " PARIS\n").correct());
/// ```
pub trait Judge: Send + Sync {
    /// Returns the answer of `text`, or `None` if it gives none.
    fn extract(&self, text: &str) -> Option<String>;

    /// Compares `answer`, as [`extract`](Self::extract) returns it, with `gold`.
    fn grade(&self, gold: &str, answer: &str) -> Grade;

    /// Finds the answer of `text` and compares it with `gold`.
    fn judge(&self, gold: &str, text: &str) -> Judged {
        let answer = self.extract(text);
        let grade = answer.as_deref().map(|answer| self.grade(gold, answer));
        Judged { answer, grade }
    }
}

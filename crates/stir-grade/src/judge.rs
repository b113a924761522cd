use serde::{Deserialize, Serialize};

/// The version of the rules of grading, of which the settings beside answers and rollouts speak: what was graded by other
/// rules is not taken up. Whoever changes what any judge of this crate finds or calls right raises it.
pub const GRADING: u32 = 1;

/// Whether two answers say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They do.
    Equal,
    /// They do not.
    Different,
    /// The rules do not decide: neither was shown. Counted as wrong, and worth a look.
    Unclear,
}

/// A verdict and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// What was decided.
    pub verdict: Verdict,
    /// The name of the rule that decided.
    pub rule: String,
    /// Why nothing could be decided, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a text answers and whether that is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The answer found in the text; `None` where it gives none.
    pub answer: Option<String>,
    /// How the answer compares with the gold one; `None` without an answer.
    pub grade: Option<Grade>,
}

impl Judged {
    /// Whether the text is right: it has an answer, and that was shown to equal the gold one.
    pub fn correct(&self) -> bool {
        self.grade.as_ref().is_some_and(|grade| grade.verdict == Verdict::Equal)
    }
}

/// Finds answers in texts and compares them: the half of a task that is not data.
pub trait Judge: Send + Sync {
    /// What `text` answers, if anything.
    fn extract(&self, text: &str) -> Option<String>;

    /// Whether the answer `answer` (as extracted) says the same as `gold`.
    fn grade(&self, gold: &str, answer: &str) -> Grade;

    /// What `text` answers, and whether that is `gold`.
    fn judge(&self, gold: &str, text: &str) -> Judged {
        let answer = self.extract(text);
        let grade = answer.as_deref().map(|answer| self.grade(gold, answer));
        Judged { answer, grade }
    }
}

use serde::{Deserialize, Serialize};

/// What one answer of one method came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Which problem, the same in every method's run.
    pub id: String,
    /// Whether a judge found it right.
    pub correct: bool,
    /// Committed tokens: those of the answer itself.
    pub tokens: usize,
    /// Tokens generated to look ahead and thrown away; 0 for methods that do not.
    pub probe_tokens: usize,
}

/// All answers of one method to one set of problems.
///
/// ```
/// use stir_eval::MethodRun;
/// let run: MethodRun = serde_json::from_str(
///     r#"{"name": "stir", "answers": [{"id": "p1", "correct": true, "tokens": 94, "probe_tokens": 100}], "seconds": 2.5}"#,
/// )?;
/// assert!(run.answers[0].correct);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodRun {
    /// What the method is called in reports.
    pub name: String,
    /// One answer per problem, in any order.
    pub answers: Vec<Answer>,
    /// Wall time of the whole run, in seconds.
    pub seconds: f64,
}

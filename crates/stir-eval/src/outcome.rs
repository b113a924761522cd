use serde::{Deserialize, Serialize};

use crate::Run;

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

impl From<&Run> for MethodRun {
    /// The run by the name of its method. What was generated besides the answer and thrown away, in probes, in votes or
    /// in stages, counts as probe tokens.
    fn from(run: &Run) -> Self {
        let answers = run.records.iter().map(|record| Answer {
            id: record.id.clone(),
            correct: record.judged.correct(),
            tokens: record.tokens,
            probe_tokens: record.spent() - record.tokens,
        });
        Self { name: run.settings.method.clone(), answers: answers.collect(), seconds: run.seconds }
    }
}

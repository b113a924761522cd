use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};
use stir_files::Lines;

use crate::{RolloutError, jsonl};

/// A problem of a data set: one line of a JSONL file. Fields that are not named here are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The id, which no other problem has; a number is taken as its text.
    #[serde(deserialize_with = "jsonl::text")]
    pub id: String,
    /// The question, to be put into a prompt.
    #[serde(default)]
    pub question: Option<String>,
    /// The finished prompt, which is used as it is.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The right answer, for the judge; a number is taken as its text.
    #[serde(default, deserialize_with = "jsonl::optional_text")]
    pub gold: Option<String>,
}

impl Problem {
    /// Returns the task of this problem: its prompt as it is or, without one, its question (or nothing) as `render` puts
    /// it.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use stir_rollout::Problem;
    /// let asked = Problem { id: "1".into(), question: Some("2+2?".into()), prompt: None, gold: Some("4".into()) };
    /// let task = asked.task(|question| Ok::<_, Infallible>(format!("Q: {question}\nA:")))?;
    /// assert_eq!(task.prompt, "Q: 2+2?\nA:");
    /// # Ok::<(), Infallible>(())
    /// ```
    ///
    /// # Errors
    /// The errors of `render`.
    pub fn task<X>(&self, render: impl FnOnce(&str) -> Result<String, X>) -> Result<Task, X> {
        let prompt = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => render(self.question.as_deref().unwrap_or_default())?,
        };
        Ok(Task { id: self.id.clone(), prompt, gold: self.gold.clone() })
    }
}

/// A prompt with its id and its right answer: all that a run needs of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The problem's id.
    pub id: String,
    /// The whole prompt, chat template and all.
    pub prompt: String,
    /// The right answer. Without one nothing can be judged and the task is reported as failed.
    pub gold: Option<String>,
}

/// Reads the problems of a JSONL file, in order. Blank lines are skipped.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("tasks.jsonl");
/// std::fs::write(&path, "{\"id\": 7, \"question\": \"2+2?\", \"gold\": 4, \"source\": \"me\"}\n")?;
/// let problems = stir_rollout::read_problems(&path)?;
/// assert_eq!((problems[0].id.as_str(), problems[0].gold.as_deref()), ("7", Some("4")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RolloutError::File`], [`RolloutError::NothingAsked`] or [`RolloutError::DuplicateProblem`] for the first line that
/// is not a problem, asks nothing or repeats an id; [`RolloutError::Empty`] for a file without problems.
pub fn read_problems(path: impl AsRef<Path>) -> Result<Vec<Problem>, RolloutError> {
    let path = path.as_ref();
    let mut lines = Lines::open(path)?;
    let (mut problems, mut seen) = (Vec::new(), HashMap::new());
    while let Some(place) = lines.advance()? {
        let problem: Problem = lines.parse()?;
        let (path, line, id) = (path.to_owned(), place.line, problem.id.clone());
        if problem.question.is_none() && problem.prompt.is_none() {
            return Err(RolloutError::NothingAsked { path, line, id });
        }
        if let Some(&first) = seen.get(&id) {
            return Err(RolloutError::DuplicateProblem { path, line, id, first });
        }
        seen.insert(id, line);
        problems.push(problem);
    }
    if problems.is_empty() { Err(RolloutError::Empty { path: path.to_owned() }) } else { Ok(problems) }
}

#[cfg(test)]
mod tests {
    use stir_files::FileError;

    use super::*;

    fn read(content: &str) -> Result<Vec<Problem>, RolloutError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, content).unwrap();
        read_problems(path)
    }

    #[test]
    fn numbers_blanks_and_strangers_are_welcome() {
        let problems = read("\n{\"id\": 1, \"question\": \"q\", \"gold\": 0.5, \"x\": [1]}\n  \n{\"id\":\"a\",\"prompt\":\"p\",\"gold\":null}").unwrap();
        assert_eq!(problems[0].gold.as_deref(), Some("0.5"));
        assert_eq!((problems[1].gold.as_deref(), problems.len()), (None, 2));
    }

    #[test]
    fn broken_lines_are_named() {
        let ok = "{\"id\": 1, \"question\": \"q\"}\n";
        assert!(matches!(read(&format!("{ok}\n{{\"id\"")), Err(RolloutError::File(FileError::Line { line: 3, .. }))));
        assert!(matches!(
            read(&format!("{ok}{{\"id\": true, \"question\": \"\"}}")),
            Err(RolloutError::File(FileError::Line { line: 2, .. }))
        ));
        assert!(matches!(read("{\"question\": \"q\"}"), Err(RolloutError::File(FileError::Line { line: 1, .. }))));
        assert!(matches!(read("{\"id\": \"x\"}"), Err(RolloutError::NothingAsked { line: 1, .. })));
        assert!(matches!(read(&format!("{ok}\n{ok}")), Err(RolloutError::DuplicateProblem { line: 3, first: 1, .. })));
        assert!(matches!(read(" \n"), Err(RolloutError::Empty { .. })));
        assert!(matches!(
            read_problems("/no/such/file"),
            Err(RolloutError::File(FileError::Io { action: "open", .. }))
        ));
    }
}

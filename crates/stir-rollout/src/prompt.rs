use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};
use stir_files::Lines;

use crate::{RolloutError, jsonl};

/// One line of a JSONL file of prompts, as a data set gives it. Fields that are not named here are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRecord {
    /// The identifier, which no other line has; a number is taken as its text.
    #[serde(deserialize_with = "jsonl::text")]
    pub id: String,
    /// The question, to be put into a prompt.
    #[serde(default)]
    pub question: Option<String>,
    /// The finished prompt, to be used as it is.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The right answer, which the judge compares with; a number is taken as its text.
    #[serde(default, deserialize_with = "jsonl::optional_text")]
    pub gold: Option<String>,
}

impl PromptRecord {
    /// Returns the prompt: the one given or, if there is none, the one that `render` makes of the question.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use stir_rollout::PromptRecord;
    /// let asked = PromptRecord { id: "1".into(), question: Some("2+2?".into()), prompt: None, gold: Some("4".into()) };
    /// let prompt = asked.to_prompt(|question| Ok::<_, Infallible>(format!("Q: {question}\nA:")))?;
    /// assert_eq!(prompt.prompt, "Q: 2+2?\nA:");
    /// # Ok::<(), Infallible>(())
    /// ```
    ///
    /// # Errors
    /// The error of `render`.
    pub fn to_prompt<X>(&self, render: impl FnOnce(&str) -> Result<String, X>) -> Result<Prompt, X> {
        let prompt = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => render(self.question.as_deref().unwrap_or_default())?,
        };
        Ok(Prompt { id: self.id.clone(), prompt, gold: self.gold.clone() })
    }
}

/// A prompt with its known answer: what [`Rollouts`](crate::Rollouts) samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The identifier.
    pub id: String,
    /// The whole text of the prompt, with the chat template applied.
    pub prompt: String,
    /// The right answer. A prompt without one cannot be judged and is reported as failed.
    pub gold: Option<String>,
}

/// Reads the prompts of a JSONL file, in order. Blank lines are skipped.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("prompts.jsonl");
/// std::fs::write(&path, "{\"id\": 7, \"question\": \"2+2?\", \"gold\": 4, \"source\": \"me\"}\n")?;
/// let prompts = stir_rollout::read_prompts(&path)?;
/// assert_eq!((prompts[0].id.as_str(), prompts[0].gold.as_deref()), ("7", Some("4")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Fails at the first line that is no such record, holds neither question nor prompt, or repeats an id, and for a file
/// without any record.
pub fn read_prompts(path: impl AsRef<Path>) -> Result<Vec<PromptRecord>, RolloutError> {
    let path = path.as_ref();
    let mut lines = Lines::open(path)?;
    let (mut records, mut seen) = (Vec::new(), HashMap::new());
    while let Some(place) = lines.advance()? {
        let record: PromptRecord = lines.parse()?;
        let (path, line, id) = (path.to_owned(), place.line, record.id.clone());
        if record.question.is_none() && record.prompt.is_none() {
            return Err(RolloutError::NothingAsked { path, line, id });
        }
        if let Some(&first) = seen.get(&id) {
            return Err(RolloutError::DuplicateId { path, line, id, first });
        }
        seen.insert(id, line);
        records.push(record);
    }
    if records.is_empty() { Err(RolloutError::Empty { path: path.to_owned() }) } else { Ok(records) }
}

#[cfg(test)]
mod tests {
    use stir_files::FileError;

    use super::*;

    fn read(content: &str) -> Result<Vec<PromptRecord>, RolloutError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, content).unwrap();
        read_prompts(path)
    }

    #[test]
    fn numbers_blanks_and_strangers_are_welcome() {
        let problems = read("\n{\"id\": 1, \"question\": \"q\", \"gold\": 0.5, \"x\": [1]}\n  \n{\"id\":\"a\",\"prompt\":\"p\",\"gold\":null}").unwrap();
        assert_eq!(problems[0].gold.as_deref(), Some("0.5"));
        assert_eq!((problems[1].gold.as_deref(), problems.len()), (None, 2));
    }

    #[test]
    fn half_a_character_costs_no_line() {
        let problems = read(r#"{"id": "\ud83d", "question": "cut \ud83d here", "gold": "\ud83d\ude00"}"#).unwrap();
        assert_eq!((problems[0].id.as_str(), problems[0].gold.as_deref()), ("\u{fffd}", Some("\u{1f600}")));
        assert_eq!(problems[0].question.as_deref(), Some("cut \u{fffd} here"));
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
        assert!(matches!(read(&format!("{ok}\n{ok}")), Err(RolloutError::DuplicateId { line: 3, first: 1, .. })));
        assert!(matches!(read(" \n"), Err(RolloutError::Empty { .. })));
        assert!(matches!(read_prompts("/no/such/file"), Err(RolloutError::File(FileError::Io { action: "open", .. }))));
    }
}

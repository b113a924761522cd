//! What a generated text answers.
//!
//! An [`Extractor`] looks for an answer in the [`Form`]s it is given, one after the other; the first form that the text
//! uses decides. Of several answers in one form the last counts. What is not in one of the forms is no answer, and
//! neither is one that the text breaks off in: a method must not be credited with answers it did not give. Who wants
//! the guess that many programs make asks for [`Fallback::LastNumber`].
//!
//! Only what a model says to the reader is looked at:
//!
//! - What stands before `</think>`, or after a `<think>` that is not closed, is thinking and no answer.
//! - Some models go on with a question of their own (`Question: ..`, `User: ..`, an end token) after they have
//!   answered. The first stretch between such marks that has an answer is the one that counts.
//!
//! ```
//! use stir_grade::extract::{Extractor, Fallback};
//!
//! let extractor = Extractor::math();
//! assert_eq!(extractor.extract("So it is $\\boxed{\\frac{1}{2}}$.").as_deref(), Some("\\frac{1}{2}"));
//! assert_eq!(extractor.extract("Hence the final answer is $(3, 4)$.").as_deref(), Some("(3, 4)"));
//! assert_eq!(extractor.extract("<think>Is it \\boxed{3}? No, 2 + 2 = 4"), None);
//! assert_eq!(extractor.extract("First 2 + 2 = 4, then 4 + 3"), None);
//!
//! let guessing = Extractor { fallback: Fallback::LastNumber, ..Extractor::math() };
//! assert_eq!(guessing.extract("First 2 + 2 = 4, then 4 + 3").as_deref(), Some("3"));
//! ```

mod boxed;
mod clean;
pub(crate) mod number;
mod phrase;
mod region;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::answer::final_answer;

pub(crate) use clean::{conclusion, head, is_letter, strip_markup, tail};
use region::{outside_thinking, parts};

/// A way to write an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `\boxed{..}` or `\fbox{..}`, braces nested as they come. Boxes side by side (`\boxed{1}` and `\boxed{2}`) are
    /// one answer, `1, 2`; a box that holds only `\phantom{..}` or blanks is none.
    Boxed,
    /// The rest of the line after `####`. As Markdown has headings of that spelling, it has to be a number or the last
    /// line of the text.
    Hashes,
    /// A line that begins with `A:`.
    AnswerLine,
    /// "The answer is ..", "Final answer: ..", a heading "Answer" and the line below it.
    Phrase,
}

/// What counts where a text uses no form of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nothing: the text gives no answer.
    #[default]
    None,
    /// The last number of the text, whatever it stands for. This is what the published extractor does.
    LastNumber,
}

/// Finds the answer of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extractor {
    /// Ways to write an answer, the most telling one first.
    pub forms: Vec<Form>,
    /// What to do when none of them is used.
    #[serde(default)]
    pub fallback: Fallback,
}

impl Extractor {
    /// For formulas: [`Form::Boxed`], [`Form::Hashes`], [`Form::Phrase`].
    pub fn math() -> Self {
        Self { forms: vec![Form::Boxed, Form::Hashes, Form::Phrase], fallback: Fallback::None }
    }

    /// For numbers: as [`math`](Self::math), and [`Form::AnswerLine`].
    pub fn number() -> Self {
        Self { forms: vec![Form::Boxed, Form::Hashes, Form::AnswerLine, Form::Phrase], fallback: Fallback::None }
    }

    /// What `text` answers, as it is written there, without the dollar signs, asterisks and full stop around it.
    pub fn extract(&self, text: &str) -> Option<String> {
        self.extract_with(text, |answer| Some(answer.to_owned()))
    }

    /// What `text` answers, as `read` understands it. An answer that `read` does not understand (`None`) leaves the
    /// decision to the next form.
    ///
    /// ```
    /// use stir_grade::extract::Extractor;
    /// let digits = |answer: &str| answer.parse::<u64>().ok().map(|n| n.to_string());
    /// let text = "The answer is 12.\n\\boxed{\\text{see above}}";
    /// assert_eq!(Extractor::math().extract_with(text, digits).as_deref(), Some("12"));
    /// ```
    pub fn extract_with(&self, text: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.extract_or(text, read, |_| None)
    }

    /// As [`extract_with`](Self::extract_with); `unmarked` looks at the stretches in which no form is used.
    pub(crate) fn extract_or(
        &self,
        text: &str,
        read: impl Fn(&str) -> Option<String>,
        unmarked: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let said = outside_thinking(text);
        for part in parts(said) {
            match self.look(part, &read) {
                Look::Answer(answer) => return Some(answer),
                Look::Unfinished => break,
                Look::Nothing => {
                    if let Some(answer) = unmarked(part) {
                        return Some(answer);
                    }
                }
            }
        }
        match self.fallback {
            Fallback::None => None,
            Fallback::LastNumber => number::last(said).map(str::to_owned),
        }
    }

    fn look(&self, part: &str, read: &impl Fn(&str) -> Option<String>) -> Look {
        for form in &self.forms {
            let found = match form {
                Form::Boxed => boxed::last(part),
                Form::Hashes => hashes(part),
                Form::AnswerLine => answer_line(part),
                Form::Phrase => phrase::last(part),
            };
            match found {
                Found::Answer(answer) => {
                    // In a box an exclamation mark makes a factorial, and a phrase comes without that of its sentence.
                    let is_factorial = matches!(form, Form::Boxed | Form::Phrase) && answer.trim_end().ends_with('!');
                    let answer = if is_factorial { answer.trim() } else { strip_markup(&answer) };
                    if let Some(answer) = Some(answer).filter(|answer| !answer.is_empty()).and_then(read) {
                        return Look::Answer(answer);
                    }
                }
                Found::Unfinished => return Look::Unfinished,
                Found::Nothing => {}
            }
        }
        Look::Nothing
    }
}

/// What one form finds in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found<'t> {
    /// An answer, perhaps with markup around it.
    Answer(Cow<'t, str>),
    /// The text begins an answer and ends before that does, or takes it back.
    Unfinished,
    /// The form is not used.
    Nothing,
}

/// What all forms find in a part of a text.
enum Look {
    Answer(String),
    Unfinished,
    Nothing,
}

fn hashes(text: &str) -> Found<'_> {
    let Some((_, after)) = text.rsplit_once("####") else { return Found::Nothing };
    match final_answer(text) {
        Some(answer) => {
            let is_last = after.trim_start().lines().skip(1).all(|line| line.trim().is_empty());
            // "Step 4: add" is a heading with a number in it, "2. Add" and "1st step" are numbered ones.
            let is_number = !answer.starts_with(char::is_alphabetic) && number::read(answer).is_some();
            let is_answer = (is_last || is_number) && !is_numbered(answer);
            if is_answer { Found::Answer(answer.into()) } else { Found::Nothing }
        }
        None if after.trim().is_empty() => Found::Unfinished,
        None => Found::Nothing,
    }
}

/// Whether a line begins as the headings of a list do: `2. Add`, `1) Add`, `3rd step`.
fn is_numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let words = rest.strip_prefix(['.', ')', ':']).filter(|rest| rest.starts_with(' '));
    let ordinal = ["st ", "nd ", "rd ", "th "].iter().any(|end| rest.starts_with(end));
    rest.len() < line.len() && (ordinal || words.is_some_and(|words| words.contains(char::is_alphabetic)))
}

fn answer_line(text: &str) -> Found<'_> {
    let begins = |line: &&str| line.trim_start().starts_with("A:");
    let Some(line) = text.lines().rev().find(begins) else { return Found::Nothing };
    match line.trim_start().trim_start_matches("A:").trim() {
        "" => Found::Unfinished,
        answer => Found::Answer(answer.into()),
    }
}

#[cfg(test)]
mod tests;

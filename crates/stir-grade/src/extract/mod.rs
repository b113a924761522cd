//! Finds the answer in a generated text.
//!
//! An [`Extractor`] tries its [`Marker`]s one after the other; the first one that the text uses decides. If the text
//! uses that marker several times, the last answer counts. Text without a marker gives no answer, and neither does an
//! answer that the text breaks off in, because a method must not be credited with answers that it did not give. To
//! accept the guess that many programs make, use [`Fallback::LastNumber`].
//!
//! Only the part of the text that addresses the reader is searched:
//!
//! - Text before `</think>`, or after a `<think>` that is never closed, is reasoning and not an answer.
//! - Some models continue with a question of their own (`Question: ..`, `User: ..`, an end token) after they have
//!   answered. The text is split at such marks, and the first part with an answer counts.
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
mod formula;
mod found;
mod lines;
pub(crate) mod number;
mod phrase;
mod region;
mod statement;

use serde::{Deserialize, Serialize};

pub(crate) use clean::{conclusion, head, is_letter, strip_markup, tail};
use found::Found;
pub(crate) use region::outside_thinking;
use region::parts;
pub(crate) use statement::value;

/// A way to mark an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Marker {
    /// `\boxed{..}` or `\fbox{..}` with any nesting of braces. Boxes side by side (`\boxed{1}` and `\boxed{2}`) are one
    /// answer, `1, 2`; a box that contains only `\phantom{..}` or blanks is ignored.
    Boxed,
    /// The rest of the line after `####`. Since Markdown headings are written the same way, it must be a number or the
    /// last line of the text.
    Hashes,
    /// A line that begins with `A:`.
    AnswerLine,
    /// "The answer is ..", "Final answer: ..", or a heading "Answer" and the line below it.
    Phrase,
    /// The formula at the end of the last sentence, if the sentence is complete and claims nothing else: "We conclude
    /// that $x < 7$."
    Formula,
}

/// The answer of a text that uses no [`Marker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fallback {
    /// The text gives no answer.
    #[default]
    None,
    /// The last number in the text is the answer, whatever it means. The extractor of the paper does this.
    LastNumber,
}

/// Finds the answer of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extractor {
    /// The markers to look for, the most telling one first.
    #[serde(alias = "forms")]
    pub markers: Vec<Marker>,
    /// The answer of a text that uses none of them.
    #[serde(default)]
    pub fallback: Fallback,
}

impl Extractor {
    /// Returns an extractor of formulas: [`Marker::Boxed`], [`Marker::Hashes`], [`Marker::Phrase`], [`Marker::Formula`].
    pub fn math() -> Self {
        let markers = vec![Marker::Boxed, Marker::Hashes, Marker::Phrase, Marker::Formula];
        Self { markers, fallback: Fallback::None }
    }

    /// Returns an extractor of letters and words: [`Marker::Boxed`], [`Marker::Hashes`], [`Marker::Phrase`].
    pub fn words() -> Self {
        Self { markers: vec![Marker::Boxed, Marker::Hashes, Marker::Phrase], fallback: Fallback::None }
    }

    /// Returns an extractor of numbers: like [`words`](Self::words), with [`Marker::AnswerLine`].
    pub fn number() -> Self {
        Self {
            markers: vec![Marker::Boxed, Marker::Hashes, Marker::AnswerLine, Marker::Phrase],
            fallback: Fallback::None,
        }
    }

    /// Returns the answer of `text` as it is written there, without surrounding dollar signs, asterisks and full stop.
    pub fn extract(&self, text: &str) -> Option<String> {
        self.extract_with(text, |answer| Some(answer.to_owned()))
    }

    /// Returns the answer of `text` as `read` interprets it. Where `read` cannot interpret an answer (`None`), the next
    /// marker decides.
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

    /// Works like [`extract_with`](Self::extract_with); `unmarked` looks at the parts of the text that use no marker.
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
        for marker in &self.markers {
            let found = match marker {
                Marker::Boxed => boxed::last(part),
                Marker::Hashes => lines::hashes(part),
                Marker::AnswerLine => lines::answer_line(part),
                Marker::Phrase => phrase::last(part),
                Marker::Formula => formula::last(part),
            };
            match found {
                Found::Answer(answer) => {
                    // In a box an exclamation mark makes a factorial, and a phrase comes without that of its sentence.
                    let is_factorial =
                        matches!(marker, Marker::Boxed | Marker::Phrase) && answer.trim_end().ends_with('!');
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

/// The answer that all markers find in a part of a text.
enum Look {
    Answer(String),
    Unfinished,
    Nothing,
}

#[cfg(test)]
mod tests;

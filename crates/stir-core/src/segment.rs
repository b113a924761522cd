use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{TokenId, Vocab, pattern::Pattern};

/// The text that ends a reasoning segment; `"\n\n"` by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(Arc<Pattern>);

impl Delimiter {
    /// Returns a delimiter; `None` when `text` is empty, which would end a segment everywhere.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then(|| Self(Arc::new(Pattern::new(text))))
    }

    /// Returns the delimiter's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self(Arc::new(Pattern::new("\n\n".to_owned())))
    }
}

impl TryFrom<String> for Delimiter {
    type Error = EmptyDelimiter;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or(EmptyDelimiter)
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.as_str().to_owned()
    }
}

/// The error of an empty delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the segment delimiter is empty")]
pub struct EmptyDelimiter;

/// Counts delimiters in generated text, token by token and without overlap.
///
/// Mining and steering share this rule: control point `m` is the first token after which the text contains the
/// `m`-th delimiter. A delimiter may lie inside one token or span several, and one token may complete more than one.
///
/// ```
/// use stir_core::{Delimiter, SegmentCounter};
/// let mut counter = SegmentCounter::new(Delimiter::default());
/// assert_eq!(counter.push(b"so.\n"), 0);
/// assert_eq!(counter.push(b"\nNow"), 1);
/// assert_eq!(counter.push(b"\n\n\n"), 1); // the third newline is half of the next one
/// assert_eq!(counter.push(b"\n"), 1);
/// assert_eq!(counter.count(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCounter {
    delimiter: Delimiter,
    matched: usize,
    count: usize,
}

impl SegmentCounter {
    /// Returns a counter at the start of a text.
    pub fn new(delimiter: Delimiter) -> Self {
        Self { delimiter, matched: 0, count: 0 }
    }

    /// Takes the next token's bytes; returns the number of delimiters that it completed.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let before = self.count;
        for &byte in bytes {
            self.matched = self.delimiter.0.advance(self.matched, byte);
            if self.matched == self.delimiter.0.len() {
                self.count += 1;
                self.matched = 0;
            }
        }
        self.count - before
    }

    /// Returns the number of delimiters seen so far.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A segment boundary in a sequence of generated tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlPoint {
    /// The number of the delimiter, counted from 1.
    pub m: usize,
    /// The index, among the generated tokens, of the one that completes it.
    pub token: usize,
}

/// Returns the control points of a finished generation, in order. One token that completes several delimiters yields
/// one control point for each.
///
/// ```
/// use stir_core::{control_points, ControlPoint, Delimiter, Vocab};
/// let vocab = Vocab::new([&b"a"[..], b".\n\n", b"\n"], []);
/// let points = control_points(&vocab, &Delimiter::default(), &[0, 1, 0, 2, 2]);
/// assert_eq!(points, [ControlPoint { m: 1, token: 1 }, ControlPoint { m: 2, token: 4 }]);
/// ```
pub fn control_points(vocab: &Vocab, delimiter: &Delimiter, tokens: &[TokenId]) -> Vec<ControlPoint> {
    let mut counter = SegmentCounter::new(delimiter.clone());
    let mut points = Vec::new();
    for (token, &id) in tokens.iter().enumerate() {
        let completed = counter.push(vocab.bytes(id));
        points.extend((0..completed).map(|i| ControlPoint { m: counter.count() - completed + i + 1, token }));
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the text is cut into tokens, the count is that of `str::matches` (which does not overlap either).
        #[test]
        fn counting_does_not_depend_on_the_cuts(text in "[ab\n]{0,40}", delimiter in "[ab\n]{1,4}", cut in 1usize..5) {
            let mut counter = SegmentCounter::new(Delimiter::new(delimiter.clone()).unwrap());
            for chunk in text.as_bytes().chunks(cut) {
                counter.push(chunk);
            }
            prop_assert_eq!(counter.count(), text.matches(&delimiter).count());
        }
    }

    #[test]
    fn default_is_the_parsed_double_newline() {
        assert_eq!(Some(Delimiter::default()), Delimiter::new("\n\n"));
        assert!(Delimiter::new("").is_none());
    }

    #[test]
    fn one_token_may_complete_two_control_points() {
        let vocab = Vocab::new([&b"\n\n\n\n"[..]], []);
        let points = control_points(&vocab, &Delimiter::default(), &[0]);
        assert_eq!(points, [ControlPoint { m: 1, token: 0 }, ControlPoint { m: 2, token: 0 }]);
    }
}

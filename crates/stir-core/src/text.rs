use crate::pattern::Pattern;

/// Looks for the first of several stop strings in a text that arrives token by token.
///
/// Matching is on bytes: a stop string may span tokens or lie inside one. The first to be complete wins; of those
/// complete at the same byte, the longest. The text ends before it. The cost is linear in the text.
///
/// ```
/// use stir_core::StopMatcher;
/// let mut stops = StopMatcher::new(&["####", "END"])?;
/// assert_eq!(stops.push(b"so 7 E"), None);
/// assert_eq!(stops.held(), 1); // the E may be the start of END
/// assert_eq!(stops.push(b"ND of it"), Some(5)); // "so 7 " is the text
/// # Ok::<(), stir_core::EmptyStop>(())
/// ```
#[derive(Debug, Clone)]
pub struct StopMatcher {
    /// Each stop string, and how much of it the text ends with.
    stops: Vec<(Pattern, usize)>,
    seen: usize,
    end: Option<usize>,
}

/// The error of an empty stop string, which would end every text at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stop string {index} is empty, must hold at least one character")]
pub struct EmptyStop {
    /// Its place among the stop strings.
    pub index: usize,
}

impl StopMatcher {
    /// Returns a matcher at the start of a text. An empty list is allowed: the text then has no end.
    ///
    /// # Errors
    /// [`EmptyStop`] for the first stop string that is empty.
    pub fn new<T: AsRef<str>>(stops: &[T]) -> Result<Self, EmptyStop> {
        match stops.iter().position(|stop| stop.as_ref().is_empty()) {
            Some(index) => Err(EmptyStop { index }),
            None => {
                let patterns = stops.iter().map(|stop| (Pattern::new(stop.as_ref().to_owned()), 0));
                Ok(Self { stops: patterns.collect(), seen: 0, end: None })
            }
        }
    }

    /// Takes the next token's bytes; returns the [`end`](Self::end) of the text. Bytes after it are ignored.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        for &byte in bytes {
            if self.end.is_some() {
                break;
            }
            self.seen += 1;
            let mut longest = 0;
            for (pattern, matched) in &mut self.stops {
                *matched = pattern.advance(*matched, byte);
                if *matched == pattern.len() {
                    longest = longest.max(pattern.len());
                }
            }
            if longest > 0 {
                self.end = Some(self.seen - longest);
            }
        }
        self.end
    }

    /// Returns the end of the text, in bytes from its start, once a stop string is complete.
    pub fn end(&self) -> Option<usize> {
        self.end
    }

    /// Returns the length of the text in bytes: up to the stop string, or as far as it has come.
    pub fn text_len(&self) -> usize {
        self.end.unwrap_or(self.seen)
    }

    /// Returns the number of bytes at the end of the text that may be the start of a stop string.
    pub fn held(&self) -> usize {
        self.stops.iter().map(|(_, matched)| *matched).max().unwrap_or(0)
    }
}

/// Turns tokens into pieces of text as they come.
///
/// A piece never ends within a character, nor within what may become a stop string: such bytes wait for the next
/// token. Put together, the pieces are the text of all tokens up to the first stop string, with U+FFFD where
/// [`String::from_utf8_lossy`] has it in the whole text.
///
/// ```
/// use stir_core::TextStream;
/// let mut text = TextStream::new(&["\n\nQ:"])?;
/// assert_eq!(text.push(b"caf\xc3"), "caf");
/// assert_eq!(text.push(b"\xa9.\n"), "é.");
/// assert_eq!(text.push(b"\nNo"), "\n\nNo"); // not the stop string after all
/// assert_eq!(text.push(b" \n\nQ"), " ");
/// assert_eq!(text.finish(), "\n\nQ");
/// # Ok::<(), stir_core::EmptyStop>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextStream {
    stops: StopMatcher,
    /// Bytes of the text that have not been given out.
    waiting: Vec<u8>,
    given: usize,
}

impl TextStream {
    /// Returns a stream at the start of a text that ends before the first of `stops`.
    ///
    /// # Errors
    /// [`EmptyStop`] for the first stop string that is empty.
    pub fn new<T: AsRef<str>>(stops: &[T]) -> Result<Self, EmptyStop> {
        Ok(Self { stops: StopMatcher::new(stops)?, waiting: Vec::new(), given: 0 })
    }

    /// Takes the next token's bytes; returns the text that is certain now; it is empty after a stop string.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stops.end().is_some() {
            return String::new();
        }
        self.waiting.extend_from_slice(bytes);
        match self.stops.push(bytes) {
            Some(end) => {
                self.waiting.truncate(end - self.given);
                self.finish()
            }
            None => self.give(self.waiting.len() - self.stops.held(), false),
        }
    }

    /// Ends the text; returns what was held back. An unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.give(self.waiting.len(), true)
    }

    /// Gives out the first `len` bytes that wait, except an unfinished character at their end unless they are the
    /// `last`.
    fn give(&mut self, len: usize, last: bool) -> String {
        let (mut piece, mut used) = (String::new(), 0);
        for chunk in self.waiting[..len].utf8_chunks() {
            piece.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            // Only at the end could more bytes still make a character of them.
            let unfinished = used + invalid.len() == len
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if !invalid.is_empty() && (last || !unfinished) {
                piece.push(char::REPLACEMENT_CHARACTER);
                used += invalid.len();
            }
        }
        self.waiting.drain(..used);
        self.given += used;
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Finds the first stop string by looking at every byte.
    fn cut(bytes: &[u8], stops: &[String]) -> usize {
        let ends = (1..=bytes.len()).find_map(|end| {
            let complete = stops.iter().filter(|stop| bytes[..end].ends_with(stop.as_bytes()));
            complete.map(|stop| end - stop.len()).min()
        });
        ends.unwrap_or(bytes.len())
    }

    /// Bytes among which characters of every length, broken ones, and stop strings are likely.
    fn tokens() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let alphabet = prop::sample::select(b"aabb\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\xed\xa0".to_vec());
        let noise = prop::collection::vec(alphabet, 0..5);
        let text = "[abé€😀]{0,3}".prop_map(String::into_bytes);
        prop::collection::vec(prop_oneof![noise, text], 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The pieces are the lossy text of the whole, cut at the stop string, whatever the tokens.
        #[test]
        fn pieces_make_the_text(
            tokens in tokens(),
            stops in prop::collection::vec("[abé€😀]{1,4}", 0..4),
        ) {
            let bytes = tokens.concat();
            let end = cut(&bytes, &stops);
            let (mut stream, mut matcher) = (TextStream::new(&stops).unwrap(), StopMatcher::new(&stops).unwrap());
            let mut text = String::new();
            for token in &tokens {
                text += &stream.push(token);
                matcher.push(token);
                // Nothing has to be taken back.
                prop_assert!(String::from_utf8_lossy(&bytes[..end]).starts_with(&text));
            }
            text += &stream.finish();
            prop_assert_eq!(stream.finish(), "");
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes[..end]));
            prop_assert_eq!(matcher.text_len(), end);
            prop_assert_eq!(matcher.end().is_some(), end < bytes.len());
        }
    }

    #[test]
    fn the_first_to_be_complete_wins_and_then_the_longest() {
        let end = |stops: &[&str], text: &str| StopMatcher::new(stops).unwrap().push(text.as_bytes());
        assert_eq!(end(&["b", "ab"], "xxab"), Some(2));
        assert_eq!(end(&["abcd", "c"], "xabcd"), Some(3));
        assert_eq!(end(&["aab"], "aaab"), Some(1));
        assert_eq!(end(&[], "anything"), None);
        assert_eq!(end(&["longer than the text"], "longer than"), None);
    }

    #[test]
    fn without_stop_strings_every_character_comes_at_once() {
        let mut stream = TextStream::new::<&str>(&[]).unwrap();
        assert_eq!(stream.push(b"ab"), "ab");
        assert_eq!(stream.push(b"\xe2\x82"), "");
        assert_eq!(stream.push(b"\xac"), "€");
        assert_eq!(stream.push(b"\xff\xe2"), "\u{fffd}");
        assert_eq!(stream.push(b"x"), "\u{fffd}x");
        assert_eq!(stream.push(b"\xf0\x9f\x98"), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    #[test]
    fn an_empty_stop_string_is_named() {
        assert_eq!(StopMatcher::new(&["a", ""]).unwrap_err(), EmptyStop { index: 1 });
        assert_eq!(TextStream::new(&[""]).unwrap_err(), EmptyStop { index: 0 });
    }
}

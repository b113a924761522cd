/// Bytes to be found in a text that arrives piece by piece (Knuth-Morris-Pratt).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    /// `fallback[n]` is the longest proper border of the first `n + 1` bytes.
    fallback: Vec<usize>,
}

impl Pattern {
    /// Returns the pattern `text`. An empty one would match everywhere, so callers must refuse it.
    pub(crate) fn new(text: String) -> Self {
        let bytes = text.as_bytes();
        let mut fallback = vec![0; bytes.len()];
        let mut border = 0;
        for i in 1..bytes.len() {
            while border > 0 && bytes[i] != bytes[border] {
                border = fallback[border - 1];
            }
            border += usize::from(bytes[i] == bytes[border]);
            fallback[i] = border;
        }
        Self { text, fallback }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the length of the longest start of the pattern with which the text ends after one more `byte`, given
    /// that length before it; `matched` is below [`len`](Self::len).
    pub(crate) fn advance(&self, mut matched: usize, byte: u8) -> usize {
        let bytes = self.text.as_bytes();
        while matched > 0 && byte != bytes[matched] {
            matched = self.fallback[matched - 1];
        }
        matched + usize::from(byte == bytes[matched])
    }
}

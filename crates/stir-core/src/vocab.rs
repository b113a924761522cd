use std::collections::BTreeMap;

/// The number of a token in the model's vocabulary.
pub type TokenId = u32;

/// The bytes that each token adds to the text, and the tokens that end a sequence.
///
/// Boundaries are looked for in bytes: a token may hold half a character, and UTF-8 never shows an ASCII delimiter
/// inside another character, so bytes and text agree on the place of a delimiter. Special tokens add no bytes.
///
/// ```
/// use stir_core::Vocab;
/// let vocab = Vocab::new([&b"caf"[..], b"\xc3", b"\xa9", b""], [3]);
/// assert_eq!(vocab.text(&[0, 1, 2, 3]), "café");
/// assert!(vocab.is_eos(3));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocab {
    bytes: Vec<u8>,
    /// `ends[i]` is where token `i` ends in `bytes`.
    ends: Vec<usize>,
    eos: Vec<TokenId>,
    /// Special tokens by their text.
    special: BTreeMap<String, TokenId>,
}

impl Vocab {
    /// Returns a vocabulary made from the bytes of every token in order of id, and the ids that end a sequence.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a [u8]>, eos: impl IntoIterator<Item = TokenId>) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for token in tokens {
            bytes.extend_from_slice(token);
            ends.push(bytes.len());
        }
        Self { bytes, ends, eos: eos.into_iter().collect(), special: BTreeMap::new() }
    }

    /// Names the special tokens, which add no bytes to a text and so can be met by their id only. A
    /// [stop string](crate::Request::stop) that is such a name stands for the token as well.
    ///
    /// ```
    /// use stir_core::Vocab;
    /// let vocab = Vocab::new([&b"hi"[..], b""], []).with_special([(1, "<|im_end|>")]);
    /// assert_eq!(vocab.special("<|im_end|>"), Some(1));
    /// assert_eq!((vocab.special_name(1), vocab.special("hi")), (Some("<|im_end|>"), None));
    /// ```
    pub fn with_special(mut self, tokens: impl IntoIterator<Item = (TokenId, impl Into<String>)>) -> Self {
        self.special.extend(tokens.into_iter().map(|(id, name)| (name.into(), id)));
        self
    }

    /// Returns the special token called `name`.
    pub fn special(&self, name: &str) -> Option<TokenId> {
        self.special.get(name).copied()
    }

    /// Returns the name of a special token.
    pub fn special_name(&self, id: TokenId) -> Option<&str> {
        self.special.iter().find(|(_, special)| **special == id).map(|(name, _)| name.as_str())
    }

    /// Returns the number of tokens that have bytes recorded. Ids from there on (padding rows of the head) add no text.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether no token is recorded.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the bytes that `id` adds to the text; empty for special tokens and ids without an entry.
    pub fn bytes(&self, id: TokenId) -> &[u8] {
        let id = id as usize;
        match self.ends.get(id) {
            Some(&end) => &self.bytes[if id == 0 { 0 } else { self.ends[id - 1] }..end],
            None => &[],
        }
    }

    /// Returns whether `id` ends a sequence.
    pub fn is_eos(&self, id: TokenId) -> bool {
        self.eos.contains(&id)
    }

    /// Returns the ids that end a sequence.
    pub fn eos(&self) -> &[TokenId] {
        &self.eos
    }

    /// Returns the text of `tokens`; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self, tokens: &[TokenId]) -> String {
        self.text_within(tokens, usize::MAX)
    }

    /// Returns the text of the first `len` bytes of `tokens`, like [`text`](Self::text).
    ///
    /// ```
    /// let vocab = stir_core::Vocab::new([&b"one"[..], b" two"], []);
    /// assert_eq!(vocab.text_within(&[0, 1], 5), "one t");
    /// ```
    pub fn text_within(&self, tokens: &[TokenId], len: usize) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&id| self.bytes(id)).copied().take(len).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

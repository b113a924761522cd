use crate::{Fingerprint, HookPoint, ModelShape, TokenId, Vocab};

/// A language model that runs batches of rows through its layers.
///
/// The contract is one forward pass, not a decoding loop: what to sample, when to stop and where to steer is decided
/// once for all engines, in [`drive`](crate::drive) and the lanes it runs, so an engine has no opinions to get wrong
/// and rows at different stages share passes. `conformance::check` proves that an engine keeps the contract.
pub trait Engine {
    /// The state of one sequence: its key-value cache.
    type Session: Session;
    /// What can go wrong inside the engine.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The model's sizes.
    fn shape(&self) -> ModelShape;

    /// What identifies the model.
    fn fingerprint(&self) -> &Fingerprint;

    /// In what way the model is computed, where an engine has several whose numbers differ by more than rounding (the
    /// type it computes in). It does not make another model, but parts of one run should agree in it.
    fn computation(&self) -> String {
        String::new()
    }

    /// What each token adds to the text, and which end a sequence.
    fn vocab(&self) -> &Vocab;

    /// The tokens of `text`; special tokens written out in it are recognised, none is added.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;

    /// The tokens of `text` as a whole prompt: with what a sequence of this model starts with (the BOS token of many)
    /// in front, unless `text` already starts with it. Nothing is put behind. An engine that hands calls on to another
    /// must hand on this one too.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Self::Error> {
        self.encode(text)
    }

    /// A sequence with nothing encoded.
    fn session(&self) -> Self::Session;

    /// One forward pass over all rows; every row's tokens are appended to its session.
    ///
    /// Rows do not see each other: the result of a row is that of a batch of one, up to rounding. A failed pass may
    /// leave any of its sessions partly extended; rewind them before use.
    ///
    /// # Errors
    /// For a row with no tokens, a token outside the vocabulary, more positions than the context holds, a hook point
    /// the model does not have, an addition of the wrong width or outside the row's tokens.
    fn forward(&self, rows: &mut [Row<'_, Self::Session>]) -> Result<Vec<Output>, Self::Error>;
}

/// The encoded part of one sequence.
pub trait Session: Sized {
    /// Positions encoded.
    fn len(&self) -> usize;

    /// Whether nothing is encoded yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A second sequence with the same past. The past is shared, not copied; both may go on.
    fn fork(&self) -> Self;

    /// Forgets every position from `len` on. Does nothing when there are no more than `len`.
    fn rewind(&mut self, len: usize);
}

/// What one sequence wants from a forward pass.
#[derive(Debug)]
pub struct Row<'a, S> {
    /// The sequence; it grows by `tokens`.
    pub session: &'a mut S,
    /// Tokens to append and encode; at least one.
    pub tokens: &'a [TokenId],
    /// What to add to the residual stream on the way. Additions come before captures at the same point.
    pub additions: Vec<Addition<'a>>,
    /// Hidden states wanted at the last of `tokens`.
    pub capture: &'a [HookPoint],
    /// Whether the logits after the last of `tokens` are wanted.
    pub logits: bool,
}

/// `stream(point, position) += scale * vector`, at that position only.
#[derive(Debug, Clone, Copy)]
pub struct Addition<'a> {
    /// Where in the model.
    pub point: HookPoint,
    /// Absolute position in the sequence; must be among the row's tokens.
    pub position: usize,
    /// `[hidden_size]`.
    pub vector: &'a [f32],
    /// Factor of `vector`.
    pub scale: f32,
}

/// What a forward pass found for one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// `[vocab_size]` after the row's last token; empty when not wanted.
    pub logits: Vec<f32>,
    /// `[hidden_size]` at the row's last token, for each captured point in the order asked for.
    pub captures: Vec<Vec<f32>>,
}

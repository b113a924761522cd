use std::sync::Arc;

use crate::{Fingerprint, HookPoint, ModelShape, TokenId, Vocab};

/// A language model that runs batches of rows through its layers.
///
/// The contract is one forward pass, not a decoding loop. Sampling, stopping and steering are decided outside, by the
/// [`Lane`](crate::Lane)s that a [`Scheduler`](crate::Scheduler) runs, so engines cannot disagree on them and sequences
/// at different stages share passes. `conformance::check` (feature `conformance`) proves that an engine keeps the
/// contract.
///
/// An engine is shared between threads, so every method takes `&self`. References and [`Arc`]s of an engine are engines.
///
/// Text is not part of this contract: an engine with a tokenizer also implements [`Text`].
pub trait Engine: Send + Sync {
    /// The state of one sequence: its key-value cache.
    type Session: Session;
    /// The engine's error type.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns the model's sizes.
    fn shape(&self) -> ModelShape;

    /// Returns the vocabulary: the bytes that each token adds to the text, and the tokens that end a sequence.
    fn vocab(&self) -> &Vocab;

    /// Returns what identifies the model.
    fn fingerprint(&self) -> &Fingerprint;

    /// Returns the numeric type used for computation (such as `bf16`) if it affects results, and `""` otherwise.
    ///
    /// It is not part of the model's identity, but all parts of one run must agree on it.
    fn computation(&self) -> String {
        String::new()
    }

    /// Returns the name of the device that computes (`cpu`, `cuda:0`), or `""` if the engine has no name for it.
    ///
    /// Devices round differently, so results of one are not resumed on another.
    fn device(&self) -> String {
        String::new()
    }

    /// Returns an empty sequence.
    fn session(&self) -> Self::Session;

    /// Runs all rows through the model in one forward pass and appends every row's tokens to its session.
    ///
    /// Rows do not see each other: the result of a row is that of a batch of one, up to rounding. A failed pass may
    /// leave any of its sessions partly extended; rewind them before use.
    ///
    /// # Errors
    /// Fails for a row with no tokens, a token outside the vocabulary, more positions than the context holds, a hook
    /// point that the model does not have, or an addition of the wrong size or outside the row's tokens.
    fn forward(&self, rows: &mut [Row<'_, Self::Session>]) -> Result<Vec<Output>, Self::Error>;
}

/// An engine that knows text: it has a tokenizer.
///
/// Neither method has a default, so that no engine loses the BOS token by leaving one out.
pub trait Text: Engine {
    /// Returns the tokens of `text`. Special tokens written out in it are recognised; none is added.
    ///
    /// # Errors
    /// Fails if there is no tokenizer or it refuses the text.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;

    /// Returns the tokens of `text` as a whole prompt: those of [`encode`](Self::encode), preceded by whatever a
    /// sequence of this model starts with (the BOS token of many models) unless `text` already starts with it. Nothing
    /// is added at the end.
    ///
    /// A model whose sequences start with nothing returns what [`encode`](Self::encode) returns.
    ///
    /// # Errors
    /// Fails if there is no tokenizer or it refuses the text.
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;
}

/// Implements both contracts for a pointer type by handing on every call.
macro_rules! hand_on {
    ($pointer:ty) => {
        impl<E: Engine + ?Sized> Engine for $pointer {
            type Session = E::Session;
            type Error = E::Error;

            fn shape(&self) -> ModelShape {
                (**self).shape()
            }
            fn vocab(&self) -> &Vocab {
                (**self).vocab()
            }
            fn fingerprint(&self) -> &Fingerprint {
                (**self).fingerprint()
            }
            fn computation(&self) -> String {
                (**self).computation()
            }
            fn device(&self) -> String {
                (**self).device()
            }
            fn session(&self) -> Self::Session {
                (**self).session()
            }
            fn forward(&self, rows: &mut [Row<'_, Self::Session>]) -> Result<Vec<Output>, Self::Error> {
                (**self).forward(rows)
            }
        }

        impl<E: Text + ?Sized> Text for $pointer {
            fn encode(&self, text: &str) -> Result<Vec<TokenId>, Self::Error> {
                (**self).encode(text)
            }
            fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Self::Error> {
                (**self).encode_prompt(text)
            }
        }
    };
}

hand_on!(&E);
hand_on!(Arc<E>);

/// The encoded part of one sequence. It may move between threads.
pub trait Session: Sized + Send {
    /// Returns the number of positions encoded.
    fn len(&self) -> usize;

    /// Returns whether nothing is encoded yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a second sequence with the same past. The past is shared, not copied; both may be extended.
    fn fork(&self) -> Self;

    /// Forgets every position from `len` on. Does nothing if there are no more than `len`.
    fn rewind(&mut self, len: usize);
}

/// One sequence's part of a forward pass.
#[derive(Debug)]
pub struct Row<'a, S> {
    /// The sequence; the pass extends it by `tokens`.
    pub session: &'a mut S,
    /// The tokens to append and encode; at least one.
    pub tokens: &'a [TokenId],
    /// The vectors to add to the residual stream. Additions come before captures at the same point.
    pub additions: Vec<Addition<'a>>,
    /// The hook points whose hidden state at the last of `tokens` is wanted.
    pub capture: &'a [HookPoint],
    /// Set to have the logits after the last of `tokens`.
    pub logits: bool,
}

/// An impulse: `stream(point, position) += scale * vector`, at that position only.
#[derive(Debug, Clone, Copy)]
pub struct Addition<'a> {
    /// The point in the model where the vector is added.
    pub point: HookPoint,
    /// The absolute position in the sequence; must be among the row's tokens.
    pub position: usize,
    /// The vector, `[hidden_size]`.
    pub vector: &'a [f32],
    /// The factor of `vector`.
    pub scale: f32,
}

/// One row's results of a forward pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// The logits after the row's last token, `[vocab_size]`; empty if they were not wanted.
    pub logits: Vec<f32>,
    /// The hidden state at the row's last token, `[hidden_size]`, for each captured point in the order asked for.
    pub captures: Vec<Vec<f32>>,
}

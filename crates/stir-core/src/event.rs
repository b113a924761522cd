use crate::{Generated, SamplingError, TokenId};

/// The number of an answer: its request and its sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId {
    /// The place of the request among those given, from 0.
    pub request: usize,
    /// The number of the sample, from 0.
    pub sample: usize,
}

/// An event of an answer being generated. `A` is the type of a finished answer, `N` that of a token's note.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<A = Generated, N = ()> {
    /// A token was generated.
    Token(Token<N>),
    /// The answer has ended, by itself or because it was cancelled. It is the last event of a sample that does not fail.
    Finished {
        /// The end of the text, which was held back until now.
        text: String,
        /// The whole answer.
        answer: A,
    },
    /// The model computed logits that describe no distribution. It is the sample's last event;
    /// the other samples continue.
    Failed {
        /// The end of the text, which was held back until now.
        text: String,
        /// The answer up to there, as if it had been cancelled.
        answer: A,
        /// The fault of the row of logits.
        error: SamplingError,
    },
}

/// A generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token<N = ()> {
    /// Its place in the answer, from 0.
    pub index: usize,
    /// The token.
    pub id: TokenId,
    /// The model's log-probability of it.
    pub log_prob: f32,
    /// The text that became certain with it: whole characters, and nothing that may turn out to be a stop string, so
    /// it may be empty or hold what earlier tokens began.
    pub text: String,
    /// A remark of the kind of generation, such as the decision that a steered token follows from.
    pub note: N,
}

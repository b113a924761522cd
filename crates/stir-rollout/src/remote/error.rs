use stir_core::{SettingError, TokenId};

use crate::RolloutError;

/// The reason why a run on a server stopped. Every sample that was finished is in the output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A file, a setting or the prompts are at fault.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The server did not answer, or answered with an error.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server's answers cannot be used: the one to the first question, or several in a row.
    #[error("{url} gives answers that cannot be used, the last to sample {k} of {id:?}")]
    Reply {
        /// The address.
        url: String,
        /// The id of the prompt.
        id: String,
        /// The number of the sample.
        k: usize,
        /// The fault of the last answer.
        source: ReplyError,
    },
    /// The system has no room for so many threads.
    #[error("a thread cannot be started: {parallel} requests at a time are too many")]
    Threads {
        /// The number of requests at a time.
        parallel: usize,
        /// The reason.
        source: std::io::Error,
    },
}

impl From<SettingError> for RemoteError {
    fn from(error: SettingError) -> Self {
        Self::Rollout(error.into())
    }
}

/// A request that a server did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The server answered with a status other than 200.
    #[error("{url} answered with status {status} (tries: {tries}): {body}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status of the last try.
        status: u16,
        /// The first characters of the last answer.
        body: String,
        /// The number of times that the request was sent.
        tries: usize,
    },
    /// The server could not be reached, or its answer broke off or took too long.
    #[error("{url} gave no answer (tries: {tries})")]
    Unreachable {
        /// The address.
        url: String,
        /// The number of times that the request was sent.
        tries: usize,
        /// The fault of the last try.
        source: TransportError,
    },
    /// The answer is longer than any completion.
    #[error("{url} sent more than {limit} bytes, which no completion has")]
    TooLarge {
        /// The address.
        url: String,
        /// The bound in bytes.
        limit: u64,
    },
}

/// The fault of a connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(pub(super) ureq::Error);

/// An answer of a server that cannot be used as a sample.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It is no completion in JSON.
    #[error("the answer is no completion: {start}")]
    NoCompletion {
        /// The first characters of the answer.
        start: String,
        /// What JSON says of it.
        source: JsonError,
    },
    /// One choice was asked for.
    #[error("the answer has {found} choices, must have 1")]
    Choices {
        /// The number of choices.
        found: usize,
    },
    /// The prompt that the server continued is another: it adds a BOS token, has another tokenizer or cuts prompts.
    #[error("the server read a prompt of {read} tokens that is not the one of {sent} tokens that was meant")]
    Prompt {
        /// The number of tokens of the prompt here.
        sent: usize,
        /// The number that the server states.
        read: usize,
    },
    /// The answer neither ended by itself nor used up its budget.
    #[error("finish_reason is {found:?}, must be \"stop\" or \"length\"")]
    Finish {
        /// The reason stated; empty if there is none.
        found: String,
    },
    /// The server returned token ids before and does not now.
    #[error("the answer holds no token ids, unlike the one before")]
    NoTokens,
    /// A token is outside the vocabulary: the server runs another model.
    #[error("token {token} of the answer is outside the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        token: i64,
        /// The number of tokens of the vocabulary.
        vocab_size: usize,
    },
    /// Tokens and text of the answer are not the same, spaces aside: the server runs another model.
    #[error("the answer's tokens say {tokens:?} and its text says {text:?}")]
    Text {
        /// The text of the tokens without spaces, from where the two differ.
        tokens: String,
        /// The text without spaces, from there.
        text: String,
    },
    /// The number of tokens does not fit the reason for the end: the server's context is shorter than the model's, or
    /// `max_tokens` is not obeyed.
    #[error("the answer has {found} tokens of {budget} and finish_reason {finish:?}")]
    Length {
        /// The number of tokens.
        found: usize,
        /// The number asked for.
        budget: usize,
        /// The reason stated.
        finish: &'static str,
    },
    /// The answer ended with a token that ends no sequence of the model here.
    #[error("the answer ended with token {token}, which is none of the end tokens {known:?}")]
    EndToken {
        /// The token.
        token: TokenId,
        /// The end tokens.
        known: Vec<TokenId>,
    },
}

/// An error of JSON.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(pub(super) serde_json::Error);

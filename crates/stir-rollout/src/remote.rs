//! Rollouts that a server samples.
//!
//! Generation at scale is the work of vLLM, SGLang or llama.cpp; all of them answer `POST /v1/completions`.
//! [`RemoteRollouts`] asks such a server for samples and does the rest itself: the prompts, the judging, the reward, the
//! file and its resumption are those of [`Rollouts`](crate::Rollouts).
//!
//! Requests are made by a few dozen threads that wait for one blocking connection each. A completion takes seconds to
//! minutes and the server decides how many it computes at once, so an async runtime would bring nothing but itself; the
//! libraries stay free of it.

mod answer;
mod asking;
mod client;
mod error;
#[cfg(test)]
mod fuzz;
mod protocol;
mod run;
mod server;
mod threads;

use stir_core::{ModelShape, Text, TokenId, Vocab};

pub use error::{JsonError, RemoteError, ReplyError, ServerError, TransportError};
pub use run::RemoteRollouts;
pub use server::RemoteServer;

/// What is known here of the model that a server runs: its tokenizer and its sizes. No weights are needed.
///
/// Every engine with a tokenizer is one.
pub trait Tokens: Sync {
    /// The error of the tokenizer.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns the model's sizes.
    fn shape(&self) -> ModelShape;

    /// Returns the bytes that each token adds to the text, and the tokens that end a sequence.
    fn vocab(&self) -> &Vocab;

    /// Returns what identifies the tokenizer, as [`Fingerprint::tokenizer`](stir_core::Fingerprint::tokenizer) does.
    fn tokenizer(&self) -> String;

    /// Returns the tokens of a text, as [`Text::encode`] does.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;

    /// Returns the tokens of a whole prompt, as [`Text::encode_prompt`] does.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;
}

impl<E: Text> Tokens for E {
    type Error = E::Error;

    fn shape(&self) -> ModelShape {
        stir_core::Engine::shape(self)
    }

    fn vocab(&self) -> &Vocab {
        stir_core::Engine::vocab(self)
    }

    fn tokenizer(&self) -> String {
        self.fingerprint().tokenizer.clone()
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, E::Error> {
        Text::encode(self, text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, E::Error> {
        Text::encode_prompt(self, text)
    }
}

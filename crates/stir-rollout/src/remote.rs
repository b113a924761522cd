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

pub use crate::Tokens;
pub use error::{JsonError, RemoteError, ReplyError, ServerError, TransportError};
pub use run::RemoteRollouts;
pub use server::RemoteServer;

#![cfg_attr(feature = "http", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "http"),
    doc = "One engine for async code, see [`AsyncEngine`]; a server with the feature `http`."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer_stream;
mod async_engine;
mod client;
mod error;
mod lane;
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the server alone shows what is counted"))]
mod metrics;
mod prefix;
mod worker;

#[cfg(feature = "http")]
mod server;

pub use answer_stream::{AnswerEvent, AnswerStream};
pub use async_engine::{AsyncConfig, AsyncEngine};
pub use error::{AnswerError, ServeError};
#[cfg(feature = "http")]
pub use server::{ApiKey, BoxError, Message, Model, ServeConfig, Server};

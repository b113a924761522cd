#![cfg_attr(feature = "http", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "http"),
    doc = "One engine for async code, see [`AsyncEngine`]; a server with the feature `http`."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// The thread that runs the engine, and how async code asks it.
mod answer_stream;
mod async_engine;
mod client;
mod error;
mod lane;
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the server alone shows what is counted"))]
mod metrics;
mod prefix;
mod worker;

// The server.
#[cfg(feature = "http")]
mod answer;
#[cfg(feature = "http")]
mod api_error;
#[cfg(feature = "http")]
mod chat;
#[cfg(feature = "http")]
mod completions;
#[cfg(feature = "http")]
mod config;
#[cfg(feature = "http")]
mod fields;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod libraries;
#[cfg(feature = "http")]
mod model;
#[cfg(feature = "http")]
mod page;
#[cfg(feature = "http")]
mod params;
#[cfg(feature = "http")]
mod reply;
#[cfg(feature = "http")]
mod routes;
#[cfg(feature = "http")]
mod server;
#[cfg(feature = "http")]
mod steering;

pub use answer_stream::{AnswerEvent, AnswerStream};
pub use async_engine::{AsyncConfig, AsyncEngine};
#[cfg(feature = "http")]
pub use config::{ApiKey, ServeConfig};
pub use error::{AnswerError, ServeError};
#[cfg(feature = "http")]
pub use model::{BoxError, Message, Model};
#[cfg(feature = "http")]
pub use server::Server;

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
mod chat;
mod client;
mod completions;
mod config;
mod error;
mod fields;
mod http;
mod lane;
mod libraries;
mod metrics;
mod model;
mod page;
mod params;
mod prefix;
mod reply;
mod routes;
mod server;
mod steering;
mod worker;

pub use config::{ApiKey, ServeConfig};
pub use error::ServeError;
pub use model::{BoxError, Message, Model};
pub use server::Server;

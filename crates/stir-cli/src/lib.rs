#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]

mod answers;
mod backend;
mod cli;
mod commands;
mod embedded;
mod files;
mod lessons;
mod log;
mod model;
mod output;
mod present;
mod progress;
#[cfg(feature = "remote")]
mod server;
mod settings;
mod shard;
mod signals;
mod tasks;
mod tokens;
mod typed;

pub use cli::{main, pipeline};

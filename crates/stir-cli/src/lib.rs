//! The program `stir`: the stages of the method, comparisons and conversations on the command line.
//!
//! ```text
//! cargo install --path crates/stir-cli
//! stir pipeline
//! ```
//!
//! This library is what the binary and the example `pipeline` run; programs of your own want `stir-llm`.
#![forbid(unsafe_code)]

mod answers;
mod cli;
mod commands;
mod embedded;
mod files;
mod lab;
mod log;
mod model;
mod present;
mod progress;
mod settings;
mod tasks;
mod typed;
mod word_problems;

pub use cli::{main, pipeline};

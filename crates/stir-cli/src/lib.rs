#![doc = include_str!("../README.md")]
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

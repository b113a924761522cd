//! The tests from outside, in one program: each file is a module, `cargo test -p stir-eval --test it FILE::` runs one.
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used, missing_docs)]

mod calibrate;
mod common;
mod deer;
mod experiment;
mod methods;
mod prompts;
mod shards;
mod tasks;

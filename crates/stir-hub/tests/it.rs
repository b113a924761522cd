//! The tests from outside, in one program: each file is a module, `cargo test -p stir-hub --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod cache;
mod download;
mod gguf;
mod refusals;
mod support;
mod xet;

//! The tests from outside, in one program: each file is a module, `cargo test -p stir-validation --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
mod estimate;
mod pairs;
mod replay;
mod validate;

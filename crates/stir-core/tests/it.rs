//! The tests from outside, in one program: each file is a module, `cargo test -p stir-core --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod abuse;
mod generate;
mod sampling;

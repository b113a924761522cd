//! The tests from outside, in one program: each file is a module, `cargo test -p stir-basis --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod centred;
mod common;
mod constant;
mod files;
mod fuzz;
mod library;
mod reference;
mod selection;

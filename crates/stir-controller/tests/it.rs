//! The tests from outside, in one program: each file is a module, `cargo test -p stir-controller --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, missing_docs)]

mod common;
mod decide;
mod events;
mod foreign_loop;
mod lane;
mod options;
mod out_of_turn;
mod plan;
mod reference;
mod stream;

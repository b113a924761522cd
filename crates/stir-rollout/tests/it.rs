//! The tests from outside, in one program: each file is a module, `cargo test -p stir-rollout --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod forks;
mod fuzz;
mod run;
mod shards;

//! The tests from outside, in one program: each file is a module, `cargo test -p stir-induction --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod reference_run;
mod shards;
mod sound;
#[cfg(feature = "states")]
mod states;
#[cfg(feature = "states")]
mod stored;
mod toy;

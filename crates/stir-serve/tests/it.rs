//! The tests from outside, in one program: each file is a module, `cargo test -p stir-serve --test it FILE::` runs one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[cfg(feature = "http")]
mod answers;
mod async_ends;
mod async_engine;
mod axum_sse;
#[cfg(feature = "http")]
mod common;
#[cfg(feature = "http")]
mod lifecycle;
#[cfg(feature = "http")]
mod page;
#[cfg(feature = "http")]
mod refusals;
#[cfg(feature = "http")]
mod steering;
mod toy;

//! An engine of your own: Qwen2 on [candle](https://github.com/huggingface/candle), steered by STIR.
//!
//! The crates of the method know a model only through the traits of `stir_core`. If you have a forward pass, implement
//! these traits, and you get everything above them: batched decoding, streaming, the closed loop. Two files do it here:
//!
//! - `decoder.rs` is Qwen2 in plain candle. It calls a closure at both ends of each layer: that is all steering asks of it.
//! - `engine.rs` implements `Engine`, `Session` and `Text`: it checks rows, adds vectors, captures states, keeps caches.
//!
//! `tests/` shows how to be sure of it: `conformance::check` proves the contract, golden files prove the numbers.

mod decoder;
mod engine;

pub use engine::{CandleEngine, EngineError, KvCache};

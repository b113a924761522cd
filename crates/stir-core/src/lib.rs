//! The words and the contract that every STIR crate shares.
//!
//! STIR steers a frozen language model by adding small vectors to its residual stream at the boundaries between
//! reasoning segments. This crate knows nothing of tensors: it says what a [`HookPoint`] is, how a [`LayerSpec`]
//! names a layer, where a segment ends ([`SegmentCounter`]), how one row of logits becomes a token ([`Sampling`]),
//! what an [`Engine`] must offer, and it holds the one loop ([`drive`]) through which every token of the project is
//! generated.
//!
//! ```
//! use stir_core::{drive, toy::ToyEngine, Decode, Engine, SampleRng, Sampling};
//!
//! let engine = ToyEngine::new(7);
//! let prompt = engine.encode("abc")?;
//! let lane = Decode::new(&engine, &prompt, 16, Sampling::GREEDY, SampleRng::new(0, 0))?;
//! let mut answer = None;
//! drive(&engine, [Ok(lane)], 8, |_, done| {
//!     answer = Some(done);
//!     std::ops::ControlFlow::Continue(())
//! })?;
//! let answer = answer.expect("one lane, one answer");
//! assert!(answer.tokens.len() <= 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! (The example needs the feature `toy`.)

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod drive;
mod engine;
mod hook;
mod layer;
mod model;
mod sampling;
mod segment;
#[cfg(feature = "toy")]
pub mod toy;
mod vocab;

pub use drive::{Decode, DriveError, Finish, Generated, Lane, Limits, RequestError, drive, drive_all, generate};
pub use engine::{Addition, Engine, Output, Row, Session};
pub use hook::{HookPoint, ParseHookPointError};
pub use layer::{LayerSpec, LayerSpecError};
pub use model::{Fingerprint, FingerprintMismatch, ModelShape};
pub use sampling::{Choice, SampleRng, Sampling, SamplingError, argmax, log_prob};
pub use segment::{ControlPoint, Delimiter, EmptyDelimiter, SegmentCounter, control_points};
pub use vocab::{TokenId, Vocab};

//! The words and the contract that every STIR crate shares.
//!
//! STIR steers a frozen language model by adding small vectors to its residual stream at the boundaries between
//! reasoning segments. This crate knows nothing of tensors: it says what a [`HookPoint`] is, how a [`LayerSpec`]
//! names a layer, where a segment ends ([`SegmentCounter`]), how one row of logits becomes a token ([`Sampling`]),
//! what an [`Engine`] must offer, and it holds the one loop ([`drive`]) through which every token of the project is
//! generated.
//!
//! ```
//! use stir_core::{Engine, Request, generate_all, toy::ToyEngine};
//!
//! let engine = ToyEngine::new(7);
//! let prompt = engine.encode("abc")?;
//! let request = Request { max_tokens: 16, samples: 2, stop: vec!["\n\n".into()], ..Request::new(prompt) };
//! for answer in &generate_all(&engine, &[request], 8)?[0] {
//!     assert!(answer.tokens.len() <= 16);
//!     assert!(!answer.text(engine.vocab()).contains("\n\n"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! (The example needs the feature `toy`.)

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod drive;
mod engine;
mod generate;
mod hook;
mod layer;
mod model;
mod pattern;
mod random;
mod request;
mod sampling;
mod segment;
mod sequence;
mod setting;
mod text;
#[cfg(feature = "toy")]
pub mod toy;
mod vocab;

pub use drive::{DriveError, Lane, drive, drive_all};
pub use engine::{Addition, Engine, Output, Row, Session};
pub use generate::{Event, Flow, SampleId, Token, generate, generate_all, generate_all_with, stream, stream_with};
pub use hook::{HookPoint, ParseHookPointError};
pub use layer::{LayerSpec, LayerSpecError};
pub use model::{Fingerprint, FingerprintMismatch, ModelShape};
pub use random::SampleRng;
pub use request::{Request, RequestError};
pub use sampling::{Choice, Sampling, SamplingError, argmax, log_prob};
pub use segment::{ControlPoint, Delimiter, EmptyDelimiter, SegmentCounter, control_points};
pub use sequence::{Decode, Finish, Generated, Generation, Sequence, prefill};
pub use setting::SettingError;
pub use text::{EmptyStop, StopMatcher, TextStream};
pub use vocab::{TokenId, Vocab};

//! Shared types and the [`Engine`] contract of STIR.
//!
//! STIR steers a frozen language model by adding small vectors to its residual stream at the boundaries between
//! reasoning segments. This crate knows nothing of tensors. It defines
//!
//! - [`Engine`], the contract of a model that runs batches of rows through its layers, and [`Text`], that of one with a
//!   tokenizer;
//! - [`Scheduler`], the one loop through which every token of the project is generated, and on top of it [`Generator`]
//!   (requests may arrive at any time), [`generate`] and [`stream`] (all requests are known);
//! - [`HookPoint`], [`LayerSpec`] and [`SegmentCounter`]: where hidden states are read and changed;
//! - [`Sampling`]: how one row of logits becomes a token;
//! - [`SettingError`]: the words in which all crates report a setting that is out of bounds.
//!
//! ```
//! use stir_core::{Engine, GenerateOptions, Request, Text, generate, toy::ToyEngine};
//!
//! let engine = ToyEngine::new(7);
//! let prompt = engine.encode("abc")?;
//! let request = Request { max_tokens: 16, samples: 2, stop: vec!["\n\n".into()], ..Request::new(prompt) };
//! for answer in &generate(&engine, &[request], GenerateOptions::default())?[0] {
//!     assert!(answer.tokens.len() <= 16);
//!     assert!(!answer.text(engine.vocab()).contains("\n\n"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! (The example needs the feature `toy`.)

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod generate;
mod generator;
mod hook;
mod layer;
mod model;
mod pattern;
mod random;
mod request;
mod sampling;
mod scheduler;
mod segment;
mod sequence;
mod setting;
mod text;
#[cfg(feature = "toy")]
pub mod toy;
mod vocab;

pub use engine::{Addition, Engine, Output, Row, Session, Text};
pub use generate::{Event, Flow, GenerateOptions, SampleId, Token, generate, generate_with, stream, stream_with};
pub use generator::{GenerateError, Generator};
pub use hook::{HookPoint, ParseHookPointError};
pub use layer::{LayerSpec, LayerSpecError};
pub use model::{Fingerprint, FingerprintMismatch, ModelShape};
pub use random::SampleRng;
pub use request::{Request, RequestError};
pub use sampling::{Choice, Sampling, SamplingError, argmax, log_prob};
pub use scheduler::{DriveError, Lane, LaneId, Scheduler, StepError, drive};
pub use segment::{ControlPoint, Delimiter, EmptyDelimiter, SegmentCounter, control_points};
pub use sequence::{Decode, Finish, Generated, Generation, Sequence, prefill};
pub use setting::SettingError;
pub use text::{EmptyStop, StopMatcher, TextStream};
pub use vocab::{TokenId, Vocab};

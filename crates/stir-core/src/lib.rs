#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod event;
mod event_lane;
mod generate;
mod generator;
mod hook;
mod layer;
mod model;
mod pattern;
mod random;
mod reasoning;
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
pub use event::{Event, SampleId, Token};
pub use event_lane::{EventLane, EventOf};
pub use generate::{Flow, GenerateOptions, generate, generate_with, stream, stream_with};
pub use generator::{GenerateError, Generator};
pub use hook::{HookPoint, ParseHookPointError};
pub use layer::{LayerSpec, LayerSpecError};
pub use model::{Fingerprint, FingerprintMismatch, ModelShape};
pub use random::SampleRng;
pub use reasoning::{judged_text, opens_reasoning};
pub use request::{Request, RequestError};
pub use sampling::{Choice, Sampling, SamplingError, argmax, log_prob};
pub use scheduler::{DriveError, Lane, LaneId, Scheduler, StepError, drive};
pub use segment::{ControlPoint, Delimiter, EmptyDelimiter, SegmentCounter, control_points};
pub use sequence::{Decode, Finish, Generated, Generation, Sequence, prefill};
pub use setting::SettingError;
pub use text::{EmptyStop, StopMatcher, TextStream};
pub use vocab::{TokenId, Vocab};

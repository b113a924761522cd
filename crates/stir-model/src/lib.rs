//! Decoder language models on [burn] with hook points on the residual stream.
//!
//! [`Lm::load`] reads a Hugging Face folder and gives an [`Engine`](stir_core::Engine): batches of rows of different
//! lengths, each over its own [`KvCache`], with additions to the residual stream and captures from it where a row asks
//! for them. Weights are only borrowed; a sequence's state is a value that forks without copying its past.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod alike;
mod attention;
mod cache;
mod chat;
mod checkpoint;
mod compute;
mod config;
#[cfg(feature = "flex")]
#[allow(
    clippy::needless_range_loop,
    reason = "closures are compiled without the instructions of the kernel they are in"
)]
mod cpu;
mod decoder;
mod device;
mod error;
mod generation;
mod hooks;
mod lm;
mod pieces;
mod python_json;
mod template;
mod tokenizer;
mod tokenizer_config;

pub use cache::KvCache;
pub use chat::{ChatOptions, ChatTemplate, Message, opens_reasoning};
pub use checkpoint::{Checkpoint, LoadProgress, save_checkpoint};
pub use config::{Activation, DecoderConfig, Rope, RopeFrequencies, RopeScaling};
pub use decoder::{Decoder, NamedTensor};
pub use device::{ComputeType, DeviceSpec};
pub use error::{DeviceError, ModelError, RowError};
pub use generation::GenerationDefaults;
pub use lm::{Inspection, Lm, LoadOptions};
#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use tokenizer::Tokenizer;

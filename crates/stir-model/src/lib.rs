#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "decoder")]
mod attention;
#[cfg(feature = "decoder")]
mod batch;
#[cfg(feature = "decoder")]
mod cache;
mod chat;
mod checkpoint;
#[cfg(feature = "decoder")]
mod compute;
mod config;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "decoder")]
mod decoder;
mod device;
mod error;
mod files;
mod fingerprint;
mod generation;
pub mod gguf;
#[cfg(feature = "decoder")]
mod hooks;
#[cfg(feature = "decoder")]
mod lm;
mod pieces;
mod python_json;
#[cfg(feature = "decoder")]
mod shared_rows;
mod template;
mod tokenizer;
mod tokenizer_config;

#[cfg(feature = "decoder")]
pub use cache::KvCache;
pub use chat::{ChatOptions, ChatTemplate, Message};
#[cfg(feature = "decoder")]
pub use checkpoint::LoadProgress;
pub use checkpoint::{Checkpoint, StoredRows, StoredTensor};
pub use config::{Activation, DecoderConfig, QkNorm, Rope, RopeFrequencies, RopeScaling};
#[cfg(feature = "decoder")]
pub use decoder::{Decoder, NamedTensor};
#[cfg(feature = "decoder")]
pub use device::ReadError;
pub use device::{ComputeType, DeviceError, DeviceSpec};
pub use error::{ChatTemplateError, JsonError, ModelError, RowError, SafetensorsError, TokenizerError};
pub use files::ModelFiles;
pub use fingerprint::{fingerprint, fingerprint_of, fingerprint_of as fingerprint_of_folder};
pub use generation::GenerationDefaults;
#[cfg(feature = "decoder")]
pub use lm::{Inspection, Lm, LoadOptions};
pub use stir_core::opens_reasoning;
#[cfg(feature = "hub")]
pub use stir_hub as hub;
pub use stir_kernels::Activations;
pub use stir_kernels::Format;
pub use tokenizer::Tokenizer;

#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "clustering")]
mod cluster;
mod codec;
mod config;
mod constant;
mod content;
mod contexts;
mod dpp;
mod entry;
mod error;
mod evidence;
mod export;
mod head;
mod library;
mod mean;
mod pair;
mod retrieve;
mod select;
mod v1;
mod vector;

#[cfg(feature = "clustering")]
pub use cluster::ClusterError;
pub use codec::{FileError, FileKind, PayloadError};
pub use config::{BasisConfig, SelectionMethod};
pub use content::ContentError;
pub use contexts::cluster_states;
pub use dpp::{DppConfig, greedy_dpp};
pub use entry::{Action, Entry, Key};
pub use error::BasisError;
pub use evidence::Evidence;
pub use head::ValueHead;
pub use library::{Library, Selection};
pub use mean::StateMean;
pub use pair::{MinedPairs, Pair};
pub use retrieve::Hit;
pub use select::select;
pub use vector::{cosine, norm, normalize};

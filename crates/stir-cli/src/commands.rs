//! One module for each subcommand: its flags, and what it does.

pub(crate) mod basis;
pub(crate) mod calibrate;
pub(crate) mod chat;
#[cfg(feature = "cloud")]
pub(crate) mod cloud;
pub(crate) mod controls;
pub(crate) mod diagnose;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod fork;
pub(crate) mod grade;
pub(crate) mod import;
pub(crate) mod induce;
pub(crate) mod inspect;
pub(crate) mod merge;
pub(crate) mod pipeline;
pub(crate) mod rollout;
pub(crate) mod serve;
pub(crate) mod steer;
pub(crate) mod train_tiny;
pub(crate) mod validate;

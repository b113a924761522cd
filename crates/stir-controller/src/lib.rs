//! Retrieve, probe and commit: the run-time half of STIR.
//!
//! [`Controller::plan`] and [`Controller::decide`] are the method's two decisions, pure functions of a library and of
//! numbers read from a model. [`SteeredLane`] is the state machine that runs them on any
//! [`Engine`](stir_core::Engine); many lanes share forward passes in [`stir_core::drive`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod controller;
mod error;
mod generate;
mod lane;
mod plan;
mod probe;
mod steering;
mod trace;

pub use config::{ControllerConfig, Scope, Variant};
pub use controller::Controller;
pub use error::ControllerError;
pub use lane::SteeredLane;
pub use plan::{Candidate, Commit, ControlState, Decision, LayerState, Plan, Planned, ProbeScores, Scored};
pub use probe::ProbeBranch;
pub use steering::{Next, Steering};
pub use trace::{Place, Retrieved, Steered, Step};

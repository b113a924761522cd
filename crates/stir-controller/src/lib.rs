#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod controller;
mod error;
mod generate;
mod lane;
mod placement;
mod plan;
mod probe;
mod probes;
mod steering;
mod strength;
mod trace;

pub use config::{ControllerConfig, Probe, Scope, Variant};
pub use controller::Controller;
pub use error::ControllerError;
pub use lane::SteeredLane;
pub use placement::Placement;
pub use plan::{Candidate, Commit, ControlState, Decision, LayerState, Plan, Planned, ProbeScores, Scored};
pub use probe::ProbeBranch;
pub use steering::{Next, Steering};
pub use strength::Strength;
pub use trace::{Place, Retrieved, Steered, Step};

/// Everything that a server needs can be sent to another thread, except a lane's session, which is the engine's.
const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Controller>();
    send_and_sync::<Steering>();
    send_and_sync::<ProbeBranch>();
    const fn send<T: Send>() {}
    send::<SteeredLane<Box<u8>>>();
};

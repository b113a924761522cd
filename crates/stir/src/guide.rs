//! The guide: the pages of the repository's folder `docs/`, which name each other by their file names.
//!
//! | page | question it answers |
//! |---|---|
//! | [`method`] | What does STIR compute, term by term, and which types hold it? |
//! | [`architecture`] | Which crate does what, how does data flow, and where does a change belong? |
//! | [`models`] | Which models load, how much memory do they need, and how is a family added? |
//! | [`remote_rollouts`] | How does a server sample the rollouts, and what is checked of it? |
//! | [`tasks`] | Which benchmarks are built in, and how is one added? |
//! | [`diagnosis`] | Can this model be steered, and what do the numbers say that tell? |
//! | [`validation`] | Which entries of a library help, and what does it cost to know? |
//! | [`calibration`] | Does any setting help this model on this task? |
//! | [`evidence`] | What did steering do to real models? |
//! | [`vectors`] | How do vectors get to llama.cpp and repeng, and from there? |
//! | [`controls`] | Where must steering help, do nothing, or do harm, and does it? |
//! | [`cluster`] | How is a run divided among machines? |
//! | [`serve`] | What does the server answer, and what bounds it? |
//! | [`grading`] | When is an answer right, rule by rule? |
//! | [`security`] | What is trusted, what is bounded, and how was that tried? |
//! | [`parity`] | What was compared with other implementations, and what differs on purpose? |
//! | [`performance`] | How fast is it, next to other programs and to what the machine allows? |
//! | [`changelog`] | What changed between versions, and what moved where? |

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
#[doc = include_str!("../docs/calibration.md")]
pub mod calibration {}
#[doc = include_str!("../docs/changelog.md")]
pub mod changelog {}
#[doc = include_str!("../docs/cluster.md")]
pub mod cluster {}
#[doc = include_str!("../docs/controls.md")]
pub mod controls {}
#[doc = include_str!("../docs/diagnosis.md")]
pub mod diagnosis {}
#[doc = include_str!("../docs/evidence.md")]
pub mod evidence {}
#[doc = include_str!("../docs/grading.md")]
pub mod grading {}
#[doc = include_str!("../docs/method.md")]
pub mod method {}
#[doc = include_str!("../docs/models.md")]
pub mod models {}
#[doc = include_str!("../docs/parity.md")]
pub mod parity {}
#[doc = include_str!("../docs/performance.md")]
pub mod performance {}
#[doc = include_str!("../docs/remote-rollouts.md")]
pub mod remote_rollouts {}
#[doc = include_str!("../docs/serve.md")]
pub mod serve {}
#[doc = include_str!("../docs/security.md")]
pub mod security {}
#[doc = include_str!("../docs/tasks.md")]
pub mod tasks {}
#[doc = include_str!("../docs/validation.md")]
pub mod validation {}
#[doc = include_str!("../docs/vectors.md")]
pub mod vectors {}

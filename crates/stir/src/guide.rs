//! The guide: the pages of the repository's folder `docs/`, which name each other by their file names.
//!
//! | page | question it answers |
//! |---|---|
//! | [`method`] | What does STIR compute, term by term, and which types hold it? |
//! | [`architecture`] | Which crate does what, how does data flow, and where does a change belong? |
//! | [`models`] | Which models load, how much memory do they need, and how is a family added? |
//! | [`tasks`] | Which benchmarks are built in, and how is one added? |
//! | [`diagnosis`] | Can this model be steered, and what do the numbers say that tell? |
//! | [`grading`] | When is an answer right, rule by rule? |
//! | [`parity`] | What was compared with other implementations, and what differs on purpose? |
//! | [`performance`] | How fast is it, next to other programs and to what the machine allows? |
//! | [`changelog`] | What changed between versions, and what moved where? |

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
#[doc = include_str!("../docs/changelog.md")]
pub mod changelog {}
#[doc = include_str!("../docs/diagnosis.md")]
pub mod diagnosis {}
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
#[doc = include_str!("../docs/tasks.md")]
pub mod tasks {}

//! Experiments as data: a TOML file describes what is run, and a runner works through it.
//!
//! An [`Experiment`] names models, tasks, methods, grids of settings and seeds. The [`Runner`] draws rollouts, mines and
//! selects libraries, and answers. Stages that several cells share (rollouts, candidates, libraries) are made once. The
//! output of every stage is in a folder named by the digest of everything that it depends on, inputs by their content: a
//! folder only ever holds results for exactly these settings, and they are never recomputed. A [`Backend`] loads the
//! models and makes their prompts. Everything in the file is read and checked before anything is loaded.
//!
//! ```
//! use stir_eval::experiment::Experiment;
//!
//! let experiment = Experiment::parse(r#"
//!     name = "depth"
//!     seeds = [0, 1]
//!     transfer = true
//!
//!     [[models]]
//!     name = "tiny"
//!     source = { folder = "crates/stir-cli/assets/tiny" }
//!
//!     [[tasks]]
//!     name = "stories"
//!     mine.stories = { count = 120, half = "mine" }
//!     answer.stories = { count = 300, half = "answer" }
//!
//!     [answers]
//!     max_tokens = 200
//!
//!     [mining]
//!     rollout = { samples = 8, max_tokens = 200 }
//!     basis = { budget = 64, min_per_control_point = 4 }
//!     grid = { "induction.layers" = [["0.4"], ["0.6"]] }
//!
//!     [[methods]]
//!     name = "plain"
//!     method = "plain"
//!
//!     [[methods]]
//!     name = "stir"
//!     method = "stir"
//!     grid = { k_scale = [0.5, 0.75, 1.0] }
//! "#)?;
//! assert_eq!(experiment.methods()?.len(), 4); // plain, and stir at three scales
//! assert_eq!(experiment.recipes()?.len(), 2); // libraries at two depths
//! # Ok::<(), stir_eval::experiment::ExperimentError>(())
//! ```
//!
//! The `source` of a model is up to the backend; `mine` and `answer` are [`ProblemSource`](crate::questions::ProblemSource)s.
//! `[answers]` is shared by all methods (see [`AnswerSettings`]), `rollout` is [`RolloutSettings`], `induction` an
//! [`InductionConfig`](stir_induction::InductionConfig), `basis` a [`BasisConfig`](stir_basis::BasisConfig), and a method
//! a [`MethodConfig`](crate::method::MethodConfig) with a name and a grid. With the contrast `forked`, `forks` are
//! [`ForkSettings`]; with `validation` ([`ValidationSettings`]) entries are tried on the problems that a task names as
//! `validate`, and those that do not help leave; `heads = true` fits read-outs of success.

mod backend;
mod error;
mod event;
mod grid;
mod index;
mod merge;
mod model_run;
mod outcome;
mod plan;
mod runner;
mod spec;
mod stages;
mod store;
mod typed;

pub use self::{
    backend::Backend,
    error::{ExperimentError, RunnerError},
    event::Event,
    merge::merge,
    outcome::{LibraryFiles, Outcome},
    runner::Runner,
    spec::{AnswerSettings, Experiment, MethodSpec, Mining, ModelSpec, PlannedMethod, Recipe, TaskSpec},
    stages::{ForkSettings, RolloutSettings, ValidationSettings},
    store::digest,
};
pub(crate) use self::{
    backend::Failure,
    model_run::ModelRun,
    plan::{Cell, Plan},
    store::Store,
    typed::typed,
};

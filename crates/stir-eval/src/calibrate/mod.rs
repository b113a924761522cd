//! Calibration: which settings help a model on a task, if any, found out on problems of its own and judged once.
//!
//! A [`Calibration`] is a TOML file: a model, four sets of problems that have none in common, grids of settings, and a
//! budget. The [`Calibrator`] mines libraries from the first set, lets settings compete on development by successive
//! halving, and answers the test set once, by plain decoding and by the best setting. The result is a verdict with its
//! numbers ([`CalibrationOutcome`]) and a [`Preset`] to decode with: the setting if it is worth it, plain decoding if not.
//! `docs/calibration.md` says how it decides.
//!
//! ```
//! use stir_eval::calibrate::Calibration;
//!
//! let calibration = Calibration::parse(r#"
//!     name = "stories"
//!     model = { name = "tiny", source = { folder = "crates/stir-cli/assets/tiny" } }
//!     budget = { tokens = 3_000_000 }
//!
//!     [problems]
//!     mine.stories = { count = 60, half = "mine" }
//!     development.stories = { count = 80, half = "answer" }
//!     test.stories = { count = 200, half = "answer", skip = 80 }
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
//!     name = "stir"
//!     method = "stir"
//!     grid = { k_scale = [0.25, 0.5, 1.0] }
//! "#)?;
//! assert_eq!((calibration.halving.eta, calibration.halving.first), (2, 20));
//! # Ok::<(), stir_eval::calibrate::CalibrationError>(())
//! ```

mod bench;
mod budget;
mod error;
mod finish;
mod outcome;
mod preset;
mod runner;
mod search;
mod sets;
#[cfg(test)]
mod simulation;
mod spec;
mod tables;
mod trial;
mod verdict;

pub use self::{
    budget::{Cost, Limit},
    error::{CalibrateError, CalibrationError},
    outcome::{CalibrationOutcome, Look, Spending, TriedSetting},
    preset::{Preset, TestedSetting},
    runner::Calibrator,
    search::{BudgetPlan, Rung, RungPlan},
    sets::Overlap,
    spec::{Budget, Calibration, Halving, ProblemSets, Set, TokenCount},
    trial::Standing,
    verdict::{TestResult, TestSide, TestStatistics, Verdict},
};

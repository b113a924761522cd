use std::error::Error;

use stir_core::RequestError;
use stir_report::Settings;

/// An event of a running experiment, for [`Runner::observer`](super::Runner::observer).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A stage begins, or its output exists already.
    #[non_exhaustive]
    Stage {
        /// `rollouts`, `candidates`, `libraries` or `validated`.
        kind: &'static str,
        /// The task that is mined.
        task: &'a str,
        /// The folder of the stage, relative to that of the experiment.
        folder: &'a str,
        /// True if the output exists already.
        reused: bool,
    },
    /// A stage moves on.
    #[non_exhaustive]
    Progress {
        /// `rollouts`, `forks`, `candidates`, or of a validation first `states`, then `validated`.
        kind: &'static str,
        /// The task that is mined.
        task: &'a str,
        /// The number of rollouts, problems, states or continuations that are done.
        done: usize,
        /// The number of all of them, where it is known.
        total: Option<usize>,
    },
    /// A problem, or a sample of it, failed. The others are mined.
    #[non_exhaustive]
    Failed {
        /// The task that is mined.
        task: &'a str,
        /// The problem.
        id: &'a str,
        /// The number of its samples that are missing.
        samples: usize,
        /// The reason.
        reason: &'a (dyn Error + 'static),
    },
    /// A question's prompt leaves no room for an answer; an empty one is kept for every method. Reported once for each
    /// model and task.
    #[non_exhaustive]
    NoRoom {
        /// The task that is answered.
        task: &'a str,
        /// The question.
        id: &'a str,
        /// The length of the prompt and the room there is.
        reason: &'a RequestError,
    },
    /// Progress in the answers of a cell: reported at its start, and after every one.
    #[non_exhaustive]
    Answers {
        /// The number of the cell, from 0.
        cell: usize,
        /// The number of cells.
        cells: usize,
        /// The settings of the cell.
        settings: &'a Settings,
        /// The number of answers that exist.
        done: usize,
        /// The number of answers in the end.
        total: usize,
    },
}

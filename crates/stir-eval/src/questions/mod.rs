//! Problems ready to be asked: their prompts for one model, their right answers, and who judges.
//!
//! [`TaskSource`] says where problems come from; [`Questions`] are what becomes of them for a model whose chat template
//! makes the prompts. [`ProblemSource`] is the same for the file of an experiment.
//!
//! ```
//! use std::convert::Infallible;
//! use stir_eval::questions::TaskSource;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("sums.jsonl");
//! std::fs::write(&path, r#"{"id": 1, "question": "2 + 2?", "gold": 4}"#)?;
//!
//! let template = |_: Option<&str>, user: &str| Ok::<_, Infallible>(format!("Q: {user}\nA:"));
//! let asked = TaskSource::file(&path).open(&template)?;
//! assert_eq!(asked.questions[0].prompt, "Q: 2 + 2?\nA:");
//! assert!((asked.judges)(&asked.questions[0]).judge("4", "#### 4").correct());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod set;
mod source;
mod stories;

pub use self::{
    error::{QuestionError, SourceError},
    set::{Questions, final_number, location, refuses_system},
    source::{ProblemSource, TaskSource},
    stories::{Half, Stories},
};

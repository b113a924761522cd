//! Scores the answers of reasoning models, and says how sure one can be that one method beats another.
//!
//! Scoring knows no model: texts go in, numbers come out, so answers from any source can be scored. Who has an
//! [`Engine`](stir_core::Engine) finds here the ways of answering that are compared, too.
//!
//! - [`answer`]: what a text answers, and whether that equals the gold answer ([`FinalNumber`]).
//! - [`method`]: plain decoding, the usual baselines and STIR on one engine.
//! - [`answers`]: files of answers that survive being killed.
//! - [`experiment`]: models, tasks, methods, grids and seeds as a file, and what runs it.
//! - [`stats`]: intervals and paired tests for a few hundred yes-or-no outcomes.
//! - [`MethodRun`] and [`Comparison`]: methods that answered the same problems, side by side against a baseline.
//!
//! ```
//! use stir_eval::{Answer, Comparison, FinalNumber, MethodRun};
//!
//! let gold = [("a", "4"), ("b", "1,200")];
//! let run = |name: &str, texts: [&str; 2]| MethodRun {
//!     name: name.into(),
//!     answers: gold
//!         .iter()
//!         .zip(texts)
//!         .map(|((id, gold), text)| Answer {
//!             id: (*id).into(),
//!             correct: FinalNumber.correct(gold, text),
//!             tokens: text.len(),
//!             probe_tokens: 0,
//!         })
//!         .collect(),
//!     seconds: 0.5,
//! };
//! let plain = run("plain", ["2 + 2 = 4\n#### 4", "About a thousand."]);
//! let stir = run("stir", ["#### 4.0", "#### $1200"]);
//! let comparison = Comparison::new(&plain, &[stir])?;
//! assert_eq!(comparison.get("plain").map(|m| m.accuracy), Some(0.5));
//! assert_eq!(comparison.get("stir").map(|m| m.accuracy), Some(1.0));
//! println!("{comparison}");
//! # Ok::<(), stir_eval::EvalError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod answer;
pub mod answers;
mod compare;
mod error;
pub mod experiment;
mod judge;
pub mod method;
mod outcome;
mod record;
pub mod stats;
mod table;

pub use answer::FinalNumber;
pub use compare::{Comparison, MethodSummary, Paired};
pub use error::EvalError;
pub use judge::{Grade, Judge, Judged, Verdict};
pub use outcome::{Answer, MethodRun};
pub use record::{Record, Run, Settings};

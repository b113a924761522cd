//! Compares two short answers: numbers, expressions, tuples, intervals, equations, words.
//!
//! ```
//! use stir_grade::{Verdict, equality::equal};
//!
//! let verdict = |gold, pred| equal(gold, pred).verdict;
//! assert_eq!(verdict(r"\frac{\sqrt{8}}{2}", "sqrt(2)"), Verdict::Equal);
//! assert_eq!(verdict("(a+5)(b+2)", "ab + 2a + 5b + 10"), Verdict::Equal);
//! assert_eq!(verdict("(3,4]", "[3,4]"), Verdict::Different);
//! // A decimal gold answer says how closely it wants to be met; an exact one wants to be met exactly.
//! assert_eq!(verdict("0.33", r"\frac13"), Verdict::Equal);
//! assert_eq!(verdict(r"\frac13", "0.33"), Verdict::Different);
//! ```
//!
//! A comparison has four steps, each in its own folder:
//!
//! 1. `read/`: the answer is split into tokens and parsed into a tree.
//! 2. `algebra/`: expressions are computed exactly, as quotients of polynomials over variables, roots, pi, e and
//!    functions. Two expressions are equal because a proof says so, not because their digits agree.
//! 3. `shape/`: around the expressions are lists, intervals, relations and units.
//! 4. `compare/`: the rules compare two shapes. `docs/grading.md` lists the rules and says where they differ from other
//!    graders.
//!
//! `decide.rs` takes these steps in order. Time and memory are bounded for every input (`limits.rs`): a comparison that
//! would take more is [`Verdict::Unclear`].

mod algebra;
mod budget;
mod compare;
mod decide;
mod decision;
mod limits;
mod options;
mod read;
mod shape;
mod why;

#[cfg(test)]
mod tests;

pub use options::Options;
pub(crate) use read::units::operation as changes_number;

use crate::Grade;
#[cfg(doc)]
use crate::Verdict;

impl Options {
    /// Returns the grade of `pred` against `gold` under these options; see [`equal`].
    pub fn equal(&self, gold: &str, pred: &str) -> Grade {
        let decision = decide::decide(gold, pred, self);
        Grade {
            verdict: decision.verdict,
            rule: decision.rule.name().to_owned(),
            why: decision.why.map(|why| why.to_string()),
        }
    }
}

/// Compares the answer `pred` with the right answer `gold`. Both are LaTeX or plain text, and bare answers: to find the
/// answer in a longer text, use [`extract`](crate::extract) or one of the judges.
///
/// The order of the arguments matters where `gold` is a decimal (an answer that rounds to it is right, but not the
/// other way round) and where it is a choice letter.
pub fn equal(gold: &str, pred: &str) -> Grade {
    Options::default().equal(gold, pred)
}

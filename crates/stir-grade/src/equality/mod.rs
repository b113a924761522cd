//! Whether two short answers say the same: numbers, expressions, tuples, intervals, equations, words.
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
//! An answer is split into tokens (`lex.rs`) and parsed into a tree (`parse.rs`). Expressions are computed exactly, as
//! quotients of polynomials over variables, roots, pi, e and functions (`algebra.rs`, `functions.rs`, `eval.rs`); around
//! them are lists, intervals, relations and units (`shape.rs`), which the rules compare (`rules.rs`). What decides that
//! two expressions are equal is a proof, not a number of digits (`zero.rs`, `precise.rs`). `docs/grading.md` lists the
//! rules and says where they differ from other graders.
//!
//! Time and memory are bounded for every input (`budget.rs`): what would take more is [`Verdict::Unclear`].

mod algebra;
mod budget;
mod commands;
mod digits;
mod eval;
mod functions;
mod interval;
mod lex;
mod names;
mod parse;
mod plain;
mod poly;
mod precise;
mod quantities;
mod relations;
mod rules;
mod shape;
mod stated;
mod terms;
mod text;
mod unions;
mod units;
mod why;
mod words;
mod zero;

#[cfg(test)]
mod tests;

pub(crate) use units::operation as changes_number;

use serde::{Deserialize, Serialize};

use crate::{Grade, Verdict};

use self::{
    algebra::Algebra,
    budget::MAX_BYTES,
    lex::{Commas, lex},
    parse::parse,
    rules::{Comparer, Decision},
    shape::{Shape, shape},
    why::Why,
};

/// What decided; its name is the `rule` of a [`Grade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Identical,
    Choice,
    Text,
    Number,
    Rounded,
    Expression,
    Percent,
    Degrees,
    Unit,
    Base,
    Modulus,
    Ratio,
    Tuple,
    List,
    Set,
    Interval,
    Matrix,
    Assignment,
    Equation,
    Inequality,
    Forms,
    Unread,
    Limits,
}

impl Rule {
    /// The name of the rule, as `docs/grading.md` lists it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::Choice => "choice",
            Self::Text => "text",
            Self::Number => "number",
            Self::Rounded => "rounded",
            Self::Expression => "expression",
            Self::Percent => "percent",
            Self::Degrees => "degrees",
            Self::Unit => "unit",
            Self::Base => "base",
            Self::Modulus => "modulus",
            Self::Ratio => "ratio",
            Self::Tuple => "tuple",
            Self::List => "list",
            Self::Set => "set",
            Self::Interval => "interval",
            Self::Matrix => "matrix",
            Self::Assignment => "assignment",
            Self::Equation => "equation",
            Self::Inequality => "inequality",
            Self::Forms => "forms",
            Self::Unread => "unread",
            Self::Limits => "limits",
        }
    }
}

/// Choices that answers do not make themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether the order of a list without brackets counts: `1, 2` and `2, 1`. Tuples are ordered and sets are not,
    /// with or without this.
    pub ordered_lists: bool,
    /// Whether what only one of two answers says counts: a unit, a percent or degree sign, a modulus, or the name of
    /// `x = 5`. Answers that are the same without it are then [`Verdict::Unclear`].
    pub complete: bool,
}

impl Options {
    /// Whether `pred` says the same as `gold`, under these options. See [`equal`].
    pub fn equal(&self, gold: &str, pred: &str) -> Grade {
        let decision = decide(gold, pred, self);
        Grade {
            verdict: decision.verdict,
            rule: decision.rule.name().to_owned(),
            why: decision.why.map(|why| why.to_string()),
        }
    }
}

/// Whether the answer `pred` says the same as the right answer `gold`; both in LaTeX or plain, and short: not a text
/// with an answer in it.
///
/// The order matters where `gold` is a decimal (an answer that rounds to it is right, not the other way round) and
/// where it is a choice letter.
pub fn equal(gold: &str, pred: &str) -> Grade {
    Options::default().equal(gold, pred)
}

fn decide(gold: &str, pred: &str, options: &Options) -> Decision {
    let (gold, pred) = (plain::ascii(gold), plain::ascii(pred));
    let (gold, pred) = (text::bare(&gold), text::bare(&pred));
    if gold.is_empty() || pred.is_empty() {
        return Decision::different(Rule::Text);
    }
    if gold == pred {
        return Decision::equal(Rule::Identical);
    }
    if gold.len().max(pred.len()) > MAX_BYTES {
        return Decision::unclear(Rule::Limits, Why::TooLong);
    }
    if text::spelling(gold) == text::spelling(pred) {
        return Decision::equal(Rule::Identical);
    }
    let digits = |text: &str| plain::spelled_out(text).map(|number| number.to_string());
    let (a, b) = (digits(gold), digits(pred));
    let (gold, pred) = (a.as_deref().unwrap_or(gold), b.as_deref().unwrap_or(pred));
    if let Some(decision) = text::choices(gold, pred).or_else(|| text::words(gold, pred)) {
        return decision;
    }
    let (a, b) = (plain::modulus(gold), plain::modulus(pred));
    if a.1.or(b.1).is_some() {
        return congruent(a, b, options);
    }
    let first = compare(gold, pred, options, (Commas::Thousands, Commas::Thousands));
    if first.verdict == Verdict::Equal {
        return first;
    }
    // A choice letter before what is chosen, where the gold answer is that.
    if let Some((letter, rest)) = text::chosen(pred)
        && !gold.contains(letter)
    {
        let rest = text::bare(rest);
        return match rest.is_empty() || text::chosen(rest).is_some() {
            true => Decision::unclear(Rule::Choice, Why::Options),
            false if text::spelling(gold) == text::spelling(rest) => Decision::equal(Rule::Choice),
            false => match text::words(gold, rest) {
                Some(decision) => decision,
                None => read_commas(gold, rest, options),
            }
            .by(Rule::Choice),
        };
    }
    other_readings(gold, pred, options, first)
}

/// Compares numbers with their moduli, of which one may be missing.
fn congruent(gold: (&str, Option<&str>), pred: (&str, Option<&str>), options: &Options) -> Decision {
    let numbers = read_commas(gold.0, pred.0, options);
    let decision = plain::congruent(gold, pred, numbers);
    if gold.1.is_some() == pred.1.is_some() { decision } else { decision.left_out(options) }
}

/// Compares formulas in all readings of their commas.
fn read_commas(gold: &str, pred: &str, options: &Options) -> Decision {
    let first = compare(gold, pred, options, (Commas::Thousands, Commas::Thousands));
    if first.verdict == Verdict::Equal { first } else { other_readings(gold, pred, options, first) }
}

/// Compares formulas in the other readings of their commas.
fn other_readings(gold: &str, pred: &str, options: &Options, first: Decision) -> Decision {
    // Commas between digits may also separate, or be decimal points.
    for commas in text::other_commas(gold, pred) {
        let decision = compare(gold, pred, options, commas);
        if decision.verdict == Verdict::Equal {
            return decision;
        }
    }
    first
}

/// Reads and compares two answers.
fn compare(gold: &str, pred: &str, options: &Options, commas: (Commas, Commas)) -> Decision {
    let mut algebra = Algebra::new();
    let mut read = |text: &str, commas| match lex(text, commas).and_then(parse) {
        Ok(tree) => shape(&mut algebra, &tree),
        Err(why) => Shape::Unread(why),
    };
    let (a, b) = (read(gold, commas.0), read(pred, commas.1));
    match (&a, &b) {
        // What is no formula on either side is compared as words.
        (Shape::Unread(Why::Syntax), Shape::Unread(Why::Syntax)) if text::worded(gold) || text::worded(pred) => {
            text::alike(gold, pred)
        }
        (Shape::Unread(Why::Syntax), Shape::Unread(_)) => Decision::unclear(Rule::Unread, Why::Syntax),
        (Shape::Unread(Why::Syntax), _) | (_, Shape::Unread(Why::Syntax)) => {
            Decision::unclear(Rule::Unread, Why::HalfRead)
        }
        (Shape::Unread(why), _) | (_, Shape::Unread(why)) => Decision::unclear(Rule::Limits, why.clone()),
        _ => Comparer { algebra: &mut algebra, options }.compare(&a, &b),
    }
}

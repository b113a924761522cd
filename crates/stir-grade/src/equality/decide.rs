//! The steps of a comparison, from spelling to shapes.

use super::{
    algebra::Algebra,
    compare::{self, Comparer},
    decision::{Decision, Rule},
    limits::MAX_BYTES,
    options::Options,
    read::{Commas, characters, lex, number_words, parse, spelling},
    shape::{Shape, reader::shape},
    why::Why,
};
use crate::Verdict;

pub(crate) fn decide(gold: &str, pred: &str, options: &Options) -> Decision {
    let (gold, pred) = (characters::ascii(gold), characters::ascii(pred));
    let (gold, pred) = (spelling::bare(&gold), spelling::bare(&pred));
    if gold.is_empty() || pred.is_empty() {
        return Decision::different(Rule::Text);
    }
    if gold == pred {
        return Decision::equal(Rule::Identical);
    }
    if gold.len().max(pred.len()) > MAX_BYTES {
        return Decision::unclear(Rule::Limits, Why::TooLong);
    }
    if spelling::spelling(gold) == spelling::spelling(pred) {
        return Decision::equal(Rule::Identical);
    }
    let digits = |text: &str| number_words::spelled_out(text).map(|number| number.to_string());
    let (a, b) = (digits(gold), digits(pred));
    let (gold, pred) = (a.as_deref().unwrap_or(gold), b.as_deref().unwrap_or(pred));
    if let Some(decision) = compare::choices(gold, pred).or_else(|| compare::words(gold, pred)) {
        return decision;
    }
    let (a, b) = (compare::modulus(gold), compare::modulus(pred));
    if a.1.or(b.1).is_some() {
        return congruent(a, b, options);
    }
    let first = compare(gold, pred, options, (Commas::Thousands, Commas::Thousands));
    if first.verdict == Verdict::Equal {
        return first;
    }
    // A choice letter before what is chosen, where the gold answer is that.
    if let Some((letter, rest)) = compare::chosen(pred)
        && !gold.contains(letter)
    {
        let rest = spelling::bare(rest);
        return match rest.is_empty() || compare::chosen(rest).is_some() {
            true => Decision::unclear(Rule::Choice, Why::Options),
            false if spelling::spelling(gold) == spelling::spelling(rest) => Decision::equal(Rule::Choice),
            false => match compare::words(gold, rest) {
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
    let decision = compare::congruent(gold, pred, numbers);
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
    for commas in spelling::other_commas(gold, pred) {
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
        (Shape::Unread(Why::Syntax), Shape::Unread(Why::Syntax)) if compare::worded(gold) || compare::worded(pred) => {
            compare::alike(gold, pred)
        }
        (Shape::Unread(Why::Syntax), Shape::Unread(_)) => Decision::unclear(Rule::Unread, Why::Syntax),
        (Shape::Unread(Why::Syntax), _) | (_, Shape::Unread(Why::Syntax)) => {
            Decision::unclear(Rule::Unread, Why::HalfRead)
        }
        (Shape::Unread(why), _) | (_, Shape::Unread(why)) => Decision::unclear(Rule::Limits, why.clone()),
        _ => Comparer { algebra: &mut algebra, options }.compare(&a, &b),
    }
}

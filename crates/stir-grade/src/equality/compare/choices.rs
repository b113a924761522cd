//! Letters of multiple choice.

use crate::equality::{
    decision::{Decision, Rule},
    read::spelling::bare,
    why::Why,
};

/// Returns the letter of a choice, and whether it is written as one: `(C)`, not `C`.
fn choice(text: &str) -> Option<(char, bool)> {
    let text = text.trim().trim_end_matches(['.', ':']);
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).or_else(|| text.strip_suffix(')'));
    let letter = |text: &str| {
        let text = bare(text.trim());
        let mut chars = text.chars();
        chars.next().filter(|c| chars.next().is_none() && c.is_ascii_alphabetic())
    };
    if let Some(letter) = inner.and_then(letter) {
        return Some((letter.to_ascii_uppercase(), true)).filter(|(letter, _)| ('A'..='J').contains(letter));
    }
    letter(text).filter(|letter| ('A'..='J').contains(letter)).map(|letter| (letter, false))
}

/// Returns the letter that a text starts with and explains: `C. 12`, `(C) 12`.
fn explained(text: &str) -> Option<char> {
    let text = text.trim();
    let text = text.strip_prefix("\\text{").or_else(|| text.strip_prefix("\\textbf{")).unwrap_or(text);
    let (open, text) = match text.strip_prefix('(') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut chars = text.chars();
    let letter = chars.next().filter(|c| ('A'..='J').contains(c))?;
    let mark = chars.next()?;
    let more = chars.as_str().starts_with([' ', '}', '$', '\\']);
    (if open { mark == ')' } else { ".:)".contains(mark) && more }).then_some(letter)
}

/// Compares letters of choices; `None` where the gold answer is none.
pub(crate) fn choices(gold: &str, pred: &str) -> Option<Decision> {
    let (letter, marked) = choice(gold)?;
    match choice(pred) {
        Some((other, _)) if letter == other => Some(Decision::equal(Rule::Choice)),
        Some((_, other)) if marked || other => Some(Decision::different(Rule::Choice)),
        // Two bare letters may be names.
        Some(_) => None,
        None => match explained(pred) {
            Some(other) if letter == other => Some(Decision::equal(Rule::Choice)),
            Some(_) => Some(Decision::different(Rule::Choice)),
            None if marked && lower(pred) == Some(letter) => Some(Decision::equal(Rule::Choice)),
            None if marked => Some(Decision::unclear(Rule::Choice, Why::Options)),
            None => None,
        },
    }
}

/// Returns a single letter, as a capital.
fn lower(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let letter = chars.next().filter(|_| chars.next().is_none())?;
    letter.is_ascii_lowercase().then(|| letter.to_ascii_uppercase())
}

/// Returns a choice letter in brackets and the text that follows it: `(C) 27`.
pub(crate) fn chosen(text: &str) -> Option<(char, &str)> {
    let text = text.trim_start();
    let commands = ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\textrm{", "\\mbox{"];
    let inner = commands.iter().find_map(|command| text.strip_prefix(command));
    let rest = inner.unwrap_or(text).trim_start().strip_prefix('(')?;
    let letter = rest.chars().next().filter(|c| ('A'..='E').contains(c))?;
    let closed = rest[1..].strip_prefix(')')?;
    let mut rest = closed;
    if inner.is_some() {
        rest = rest.trim_start().trim_start_matches("\\ ").trim_start().strip_prefix('}')?;
    }
    loop {
        let before = rest;
        rest = rest.trim_start().trim_start_matches('~');
        for space in ["\\ ", "\\,", "\\;", "\\:", "\\!", "\\quad", "\\qquad"] {
            let after = rest.strip_prefix(space);
            let whole = |after: &&str| space.len() < 3 || !after.starts_with(|c: char| c.is_alphabetic());
            rest = after.filter(whole).unwrap_or(rest);
        }
        if rest == before {
            break;
        }
    }
    // `(C)x` and `(C) - 2` are products and differences as well.
    let apart = inner.is_some() || rest.len() < closed.len();
    let starts = |c: char| c.is_ascii_digit() || (apart && c.is_alphabetic()) || c == '$' || c == '\\';
    let operators =
        ["\\cdot", "\\times", "\\div", "\\pm", "\\mp", "\\cup", "\\cap", "\\in", "\\to", "\\over", "\\right"];
    let operator = operators.iter().any(|name| rest.starts_with(name));
    let value = if inner.is_some() { !rest.is_empty() } else { rest.starts_with(starts) };
    (value && !operator).then_some((letter, rest))
}

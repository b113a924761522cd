//! Comparing answers as they are written.

use std::collections::HashSet;

use super::{Rule, lex::Commas, rules::Decision, why::Why};

/// An answer without white space, formula delimiters and full stops around it, and without a box or text command that
/// holds all of it.
pub(super) fn bare(text: &str) -> &str {
    let mut text = text;
    // Each turn takes something off, and real answers need few.
    for _ in 0..8 {
        let before = text;
        text = text.trim().trim_end_matches(['.', ';', ',']).trim();
        for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")] {
            let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
            text = inner.filter(|inner| !inner.contains(open)).unwrap_or(text);
        }
        for command in ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mbox{", "\\fbox{", "\\mathbf{", "\\textrm{"]
        {
            let inner = text.strip_prefix(command).and_then(|rest| rest.strip_suffix('}'));
            text = inner.filter(|inner| balanced(inner)).unwrap_or(text);
        }
        if text == before {
            break;
        }
    }
    text
}

/// Whether no brace of a text closes one before it.
fn balanced(text: &str) -> bool {
    let mut depth = 0usize;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            b'{' if !escaped => depth += 1,
            b'}' if !escaped => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    depth == 0
}

/// A spelling that is the same for answers that differ in nothing but white space and typesetting.
pub(super) fn spelling(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut space = false;
    while let Some(c) = rest.chars().next() {
        let skipped = ["\\left", "\\right", "\\!", "\\,", "\\;", "\\displaystyle", "$"].into_iter().find(|mark| {
            let after = rest.strip_prefix(mark).and_then(|after| after.chars().next());
            rest.starts_with(mark) && !(mark.len() > 2 && after.is_some_and(|c| c.is_alphabetic()))
        });
        if let Some(mark) = skipped {
            rest = &rest[mark.len()..];
            space |= mark.len() < 3;
            continue;
        }
        if let Some(after) = rest.strip_prefix("\\dfrac").or_else(|| rest.strip_prefix("\\tfrac")) {
            out.push_str("\\frac");
            (rest, space) = (after, false);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c.is_whitespace() {
            space = true;
            continue;
        }
        // A space between letters or digits may separate; all others are for the eye.
        if space && c.is_alphanumeric() && out.ends_with(|last: char| last.is_alphanumeric()) {
            out.push(' ');
        }
        space = false;
        out.push(c);
    }
    out
}

/// The letter of a choice, and whether it is written as one: `(C)`, not `C`.
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

/// The letter that a text starts with and explains: `C. 12`, `(C) 12`.
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
pub(super) fn choices(gold: &str, pred: &str) -> Option<Decision> {
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

/// A single letter, as a capital.
fn lower(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let letter = chars.next().filter(|_| chars.next().is_none())?;
    letter.is_ascii_lowercase().then(|| letter.to_ascii_uppercase())
}

/// The words of an answer that is nothing but words of more than one letter, without the commands around them.
fn only_words(text: &str) -> Option<Vec<String>> {
    let mut plain = text.to_owned();
    for command in ["\\text", "\\mbox", "\\textbf", "\\mathrm", "\\textit", "\\textrm"] {
        if plain.contains(command) {
            plain = plain.replace(&format!("{command}{{"), "{");
        }
    }
    let plain = plain.replace(['{', '}', '$'], " ");
    let words: Vec<String> = plain.split_whitespace().map(|word| word.trim_matches(['.', ',']).to_owned()).collect();
    let worded = words.iter().all(|word| word.chars().all(|c| c.is_alphabetic() || c == '-' || c == '\''));
    (worded && words.iter().any(|word| word.chars().count() > 1)).then_some(words)
}

/// Whether an answer is mostly words.
pub(super) fn worded(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic() || c.is_whitespace()).count();
    letters * 10 > text.chars().count() * 8
}

/// Compares answers that are nothing but words; `None` where one is not, or where they differ and are so short that they
/// may be products of variables.
pub(super) fn words(gold: &str, pred: &str) -> Option<Decision> {
    let (a, b) = (only_words(gold)?, only_words(pred)?);
    let (gold, pred) = (a.join(" "), b.join(" "));
    if (reals(&gold) && reals(&pred)) || (nothing(&gold) && nothing(&pred)) {
        return Some(Decision::equal(Rule::Text));
    }
    let long = |words: &[String]| words.iter().any(|word| word.chars().count() > 3);
    if long(&a) && long(&b) {
        return Some(alike(&gold, &pred));
    }
    // In products of variables capitals count.
    (a == b).then(|| Decision::equal(Rule::Text))
}

/// Whether words name the set of all real numbers.
pub(super) fn reals(words: &str) -> bool {
    let lower = words.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let words = words.strip_prefix(&["the", "set", "of"]).or(words.strip_prefix(&["set", "of"])).unwrap_or(&words);
    matches!(words, ["all", "reals"] | ["all", "real", "numbers"])
}

/// Whether words name the empty set. That there are none among the real numbers says less.
pub(super) fn nothing(words: &str) -> bool {
    let lower = words.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    matches!(words[..], ["no", "solution" | "solutions"] | ["empty", "set"] | ["the", "empty", "set"])
}

/// What follows a choice letter in brackets, and that letter: `(C) 27`.
pub(super) fn chosen(text: &str) -> Option<(char, &str)> {
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

/// Words are the same in any case, with any white space and punctuation between. Signs and single letters, which may be
/// names, count as they are.
pub(super) fn alike(gold: &str, pred: &str) -> Decision {
    let (gold, pred) = (word_list(gold), word_list(pred));
    if gold == pred {
        return Decision::equal(Rule::Text);
    }
    let (short, long) = if gold.len() < pred.len() { (&gold, &pred) } else { (&pred, &gold) };
    let all: HashSet<&str> = long.iter().map(String::as_str).collect();
    if !short.is_empty() && short.iter().all(|word| all.contains(word.as_str())) {
        return Decision::unclear(Rule::Text, Why::Contained);
    }
    Decision::different(Rule::Text)
}

fn word_list(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for piece in text.split(|c: char| c.is_whitespace() || ".,;:'\"?!{}$\\".contains(c)) {
        let mut word = String::new();
        for c in piece.chars() {
            if c.is_alphanumeric() {
                word.push(c);
                continue;
            }
            let before = std::mem::take(&mut word);
            // A hyphen between words, not the minus sign of `x-y`.
            let hyphen = c == '-' && before.chars().count() > 1;
            out.extend((!before.is_empty()).then_some(before));
            out.extend((!hyphen).then(|| c.to_string()));
        }
        out.extend((!word.is_empty()).then_some(word));
    }
    let cased = |word: String| if word.chars().count() > 1 { word.to_lowercase() } else { word };
    out.into_iter().map(cased).collect()
}

/// Other ways to read the commas of two answers, where there are any.
pub(super) fn other_commas(gold: &str, pred: &str) -> Vec<(Commas, Commas)> {
    let between_digits = |text: &str| {
        let bytes = text.as_bytes();
        bytes.windows(3).any(|w| w[1] == b',' && w[0].is_ascii_digit() && w[2].is_ascii_digit())
    };
    if !between_digits(gold) && !between_digits(pred) {
        return Vec::new();
    }
    let mut out = Vec::new();
    if gold.contains(',') && pred.contains(',') {
        out.push((Commas::Separate, Commas::Separate));
    }
    if decimal_comma(gold) && pred.contains('.') && !pred.contains(',') {
        out.push((Commas::Decimal, Commas::Thousands));
    }
    if decimal_comma(pred) && gold.contains('.') && !gold.contains(',') {
        out.push((Commas::Thousands, Commas::Decimal));
    }
    out
}

/// Whether a text has one comma, with digits before and at least two, but not three, after it: `1,22` is a list or a
/// decimal, `1,2` a list, `1,222` a thousand and more.
fn decimal_comma(text: &str) -> bool {
    let Some((before, after)) = text.split_once(',') else { return false };
    let last = before.bytes().last().is_some_and(|b| b.is_ascii_digit());
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    last && digits >= 2 && digits != 3 && !after.contains(',')
}

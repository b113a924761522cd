//! Answers in words.

use std::collections::HashSet;

use crate::equality::{
    decision::{Decision, Rule},
    read::vocabulary::{nothing, reals},
    why::Why,
};

/// Returns the words of an answer that is nothing but words of more than one letter, without the commands around them.
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

/// Returns whether an answer is mostly words.
pub(crate) fn worded(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic() || c.is_whitespace()).count();
    letters * 10 > text.chars().count() * 8
}

/// Compares answers that are nothing but words; `None` where one is not, or where they differ and are so short that they
/// may be products of variables.
pub(crate) fn words(gold: &str, pred: &str) -> Option<Decision> {
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

/// Words are the same in any case, with any white space and punctuation between. Signs and single letters, which may be
/// names, count as they are.
pub(crate) fn alike(gold: &str, pred: &str) -> Decision {
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

//! "The answer is ..".

use super::{
    clean::{head, is_letter, strip_markup, tail},
    found::Found,
    statement::{copula, ends_in_copula, formulas, is_no_claim, value},
};

const NOUN: &str = "answer";
/// Words before the noun with which nothing is claimed.
const HEDGES: [&str; 6] = ["if", "whether", "unless", "suppose", "assuming", "when"];
/// With these a sentence takes back what was said before.
const RETRACTIONS: [&str; 7] = ["wait", "but wait", "hmm", "hold on", "no, wait", "oh wait", "actually"];
/// Delimiters of displayed formulas.
const DISPLAYS: [(&str, &str); 2] = [("\\[", "\\]"), ("$$", "$$")];
/// Furthest that a copula may be from the noun ("the answer to the second question is"), in bytes.
const REACH: usize = 60;

/// Returns the answer that the last claim of a text states. A claim that is taken back later on leaves the answer open.
pub(super) fn last(text: &str) -> Found<'_> {
    let lower = text.to_ascii_lowercase();
    for (at, _) in lower.rmatch_indices(NOUN) {
        if text[..at].ends_with(is_letter) || is_hedged(&lower[..at]) || is_denied(&lower[..at]) {
            continue;
        }
        let end = at + NOUN.len();
        let Some(from) = claim(&lower[end..], is_heading(&lower[..at])) else { continue };
        if is_no_claim(lower[end + from..].trim_start()) {
            continue;
        }
        let Some(content) = content(&text[end + from..]) else { return Found::Unfinished };
        // "The answer is B? No, C." asks and claims nothing.
        let line = text[end + from..].trim_start().lines().next().unwrap_or_default();
        if line[sentence(line)..].starts_with('?') {
            return Found::Unfinished;
        }
        return if is_retracted(&lower[end + from..]) { Found::Unfinished } else { Found::Answer(content.into()) };
    }
    Found::Nothing
}

/// Returns where the answer begins in what follows the noun, if that states it.
fn claim(after: &str, is_heading: bool) -> Option<usize> {
    let rest = after.trim_start_matches(['*', '_', ')']);
    let bare = rest.trim_start_matches([' ', '\t']);
    let offset = |rest: &str| after.len() - rest.len();
    if let Some(rest) = bare.strip_prefix([':', '=', '\u{ff1a}']) {
        return Some(offset(rest));
    }
    if is_heading && (["\n", "\r\n", "\\[", "$$"].iter().any(|start| bare.starts_with(start)) || is_one_formula(bare)) {
        return Some(offset(bare));
    }
    if !rest.starts_with([' ', '\t', '\n']) {
        return None;
    }
    let bare = bare.trim_start();
    copula(bare).map(offset).or_else(|| {
        let of = ["to ", "of ", "for ", "in ", "(in "].iter().any(|word| bare.starts_with(word));
        let sentence = head(bare, REACH).split(['.', '\n', '?', '!', ':']).next().unwrap_or_default();
        let verb = sentence.find(" is ").filter(|_| of)?;
        copula(&bare[verb + 1..]).map(offset)
    })
}

/// Returns whether a line is one formula, as behind a heading "Answer".
fn is_one_formula(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let line = line.trim_end_matches([' ', '.', '*', '\r']);
    formulas(line).first().is_some_and(|formula| *formula == (0..line.len()))
}

/// Returns the statement at the start of `text`: a formula, or the rest of a sentence. `None` where the text ends
/// first.
fn content(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | ':' | '\u{ff1a}' | '#'));
    let line = text.lines().next().unwrap_or_default();
    // "The sum is" may end before a displayed formula.
    let after = if ends_in_copula(line) { text[line.len()..].trim_start() } else { text };
    for (open, close) in DISPLAYS {
        if let Some(inside) = after.strip_prefix(open) {
            let inside = &inside[..inside.find(close)?];
            return Some(inside).filter(|inside| !inside.trim().is_empty());
        }
    }
    let sentence = &line[..sentence(line)];
    // "$x$ is 5" says more than its first formula.
    if value(sentence).is_some() {
        return Some(sentence);
    }
    // `$5$ dollars` says `5`; `$5$ and $6$` is said as a whole.
    for (open, close) in [("\\(", "\\)"), ("$", "$")] {
        if let Some(inside) = sentence.strip_prefix(open)
            && let Some(end) = inside.find(close)
            && !inside[end + close.len()..].contains(open)
            && !inside[..end].trim().is_empty()
        {
            return Some(&inside[..end]);
        }
    }
    Some(sentence).filter(|sentence| !strip_markup(sentence).is_empty())
}

/// Returns the length of the statement at the start of a line: to the end of the sentence, or to a clause that gives
/// reasons.
fn sentence(line: &str) -> usize {
    let (mut in_math, mut depth) = (false, 0_i32);
    let mut dollars = line.matches('$').count();
    for (at, c) in line.char_indices() {
        let rest = &line[at + c.len_utf8()..];
        match c {
            '$' => {
                dollars -= 1;
                in_math = !in_math && dollars > 0;
            }
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ if in_math || depth > 0 => {}
            '.' | '!' | '?' | ';' if rest.is_empty() || rest.starts_with([' ', '*', '"', '<', '\u{201d}']) => {
                // `p.m. `, `B. text` and `Rs. 100` do not end a sentence.
                let word = line[..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                let before_number = word.len() <= 3 && rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
                let is_letters = word.chars().all(|c| c.is_ascii_alphabetic());
                let is_short = c == '.' && is_letters && (word.len() == 1 || before_number && !word.is_empty());
                if !is_short || rest.trim().is_empty() {
                    return at;
                }
            }
            ' ' | ',' if is_reason(rest.strip_prefix(' ').unwrap_or(rest)) => return at,
            _ => {}
        }
    }
    line.len()
}

/// Returns whether words give reasons for a statement and are not part of it.
fn is_reason(words: &str) -> bool {
    let is_denial = words.starts_with("which is wrong") || words.starts_with("which is incorrect");
    let starts = ["because ", "since ", "so that ", "which ", "as the ", "as desired", "as required", "as needed"];
    !is_denial && starts.iter().any(|start| words.starts_with(start))
}

/// Returns whether the noun is a heading or what a line begins with ("**Final Answer**").
fn is_heading(before: &str) -> bool {
    let before = tail(before, 40);
    let Some(line) = before.rsplit_once('\n').map(|(_, line)| line).or((before.len() < 40).then_some(before)) else {
        return false;
    };
    let words = line.trim_start_matches(['#', '*', '_', ' ', '\t']);
    ["", "final ", "the final ", "the ", "my "].contains(&words)
}

fn is_hedged(before: &str) -> bool {
    let sentence = tail(before, 40).rsplit(['.', '\n', '?', '!', ':', ',']).next().unwrap_or_default();
    sentence.split(|c: char| !is_letter(c)).any(|word| HEDGES.contains(&word))
}

/// Returns whether the noun is that of an answer which is said to be wrong: "the wrong answer is".
fn is_denied(before: &str) -> bool {
    let before = tail(before, 40).trim_end();
    ["wrong", "incorrect", "false", "not the", "not the correct", "not the right", "not the final", "not my"]
        .iter()
        .any(|words| before.strip_suffix(words).is_some_and(|rest| !rest.ends_with(is_letter)))
}

/// Returns whether a later sentence takes back what was claimed.
fn is_retracted(after: &str) -> bool {
    let starts = after.split_inclusive(['.', '\n', '!', '?']).map(|s| s.trim_start_matches(|c: char| !is_letter(c)));
    starts.into_iter().any(|sentence| {
        RETRACTIONS.iter().any(|word| sentence.strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_letter)))
    })
}

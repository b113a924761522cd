//! Sentences of the form "X is V", which state the value V.

use std::ops::Range;

use super::clean::{is_letter, strip_markup};

/// The words that make a sentence one that states a value.
const COPULAS: [&str; 10] =
    ["is", "are", "was", "would be", "will be", "must be", "should be", "can be", "becomes", "equals"];
/// Words after the copula that are no part of the value.
const FILLERS: [&str; 15] = [
    "therefore",
    "thus",
    "then",
    "hence",
    "simply",
    "just",
    "indeed",
    "clearly",
    "most likely",
    "likely",
    "probably",
    "equal to",
    "given by",
    "approximately",
    "about",
];
/// Words after the copula with which the sentence is about the answer and does not give it.
const NO_CLAIMS: [&str; 12] = [
    "not",
    "correct",
    "incorrect",
    "right",
    "wrong",
    "clear",
    "found",
    "obtained",
    "as follows",
    "reasonable",
    "in the form",
    "unclear",
];
/// With one of these in its subject a sentence says something else: a case, a reason, an alternative, a denial.
const OTHER_CLAIMS: [&str; 17] = [
    "if",
    "whether",
    "unless",
    "where",
    "because",
    "since",
    "while",
    "but",
    "or",
    "either",
    "true",
    "false",
    "wrong",
    "incorrect",
    "unknown",
    "cannot",
    "impossible",
];
/// Words that a value in words does not begin with.
const NO_NAMES: [&str; 7] = ["the", "that", "this", "what", "given", "shown", "as"];
/// Most words of a value in words.
const LONGEST_NAME: usize = 3;
/// Delimiters of formulas, longer ones first.
const DELIMITERS: [(&str, &str); 4] = [("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")];

/// Returns the value V of a sentence "X is V", unless it is one of several claims.
///
/// V is a formula or a number, or a few words if nothing else is said: `57` of "The smallest value of $m+n$ is 57".
pub(crate) fn value(sentence: &str) -> Option<&str> {
    let formulas = formulas(sentence);
    let verbs = verbs(sentence, &formulas);
    let (&verb, earlier) = verbs.split_last()?;
    let stated = |&at: &usize| copula(&sentence[at..]).is_some_and(is_formula);
    if earlier.iter().any(stated) || !is_subject(sentence[..verb].trim_end(), &formulas) {
        return None;
    }
    let value = strip_markup(copula(&sentence[verb..])?);
    let claims = word(&value.to_ascii_lowercase(), &NO_CLAIMS).is_none();
    let value = value.strip_prefix("a ").or_else(|| value.strip_prefix("an ")).unwrap_or(value);
    (claims && (is_formula(value) || earlier.is_empty() && is_name(value))).then_some(value)
}

/// Returns whether a statement begins with a formula or a number, and not with a word.
fn is_formula(text: &str) -> bool {
    text.starts_with(|c: char| {
        c.is_ascii_digit() || "$\\-+([{.\u{2212}\u{20ac}\u{a3}\u{a5}\u{20b9}\u{221a}\u{3c0}\u{b1}".contains(c)
    })
}

fn is_name(text: &str) -> bool {
    let count = text.split_whitespace().count();
    (1..=LONGEST_NAME).contains(&count) && word(&text.to_ascii_lowercase(), &NO_NAMES).is_none()
}

/// Returns whether the start of a sentence names one thing: words that make no claim of their own, or one formula.
fn is_subject(subject: &str, formulas: &[Range<usize>]) -> bool {
    if formulas.first().is_some_and(|first| *first == (0..subject.len())) {
        return true;
    }
    let words = outside(subject, formulas);
    // What is between two commas, as in "the sum, rounded to tenths, is", is no claim.
    let bare = words.strip_suffix(',').filter(|rest| rest.contains(',')).map_or(words.as_str(), |_| "x");
    subject.starts_with(char::is_alphabetic)
        && !bare.contains([',', ';', ':', '='])
        && !words.split(|c: char| !is_letter(c)).any(|word| OTHER_CLAIMS.contains(&word.to_lowercase().as_str()))
}

/// Returns where the copulas of a sentence are, outside formulas and brackets.
fn verbs(sentence: &str, formulas: &[Range<usize>]) -> Vec<usize> {
    let (mut depth, mut formulas, mut found) = (0_i32, formulas.iter().peekable(), Vec::new());
    for (at, c) in sentence.char_indices() {
        while formulas.next_if(|formula| formula.end <= at).is_some() {}
        match c {
            _ if formulas.peek().is_some_and(|formula| formula.contains(&at)) => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ' ' if depth == 0 && word(&sentence[at + 1..], &COPULAS).is_some() => found.push(at + 1),
            _ => {}
        }
    }
    found
}

/// Returns a text without its formulas.
pub(super) fn outside(text: &str, formulas: &[Range<usize>]) -> String {
    let (mut words, mut at) = (String::with_capacity(text.len()), 0);
    for formula in formulas.iter().filter(|formula| formula.end <= text.len()) {
        words.push_str(&text[at..formula.start]);
        at = formula.end;
    }
    words + &text[at..]
}

/// Returns the places of the formulas of a text with their delimiters, in order.
pub(super) fn formulas(text: &str) -> Vec<Range<usize>> {
    // Once a delimiter is not found, no later one is either.
    let (mut found, mut at, mut is_missing) = (Vec::new(), 0, [false; DELIMITERS.len()]);
    while let Some(next) = text[at..].find(['$', '\\']) {
        let start = at + next;
        let rest = &text[start..];
        let kind = DELIMITERS.iter().position(|(open, _)| rest.starts_with(open));
        let Some(kind) = kind.filter(|&kind| !is_missing[kind]) else {
            // `\$` and `\\[2pt]` open nothing.
            let is_escape = rest.starts_with('\\') && rest[1..].starts_with(|c: char| c.is_ascii());
            at = start + if is_escape { 2 } else { 1 };
            continue;
        };
        let (open, close) = DELIMITERS[kind];
        let inside = &rest[open.len()..];
        at = start + open.len();
        match closing(inside, close) {
            None => is_missing[kind] = true,
            // "$5 for one and $x$ for two": the dollar of a price. The next one may open a formula.
            Some(end) if close == "$" && is_prose(&inside[..end]) => at += end,
            Some(end) => {
                at += end + close.len();
                found.push(start..at);
            }
        }
    }
    found
}

/// Returns where a formula ends: a dollar sign before a digit is one of money.
fn closing(inside: &str, close: &str) -> Option<usize> {
    let ends = |at: &usize| {
        let is_escaped = inside[..*at].ends_with('\\') && close.starts_with('$');
        let is_money = close == "$" && inside[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        !is_escaped && !is_money
    };
    inside.match_indices(close).map(|(at, _)| at).find(ends)
}

fn is_prose(text: &str) -> bool {
    let is_word = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase());
    !text.contains(['\\', '{', '=']) && text.split(' ').filter(|word| is_word(word)).count() > 1
}

/// Returns `text` behind the copula, fillers and colon it begins with.
pub(super) fn copula(text: &str) -> Option<&str> {
    let mut rest = &text[word(text, &COPULAS)?..];
    loop {
        let bare = rest.trim_start_matches([' ', '\t', ',', ':', '\u{ff1a}', '\u{2248}']);
        match word(bare, &FILLERS) {
            Some(length) => rest = &bare[length..],
            None => return Some(bare),
        }
    }
}

/// Returns whether a line ends in a copula, so that the value is on the next.
pub(super) fn ends_in_copula(line: &str) -> bool {
    let line = line.trim_end_matches([' ', ':', '\r', '*']);
    COPULAS.iter().any(|copula| line.strip_suffix(copula).is_some_and(|rest| rest.ends_with(' ')))
}

/// Returns whether a statement is about the answer and does not give it.
pub(super) fn is_no_claim(text: &str) -> bool {
    word(text, &NO_CLAIMS).is_some()
}

/// Returns the length of the one of `words` that `text` begins with.
fn word(text: &str, words: &[&str]) -> Option<usize> {
    let begins = |word: &&&str| text.strip_prefix(**word).is_some_and(|rest| !rest.starts_with(is_letter));
    words.iter().find(begins).map(|word| word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_sentence_is_behind_its_verb() {
        for (sentence, expected) in [
            ("The largest value of $a+b$ is 31", "31"),
            ("The perimeter of square $ABCD$ is $4\\sqrt{2}$", "4\\sqrt{2}"),
            ("The values of $x$ and $y$ are 3 and 8", "3 and 8"),
            ("The smallest number that is not a divisor of it is 7", "7"),
            ("The sum, rounded to the nearest tenth, is 5.2", "5.2"),
            ("The cost of $n$ pens is $12", "$12"),
            ("the value of $f(3)$ is equal to $-2$", "-2"),
            ("The maximum (which is reached at 1) must be \\(\\frac{3}{4}\\)", "\\frac{3}{4}"),
            ("The region is the one whose area equals 9\\pi", "9\\pi"),
            ("The fastest runner is Miriam", "Miriam"),
            ("There is no solution", "no solution"),
            ("The curve is a parabola", "parabola"),
            ("$x$ is 5", "5"),
        ] {
            assert_eq!(value(sentence), Some(expected), "{sentence:?}");
        }
    }

    #[test]
    fn a_sentence_with_other_claims_states_no_value() {
        for sentence in [
            "",
            "57",
            "5, where $x$ is 2",
            "The area is 5 and the perimeter is 6",
            "either 5 or it is 6",
            "It is false that the sum is 5",
            "If the side is long, the area is 5",
            "The sum is not 5",
            "The sum is the number above",
            "x = 5, and y is 2",
            "(the area is 5)",
            "$5$ is the answer",
            "The method that was used is wrong",
        ] {
            assert_eq!(value(sentence), None, "{sentence:?}");
        }
    }

    #[test]
    fn formulas_are_found_and_prices_are_not() {
        let found =
            |text: &'static str| -> Vec<&str> { formulas(text).into_iter().map(|place| &text[place]).collect() };
        assert_eq!(found("$a$ and \\(b\\), \\[c\\] $$d$$"), ["$a$", "\\(b\\)", "\\[c\\]", "$$d$$"]);
        assert_eq!(found("it costs $5 and then $x$ more"), ["$x$"]);
        assert_eq!(found("$5 and $6, or \\$7"), [""; 0]);
        assert_eq!(found("$a\\$b$ \\\\[2pt] $\u{e9}"), ["$a\\$b$"]);
    }
}

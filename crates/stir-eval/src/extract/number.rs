//! Numbers in prose.

use std::ops::Range;

use super::strip_markup;
use crate::{Verdict, answer::decimal, equality};

/// Longest answer that is looked at as words, in bytes.
const LONGEST_PHRASE: usize = 4096;
/// With these a phrase does not say that the answer is the number in it; the letter is what is left of "isn't".
const NEGATIONS: [&str; 8] = ["not", "t", "never", "cannot", "neither", "nor", "without", "except"];
/// Words right before a number, but for "of" and articles, that make another one of it or name one more.
const OPERATORS: [&str; 16] = [
    "than", "twice", "double", "triple", "square", "cube", "sqrt", "log", "ln", "multiple", "factor", "opposite",
    "under", "out", "or", "and",
];

/// The number that an answer comes to: its shortest plain decimal, or a fraction or formula as written. `None` where
/// it is words, or names more than one number.
///
/// `$1,200.00`, `1200 dollars`, `1{,}200\text{ dollars}`, `x = 1200` and `a total of 1200` are all `1200`, `minus 5` is
/// `-5`; `5 million` and `5!` are left as they are to those who compare formulas.
pub(crate) fn read(answer: &str) -> Option<String> {
    if answer.len() > LONGEST_PHRASE {
        return decimal(strip_markup(answer));
    }
    // What is left of a mark at the end of a sentence has no digit before it: this one makes a factorial.
    if answer.match_indices('!').any(|(at, _)| answer[..at].ends_with(|c: char| c.is_ascii_digit() || c == ')')) {
        return Some(answer.trim().trim_matches('$').to_owned());
    }
    let plain = without_latex(strip_markup(answer));
    let value = match plain.rsplit_once('=') {
        // `x >= 5` and `x != 5` name no number.
        Some((left, _)) if left.ends_with(['!', '<', '>', '\u{2260}', '/']) => return None,
        Some((_, value)) => value,
        None => &plain,
    };
    let plain = strip_markup(value);
    let bare = plain.trim_start_matches(['$', '\u{20ac}', '\u{a3}', '~', '\u{2248}']).trim_end_matches('%');
    if let Some(number) = decimal(plain).or_else(|| decimal(strip_markup(bare))) {
        return Some(number);
    }
    let mut numbers = ranges(plain);
    let only = numbers.next()?;
    let (before, after) = (&plain[..only.start], &plain[only.end..]);
    if numbers.next().is_none() && is_prose(before) && is_prose(after) {
        let is_negative = sign(before)?;
        let number = decimal(&plain[only.clone()])?;
        return match begins(&number, after) {
            Follows::Words if !is_negative => Some(number),
            Follows::Words => (!number.starts_with(['-', '0'])).then(|| format!("-{number}")),
            Follows::Factor if !is_negative => Some(plain[only.start..].to_owned()),
            _ => None,
        };
    }
    let is_formula = !plain.contains(char::is_whitespace) || plain.contains('\\') || plain.contains('/');
    let has_words = plain.split(|c: char| !c.is_alphabetic()).any(|word| word.len() > 1) && !plain.contains('\\');
    (is_formula && !has_words).then(|| plain.to_owned())
}

/// The last number of a text, with its sign, as it is written.
pub(super) fn last(text: &str) -> Option<&str> {
    ranges(text).last().map(|range| &text[range])
}

/// Where the numbers of a text are: digits with thousands separators, one decimal point, and a minus sign that is not
/// one of a difference.
fn ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    std::iter::from_fn(move || {
        // `.5` is a number of its own, the `.3` of `1.2.3` is not.
        let is_fraction = |at: usize| bytes[at] == b'.' && is_digit(at + 1) && (at == 0 || !is_digit(at - 1));
        while at < bytes.len() && !is_digit(at) && !is_fraction(at) {
            at += 1;
        }
        if at == bytes.len() {
            return None;
        }
        let mut start = at;
        let mut points = 0;
        while is_digit(at)
            || (matches!(bytes.get(at), Some(b',')) && points == 0 && (1..=3).all(|i| is_digit(at + i)))
            || (matches!(bytes.get(at), Some(b'.')) && points == 0 && is_digit(at + 1))
        {
            points += usize::from(bytes[at] == b'.');
            at += 1;
        }
        let before = text[..start].trim_end_matches('$');
        if let Some(left) = before.strip_suffix(['-', '\u{2212}'])
            && !left.ends_with(|c: char| c.is_alphanumeric() || c == ')' || c == '}')
        {
            start = left.len();
        }
        Some(start..at)
    })
}

/// Whether what stands beside a number is words, signs of currency and punctuation, so that the number stands alone.
fn is_prose(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphabetic() || c.is_whitespace() || "$\u{20ac}\u{a3}%.,:;'()\u{b0}\"-*!\u{2019}".contains(c))
}

/// Whether `number` is a number of its own between these texts: no digit, sign or word there makes another one of it.
pub(crate) fn stands_alone(before: &str, number: &str, after: &str) -> bool {
    let signs = ['-', '\u{2212}', '\u{2013}', '/', '+', '^'];
    let (left, right) = (before.trim_end_matches([' ', '$']), after.trim_start());
    let goes_on = after.strip_prefix(['.', ',', ':']).unwrap_or_default();
    let is_part = before.ends_with(['.', ',', '%', '\u{221a}'])
        || left.ends_with(signs)
        || left.ends_with(['<', '>'])
        || right.starts_with(signs)
        || right.starts_with(['%', '!', '\\'])
        || goes_on.starts_with(|c: char| c.is_ascii_digit());
    !is_part && sign(before) == Some(false) && matches!(begins(number, after), Follows::Words)
}

/// What follows a number in prose.
enum Follows {
    /// Words that leave it what it is.
    Words,
    /// What makes it another number or a formula at once: `million`, `k`, `x`.
    Factor,
    /// Words that make another number of it, or deny it.
    Change,
}

/// The words of a text in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn is_negation(word: &str) -> bool {
    NEGATIONS.contains(&word)
}

/// Whether the words before a number make it negative; `None` where they may make another number of it.
fn sign(before: &str) -> Option<bool> {
    let near = before.trim_end_matches(|c: char| c.is_whitespace() || "$\u{20ac}\u{a3}*".contains(c));
    if let Some(rest) = near.strip_suffix(['-', '\u{2212}']) {
        let is_all = rest.chars().all(|c| c.is_whitespace() || "$\u{20ac}\u{a3}*(".contains(c));
        return is_all.then_some(true);
    }
    // `x5`, `f(5)`, `x * 5`.
    let is_part = before.ends_with(char::is_alphabetic)
        || near.strip_suffix('(').is_some_and(|name| name.ends_with(char::is_alphabetic))
        || near.ends_with(')')
        || before.replace("**", "").contains("* ");
    let words = words(before);
    if is_part || words.iter().any(|word| is_negation(word)) {
        return None;
    }
    let last = words.iter().rev().find(|word| !matches!(word.as_str(), "of" | "the" | "a" | "an" | "by"));
    match last.map(String::as_str) {
        Some("negative") => Some(true),
        Some("minus") => (words.len() == 1).then_some(true),
        Some(word) if OPERATORS.contains(&word) || equality::changes_number(word) => None,
        Some(word) if word.chars().count() == 1 => None,
        _ => Some(false),
    }
}

/// What the words after `number` make of it. Formulas are what those who compare formulas take them for.
fn begins(number: &str, after: &str) -> Follows {
    let trimmed = after.trim_start_matches(['%', '*', ' ', '"', ')']);
    let first = trimmed.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let glue = if after.starts_with(char::is_alphabetic) { "" } else { " " };
    if after.starts_with(['(', '-']) || trimmed.starts_with('*') {
        return Follows::Change;
    }
    // "5 more" and "5 less" than something else are 5.
    let is_change = |word: &str| !matches!(word, "more" | "less" | "fewer") && equality::changes_number(word);
    let words = words(after);
    let is_more = |word: &str| matches!(word, "or" | "and" | "to" | "point");
    if words.iter().any(|word| is_negation(word) || is_change(word)) || words.first().is_some_and(|w| is_more(w)) {
        return Follows::Change;
    }
    match first {
        "" | "a" | "per" | "more" | "less" | "fewer" => Follows::Words,
        // Whole sentences are not what formulas are compared with.
        _ if equality::equal(number, &format!("{number}{glue}{first}")).verdict == Verdict::Equal => Follows::Words,
        _ => Follows::Factor,
    }
}

/// The spellings of LaTeX that matter for a number, as plain text.
fn without_latex(answer: &str) -> String {
    let mut plain = answer.replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("\\;", " ");
    for (command, text) in [("\\$", "$"), ("\\%", "%"), ("^\\circ", "\u{b0}"), ("^{\\circ}", "\u{b0}"), ("\\ ", " ")] {
        plain = plain.replace(command, text);
    }
    for command in ["\\text{", "\\mathrm{", "\\textbf{", "\\mathbf{", "\\mbox{"] {
        while let Some(start) = plain.find(command) {
            let inside = start + command.len();
            let Some(length) = plain[inside..].find('}') else { break };
            plain.replace_range(inside + length..=inside + length, "");
            plain.replace_range(start..inside, "");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_out_of_words() {
        for (answer, number) in [
            ("7", "7"),
            ("$1,200.00", "1200"),
            ("-$5", "-5"),
            ("1200 dollars", "1200"),
            ("$18 per day", "18"),
            ("1{,}200\\text{ dollars}", "1200"),
            ("\\$18", "18"),
            ("\\text{18 eggs}", "18"),
            ("20%", "20"),
            ("20\\%", "20"),
            ("45^\\circ", "45"),
            ("x = 12", "12"),
            ("3 + 4 = 7", "7"),
            ("that she has 5 apples left", "5"),
            ("27.0", "27"),
            ("025", "25"),
            ("\u{2212}3 degrees", "-3"),
            ("\u{20ac}5", "5"),
            ("1/2", "1/2"),
            ("\\frac{1}{2}", "\\frac{1}{2}"),
            ("7:30", "7:30"),
            ("- 5", "-5"),
            ("-\u{20ac}5", "-5"),
            ("$- 5", "-5"),
            ("minus 5", "-5"),
            ("negative 5", "-5"),
            ("She is left with negative 5 dollars", "-5"),
            ("5 million", "5 million"),
            ("a total of 5 million dollars", "5 million dollars"),
            ("5k", "5k"),
            ("5!", "5!"),
            ("5x", "5x"),
            ("5 x", "5 x"),
            ("**5** apples", "5"),
            ("5 more than Bob", "5"),
            ("5 dollars a day", "5"),
            ("5 per day", "5"),
            ("5kg", "5"),
            ("5 of the apples", "5"),
            ("that there are 5 apples, and they are red", "5"),
            ("5 people who live in the same house on the hill", "5"),
        ] {
            assert_eq!(read(answer).as_deref(), Some(number), "{answer:?}");
        }
        for answer in
            ["", "no idea", "not 5", "2 hours and 30 minutes", "Step 4 of 5", "5 or 6", "\\text{see above}", "="]
                .into_iter()
                .chain([
                    "5 squared",
                    "half of 5",
                    "twice 5",
                    "less than 5",
                    "more than 5",
                    "isn't 5",
                    "never 5",
                    "x - 5",
                    "5 and a half",
                    "x >= 5",
                    "x != 5",
                    "the square root of 5",
                    "f(5)",
                    "5 is wrong",
                    "5 isn't it",
                    "five or 5",
                    "minus minus 5",
                    "3 - minus 5",
                ])
        {
            assert_eq!(read(answer), None, "{answer:?}");
        }
    }

    #[test]
    fn the_last_number_with_its_sign() {
        for (text, number) in [
            ("from 3 to -4.", Some("-4")),
            ("7-4", Some("4")),
            ("it costs $1,234.50.", Some("1,234.50")),
            ("1, 2,34", Some("34")),
            ("v1.2.3", Some("3")),
            (".5", Some(".5")),
            ("none", None),
            ("", None),
            ("\u{2212}7 \u{e9}", Some("\u{2212}7")),
        ] {
            assert_eq!(last(text), number, "{text:?}");
        }
    }
}

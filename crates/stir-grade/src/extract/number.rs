//! Numbers in prose.

use std::ops::Range;

use super::clean::strip_markup;
use crate::{Verdict, equality, final_number::decimal};

/// Longest answer that is looked at as words, in bytes.
const LONGEST_PHRASE: usize = 4096;
/// With these a phrase does not say that the answer is the number in it; the letter is what is left of "isn't".
const NEGATIONS: [&str; 8] = ["not", "t", "never", "cannot", "neither", "nor", "without", "except"];
/// Words right before a number, except "of" and articles, that make it another number or name one more.
const OPERATORS: [&str; 18] = [
    "than", "least", "most", "twice", "double", "triple", "square", "cube", "sqrt", "log", "ln", "multiple", "factor",
    "opposite", "under", "out", "or", "and",
];
const CURRENCIES: [char; 6] = ['$', '\u{20ac}', '\u{a3}', '\u{a5}', '\u{20b9}', '\u{20a9}'];
/// Longest unit, in bytes.
const LONGEST_UNIT: usize = 40;

/// Returns the number that an answer comes to: its shortest plain decimal, or a fraction or formula as written. `None`
/// where it is words, or names more than one number.
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
    let answer = clause(strip_markup(answer))?;
    let plain = without_latex(strip_markup(answer));
    let value = match plain.rsplit_once('=') {
        // `x >= 5` and `x != 5` name no number, `x = 3, y = 4` names two.
        Some((left, _)) if left.ends_with(['!', '<', '>', '\u{2260}', '/']) || left.contains(", ") => return None,
        Some((_, value)) => value,
        None => &plain,
    };
    let plain = strip_markup(value);
    let bare = plain.trim_start_matches(['~', '\u{2248}']).trim_start_matches(CURRENCIES).trim_end_matches('%');
    if let Some(number) = decimal(plain).or_else(|| decimal(strip_markup(bare))) {
        return Some(number);
    }
    let only = ranges(plain).next()?;
    let (before, after) = (&plain[..only.start], &plain[only.end..]);
    let after = after.strip_prefix('/').filter(|rate| rate.chars().take(2).all(char::is_alphabetic)).unwrap_or(after);
    let number = decimal(&plain[only.clone()])?;
    let in_words = is_prose(after);
    // `100 km/h`: who compares formulas knows units.
    let has_unit = || after.len() <= LONGEST_UNIT && is_same(&number, &plain[only.start..]);
    if is_prose(before) && (in_words || has_unit()) {
        let is_negative = sign(before)?;
        return match if in_words { follows(&number, after) } else { Follows::Words } {
            Follows::Words if !is_negative => Some(number),
            Follows::Words => (!number.starts_with(['-', '0'])).then(|| format!("-{number}")),
            Follows::Factor if !is_negative => Some(plain[only.start..].to_owned()),
            _ => None,
        };
    }
    if let Some(fraction) = fraction(plain) {
        return Some(fraction.to_owned());
    }
    let is_formula = !plain.contains(char::is_whitespace) || plain.contains('\\') || plain.contains('/');
    let has_words = plain.split(|c: char| !c.is_alphabetic()).any(|word| word.len() > 1) && !plain.contains('\\');
    (is_formula && !has_words).then(|| plain.to_owned())
}

/// Returns the part of an answer that gives it, without additional remarks: brackets, and a clause behind a comma.
/// `None` where that says it is wrong.
fn clause(answer: &str) -> Option<&str> {
    let is_beside = |at: usize, c: char| {
        let (before, rest) = (&answer[..at], answer[at + c.len_utf8()..].trim_start());
        let first = rest.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        let begins = match c {
            '(' | '[' => before.ends_with(' '),
            // `x = 3, y = 4` and `2 hours, 30 minutes` continue.
            ',' => !before.contains('=') && !matches!(first, "" | "and" | "or"),
            _ => false,
        };
        // `10 - (3 + 2)` continues, too.
        let is_said = before.trim_end().ends_with(|c: char| c.is_alphanumeric() || matches!(c, '%' | '$' | '}'));
        begins && is_said && before.contains(|c: char| c.is_ascii_digit())
    };
    let Some((at, _)) = answer.char_indices().find(|&(at, c)| is_beside(at, c)) else { return Some(answer) };
    let is_wrong = words(&answer[at..]).iter().any(|word| matches!(word.as_str(), "wrong" | "incorrect"));
    (!is_wrong).then(|| answer[..at].trim_end())
}

/// Returns the `3 1/2` of `3 1/2 hours`.
fn fraction(plain: &str) -> Option<&str> {
    let end = plain.find(|c: char| !c.is_ascii_digit() && c != ' ' && c != '/')?;
    let (number, after) = (plain[..end].trim_end(), &plain[end..]);
    let (whole, denominator) = number.rsplit_once('/')?;
    let is_fraction = !whole.contains('/') && whole.split(' ').count() <= 2 && !denominator.contains(' ');
    (is_fraction && is_prose(after) && matches!(follows("1", &format!(" {after}")), Follows::Words)).then_some(number)
}

/// Returns whether a formula is this number.
fn is_same(number: &str, formula: &str) -> bool {
    equality::equal(number, formula).verdict == Verdict::Equal
}

/// Returns the last number of a text, with its sign, as it is written.
pub(super) fn last(text: &str) -> Option<&str> {
    ranges(text).last().map(|range| &text[range])
}

/// Returns the places of the numbers in a text: digits with thousands separators, one decimal point, and a minus sign
/// that is not one of a difference.
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

/// Returns whether the text next to a number is words, signs of currency and punctuation, so that the number is alone.
fn is_prose(text: &str) -> bool {
    let is_mark = |c| CURRENCIES.contains(&c) || "%.,:;'()\u{b0}\"-*!\u{2019}".contains(c) || is_picture(c);
    text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || is_mark(c))
}

/// Returns whether a character is a tick, an emoji or what changes the look of one.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{fe0f}' | '\u{1f300}'..='\u{1faff}')
}

/// Returns whether `number` is complete between these texts: no digit, sign or word there makes it another one.
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
    !is_part && sign(before) == Some(false) && matches!(follows(number, after), Follows::Words)
}

/// The kind of text that follows a number in prose.
enum Follows {
    /// Words that leave it what it is.
    Words,
    /// A word that makes it another number or a formula at once: `million`, `k`, `x`.
    Factor,
    /// Words that make another number of it, or deny it.
    Change,
}

/// Returns the words of a text in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn is_negation(word: &str) -> bool {
    NEGATIONS.contains(&word)
}

/// Returns whether the words before a number make it negative; `None` if they may make it another number.
pub(super) fn sign(before: &str) -> Option<bool> {
    let is_room = |c: char| c.is_whitespace() || c == '*' || CURRENCIES.contains(&c);
    let near = before.trim_end_matches(is_room);
    if let Some(rest) = near.strip_suffix(['-', '\u{2212}']) {
        let is_all = rest.chars().all(|c| is_room(c) || c == '(');
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

/// Classifies the words after `number`. Formulas are left to the comparison of formulas.
fn follows(number: &str, after: &str) -> Follows {
    let trimmed = after.trim_start_matches(['%', '*', ' ', '"', ')']);
    let first = trimmed.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let glue = if after.starts_with(char::is_alphabetic) { "" } else { " " };
    if after.starts_with('(') || after.trim_start().starts_with('-') || trimmed.starts_with('*') {
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
        // Units; `5m` may be a product.
        "m" | "g" | "h" | "s" | "l" | "L" if glue == " " => Follows::Words,
        // Whole sentences are not what formulas are compared with.
        _ if is_same(number, &format!("{number}{glue}{first}")) => Follows::Words,
        _ => Follows::Factor,
    }
}

/// Returns the spellings of LaTeX that matter for a number, as plain text.
fn without_latex(answer: &str) -> String {
    // What GSM8K writes for a calculator, `<<3+2=5>>5`.
    let answer = answer.strip_prefix("<<").and_then(|sum| sum.split_once(">>")).map_or(answer, |(_, value)| value);
    let mut plain = without_negative_space(&answer.replace("{,}", ",")).replace("\\,", "").replace("\\;", " ");
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

/// Returns a text without thin negative spaces, and without the blanks that only the source has next to one at a comma.
fn without_negative_space(text: &str) -> String {
    let mut pieces = text.split("\\!");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_at_comma = plain.trim_end().ends_with(',') || piece.trim_start().starts_with(',');
        let end = if is_at_comma { plain.trim_end().len() } else { plain.len() };
        plain.truncate(end);
        plain.push_str(if is_at_comma { piece.trim_start() } else { piece });
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
            ("35 (purple flowers: 10 + 80% of 10 = 18)", "35"),
            ("35, as 35 - 5 = 30 flowers are purple", "35"),
            ("3 bolts in total (2 blue, 1 white)", "3"),
            ("3 bolts (2 + 1)", "3"),
            ("100 square feet (10 x 10)", "100"),
            ("8, not 9", "8"),
            ("100 km/h", "100"),
            ("\u{20b9}100", "100"),
            ("366/week", "366"),
            ("3 1/2 hours", "3 1/2"),
            ("100 m", "100"),
            ("5 L of water", "5"),
            ("1/2 cup", "1/2"),
            ("230 \u{2705}", "230"),
            ("__18__", "18"),
            ("<<3+2=5>>5", "5"),
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
                    "at least 5",
                    "5, which is wrong",
                    "5 (wrong)",
                    "10 - (3 + 2)",
                    "2 hours, 30 minutes",
                    "x = 3, y = 4",
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

//! Numbers in prose.

use std::ops::Range;

use super::strip_markup;
use crate::answer::decimal;

/// Longest answer that is looked at as words, in bytes.
const LONGEST_PHRASE: usize = 4096;

/// The number that an answer comes to: its shortest plain decimal, or a fraction or formula as written. `None` where
/// it is words, or names more than one number.
///
/// `$1,200.00`, `1200 dollars`, `1{,}200\text{ dollars}`, `x = 1200` and `a total of 1200` are all `1200`.
pub(crate) fn read(answer: &str) -> Option<String> {
    if answer.len() > LONGEST_PHRASE {
        return decimal(strip_markup(answer));
    }
    let plain = without_latex(strip_markup(answer));
    let plain = strip_markup(plain.rsplit_once('=').map_or(plain.as_str(), |(_, value)| value));
    let bare = plain.trim_start_matches(['$', '\u{20ac}', '\u{a3}', '~', '\u{2248}']).trim_end_matches('%');
    if let Some(number) = decimal(plain).or_else(|| decimal(strip_markup(bare))) {
        return Some(number);
    }
    let mut numbers = ranges(plain);
    let only = numbers.next()?;
    let negated = plain[..only.start].split(|c: char| !c.is_alphabetic()).any(|word| word.eq_ignore_ascii_case("not"));
    if numbers.next().is_none() && !negated && is_prose(&plain[..only.start]) && is_prose(&plain[only.end..]) {
        return decimal(&plain[only]);
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
        ] {
            assert_eq!(read(answer).as_deref(), Some(number), "{answer:?}");
        }
        for answer in
            ["", "no idea", "not 5", "2 hours and 30 minutes", "Step 4 of 5", "5 or 6", "\\text{see above}", "="]
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

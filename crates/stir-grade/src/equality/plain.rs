//! Answers in plainer characters: full-width letters, fractions that are one character, numbers in words, moduli.

use std::borrow::Cow;

use super::{Rule, rules::Decision, text, why::Why, words::NUMBERS};
use crate::Verdict;

const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Fractions that are one character.
const FRACTIONS: [(char, &str); 18] = [
    ('\u{bc}', "\\frac{1}{4}"),
    ('\u{bd}', "\\frac{1}{2}"),
    ('\u{be}', "\\frac{3}{4}"),
    ('\u{2150}', "\\frac{1}{7}"),
    ('\u{2151}', "\\frac{1}{9}"),
    ('\u{2152}', "\\frac{1}{10}"),
    ('\u{2153}', "\\frac{1}{3}"),
    ('\u{2154}', "\\frac{2}{3}"),
    ('\u{2155}', "\\frac{1}{5}"),
    ('\u{2156}', "\\frac{2}{5}"),
    ('\u{2157}', "\\frac{3}{5}"),
    ('\u{2158}', "\\frac{4}{5}"),
    ('\u{2159}', "\\frac{1}{6}"),
    ('\u{215a}', "\\frac{5}{6}"),
    ('\u{215b}', "\\frac{1}{8}"),
    ('\u{215c}', "\\frac{3}{8}"),
    ('\u{215d}', "\\frac{5}{8}"),
    ('\u{215e}', "\\frac{7}{8}"),
];

/// The same text in ASCII, where it has full-width characters or fractions that are one character.
pub(super) fn ascii(text: &str) -> Cow<'_, str> {
    let fraction = |c: char| FRACTIONS.iter().find(|(known, _)| *known == c).map(|&(_, written)| written);
    let plain = |c: char| match c {
        // Full-width characters stand in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        _ => None,
    };
    if text.is_ascii() || !text.chars().any(|c| plain(c).is_some() || fraction(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match fraction(c) {
            Some(written) => out.push_str(written),
            None => out.push(plain(c).unwrap_or(c)),
        }
    }
    Cow::Owned(out)
}

/// The number that is all an answer says, where that takes words of more than twenty: `one hundred and five`.
pub(super) fn spelled_out(text: &str) -> Option<u64> {
    const LONGEST: usize = 160;
    if text.len() > LONGEST || !text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ' || c == '-') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let mut words: Vec<&str> = lower.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    if let ["a", _, ..] = words[..] {
        words[0] = "one";
    }
    // One word is a number among the others.
    if matches!(words[..], [word] if NUMBERS.contains(&word)) {
        return None;
    }
    let mut rest = &words[..];
    let (mut total, mut bound) = (0, u64::MAX);
    loop {
        let group = group(&mut rest)?;
        let scale = match rest.first() {
            Some(&"thousand") => 1_000,
            Some(&"million") => 1_000_000,
            Some(&"billion") => 1_000_000_000,
            _ => 1,
        };
        if scale >= bound {
            return None;
        }
        (total, bound) = (total + group * scale, scale);
        rest = &rest[usize::from(scale > 1)..];
        match rest {
            [] => return Some(total),
            _ if scale == 1 => return None,
            // `two thousand and five`; two numbers in `two thousand and three hundred`.
            ["and", after @ ..] => {
                rest = after;
                total += below_hundred(&mut rest)?;
                return rest.is_empty().then_some(total);
            }
            _ => {}
        }
    }
}

/// A number below a thousand, or hundreds of one below a hundred, off the front of words.
fn group(words: &mut &[&str]) -> Option<u64> {
    let first = below_hundred(words)?;
    let ["hundred", after @ ..] = *words else { return Some(first) };
    *words = after;
    let mut more = after.strip_prefix(&["and"]).unwrap_or(after);
    match below_hundred(&mut more) {
        Some(less) => {
            *words = more;
            Some(first * 100 + less)
        }
        None => Some(first * 100),
    }
}

fn below_hundred(words: &mut &[&str]) -> Option<u64> {
    let ones = |word: &str| NUMBERS.iter().position(|number| *number == word).filter(|&n| n > 0);
    let (&first, after) = words.split_first()?;
    *words = after;
    let Some(tens) = TENS.iter().position(|tens| *tens == first) else { return ones(first).map(|n| n as u64) };
    let tens = 20 + 10 * tens as u64;
    match after.split_first().and_then(|(&next, after)| Some((ones(next).filter(|&n| n < 10)?, after))) {
        Some((ones, after)) => {
            *words = after;
            Some(tens + ones as u64)
        }
        None => Some(tens),
    }
}

/// An answer without the modulus behind it, and that: `27 \pmod{100}`, `27 (mod 100)`.
pub(super) fn modulus(text: &str) -> (&str, Option<&str>) {
    split_modulus(text).map_or((text, None), |(number, modulus)| (number, Some(modulus)))
}

fn split_modulus(text: &str) -> Option<(&str, &str)> {
    let (number, modulus) = match text.rfind("\\pmod") {
        Some(at) => (&text[..at], &text[at + "\\pmod".len()..]),
        None => {
            let (number, inside) = match text.strip_suffix(")}") {
                // `27\text{ (mod 100)}`
                Some(rest) => {
                    let (number, inside) = rest.rsplit_once("\\text{")?;
                    (number, inside.trim_start().strip_prefix('(')?)
                }
                None => text.strip_suffix(')')?.rsplit_once('(')?,
            };
            let inside = inside.trim_start();
            let marks = ["\\text{mod}", "\\mathrm{mod}", "\\text{mod }", "\\bmod", "\\mod", "mod"];
            let after = marks.iter().find_map(|mark| inside.strip_prefix(mark))?;
            (number, after)
        }
    };
    let modulus = modulus.trim_start_matches(['\\', ' ', ',', ';']).trim_end();
    let modulus = modulus.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(modulus).trim();
    let number = number.trim_end_matches(['\\', ' ', ',', ';', '~']).trim_end_matches("\\quad").trim();
    (!number.is_empty() && modulus.starts_with(|c: char| c.is_ascii_digit())).then_some((number, modulus))
}

/// What a modulus on one side, or on both, makes of the verdict on the numbers before it.
pub(super) fn congruent(gold: (&str, Option<&str>), pred: (&str, Option<&str>), numbers: Decision) -> Decision {
    let same = |a: &str, b: &str| text::spelling(a) == text::spelling(b);
    let modulus = match (gold.1, pred.1) {
        (Some(a), Some(b)) if same(a, b) => a,
        (Some(a), None) | (None, Some(a)) => a,
        _ => return Decision::unclear(Rule::Modulus, Why::NotShown),
    };
    if numbers.verdict == Verdict::Equal {
        return numbers.by(Rule::Modulus);
    }
    let integer = |text: &str| text.parse::<i64>().ok().map(i128::from);
    let remainder = || (integer(gold.0)? - integer(pred.0)?).checked_rem(integer(modulus)?);
    match remainder() {
        Some(0) if gold.1.is_some() && pred.1.is_some() => Decision::equal(Rule::Modulus),
        None | Some(0) => Decision::unclear(Rule::Modulus, Why::NotShown),
        Some(_) => Decision::different(Rule::Modulus),
    }
}

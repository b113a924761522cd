//! Full-width characters and one-character fractions in plainer spelling.

use std::borrow::Cow;

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

/// Returns the same text in ASCII, where it has full-width characters or fractions that are one character.
pub(crate) fn ascii(text: &str) -> Cow<'_, str> {
    let fraction = |c: char| FRACTIONS.iter().find(|(known, _)| *known == c).map(|&(_, written)| written);
    let plain = |c: char| match c {
        // Full-width characters are in the order of ASCII.
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

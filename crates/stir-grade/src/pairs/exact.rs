//! What JSON may say and `serde_json` does not read: numbers that no number type holds, and halves of characters.
//!
//! `serde_json` has a feature for numbers (`arbitrary_precision`), but a feature of a library holds for the whole build:
//! it would change how every other crate reads numbers. So a line is scanned once before it is parsed.

use serde_json::Number;

/// Returns a line of JSON in which numbers that would be rounded when they are read are texts, and in which an escape of
/// half a character (a lone surrogate, which Python writes where a text was cut inside one) is that of U+FFFD.
pub(crate) fn exact(line: &[u8]) -> Vec<u8> {
    let (mut out, mut at, mut in_text) = (Vec::with_capacity(line.len()), 0, false);
    while let Some(&byte) = line.get(at) {
        let is_number = !in_text && (byte == b'-' || byte.is_ascii_digit());
        let len = match byte {
            _ if is_number => line[at..].iter().take_while(|byte| b"+-.eE0123456789".contains(byte)).count(),
            b'\\' if in_text => match (unit(line, at), unit(line, at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(_), _) => 6,
                (None, _) => 2,
            },
            _ => 1,
        };
        in_text ^= byte == b'"';
        let is_half = len == 6 && !is_number && matches!(unit(line, at), Some(0xd800..=0xdfff));
        let piece = if is_half { br"\ufffd" } else { &line[at..line.len().min(at + len)] };
        let quote: &[u8] = if is_number && is_rounded(piece) { b"\"" } else { b"" };
        [quote, piece, quote].iter().for_each(|part| out.extend_from_slice(part));
        at += len;
    }
    out
}

/// Returns the code unit that the escape at `at` stands for, if there is one.
fn unit(line: &[u8], at: usize) -> Option<u16> {
    let digits = line.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns whether a number changes when it is read. Text that is no number is left to the reader to refuse.
fn is_rounded(number: &[u8]) -> bool {
    let read = serde_json::from_slice::<Number>(number);
    read.is_ok_and(|read| value_of(&read.to_string()) != value_of(&String::from_utf8_lossy(number)))
}

/// Returns the value of a number, however it is written: its sign, its digits without zeros around them, and the place
/// of the first.
fn value_of(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    let place = whole.len() as i64 - (digits.len() - significant.len()) as i64;
    // An exponent beyond 64 bits does not come back from reading.
    let place = exponent.parse().map_or(i64::MAX, |exponent: i64| exponent.saturating_add(place));
    (unsigned.len() < mantissa.len(), significant.trim_end_matches('0').to_owned(), place)
}

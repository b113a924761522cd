//! Numbers in words.

use super::vocabulary::NUMBERS;

const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Returns the number that is all an answer says, where that takes words of more than twenty: `one hundred and five`.
pub(crate) fn spelled_out(text: &str) -> Option<u64> {
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

/// Returns a number below a thousand, or hundreds of one below a hundred, off the front of words.
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

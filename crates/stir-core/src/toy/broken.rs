use crate::SampleRng;

/// Values that mean something at an edge, to be put where another was.
const VALUES: [&[u8]; 32] = [
    b"null",
    b"true",
    b"0",
    b"-0.0",
    b"1",
    b"-1",
    b"2",
    b"95",
    b"96",
    b"1.5",
    b"1e-320",
    b"1e308",
    b"1e999",
    b"255",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"\"\"",
    b"\"a\"",
    b"\"\\u0000\"",
    b"\"\\ud83d\"",
    b"\"\xff\"",
    b"\"../../x\"",
    b"[]",
    b"[[]]",
    b"{}",
    b"[0,0]",
    b"{\"a\":null}",
];

/// No text grows beyond this many bytes.
const LONGEST: usize = 1 << 16;

/// Breaks a text of JSON at random places, most often so that much of it is still read: bytes change or are cut off, values
/// give way to others, and parts are moved, left out or repeated up to a thousand times. Tests of readers use it.
///
/// ```
/// use stir_core::{SampleRng, toy::break_json};
/// let (whole, mut rng) = (br#"{"id": "a", "k": 1}"#, SampleRng::new(1, 0));
/// let mut text = whole.to_vec();
/// break_json(&mut text, &mut rng);
/// assert_ne!(text, whole);
/// ```
pub fn break_json(text: &mut Vec<u8>, rng: &mut SampleRng) {
    for _ in 0..1 + rng.below(3) * rng.below(2) {
        if text.is_empty() {
            return;
        }
        let at = rng.below(text.len());
        match rng.below(12) {
            0 => text[at] ^= 1 << rng.below(8),
            1 => text[at] = b"{}[]\",:\\0e- \n"[rng.below(13)],
            2 if rng.below(4) == 0 => text.truncate(at),
            3 => drop(text.drain(at..(at + 1 + rng.below(16)).min(text.len()))),
            4 | 5 => {
                let part = text[at..(at + 1 + rng.below(24)).min(text.len())].to_vec();
                let most = (LONGEST.saturating_sub(text.len()) / part.len()).min(1 << rng.below(11));
                let place = if rng.below(2) == 0 { at } else { rng.below(text.len()) };
                drop(text.splice(place..place, part.repeat(most)));
            }
            _ => replace(text, at, VALUES[rng.below(VALUES.len())]),
        }
    }
}

/// Returns how many inputs a long run of a test like these breaks, and the seed that it draws them with: the environment's
/// `STIR_FUZZ`, or `count`, and `STIR_FUZZ_SEED`, or 3.
///
/// # Panics
///
/// Panics if one of them is set to something else than a number.
#[expect(clippy::expect_used, reason = "only tests call it")]
pub fn fuzz_runs(count: usize) -> (usize, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a whole number"));
    (number("STIR_FUZZ").unwrap_or(count), number("STIR_FUZZ_SEED").unwrap_or(3) as u64)
}

/// Puts `value` in the place of the first value that follows a colon or opens a list behind `at`.
fn replace(text: &mut Vec<u8>, at: usize, value: &[u8]) {
    let before = text[at..].iter().position(|byte| b":[".contains(byte));
    let start = before.map_or(0, |before| at + before + 1);
    let (mut end, mut depth, mut quoted) = (start, 0, false);
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => end += 1,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b',' | b']' | b'}' if depth == 0 => break,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        end += 1;
    }
    drop(text.splice(start..end.min(text.len()), value.iter().copied()));
}

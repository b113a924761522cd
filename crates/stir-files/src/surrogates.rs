//! Halves of characters in JSON.

use std::borrow::Cow;

/// The bytes of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// Returns JSON text in which every escape of half a character (a lone surrogate, such as `\ud83d`) is one of U+FFFD.
///
/// Python writes such escapes where a text was cut inside a character beyond 16 bits, and reads them back; JSON readers in
/// Rust refuse them. The length stays, so that places in errors are those of the text.
///
/// ```
/// use stir_files::mend_surrogates;
/// assert_eq!(*mend_surrogates(br#""cut \ud83d here""#), *br#""cut \ufffd here""#);
/// assert_eq!(*mend_surrogates(br#""whole \ud83d\ude00""#), *br#""whole \ud83d\ude00""#);
/// ```
pub fn mend_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let (mut mended, mut at) = (Cow::Borrowed(json), 0);
    while let Some(next) = json.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == b'\\')) {
        at += next;
        at += match (unit(json, at), unit(json, at + ESCAPE)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
            (Some(0xd800..=0xdfff), _) => {
                mended.to_mut()[at..at + ESCAPE].copy_from_slice(br"\ufffd");
                ESCAPE
            }
            (Some(_), _) => ESCAPE,
            // `\\` and `\"`: what follows the backslash is no escape of its own.
            (None, _) => 2,
        };
    }
    mended
}

/// Returns the code unit that the escape at `at` stands for, if there is one.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(br"\u")?;
    let digits = digits.iter().map(|&digit| char::from(digit).to_digit(16));
    digits.into_iter().try_fold(0, |unit, digit| Some(unit << 4 | u16::try_from(digit?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_all_else_stays() {
        for (json, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00 and \uD83D\uD83D\uDE00""#, r#""\ufffd and \ufffd\uD83D\uDE00""#),
            (r#"{"\ud83d": ["\udfff"]}"#, r#"{"\ufffd": ["\ufffd"]}"#),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            (r#""\u00e9 é \ud83d\ude00 \n""#, r#""\u00e9 é \ud83d\ude00 \n""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\ud83d"#, r#""\ufffd"#),
            ("\\", "\\"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&mend_surrogates(json.as_bytes())), expected, "{json}");
        }
        assert!(matches!(mend_surrogates(br#""\ud83d\ude00""#), Cow::Borrowed(_)));
    }
}

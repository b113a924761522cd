//! Markup around an answer.

/// Signs that come in pairs around an answer.
const PAIRS: [(&str, &str); 9] = [
    ("$$", "$$"),
    ("$", "$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("**", "**"),
    ("__", "__"),
    ("*", "*"),
    ("`", "`"),
    ("\"", "\""),
];

/// Returns `answer` without white space, closing punctuation, and signs of emphasis or mathematics around all of it.
pub(crate) fn strip_markup(answer: &str) -> &str {
    let mut rest = answer;
    loop {
        let before = rest;
        rest = rest.trim();
        // A full stop after a digit may not be a decimal point here, as no digit follows.
        rest = rest.strip_suffix(['.', ';', ',', '!']).unwrap_or(rest);
        // `**7` or `7**` is what is left where a phrase was cut out of its emphasis.
        for mark in ["**", "__"] {
            rest = rest.strip_prefix(mark).filter(|rest| !rest.contains(mark)).unwrap_or(rest);
            rest = rest.strip_suffix(mark).filter(|rest| !rest.contains(mark)).unwrap_or(rest);
        }
        for (open, close) in PAIRS {
            let inside = rest.strip_prefix(open).and_then(|inside| inside.strip_suffix(close));
            rest = inside.filter(|inside| !inside.contains(open) && !inside.contains(close)).unwrap_or(rest);
        }
        if rest.len() == before.len() {
            return rest;
        }
    }
}

/// Returns a line without the "So" or "Thus," that it may begin with.
pub(crate) fn conclusion(line: &str) -> &str {
    let rest = ["so", "thus", "therefore", "hence"].iter().find_map(|word| {
        let head = line.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
        line[head.len()..].strip_prefix([',', ' ', ':'])
    });
    rest.map_or(line, str::trim_start)
}

/// Returns whether a character belongs to a word.
pub(crate) fn is_letter(c: char) -> bool {
    c.is_alphanumeric()
}

/// Returns the first `length` bytes of a text, or a few less so that no character is cut.
pub(crate) fn head(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the last `length` bytes of a text, or a few less so that no character is cut.
pub(crate) fn tail(text: &str, length: usize) -> &str {
    let mut start = text.len().saturating_sub(length);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_content_stays() {
        for (answer, bare) in [
            (" 7. ", "7"),
            ("**7**", "7"),
            ("**7", "7"),
            ("$\\frac12$.", "\\frac12"),
            ("\\( 7 \\).", "7"),
            ("$$7$$", "7"),
            ("\\[\n7\n\\]", "7"),
            ("**$7$.**", "7"),
            ("$5$ and $6$", "$5$ and $6$"),
            ("$7", "$7"),
            ("2 ** 3", "2 ** 3"),
            ("[1, 2)", "[1, 2)"),
            ("\"B\"", "B"),
            ("", ""),
            ("...", ""),
            ("$", "$"),
            ("**", ""),
        ] {
            assert_eq!(strip_markup(answer), bare, "{answer:?}");
        }
    }
}

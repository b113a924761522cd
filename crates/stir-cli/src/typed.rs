//! Values as people type them.

use serde::de::DeserializeOwned;
use serde_json::Value;
use stir::core::Delimiter;

/// Reads a text as typed: `\n`, `\r`, `\t` and `\\` mean what they mean elsewhere.
pub(crate) fn unescaped(typed: &str) -> Result<String, String> {
    let (mut text, mut chars) = (String::new(), typed.chars());
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('\\') => '\\',
                other => return Err(format!("unknown escape \\{}", other.map_or_else(String::new, String::from))),
            },
            char => char,
        });
    }
    Ok(text)
}

/// Writes a text as it is typed; [`unescaped`] reads it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t")
}

/// Reads a segment delimiter, with the escapes of [`unescaped`].
pub(crate) fn delimiter(typed: &str) -> Result<Delimiter, String> {
    Delimiter::new(unescaped(typed)?).ok_or_else(|| "it is empty".to_owned())
}

/// Reads the value of a serde enum of plain names.
pub(crate) fn named<T: DeserializeOwned>(name: String) -> Result<T, serde_json::Error> {
    serde_json::from_value(Value::String(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_they_are_written() {
        for text in ["", "a b", "\n\n", "\t\\n\r", r"\"] {
            assert_eq!(unescaped(&escaped(text)).unwrap(), text);
        }
        assert_eq!(unescaped(r"\q").unwrap_err(), r"unknown escape \q");
        assert!(unescaped("\\").is_err() && delimiter("").is_err());
        assert_eq!(delimiter(r"\n\n").unwrap(), Delimiter::default());
    }
}

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes `value` as Python's `json.dumps` writes it, in at most `limit` bytes.
pub(crate) fn python_json(
    value: impl Serialize,
    indent: Option<u8>,
    ascii: bool,
    limit: usize,
) -> serde_json::Result<String> {
    let mut json = Limited { bytes: Vec::new(), limit };
    let style = Python { indent: indent.map(usize::from), ascii, depth: 0, filled: false };
    value.serialize(&mut Serializer::with_formatter(&mut json, style))?;
    Ok(String::from_utf8_lossy(&json.bytes).into_owned())
}

struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Python's spaces, line breaks and numbers.
struct Python {
    indent: Option<usize>,
    ascii: bool,
    depth: usize,
    /// True if the innermost list or object has anything in it.
    filled: bool,
}

impl Python {
    fn open(&mut self, w: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        w.write_all(bracket)
    }

    fn close(&mut self, w: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.new_line(w)?;
        }
        self.filled = true;
        w.write_all(bracket)
    }

    fn item(&mut self, w: &mut (impl Write + ?Sized), first: bool) -> io::Result<()> {
        match (first, self.indent) {
            (true, _) => {}
            (false, None) => w.write_all(b", ")?,
            (false, Some(_)) => w.write_all(b",")?,
        }
        self.new_line(w)
    }

    fn new_line(&self, w: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match self.indent {
            Some(indent) => {
                w.write_all(b"\n")?;
                (0..indent * self.depth).try_for_each(|_| w.write_all(b" "))
            }
            None => Ok(()),
        }
    }
}

impl Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.open(w, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.close(w, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.item(w, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.open(w, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.close(w, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.item(w, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    /// The shortest digits that read back, as everywhere; the exponent has a sign and two digits.
    fn write_f64<W: ?Sized + Write>(&mut self, w: &mut W, value: f64) -> io::Result<()> {
        let digits = format!("{value:?}");
        match digits.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
                write!(w, "{digits}e{sign}{exponent:0>2}")
            }
            None => w.write_all(digits.as_bytes()),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, w: &mut W, text: &str) -> io::Result<()> {
        if !self.ascii {
            return w.write_all(text.as_bytes());
        }
        let mut units = [0; 2];
        text.chars().try_for_each(|c| match c {
            ' '..='~' => write!(w, "{c}"),
            c => c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(w, "\\u{unit:04x}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_spelled_as_python_spells_it() {
        let value = json!([1, 2.0, 1e16, 1e-5, 1.5e300, 1e-300, 0.0001, 123456789.125, -0.0, 12345678901234567890u64]);
        let expected = "[1, 2.0, 1e+16, 1e-05, 1.5e+300, 1e-300, 0.0001, 123456789.125, -0.0, 12345678901234567890]";
        assert_eq!(python_json(value, None, false, 1000).unwrap(), expected);

        let text = "ü\n\u{1}\u{7f}\"\\/<'&\u{1f600}";
        let expected = "\"ü\\n\\u0001\u{7f}\\\"\\\\/<'&\u{1f600}\"";
        assert_eq!(python_json(text, None, false, 1000).unwrap(), expected);
        let expected = "\"\\u00fc\\n\\u0001\\u007f\\\"\\\\/<'&\\ud83d\\ude00\"";
        assert_eq!(python_json(text, None, true, 1000).unwrap(), expected);

        let value = json!({"a": [1, {"x": []}, [[]]], "b": [], "c": {}, "d": null, "e": true});
        let expected = r#"{"a": [1, {"x": []}, [[]]], "b": [], "c": {}, "d": null, "e": true}"#;
        assert_eq!(python_json(&value, None, false, 1000).unwrap(), expected);
        let value = json!({"a": [1, {"x": []}], "b": [], "c": {}});
        let lines = ["{", "    \"a\": [", "        1,", "        {", "            \"x\": []", "        }", "    ],"];
        let expected = [&lines[..], &["    \"b\": [],", "    \"c\": {}", "}"]].concat().join("\n");
        assert_eq!(python_json(&value, Some(4), false, 1000).unwrap(), expected);
        assert_eq!(python_json(json!([1, 2]), Some(0), false, 1000).unwrap(), "[\n1,\n2\n]");
        assert!(python_json(&value, Some(4), false, 20).is_err());
    }
}

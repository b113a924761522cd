//! JSON as Python's `json.dumps` writes it.

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use crate::template::float;

/// The arguments of `json.dumps`.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// True to escape what is not ASCII.
    pub(crate) ascii: bool,
    /// What each level is indented by; `None` puts everything on one line.
    pub(crate) indent: Option<String>,
    /// What stands between items, and between a key and its value; `None` for what the indent makes usual.
    pub(crate) separators: Option<(String, String)>,
    /// True to sort keys.
    pub(crate) sort_keys: bool,
}

/// Writes `value` in at most `limit` bytes.
pub(crate) fn python_json(value: &Value, style: &Style, limit: usize) -> Result<String, Error> {
    let (item, key) = match &style.separators {
        Some((item, key)) => (item.as_str(), key.as_str()),
        None if style.indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    let mut writer = Writer { out: String::new(), limit, style, item, key, depth: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    limit: usize,
    style: &'a Style,
    item: &'a str,
    key: &'a str,
    depth: usize,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Result<(), Error> {
        if self.out.len() + text.len() > self.limit {
            return Err(Error::new(ErrorKind::OutOfFuel, "JSON that is too long"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            return self.text(text);
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => self.list(value),
            ValueKind::Map => self.object(value),
            _ => match scalar(value) {
                Some(text) => self.push(&text),
                None => {
                    Err(Error::new(ErrorKind::BadSerialization, format!("no JSON of a value of type {}", value.kind())))
                }
            },
        }
    }

    fn list(&mut self, value: &Value) -> Result<(), Error> {
        let mut count = 0;
        self.push("[")?;
        self.depth += 1;
        for item in value.try_iter()? {
            self.before(count)?;
            self.value(&item)?;
            count += 1;
        }
        self.close(count, "]")
    }

    fn object(&mut self, value: &Value) -> Result<(), Error> {
        let mut keys: Vec<(String, Value)> =
            value.try_iter()?.map(|key| Ok((name(&key)?, key))).collect::<Result<_, Error>>()?;
        if self.style.sort_keys {
            keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        self.push("{")?;
        self.depth += 1;
        for (i, (name, key)) in keys.iter().enumerate() {
            self.before(i)?;
            self.text(name)?;
            self.push(self.key)?;
            self.value(&value.get_item(key)?)?;
        }
        self.close(keys.len(), "}")
    }

    /// Writes what stands before item `index`.
    fn before(&mut self, index: usize) -> Result<(), Error> {
        if index > 0 {
            self.push(self.item)?;
        }
        self.new_line()
    }

    fn close(&mut self, items: usize, bracket: &str) -> Result<(), Error> {
        self.depth -= 1;
        if items > 0 {
            self.new_line()?;
        }
        self.push(bracket)
    }

    fn new_line(&mut self) -> Result<(), Error> {
        let style = self.style;
        let Some(indent) = &style.indent else { return Ok(()) };
        self.push("\n")?;
        (0..self.depth).try_for_each(|_| self.push(indent))
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.push("\"")?;
        let mut start = 0;
        for (at, c) in text.char_indices() {
            let escaped = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '\u{8}' => "\\b".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                ..' ' => format!("\\u{:04x}", u32::from(c)),
                _ if self.style.ascii && c > '~' => {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
                _ => continue,
            };
            self.push(&text[start..at])?;
            self.push(&escaped)?;
            start = at + c.len_utf8();
        }
        self.push(&text[start..])?;
        self.push("\"")
    }
}

/// Returns a number, a truth value or null as JSON; `None` for anything else.
fn scalar(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::None => Some("null".into()),
        ValueKind::Bool => Some(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Some(value.to_string()),
        ValueKind::Number => f64::try_from(value.clone()).ok().map(|number| match number {
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            _ if number.is_nan() => "NaN".into(),
            _ => float(number),
        }),
        _ => None,
    }
}

/// Returns a key as the text that it becomes.
fn name(key: &Value) -> Result<String, Error> {
    let name = key.as_str().map(str::to_owned).or_else(|| scalar(key));
    name.ok_or_else(|| Error::new(ErrorKind::BadSerialization, "a key that JSON does not have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { ascii: false, indent: None, separators: None, sort_keys: false };

    #[test]
    fn json_is_spelled_as_python_spells_it() {
        let json = |value: Value, style: &Style| python_json(&value, style, 1000).unwrap();
        let read =
            |text: &str| Value::from(minijinja::value::Serde(serde_json::from_str::<serde_json::Value>(text).unwrap()));
        let value = "[1, 2.0, 1e+16, 1e-05, 1.5e+300, 1e-300, 0.0001, 123456789.125, -0.0, 12345678901234567890]";
        assert_eq!(json(read(value), &PLAIN), value);
        assert_eq!(json(Value::from(f64::NEG_INFINITY), &PLAIN), "-Infinity");

        let text = Value::from("ü\n\u{1}\u{7f}\"\\/<'&\u{1f600}\u{8}");
        assert_eq!(json(text.clone(), &PLAIN), "\"ü\\n\\u0001\u{7f}\\\"\\\\/<'&\u{1f600}\\b\"");
        let expected = "\"\\u00fc\\n\\u0001\\u007f\\\"\\\\/<'&\\ud83d\\ude00\\b\"";
        assert_eq!(json(text, &Style { ascii: true, ..PLAIN }), expected);

        let value = r#"{"b": [1, {"x": []}, [[]]], "a": [], "c": {}, "d": null, "e": true}"#;
        assert_eq!(json(read(value), &PLAIN), value);
        let value = read(r#"{"b": [1, {"x": []}], "a": [], "c": {}}"#);
        let indented = Style { indent: Some("    ".into()), ..PLAIN };
        let lines = ["{", "    \"b\": [", "        1,", "        {", "            \"x\": []", "        }", "    ],"];
        let expected = [&lines[..], &["    \"a\": [],", "    \"c\": {}", "}"]].concat().join("\n");
        assert_eq!(json(value.clone(), &indented), expected);
        let sorted = Style { sort_keys: true, separators: Some((",".into(), ":".into())), ..PLAIN };
        assert_eq!(json(value.clone(), &sorted), r#"{"a":[],"b":[1,{"x":[]}],"c":{}}"#);
        assert_eq!(json(Value::from(vec![1, 2]), &Style { indent: Some(String::new()), ..PLAIN }), "[\n1,\n2\n]");
        assert!(python_json(&value, &indented, 20).is_err());
        assert!(python_json(&Value::UNDEFINED, &PLAIN, 20).is_err());
    }
}

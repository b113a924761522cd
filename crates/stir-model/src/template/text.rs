//! What Python's `str` and `repr` make of a value.

use std::fmt::Write;

use minijinja::{
    Value,
    value::{Tuple, ValueKind},
};

/// Returns `str(value)`.
pub(super) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_undefined() => String::new(),
        None => quoted_text(value),
    }
}

/// Returns `repr(value)`.
pub(super) fn quoted_text(value: &Value) -> String {
    let mut out = String::new();
    repr(value, &mut out);
    out
}

/// Returns whether Python and the engine may spell `value` differently.
pub(super) fn is_spelled_differently(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Number => !value.is_integer(),
        kind => matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable),
    }
}

/// Appends `repr(value)`.
fn repr(value: &Value, out: &mut String) {
    if let Some(text) = value.as_str() {
        return quoted(text, out);
    }
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.downcast_object_ref::<Tuple>().is_some();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                separate(count, out);
                repr(&item, out);
                count += 1;
            }
            out.push_str(match (tuple, count) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            });
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter().into_iter().flatten().enumerate() {
                separate(i, out);
                repr(&key, out);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out);
            }
            out.push('}');
        }
        _ => drop(write!(out, "{value}")),
    }
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// Appends a text in quotes: single ones, unless the text has them and no double ones.
fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => drop(match u32::from(c) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                code @ 0..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
}

/// Returns whether Python prints a character as it is. So does Rust's debug format, after a first character.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        matches!(c, ' '..='~')
    } else {
        !format!("{:?}", ['a', c].iter().collect::<String>()).contains('\\')
    }
}

/// Returns `repr` of a float: the shortest digits that read back, with an exponent of a sign and two digits from 1e16 on
/// and below 1e-4.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let digits = format!("{value:?}");
    match digits.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => digits,
    }
}

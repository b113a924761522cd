//! Filters and tests where Jinja2 differs from the engine, or has one more.

use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters,
    value::{Kwargs, Rest, StringInput, ValueKind, ValueOrKwargs},
};

use super::{
    charge, charge_bytes,
    methods::{lines, pad},
    text::{is_spelled_differently, text},
};
use crate::python_json::{Style, python_json};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", string);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("round", round);
    environment.add_filter("center", center);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", |text: &str| words(text).count());
    for name in ["escape", "e", "forceescape"] {
        environment.add_filter(name, escape);
    }
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        value.is_undefined() || matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    environment.add_test("callable", |value: &Value| value.is_undefined() || value.kind() == ValueKind::Plain);
}

/// Arguments that are given by their place or by their name.
struct Args {
    placed: std::vec::IntoIter<Value>,
    named: Kwargs,
}

impl Args {
    fn new(args: Rest<ValueOrKwargs>) -> Result<Self, Error> {
        let mut placed = args.into_values();
        let named = match placed.pop_if(|last| last.is_kwargs()) {
            Some(named) => Kwargs::try_from(named)?,
            None => std::iter::empty::<(String, Value)>().collect(),
        };
        Ok(Self { placed: placed.into_iter(), named })
    }

    fn value(&mut self, name: &str) -> Result<Option<Value>, Error> {
        let given = match self.placed.next() {
            None => self.named.get::<Option<Value>>(name)?,
            placed => placed,
        };
        Ok(given.filter(|value| !value.is_none()))
    }

    /// Returns the next argument, whose name is `name`; `None` if it is missing or none.
    fn next<T: TryFrom<Value, Error = Error>>(&mut self, name: &str) -> Result<Option<T>, Error> {
        self.value(name)?.map(T::try_from).transpose()
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.value(name)?.map(|value| text(&value)))
    }

    fn end(mut self) -> Result<(), Error> {
        match self.placed.next() {
            Some(_) => Err(ErrorKind::TooManyArguments.into()),
            None => self.named.assert_all_used(),
        }
    }
}

fn string(state: &mut State<'_, '_>, value: &Value) -> Result<String, Error> {
    charge(state, value)?;
    Ok(text(value))
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    charge(state, value)?;
    let list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if list && attribute.is_none() && !kwargs.has("attribute") {
        let spelled = |item: Value| if is_spelled_differently(&item) { Value::from(text(&item)) } else { item };
        let items: Value = value.try_iter()?.map(spelled).collect();
        return filters::join(state, &items, joiner, attribute, kwargs);
    }
    filters::join(state, value, joiner, attribute, kwargs)
}

/// Does `json.dumps` as transformers calls it: nothing escaped for HTML, letters of all scripts as they are.
fn tojson(state: &mut State<'_, '_>, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let ascii = args.next("ensure_ascii")?.unwrap_or(false);
    let (indent, separators) = (args.value("indent")?, args.value("separators")?);
    let sort_keys = args.next("sort_keys")?.unwrap_or(false);
    args.end()?;
    charge(state, value)?;
    let indent = match indent {
        None => None,
        Some(indent) => Some(indentation(state, &indent)?),
    };
    let separators = match separators {
        None => None,
        Some(both) => {
            match both.try_iter()?.map(|one| one.as_str().map(str::to_owned)).collect::<Vec<_>>().as_slice() {
                [Some(item), Some(key)] => Some((item.clone(), key.clone())),
                _ => return Err(Error::new(ErrorKind::InvalidOperation, "separators are two texts")),
            }
        }
    };
    let limit = state.fuel_levels().map_or(u64::MAX, |(_, left)| left.saturating_mul(64)) as usize;
    python_json(value, &Style { ascii, indent, separators, sort_keys }, limit)
}

/// Returns a text, or as many spaces as a number says.
fn indentation(state: &State<'_, '_>, indent: &Value) -> Result<String, Error> {
    if let Some(text) = indent.as_str() {
        return Ok(text.to_owned());
    }
    let width = usize::try_from(i64::try_from(indent.clone())?.max(0)).unwrap_or(usize::MAX);
    charge_bytes(state, width)?;
    Ok(" ".repeat(width))
}

fn indent(state: &mut State<'_, '_>, text: &str, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let width = args.value("width")?.unwrap_or_else(|| Value::from(4));
    let first = args.next("first")?.unwrap_or(false);
    let blank = args.next("blank")?.unwrap_or(false);
    args.end()?;
    let indent = indentation(state, &width)?;
    let lines = lines(text);
    charge_bytes(state, (lines.len() + 1).saturating_mul(indent.len()))?;
    let mut out = String::with_capacity(text.len());
    if first {
        out.push_str(&indent);
    }
    // A line break at the end begins one more line, which is empty.
    let ended = text.is_empty() || lines.last().is_some_and(|(line, ended)| ended.len() > line.len());
    let lines = lines.iter().map(|&(line, _)| line).chain(ended.then_some(""));
    for (i, line) in lines.enumerate() {
        if i > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&indent);
            }
        }
        out.push_str(line);
    }
    Ok(out)
}

fn int(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let default = args.value("default")?.unwrap_or_else(|| Value::from(0));
    let base = args.next("base")?.unwrap_or(10);
    args.end()?;
    Ok(match value.as_str() {
        Some(text) => whole(text, base).or_else(|| number(text).and_then(truncated)).unwrap_or(default),
        None if value.kind() == ValueKind::Bool => Value::from(i64::from(value.is_true())),
        None if value.is_integer() => value.clone(),
        None => f64::try_from(value.clone()).ok().and_then(truncated).unwrap_or(default),
    })
}

/// Reads a whole number as Python's `int` does, with a prefix such as `0x` where the base is that prefix's.
fn whole(text: &str, base: u32) -> Option<Value> {
    let text = text.trim();
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match (prefix.as_deref(), base) {
        (Some("0x"), 0 | 16) => (16, &digits[2..]),
        (Some("0o"), 0 | 8) => (8, &digits[2..]),
        (Some("0b"), 0 | 2) => (2, &digits[2..]),
        (_, 0) => (10, digits),
        _ => (base, digits),
    };
    if !(2..=36).contains(&base) || digits.starts_with(['+', '-', '_']) || digits.ends_with('_') {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    let number = if minus { -number } else { number };
    Some(i64::try_from(number).map_or_else(|_| Value::from(number), Value::from))
}

/// Reads a number as Python's `float` does.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

fn truncated(number: f64) -> Option<Value> {
    let whole = number.trunc();
    let fits = whole.abs() < i128::MAX as f64;
    fits.then(|| i64::try_from(whole as i128).map_or_else(|_| Value::from(whole as i128), Value::from))
}

fn float(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let default = args.value("default")?.unwrap_or_else(|| Value::from(0.0));
    args.end()?;
    let found = match value.as_str() {
        Some(text) => number(text),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(found.map_or(default, Value::from))
}

/// Rounds as Python does: to the nearest, from the middle to the even one.
fn round(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Args::new(args)?;
    let precision = args.next("precision")?.unwrap_or(0i32).clamp(-300, 300);
    let method = args.text("method")?.unwrap_or_else(|| "common".into());
    args.end()?;
    let integer = value.is_integer() || value.kind() == ValueKind::Bool;
    let refused = || Error::new(ErrorKind::InvalidOperation, "only a number can be rounded");
    let number = if value.kind() == ValueKind::Bool {
        f64::from(u8::from(value.is_true()))
    } else {
        f64::try_from(value.clone()).map_err(|_| refused())?
    };
    let power = 10f64.powi(precision);
    Ok(match method.as_str() {
        "ceil" => Value::from((number * power).ceil() / power + 0.0),
        "floor" => Value::from((number * power).floor() / power + 0.0),
        "common" if integer && precision >= 0 => {
            truncated(number).filter(|_| value.kind() == ValueKind::Bool).unwrap_or_else(|| value.clone())
        }
        "common" => {
            let rounded = match usize::try_from(precision) {
                Ok(digits) => format!("{number:.digits$}").parse().unwrap_or(number),
                Err(_) => (number * power).round_ties_even() / power,
            };
            if integer { truncated(rounded).unwrap_or_default() } else { Value::from(rounded) }
        }
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "method must be common, ceil or floor")),
    })
}

fn center(state: &mut State<'_, '_>, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Args::new(args)?;
    let width = args.next("width")?.unwrap_or(80);
    args.end()?;
    let text = string(state, value)?;
    pad(state, &text, width, " ", "center")
}

fn truncate(state: &mut State<'_, '_>, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let text = string(state, value)?;
    let mut args = Args::new(args)?;
    let length: usize = args.next("length")?.unwrap_or(255);
    let killwords = args.next("killwords")?.unwrap_or(false);
    let end = args.text("end")?.unwrap_or_else(|| "...".into());
    let leeway = args.next("leeway")?.unwrap_or(5);
    args.end()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let room = length.checked_sub(end.chars().count());
    let room = room.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "length must hold the end"))?;
    let head: String = text.chars().take(room).collect();
    let head = if killwords { head.as_str() } else { head.rsplit_once(' ').map_or(head.as_str(), |(words, _)| words) };
    Ok(format!("{head}{end}"))
}

/// Iterates over the runs of letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = string(state, value)?;
    charge_bytes(state, text.len() * 5)?;
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(Value::from_safe_string(escaped.replace('\'', "&#39;").replace('"', "&#34;")))
}

//! Python's methods of texts, lists and dictionaries.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, Tuple, ValueKind, from_args},
};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{
    charge, charge_bytes,
    letters::{is_cased, is_decimal, is_title, title, upper_first},
    text::is_printable,
};

/// Calls a method. What the engine does not charge for is charged for first.
pub(super) fn call(state: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => match of_text(state, text, method, args)? {
            Some(result) => Ok(result),
            None => unknown_method_callback(state, value, method, args),
        },
        None => match of_container(value, method, args)? {
            Some(result) => Ok(result),
            None => unknown_method_callback(state, value, method, args),
        },
    }
}

/// Calls the methods of lists and dictionaries that the engine lacks; `None` for the others.
fn of_container(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match (method, value.kind()) {
        ("copy", ValueKind::Seq | ValueKind::Map) => {
            let () = from_args(args)?;
            value.clone()
        }
        ("index", ValueKind::Seq | ValueKind::Iterable) => {
            let (item,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|other| other == *item);
            Value::from(at.ok_or_else(|| failed("the item is not in the list"))?)
        }
        ("count", ValueKind::Iterable) => {
            let (item,): (&Value,) = from_args(args)?;
            Value::from(value.try_iter()?.filter(|other| other == item).count())
        }
        _ => return Ok(None),
    }))
}

/// Calls the methods of texts that the engine lacks, or that are others there; `None` for the rest.
fn of_text(state: &mut State<'_, '_>, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            charge(state, items)?;
            let mut out = String::new();
            for (i, item) in items.try_iter()?.enumerate() {
                if i > 0 {
                    charge_bytes(state, text.len())?;
                    out.push_str(text);
                }
                out.push_str(item.as_str().ok_or_else(|| failed("join takes texts"))?);
            }
            Value::from(out)
        }
        // Every character of the one is looked for in the other.
        "strip" | "lstrip" | "rstrip" => {
            let characters = args.first().and_then(Value::as_str).map_or(0, str::len);
            state.consume_fuel((text.len() as u64 / 64).saturating_mul(characters as u64))?;
            return Ok(None);
        }
        "format" => {
            charge_format(state, text, args)?;
            return Ok(None);
        }
        "removeprefix" | "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            let rest = if method == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Value::from(rest.unwrap_or(text))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(failed("empty separator"));
            }
            let parts = match (method, text.split_once(separator), text.rsplit_once(separator)) {
                ("partition", Some((a, b)), _) | ("rpartition", _, Some((a, b))) => [a, separator, b],
                ("partition", ..) => [text, "", ""],
                _ => ["", "", text],
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "find" | "rfind" | "index" | "rindex" => {
            let (part, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            let found = within(text, start, end).and_then(|(before, within)| {
                let at = if method.starts_with('r') { within.rfind(part) } else { within.find(part) };
                at.map(|at| before + within[..at].chars().count())
            });
            match found {
                Some(at) => Value::from(at),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(failed("substring not found")),
            }
        }
        "count" => {
            let (part, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            Value::from(within(text, start, end).map_or(0, |(_, within)| within.matches(part).count()))
        }
        "startswith" | "endswith" if args.len() > 1 => {
            let (part, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
            let Some((_, within)) = within(text, start, end) else { return Ok(Some(Value::from(false))) };
            return unknown_method_callback(state, &Value::from(within), method, std::slice::from_ref(part)).map(Some);
        }
        "replace" => {
            let (old, new, count, kwargs): (&str, &str, Option<i32>, Kwargs) = from_args(args)?;
            let Some(count) = kwargs.get::<Option<i32>>("count")?.or(count) else { return Ok(None) };
            kwargs.assert_all_used()?;
            let args = [Value::from(old), Value::from(new), Value::from(count)];
            return unknown_method_callback(state, &Value::from(text), method, &args).map(Some);
        }
        "split" | "rsplit" => split(text, method, args)?,
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = kwargs.get::<Option<bool>>("keepends")?.or(keep).unwrap_or(false);
            kwargs.assert_all_used()?;
            lines(text).into_iter().map(|(line, ended)| Value::from(if keep { ended } else { line })).collect()
        }
        "title" => {
            let () = from_args(args)?;
            Value::from(title(text))
        }
        "capitalize" => {
            let () = from_args(args)?;
            let mut characters = text.chars();
            let first = characters.next().map(upper_first).unwrap_or_default();
            Value::from(first + &characters.as_str().to_lowercase())
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swap =
                |c: char| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() };
            Value::from(text.chars().map(swap).collect::<String>())
        }
        "casefold" => {
            let () = from_args(args)?;
            Value::from(text.to_lowercase().replace('ß', "ss").replace('ς', "σ"))
        }
        "isdecimal" | "isdigit" => {
            let () = from_args(args)?;
            let superscript = |c| method == "isdigit" && matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉');
            Value::from(!text.is_empty() && text.chars().all(|c| is_decimal(c) || superscript(c)))
        }
        "istitle" => {
            let () = from_args(args)?;
            Value::from(text.chars().any(is_cased) && is_title(text))
        }
        "isidentifier" => {
            let () = from_args(args)?;
            let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
            Value::from(starts && text.chars().all(|c| c.is_alphanumeric() || c == '_'))
        }
        "isprintable" => {
            let () = from_args(args)?;
            Value::from(text.chars().all(is_printable))
        }
        "zfill" => {
            let (width,): (i64,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            Value::from(sign.to_owned() + &pad(state, digits, width - sign.len() as i64, "0", "rjust")?)
        }
        "center" | "ljust" | "rjust" => {
            let (width, fill): (i64, Option<&str>) = from_args(args)?;
            let fill = fill.unwrap_or(" ");
            if fill.chars().count() != 1 {
                return Err(failed("the fill character must be one character"));
            }
            Value::from(pad(state, text, width, fill, method)?)
        }
        "expandtabs" => {
            let (size, kwargs): (Option<i64>, Kwargs) = from_args(args)?;
            let size = kwargs.get::<Option<i64>>("tabsize")?.or(size).unwrap_or(8);
            kwargs.assert_all_used()?;
            Value::from(expand_tabs(state, text, usize::try_from(size).unwrap_or(0))?)
        }
        _ => return Ok(None),
    }))
}

fn failed(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// A field of `format` may ask for a width, and name an argument again.
fn charge_format(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<(), Error> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let widths = digits.map(|digits| digits.parse().unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
    args.iter().try_for_each(|arg| charge(state, arg))?;
    let arg = args.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(0) as u64;
    let fields = text.matches('{').count() as u64;
    state.consume_fuel(widths.saturating_add(arg.saturating_mul(fields)) / 64)
}

/// Returns `text[start:end]`, and the number of characters before it; `None` if `start` is past the end of the text.
fn within(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(usize, &str)> {
    if (start, end) == (None, None) {
        return Some((0, text));
    }
    let count = text.chars().count();
    let place = |at: i64| if at < 0 { count.saturating_sub(at.unsigned_abs() as usize) } else { at as usize };
    let (start, end) = (start.map_or(0, place), end.map_or(count, place).min(count));
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    (start <= end).then(|| (start, &text[byte(start)..byte(end)]))
}

fn split(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = kwargs.get::<Option<&str>>("sep")?.or(separator);
    let limit = kwargs.get::<Option<i64>>("maxsplit")?.or(limit).unwrap_or(-1);
    kwargs.assert_all_used()?;
    let (mut parts, mut rest) = (Vec::new(), text);
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    let from_right = method == "rsplit";
    match separator {
        Some("") => return Err(failed("empty separator")),
        Some(separator) => {
            while left > 0 {
                let halves = if from_right { rest.rsplit_once(separator) } else { rest.split_once(separator) };
                let Some((before, after)) = halves else { break };
                let part;
                (part, rest) = if from_right { (after, before) } else { (before, after) };
                parts.push(part);
                left -= 1;
            }
            parts.push(rest);
        }
        None => loop {
            rest = if from_right { rest.trim_end() } else { rest.trim_start() };
            if rest.is_empty() {
                break;
            }
            let halves = match (left, from_right) {
                (0, _) => None,
                (_, true) => rest.rsplit_once(char::is_whitespace),
                (_, false) => rest.split_once(char::is_whitespace),
            };
            let Some((before, after)) = halves else {
                parts.push(rest);
                break;
            };
            let part;
            (part, rest) = if from_right { (after, before) } else { (before, after) };
            parts.push(part);
            left -= 1;
        },
    }
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Returns the lines of a text, each without its end and with it.
pub(super) fn lines(text: &str) -> Vec<(&str, &str)> {
    let (mut lines, mut rest) = (Vec::new(), text);
    let is_end =
        |c| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    while let Some((at, end)) = rest.char_indices().find(|&(_, c)| is_end(c)) {
        let length = if rest[at..].starts_with("\r\n") { 2 } else { end.len_utf8() };
        lines.push((&rest[..at], &rest[..at + length]));
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push((rest, rest));
    }
    lines
}

/// Pads a text to `width` characters.
pub(super) fn pad(state: &State<'_, '_>, text: &str, width: i64, fill: &str, method: &str) -> Result<String, Error> {
    let count = text.chars().count();
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(count);
    charge_bytes(state, missing.saturating_mul(fill.len()))?;
    // In the middle the odd one goes to the left where the width is odd.
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    Ok(fill.repeat(left) + text + &fill.repeat(missing - left))
}

fn expand_tabs(state: &State<'_, '_>, text: &str, size: usize) -> Result<String, Error> {
    charge_bytes(state, text.matches('\t').count().saturating_mul(size))?;
    let (mut out, mut column) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            '\t' => {}
            _ => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}

//! The operators that make texts: `a % b`, which formats, becomes `__percent(a, b)`, and `a ~ b` becomes `__concat(a, b)`.

use std::{borrow::Cow, ops::Range};

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Kwargs, Rest, Tuple, ValueKind},
};

use super::{
    charge,
    text::{is_spelled_differently, quoted_text, text},
};

/// Adds the functions of rewritten expressions.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_function("__percent", percent);
    environment.add_function("__concat", concat);
}

/// Words between operands; those that open a statement stand before one as well.
const WORDS: [&str; 8] = ["and", "or", "not", "in", "if", "else", "elif", "recursive"];

/// An open bracket, or the whole tag.
#[derive(Default)]
struct Level {
    /// Where the operands of `~` that are being read start in the output.
    joined: Option<usize>,
    /// Where the last of these starts, a product.
    product: Option<usize>,
    /// True while an operand of `~` other than the first is being read.
    concat: bool,
    /// True while the right side of a `%` is being read.
    percent: bool,
    /// True if an operand has just ended, so that a sign is an operator.
    operand: bool,
    /// True after `is` and `is not`: the next word is a test.
    test: bool,
}

impl Level {
    /// Ends the calls that are open, the one of `~` only if `all` end here.
    fn close(&mut self, all: bool, out: &mut String) {
        out.push_str(if self.percent { ")" } else { "" });
        out.push_str(if all && self.concat { ")" } else { "" });
        self.percent = false;
        self.concat &= !all;
    }
}

/// Rewrites the operators in a tag, whose delimiters are two bytes long.
pub(super) fn rewrite(tag: &str) -> Cow<'_, str> {
    let tokens = tokens(tag);
    if !tokens.iter().any(|token| matches!(&tag[token.clone()], "%" | "~")) {
        return tag.into();
    }
    let (mut out, mut end) = (String::with_capacity(tag.len() + 16), 0);
    let mut levels = vec![Level::default()];
    for (i, token) in tokens.iter().enumerate() {
        let text = &tag[token.clone()];
        let statement = i == 0 && tag.starts_with("{%");
        let Some(level) = levels.last_mut() else { return tag.into() };
        let closes = matches!(text, ")" | "]" | "}");
        let boundary = statement
            || WORDS.contains(&text) && !level.test
            || matches!(text, "==" | "!=" | "<" | ">" | "<=" | ">=" | "," | ":" | "=")
            || matches!(text, "+" | "-") && level.operand;
        if closes || boundary {
            level.close(true, &mut out);
        } else if matches!(text, "*" | "/" | "//" | "%" | "~") {
            level.close(false, &mut out);
        }
        out.push_str(&tag[end..token.start]);
        end = token.end;
        if closes {
            out.push_str(text);
            levels.pop();
            if let Some(level) = levels.last_mut() {
                level.operand = true;
            }
            continue;
        }
        if boundary {
            out.push_str(text);
            *level = Level::default();
            continue;
        }
        match (text, level.product, level.joined) {
            ("%", Some(start), _) => {
                out.insert_str(start, "__percent(");
                out.push(',');
                level.percent = true;
            }
            ("~", _, Some(start)) => {
                if !level.concat {
                    out.insert_str(start, "__concat(");
                }
                out.push(',');
                (level.concat, level.product) = (true, None);
            }
            _ => {
                level.joined.get_or_insert(out.len());
                level.product.get_or_insert(out.len());
                out.push_str(text);
            }
        }
        level.test = text == "is" || level.test && text == "not";
        level.operand = text.starts_with(|c: char| c.is_alphanumeric() || "_\"'".contains(c));
        if matches!(text, "(" | "[" | "{") {
            levels.push(Level::default());
        }
    }
    if let Some(level) = levels.last_mut() {
        level.close(true, &mut out);
    }
    out.push_str(&tag[end..]);
    out.into()
}

/// Returns the places of the words, texts and operators between the delimiters of a tag.
pub(super) fn tokens(tag: &str) -> Vec<Range<usize>> {
    let (mut tokens, mut at) = (Vec::new(), 2);
    let end = tag.len().saturating_sub(2);
    // `{{-` and `-%}` are delimiters, not signs.
    at += usize::from(tag[at.min(end)..end].starts_with(['-', '+']));
    let end = if tag[..end].ends_with(['-', '+']) { end - 1 } else { end };
    while at < end {
        let rest = &tag[at..end];
        let Some(first) = rest.chars().next() else { break };
        let length = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '"' | '\'' => {
                let mut escaped = false;
                let close = rest.char_indices().skip(1).find(|&(_, c)| {
                    let closes = c == first && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                });
                close.map_or(rest.len(), |(close, _)| close + 1)
            }
            c if c.is_ascii_digit() => {
                let exponent = |i: usize| rest[..i].ends_with(['e', 'E']) && !rest.starts_with("0x");
                let stop = rest
                    .char_indices()
                    .find(|&(i, c)| !(c.is_alphanumeric() || c == '_' || c == '.' || "+-".contains(c) && exponent(i)));
                stop.map_or(rest.len(), |(stop, _)| stop)
            }
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            }
            c => match rest.get(..2) {
                Some("//" | "**" | "==" | "!=" | "<=" | ">=") => 2,
                _ => c.len_utf8(),
            },
        };
        tokens.push(at..at + length);
        at += length;
    }
    tokens
}

/// Joins the texts of values.
fn concat(state: &mut State<'_, '_>, values: Rest<Value>) -> Result<String, Error> {
    let mut out = String::new();
    for value in values.iter() {
        charge(state, value)?;
        match value.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&text(value)),
        }
    }
    Ok(out)
}

/// Formats a text. Values that the engine spells otherwise are spelled first.
fn format(state: &mut State<'_, '_>, form: &str, given: &Value) -> Result<Value, Error> {
    charge(state, given)?;
    let named = given.kind() == ValueKind::Map && form.contains("%(");
    let items = match given.downcast_object_ref::<Tuple>() {
        Some(items) => items.iter().cloned().collect(),
        None if named => given.try_iter()?.map(|name| given.get_item(&name)).collect::<Result<_, _>>()?,
        None => vec![given.clone()],
    };
    let keys: Vec<String> = if named { given.try_iter()?.map(|name| text(&name)).collect() } else { Vec::new() };
    let (mut spelled, mut values, mut next, mut rest) = (String::with_capacity(form.len()), items.clone(), 0, form);
    while let Some(start) = rest.find('%') {
        let (before, field) = rest.split_at(start);
        let name = field.strip_prefix("%(").and_then(|field| field.split_once(')')).map(|(name, _)| name);
        let from = name.map_or(1, |name| name.len() + 3);
        let length = field[from..].find(|c: char| c.is_alphabetic() || c == '%').map_or(field.len(), |at| from + at);
        let mut rest_of = field[length..].chars();
        let conversion = rest_of.next();
        spelled.push_str(before);
        spelled.push_str(&field[..length]);
        spelled.extend(conversion.map(|c| if c == 'r' { 's' } else { c }));
        rest = rest_of.as_str();
        if conversion != Some('%') {
            let index = name.map_or(Some(next), |name| keys.iter().position(|key| key == name));
            next += 1;
            if let Some((place, item)) = index.and_then(|at| values.get_mut(at).zip(items.get(at))) {
                *place = converted(item, conversion);
            }
        }
    }
    spelled.push_str(rest);
    let mut args = vec![Value::from(spelled)];
    match named {
        true => args.push(Value::from(keys.into_iter().zip(values).collect::<Kwargs>())),
        false => args.extend(values),
    }
    state.apply_filter("format", &args)
}

/// Returns what is formatted in place of `value`.
fn converted(value: &Value, conversion: Option<char>) -> Value {
    match conversion {
        Some('s') if is_spelled_differently(value) => Value::from(text(value)),
        Some('r') => Value::from(quoted_text(value)),
        Some('d' | 'i' | 'u') if value.kind() == ValueKind::Number && !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.clone(), |number| Value::from(number as i128))
        }
        _ => value.clone(),
    }
}

/// Computes `a % b`: the remainder of numbers, a formatted text.
fn percent(state: &mut State<'_, '_>, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(form) = a.as_str() {
        return format(state, form, b);
    }
    let whole = |value: &Value| i128::try_from(value.clone()).ok().filter(|_| is_whole(value));
    let failed = |what| Error::new(ErrorKind::InvalidOperation, what);
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        let remainder = a.checked_rem(b).ok_or_else(|| failed("% by zero"))?;
        let floored = if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder };
        return Ok(i64::try_from(floored).map_or_else(|_| Value::from(floored), Value::from));
    }
    match (f64::try_from(a.clone()), f64::try_from(b.clone())) {
        (Ok(_), Ok(0.0)) => Err(failed("% by zero")),
        (Ok(a), Ok(b)) => {
            let remainder = a % b;
            Ok(Value::from(match remainder == 0.0 {
                true => 0f64.copysign(b),
                false if (remainder < 0.0) != (b < 0.0) => remainder + b,
                false => remainder,
            }))
        }
        _ => Err(failed("% takes numbers, or a text and what is to be put into it")),
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_integer() || value.kind() == ValueKind::Bool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_become_calls() {
        for (tag, expected) in [
            ("{{ a % b }}", "{{ __percent(a , b) }}"),
            ("{{ 1 + 2 * a % b * 3 }}", "{{ 1 + __percent(2 * a , b) * 3 }}"),
            ("{{- a % b % c -}}", "{{- __percent(__percent(a , b) , c) -}}"),
            ("{% if n % 2 == 1 and not m %}", "{% if __percent(n , 2) == 1 and not m %}"),
            ("{% set x = -n % -2 %}", "{% set x = __percent(-n , -2) %}"),
            (
                "{{ f(a % b, [c % d])[0] % 'x%y' }}",
                "{{ __percent(f(__percent(a , b), [__percent(c , d)])[0] , 'x%y') }}",
            ),
            ("{{ '%s' % (a, b) ~ c | e }}", "{{ __concat(__percent('%s' , (a, b)) , c | e) }}"),
            ("{{ a if b % 2 is not none else c }}", "{{ a if __percent(b , 2 is not none) else c }}"),
            ("{{ a ~ b ~ -c + d ~ e }}", "{{ __concat(a , b , -c) + __concat(d , e) }}"),
            (
                "{{ a ~ 2 * b % c ~ d if e ~ f else g }}",
                "{{ __concat(a , __percent(2 * b , c) , d) if __concat(e , f) else g }}",
            ),
            (
                "{%- set x = y ~ f(z ~ 'a~b')[i ~ j:] -%}",
                "{%- set x = __concat(y , f(__concat(z , 'a~b'))[__concat(i , j):]) -%}",
            ),
            ("{{ ~ }}", "{{ ~ }}"),
            ("{{ '%s' }}{{ x }}", "{{ '%s' }}{{ x }}"),
            ("{% if x %}", "{% if x %}"),
            ("{{ % }}", "{{ % }}"),
            ("{{ a % ) % b }}", "{{ a % ) % b }}"),
            ("{{ ü % '\\'%' }}", "{{ __percent(ü , '\\'%') }}"),
            ("{{ 1e-3 % 2 - 1 }}", "{{ __percent(1e-3 , 2) - 1 }}"),
            ("{{}}", "{{}}"),
            ("{", "{"),
        ] {
            assert_eq!(rewrite(tag), expected);
        }
    }
}

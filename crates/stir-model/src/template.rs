//! Jinja as chat templates know it: Python's methods and spellings, and bounds on what a template can cost.

use std::{collections::BTreeMap, time::SystemTime};

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use minijinja::{
    Environment, Error, ErrorKind, Output, State, Value, escape_formatter, filters,
    syntax::SyntaxConfig,
    value::{Kwargs, StringInput, ValueKind},
};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::python_json::python_json;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
}

const NAME: &str = "chat";
/// Work that any rendering may do: an instruction or 64 bytes cost 1. A conversation takes some hundreds a message.
const FUEL: u64 = 100_000;
/// Stack that a template can use up per unit of fuel, by values nested in values: about 40 bytes, measured.
const STACK_PER_FUEL: usize = 160;

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_debug(false);
        environment.set_formatter(format);
        environment.set_unknown_method_callback(call_method);
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", string);
        environment.add_filter("join", join);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        // Jinja reads every kind of line end as a line feed.
        let text = generation_blocks(&text.replace("\r\n", "\n").replace('\r', "\n"));
        environment.add_template_owned(NAME, text)?;
        Ok(Self { environment })
    }

    /// Returns the text that the template makes of `variables`; `now` is what its clock shows. What it may cost grows
    /// with `input`, the bytes of the variables.
    pub(crate) fn render(
        &self,
        mut variables: BTreeMap<String, Value>,
        now: SystemTime,
        input: usize,
    ) -> Result<String, Error> {
        let strftime = move |format: &str| strftime(now, format);
        variables.entry("strftime_now".into()).or_insert_with(|| Value::from_function(strftime));
        let fuel = FUEL + input as u64;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let render = move || environment.get_template(NAME)?.render(variables);
        // Values can be nested as deep as there is fuel to build them, and are compared and freed recursively. A stack
        // of its own that is as large as the fuel needs keeps a hostile template from ending the process.
        let stack = STACK_PER_FUEL.saturating_mul(fuel as usize);
        let failed = |what| Error::new(ErrorKind::InvalidOperation, what);
        let thread = std::thread::Builder::new().stack_size(stack).spawn(render);
        let thread = thread.map_err(|source| failed("no thread to render in").with_source(source))?;
        thread.join().map_err(|_| failed("the template engine panicked"))?
    }
}

/// Charges for walking through all of `value`, which minijinja leaves uncharged: a list that holds another twice, and
/// that one another twice, is soon larger than any memory.
fn charge(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let (_, fuel) = state.fuel_levels().unwrap_or((0, u64::MAX - 1));
    let mut left = fuel;
    walk(value, &mut left);
    match fuel - left {
        0 => Ok(()),
        spent if left == 0 => state.consume_fuel(spent + 1),
        spent => state.consume_fuel(spent),
    }
}

fn walk(value: &Value, left: &mut u64) {
    let own = value.as_str().or(value.as_bytes().map(|_| "")).map_or(0, str::len) as u64 / 64;
    *left = left.saturating_sub(own);
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        return;
    }
    for item in value.try_iter().into_iter().flatten() {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        walk(&item, left);
        if value.kind() == ValueKind::Map {
            walk(&value.get_item(&item).unwrap_or_default(), left);
        }
    }
}

fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.as_object().is_some() {
        charge(state, value)?;
    }
    escape_formatter(out, state, value)
}

fn string(state: &mut State<'_, '_>, value: &Value) -> Result<String, Error> {
    charge(state, value)?;
    Ok(value.to_string())
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    charge(state, value)?;
    filters::join(state, value, joiner, attribute, kwargs)
}

/// Does `json.dumps` as transformers calls it: nothing escaped for HTML, letters of all scripts as they are.
fn tojson(state: &mut State<'_, '_>, value: &Value, indent: Option<u8>, kwargs: Kwargs) -> Result<String, Error> {
    let indent = indent.map_or_else(|| kwargs.get::<Option<u8>>("indent"), |indent| Ok(Some(indent)))?;
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    kwargs.assert_all_used()?;
    charge(state, value)?;
    let limit = state.fuel_levels().map_or(u64::MAX, |(_, left)| left.saturating_mul(64)) as usize;
    let json = python_json(value, indent, ascii, limit)
        .map_err(|source| Error::new(ErrorKind::BadSerialization, "no JSON of this value").with_source(source))?;
    Ok(json)
}

/// Calls Python's methods. What minijinja does not charge for is charged for first.
fn call_method(state: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    match (method, args) {
        ("join", [items]) => charge(state, items)?,
        // Every character of the one is looked for in the other.
        ("strip" | "lstrip" | "rstrip", [characters]) => {
            let characters = characters.as_str().map_or(0, str::len);
            state.consume_fuel((text.len() as u64 / 64).saturating_mul(characters as u64))?;
        }
        // A field may ask for a width, and name an argument again.
        ("format", args) => {
            let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
            let widths = digits.map(|digits| digits.parse().unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
            args.iter().try_for_each(|arg| charge(state, arg))?;
            let arg = args.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(0) as u64;
            let fields = text.matches('{').count() as u64;
            state.consume_fuel(widths.saturating_add(arg.saturating_mul(fields)) / 64)?;
        }
        _ => {}
    }
    unknown_method_callback(state, value, method, args)
}

fn strftime(now: SystemTime, format: &str) -> Result<String, Error> {
    let failed = |source| Error::new(ErrorKind::InvalidOperation, "strftime_now").with_source(source);
    let now = Timestamp::try_from(now).map_err(failed)?.to_zoned_datetime(TimeZone::UTC);
    strtime::format(format, &now).map_err(failed)
}

/// `{% generation %}` marks what the assistant said, for training; it renders its content. The engine does not know it,
/// but a `with` without variables does the same: it renders its content, in a scope of its own.
fn generation_blocks(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('{') {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let end = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'{') => tag_end(tag, "}}"),
            Some(b'%') => tag_end(tag, "%}"),
            _ => Some(1),
        };
        let (tag, after) = tag.split_at(end.unwrap_or(tag.len()));
        let word = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}")).unwrap_or_default();
        match word.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", "with")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endwith")),
            "raw" => {
                let end = after.find("endraw").unwrap_or(after.len());
                out.push_str(tag);
                out.push_str(&after[..end]);
                rest = &after[end..];
                continue;
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns one past the end of a tag; strings in it may hold what looks like the end.
fn tag_end(tag: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut bytes = tag.bytes().enumerate().skip(2);
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(bytes.next()),
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, _) if tag.as_bytes()[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_are_generation_blocks() {
        for (text, expected) in [
            ("a{% generation %}b{%- endgeneration -%}c", "a{% with %}b{%- endwith -%}c"),
            ("{%generation%}{% if x == '%}' %}{%+ endgeneration %}", "{%with%}{% if x == '%}' %}{%+ endwith %}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{{ '\\'{% generation %}' }}", "{{ '\\'{% generation %}' }}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{% generation_x %}{generation}", "{% generation_x %}{generation}"),
            ("ü{% generation", "ü{% generation"),
            ("{", "{"),
        ] {
            assert_eq!(generation_blocks(text), expected);
        }
    }
}

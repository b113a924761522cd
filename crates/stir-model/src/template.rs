//! Jinja as chat templates know it: Python's methods and spellings, and bounds on what a template can cost.

mod filters;
mod letters;
mod methods;
mod namespaces;
mod operators;
mod tags;
mod text;

use std::{collections::BTreeMap, time::SystemTime};

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use minijinja::{
    Environment, Error, ErrorKind, Output, State, Value, escape_formatter,
    syntax::SyntaxConfig,
    value::{Rest, ValueKind},
};
use minijinja_contrib::globals::{cycler, joiner};

pub(crate) use self::text::float;
use self::text::{is_spelled_differently, text};

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
        environment.set_unknown_method_callback(methods::call);
        filters::add_to(&mut environment);
        operators::add_to(&mut environment);
        namespaces::add_to(&mut environment);
        environment.add_function("cycler", |items: Rest<Value>| cycler(items.to_vec()));
        environment.add_function("joiner", joiner);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        // Jinja reads every kind of line end as a line feed.
        let text = tags::translate(&text.replace("\r\n", "\n").replace('\r', "\n"));
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

/// Charges for `bytes` before they are made.
fn charge_bytes(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// Prints a value as Python does.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.as_object().is_some() {
        charge(state, value)?;
    }
    if is_spelled_differently(value) {
        return out.write_str(&text(value)).map_err(Error::from);
    }
    escape_formatter(out, state, value)
}

fn strftime(now: SystemTime, format: &str) -> Result<String, Error> {
    let failed = |source| Error::new(ErrorKind::InvalidOperation, "strftime_now").with_source(source);
    let now = Timestamp::try_from(now).map_err(failed)?.to_zoned_datetime(TimeZone::UTC);
    strtime::format(format, &now).map_err(failed)
}

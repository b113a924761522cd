//! What a namespace keeps: `a.b = c` in a tag becomes `a.b = (c) | __kept`.

use std::borrow::Cow;

use indexmap::IndexMap;
use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Tuple, ValueKind},
};

use super::operators::tokens;

/// Adds the filter of rewritten tags.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("__kept", kept);
}

/// Rewrites a tag that puts something into a namespace, so that it is looked at first.
pub(super) fn keep(tag: &str) -> Cow<'_, str> {
    if !tag.starts_with("{%") {
        return tag.into();
    }
    let tokens = tokens(tag);
    let mut words = tokens.iter().map(|token| &tag[token.clone()]);
    if words.next() != Some("set") {
        return tag.into();
    }
    let Some(length) = words.position(|word| matches!(word, "=" | "|")) else { return tag.into() };
    let (target, value) = (&tokens[1..=length], &tokens[length + 1..]);
    let (Some(sign), Some(last)) = (value.first(), value.last()) else { return tag.into() };
    let mut depth = 0;
    let is_balanced = value.iter().all(|token| {
        depth += match &tag[token.clone()] {
            "(" | "[" | "{" => 1,
            ")" | "]" | "}" => -1,
            _ => 0,
        };
        depth >= 0
    });
    let is_namespace = target.iter().any(|token| &tag[token.clone()] == ".");
    // The engine refuses a tag that lacks its value or a bracket.
    if !is_namespace || !is_balanced || value.len() < 2 {
        return tag.into();
    }
    let (before, value, after) = (&tag[..sign.end], &tag[sign.end..last.end], &tag[last.end..]);
    match &tag[sign.clone()] {
        "=" => format!("{before} ({value}) | __kept{after}").into(),
        _ => format!("{before}{value} | __kept{after}").into(),
    }
}

/// Returns a copy of a value that a namespace is to keep. A namespace is the one thing that can be changed: if it held itself,
/// whatever walks through it would not end, and end the process. So it may not be in the value, and of views, which show
/// what another value holds by then, the copy has what they show now.
fn kept(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    /// Copying is fast, and lists that grow in a loop are copied again and again.
    const VALUES_PER_FUEL: u64 = 8;
    let (_, fuel) = state.fuel_levels().unwrap_or((0, u64::MAX / VALUES_PER_FUEL));
    let all = fuel.saturating_mul(VALUES_PER_FUEL);
    let mut left = all;
    let copied = copy(value, &mut left);
    state.consume_fuel((all - left) / VALUES_PER_FUEL + u64::from(left == 0))?;
    copied.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a namespace cannot be put into a namespace"))
}

/// Copies a value; `None` if there is a namespace in it, or a loop, or more than `left` values.
fn copy(value: &Value, left: &mut u64) -> Option<Value> {
    *left = left.checked_sub(1)?;
    let Some(object) = value.as_object() else { return Some(value.clone()) };
    if ["::Namespace", "::Loop"].iter().any(|name| object.type_name().ends_with(name)) {
        return None;
    }
    let items = value.try_iter().into_iter().flatten();
    Some(match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items = items.map(|item| copy(&item, left)).collect::<Option<Vec<_>>>()?;
            if value.downcast_object_ref::<Tuple>().is_some() { Tuple::from(items).into() } else { items.into() }
        }
        ValueKind::Map => {
            let pair = |key: Value| Some((copy(&key, left)?, copy(&value.get_item(&key).ok()?, left)?));
            Value::from_object(items.map(pair).collect::<Option<IndexMap<Value, Value>>>()?)
        }
        _ => value.clone(),
    })
}

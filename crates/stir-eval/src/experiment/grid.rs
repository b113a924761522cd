//! Grids of settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ExperimentError;

/// Returns `settings` at every point of `grid`: fields in order of name, the last the fastest. `at` is for messages.
pub(super) fn points(
    at: &str,
    settings: &Map<String, Value>,
    grid: &BTreeMap<String, Vec<Value>>,
) -> Result<Vec<Map<String, Value>>, ExperimentError> {
    let wrong = |field: &str, what| ExperimentError::Grid { at: at.to_owned(), field: field.to_owned(), what };
    let mut points = vec![settings.clone()];
    for (field, values) in grid {
        if values.is_empty() {
            return Err(wrong(field, "has no values"));
        }
        // TOML has numbers that are not finite; here they have become nothing.
        if values.contains(&Value::Null) {
            return Err(wrong(field, "has a value that is not finite"));
        }
        if values.iter().enumerate().any(|(i, value)| values[..i].contains(value)) {
            return Err(wrong(field, "has a value twice"));
        }
        let mut more = Vec::with_capacity(points.len() * values.len());
        for point in &points {
            for value in values {
                let mut point = point.clone();
                if !set(&mut point, field, value.clone()) {
                    return Err(wrong(field, "leads through something that has no fields"));
                }
                more.push(point);
            }
        }
        points = more;
    }
    Ok(points)
}

/// Sets the field at `path`, whose names are separated by points; what is not there is made.
fn set(fields: &mut Map<String, Value>, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => {
            fields.insert(path.to_owned(), value);
            true
        }
        Some((first, rest)) => {
            let inner = fields.entry(first).or_insert_with(|| Value::Object(Map::new()));
            inner.as_object_mut().is_some_and(|inner| set(inner, rest, value))
        }
    }
}

/// Returns the fields of all stages by their own names; where two stages have one of the same name, the later one's is
/// preceded by that of its stage.
pub(super) fn flat(stages: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for stage in ["rollout", "induction", "basis"] {
        for (field, value) in stages.get(stage).and_then(Value::as_object).into_iter().flatten() {
            let name = if flat.contains_key(field) { format!("{stage}.{field}") } else { field.clone() };
            flat.insert(name, value.clone());
        }
    }
    flat
}

/// Returns the path of the first null: TOML has none, so it was a number that JSON cannot hold.
pub(super) fn not_finite(value: &Value) -> Option<String> {
    let join = |name: String, rest: String| if rest.is_empty() { name } else { format!("{name}.{rest}") };
    match value {
        Value::Null => Some(String::new()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| not_finite(item).map(|rest| join(i.to_string(), rest)))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| not_finite(value).map(|rest| join(name.clone(), rest)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn points_are_the_product_in_order() {
        let grid = BTreeMap::from([
            ("b".to_owned(), vec![json!(1), json!(2)]),
            ("a.x".to_owned(), vec![json!("p"), json!("q")]),
        ]);
        let found = points("at", &object(json!({"b": 0, "c": 3})), &grid).unwrap();
        let expected = [("p", 1), ("p", 2), ("q", 1), ("q", 2)];
        let expected: Vec<_> = expected.iter().map(|(x, b)| object(json!({"a": {"x": x}, "b": b, "c": 3}))).collect();
        assert_eq!(found, expected);
        assert_eq!(points("at", &Map::new(), &BTreeMap::new()).unwrap(), [Map::new()]);
    }

    #[test]
    fn grids_that_make_no_sense_are_named() {
        let refuse = |field: &str, values: Vec<Value>| {
            let grid = BTreeMap::from([(field.to_owned(), values)]);
            points("here", &object(json!({"b": 0})), &grid).unwrap_err().to_string()
        };
        assert_eq!(refuse("b", vec![]), "here: grid of \"b\" has no values");
        assert_eq!(refuse("b", vec![json!(1), json!(1)]), "here: grid of \"b\" has a value twice");
        let words = "here: grid of \"b\" has a value that is not finite";
        assert_eq!(refuse("b", vec![json!(f64::NAN), json!(f64::INFINITY)]), words);
        assert!(refuse("b.c", vec![json!(1)]).contains("has no fields"));
    }

    #[test]
    fn names_of_stages_stand_before_fields_that_occur_twice() {
        let stages = object(json!({"rollout": {"k": 8, "t": 1}, "induction": {"t": 2}, "basis": {"b": 3}}));
        let expected = [("b", json!(3)), ("induction.t", json!(2)), ("k", json!(8)), ("t", json!(1))];
        assert_eq!(flat(&stages), expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn what_json_cannot_hold_is_found() {
        assert_eq!(not_finite(&json!({"a": [1, {"b": null}]})), Some("a.1.b".into()));
        assert_eq!(not_finite(&json!({"a": [1.5, "x", false]})), None);
    }
}

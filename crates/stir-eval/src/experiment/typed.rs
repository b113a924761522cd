//! Parts of an experiment as what they should be.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{error::ExperimentError, grid};
use crate::{FormatError, method::MethodConfig};

/// Reads a part of an experiment; `at` is its place, for messages.
pub(crate) fn typed<T: DeserializeOwned>(at: &str, value: &Value) -> Result<T, ExperimentError> {
    finite(at, value)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { String::new() } else { field };
        ExperimentError::Settings { at: at.to_owned(), field, source: FormatError::new(error.into_inner()) }
    })
}

/// Reads a method.
pub(crate) fn typed_method(at: &str, fields: Map<String, Value>) -> Result<MethodConfig, ExperimentError> {
    let fields = Value::Object(fields);
    finite(at, &fields)?;
    MethodConfig::read(fields).map_err(|(field, source)| ExperimentError::Settings {
        at: at.to_owned(),
        field,
        source: FormatError::new(source),
    })
}

fn finite(at: &str, value: &Value) -> Result<(), ExperimentError> {
    match grid::not_finite(value) {
        Some(field) => Err(ExperimentError::NotFinite { at: at.to_owned(), field }),
        None => Ok(()),
    }
}

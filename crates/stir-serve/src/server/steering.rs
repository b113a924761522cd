use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use stir_controller::{Controller, ControllerConfig, Placement, Strength};
use stir_core::SettingError;

use super::{
    Shared,
    api_error::{ApiError, causes},
    fields::Fields,
    params::within,
};

/// The steering that a request asks for.
pub(crate) struct Steer {
    /// The name of the library.
    pub library: String,
    /// Holds the library as it was when the request came.
    pub controller: Controller,
}

impl Steer {
    /// Reads the field `stir`: the name of a library, and settings of the controller in the place of the server's.
    pub(crate) fn take(fields: &mut Fields, shared: &Shared) -> Result<Option<Self>, ApiError> {
        let Some(mut settings) = fields.take::<Map<String, Value>>("stir")? else { return Ok(None) };
        let at = |field: &str| format!("stir.{field}");
        let library = match settings.remove("library") {
            Some(Value::String(library)) => library,
            _ => return Err(ApiError::field(at("library"), "stir.library must name a library, see /v1/libraries")),
        };
        let Some(found) = shared.libraries.get(&library) else {
            let message = format!("there is no library {library:?}, see /v1/libraries");
            return Err(ApiError::not_found(message).with_param("stir.library").with_code("library_not_found"));
        };
        let config = settled(&shared.config.controller, settings)?;
        let controller = Controller::new(found, shared.model.fingerprint(), config);
        let controller = controller.map_err(|error| ApiError::field("stir", causes(&error)))?;
        Ok(Some(Self { library, controller }))
    }
}

/// Returns `base` with `settings` in the place of its own.
fn settled(base: &ControllerConfig, settings: Map<String, Value>) -> Result<ControllerConfig, ApiError> {
    let failed = |error: serde_json::Error| ApiError::field("stir", format!("stir: {error}"));
    let Value::Object(mut merged) = serde_json::to_value(base).map_err(failed)? else {
        return Err(ApiError::failed("the settings of the controller are no object"));
    };
    for (name, value) in settings {
        let value = match (name.as_str(), value) {
            ("allow_requantised", _) => {
                return Err(ApiError::field(
                    "stir.allow_requantised",
                    "stir.allow_requantised is set by the server alone",
                ));
            }
            // The text forms that the command line has, too.
            ("strength", Value::String(text)) => parsed::<Strength>(&text)?,
            ("placement", Value::String(text)) => parsed::<Placement>(&text)?,
            (_, value) => value,
        };
        merged.insert(name, value);
    }
    let config: ControllerConfig = serde_json::from_value(Value::Object(merged)).map_err(failed)?;
    let out_of_bounds =
        |error: SettingError| ApiError::field(format!("stir.{}", error.setting), format!("stir.{error}"));
    config.validate().map_err(out_of_bounds)?;
    // What a request may cost in passes and rows has a bound.
    for (name, value, most) in [
        ("stir.max_control_points", config.max_control_points, 256),
        ("stir.retrieve", config.retrieve, 256),
        ("stir.candidates", config.candidates, 16),
        ("stir.probe_tokens", config.probe_tokens, 64),
    ] {
        within(name, value, 1..=most)?;
    }
    Ok(config)
}

fn parsed<T: std::str::FromStr<Err = SettingError> + Serialize + fmt::Debug>(text: &str) -> Result<Value, ApiError> {
    let value: T = text
        .parse()
        .map_err(|error: SettingError| ApiError::field(format!("stir.{}", error.setting), format!("stir.{error}")))?;
    serde_json::to_value(value).map_err(|error| ApiError::field("stir", error.to_string()))
}

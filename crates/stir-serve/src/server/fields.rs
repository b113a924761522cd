use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::api_error::ApiError;

/// The fields of a request's JSON object that have not been read yet.
///
/// Every field that is known is taken; what is left in the end is refused if it could change what is asked for.
pub(crate) struct Fields(Map<String, Value>);

/// Fields that change no answer.
const HARMLESS: [&str; 9] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "priority",
    "request_id",
    "parallel_tool_calls",
];

impl Fields {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::bad("the body must be a JSON object")),
            Err(error) => Err(ApiError::bad(format!("the body is no JSON: {error}"))),
        }
    }

    /// Takes a field; null counts as absent.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read = serde_json::from_value(value);
                read.map(Some).map_err(|error| ApiError::field(name, format!("{name}: {error}")))
            }
        }
    }

    /// Takes a field that must be there.
    pub(crate) fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        self.take(name)?.ok_or_else(|| ApiError::field(name, format!("{name} is missing")))
    }

    /// Refuses what is left, unless it means what is done anyway.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        for (name, value) in self.0 {
            let neutral = neutral(&name);
            if !(value.is_null() || HARMLESS.contains(&name.as_str()) || neutral.contains(&value)) {
                let bound = match neutral.first() {
                    Some(neutral) => format!("{name} is not supported: it must be absent or {neutral}"),
                    None => format!("there is no field {name}"),
                };
                return Err(ApiError::field(name, bound));
            }
        }
        Ok(())
    }
}

/// Returns the values of a field with which it asks for nothing that is not done anyway.
fn neutral(name: &str) -> Vec<Value> {
    match name {
        "frequency_penalty" | "presence_penalty" => vec![json!(0), json!(0.0)],
        "logit_bias" => vec![json!({})],
        "best_of" => vec![json!(1)],
        "suffix" => vec![json!("")],
        "min_tokens" => vec![json!(0)],
        "response_format" => vec![json!({ "type": "text" })],
        "modalities" => vec![json!(["text"])],
        "tools" | "functions" | "stop_token_ids" => vec![json!([])],
        "tool_choice" | "function_call" => vec![json!("none"), json!("auto")],
        "echo" | "use_beam_search" | "ignore_eos" | "include_stop_str_in_output" | "continue_final_message" => {
            vec![json!(false)]
        }
        "skip_special_tokens" | "add_generation_prompt" | "spaces_between_special_tokens" => vec![json!(true)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_answer_is_refused() {
        let accepted = r#"{"user": "x", "echo": false, "tools": [], "logit_bias": null, "presence_penalty": 0.0}"#;
        assert!(Fields::parse(accepted.as_bytes()).unwrap().finish().is_ok());
        for refused in [r#"{"echo": true}"#, r#"{"presence_penalty": 0.5}"#, r#"{"temprature": 1}"#] {
            let error = Fields::parse(refused.as_bytes()).unwrap().finish().unwrap_err().json();
            assert!(refused.contains(error["error"]["param"].as_str().unwrap()), "{error}");
        }
    }
}

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Shared,
    api_error::{ApiError, causes},
    fields::Fields,
    model::Message,
    params::Params,
    reply::{Call, Shape},
};

/// A message as requests write it.
#[derive(Deserialize)]
struct Said {
    role: String,
    content: Content,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// Reads the body of a chat request. It renders and encodes the conversation, which takes time.
pub(crate) fn parse(shared: &Shared, body: &[u8]) -> Result<Call, ApiError> {
    let mut fields = Fields::parse(body)?;
    let messages = messages(fields.require("messages")?)?;
    let variables: Map<String, Value> = fields.take("chat_template_kwargs")?.unwrap_or_default();
    let most = shared.config.max_tokens;
    let mut params = Params::take(&mut fields, shared, most)?;
    let top = fields.take("top_logprobs")?;
    match (fields.take("logprobs")?.unwrap_or(false), top) {
        (true, top) => params.report("top_logprobs", top.unwrap_or(0))?,
        (false, None | Some(0)) => {}
        (false, Some(_)) => return Err(ApiError::field("top_logprobs", "top_logprobs needs logprobs to be true")),
    }
    fields.finish()?;
    let refused = |error: crate::BoxError| ApiError::field("messages", causes(&*error));
    let Some(text) = shared.model.render(&messages, &variables) else {
        let message = "the model has no chat template; /v1/completions takes a finished prompt";
        return Err(ApiError::field("messages", message));
    };
    let prompt = shared.model.encode(&text.map_err(refused)?).map_err(refused)?;
    let request = params.request(shared, "messages", 0, prompt)?;
    Ok(Call { shape: Shape::Chat, requests: vec![request], params })
}

fn messages(said: Vec<Value>) -> Result<Vec<Message>, ApiError> {
    if said.is_empty() {
        return Err(ApiError::field("messages", "messages is empty, must hold at least one message"));
    }
    said.into_iter().enumerate().map(|(place, said)| message(place, said)).collect()
}

fn message(place: usize, said: Value) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{place}]{field}");
    let Said { role, content, more } = serde_json::from_value(said).map_err(|_| {
        let message = format!("{} must have a role, and a text or parts of text as content", at(""));
        ApiError::field(at(""), message)
    })?;
    let role = match role.as_str() {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        _ => {
            let message = format!("the role is {role:?}, must be system, developer, user or assistant");
            return Err(ApiError::field(at(".role"), message));
        }
    };
    if let Some((name, _)) = more.iter().find(|(_, value)| !value.is_null() && **value != Value::Array(Vec::new())) {
        return Err(ApiError::field(at(&format!(".{name}")), format!("messages with {name} are not supported")));
    }
    let content = match content {
        Content::Text(text) => text,
        Content::Parts(parts) => {
            let text = |part: Part| part.text.filter(|_| part.kind == "text");
            let texts = parts.into_iter().map(text).collect::<Option<String>>();
            texts.ok_or_else(|| ApiError::field(at(".content"), "only parts of type text are supported"))?
        }
    };
    Ok(Message { role: role.to_owned(), content })
}

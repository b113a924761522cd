use serde::Deserialize;
use stir_core::TokenId;

use super::{
    Shared,
    api_error::{ApiError, causes},
    fields::Fields,
    params::{Params, within},
    reply::{Call, Shape},
};

/// The number of new tokens where a request does not say; that of OpenAI.
const MAX_TOKENS: usize = 16;

/// A prompt or several, as text or as tokens.
#[derive(Deserialize)]
#[serde(untagged)]
enum Prompts {
    Text(String),
    Tokens(Vec<TokenId>),
    Texts(Vec<String>),
    Batch(Vec<Vec<TokenId>>),
}

/// Reads the body of a request for completions. It encodes texts, which takes time.
pub(crate) fn parse(shared: &Shared, body: &[u8]) -> Result<Call, ApiError> {
    let mut fields = Fields::parse(body)?;
    let Some(prompts) = fields.require::<serde_json::Value>("prompt").map(serde_json::from_value)?.ok() else {
        let message = "prompt must be a text, a list of texts, a list of token ids, or a list of such lists";
        return Err(ApiError::field("prompt", message));
    };
    let mut params = Params::take(&mut fields, shared, MAX_TOKENS.min(shared.config.max_tokens))?;
    if let Some(top) = fields.take("logprobs")? {
        params.report("logprobs", top)?;
    }
    fields.finish()?;
    let count = match &prompts {
        Prompts::Text(_) | Prompts::Tokens(_) => 1,
        Prompts::Texts(texts) => texts.len(),
        Prompts::Batch(batch) => batch.len(),
    };
    let most = shared.room() / params.request.samples;
    within("the number of prompts", count, 1..=most).map_err(|error| error.with_param("prompt"))?;
    let encode = |text: String| shared.model.encode(&text).map_err(|error| ApiError::field("prompt", causes(&*error)));
    let prompts = match prompts {
        Prompts::Text(text) => vec![encode(text)?],
        Prompts::Tokens(tokens) => vec![tokens],
        Prompts::Texts(texts) => texts.into_iter().map(encode).collect::<Result<_, _>>()?,
        Prompts::Batch(batch) => batch,
    };
    let requests = prompts.into_iter().enumerate().map(|(i, prompt)| params.request(shared, "prompt", i, prompt));
    Ok(Call { shape: Shape::Completion, requests: requests.collect::<Result<_, _>>()?, params })
}

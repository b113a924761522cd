use std::ops::RangeInclusive;

use serde::Deserialize;
use stir_core::{Request, RequestError, Sampling, SamplingError, TokenId};

use super::{
    Shared,
    api_error::{ApiError, causes},
    fields::Fields,
    steering::Steer,
};

/// The most likeliest tokens that are reported at a token.
pub(crate) const MAX_TOP: usize = 20;
/// The most stop strings of a request.
const MAX_STOPS: usize = 16;
/// The most bytes of a stop string. Every answer holds a table of them, several times as large, and a steered one more.
const MAX_STOP: usize = 1024;

/// What chats and completions have in common.
pub(crate) struct Params {
    /// Without its prompt.
    pub request: Request,
    pub steer: Option<Steer>,
    /// Set to report log-probabilities, and those of so many of the likeliest tokens.
    pub log_probs: Option<usize>,
    pub stream: bool,
    pub include_usage: bool,
    pub token_ids: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct StreamOptions {
    include_usage: Option<bool>,
    // Chunks are as long as they are, whatever this says.
    #[serde(rename = "include_obfuscation")]
    _obfuscation: Option<bool>,
}

impl Params {
    /// Reads everything but prompt and log-probabilities; `max_tokens` is the number of new tokens by default.
    pub(crate) fn take(fields: &mut Fields, shared: &Shared, max_tokens: usize) -> Result<Self, ApiError> {
        if let Some(model) = fields.take::<String>("model")?.filter(|model| model != shared.model.name()) {
            let message = format!("there is no model {model:?} here; the model is {:?}", shared.model.name());
            return Err(ApiError::not_found(message).with_param("model").with_code("model_not_found"));
        }
        let sampling = sampling(fields, shared.model.sampling())?;
        let (old, new) = (fields.take("max_tokens")?, fields.take("max_completion_tokens")?);
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            let message = format!("max_tokens is {old} and max_completion_tokens is {new}; give one");
            return Err(ApiError::field("max_tokens", message));
        }
        let name = if new.is_some() { "max_completion_tokens" } else { "max_tokens" };
        let max_tokens = within(name, new.or(old).unwrap_or(max_tokens), 1..=shared.config.max_tokens)?;
        let samples = within("n", fields.take("n")?.unwrap_or(1), 1..=shared.room())?;
        let seed = fields.take::<i64>("seed")?.map_or_else(|| shared.random(), i64::cast_unsigned);
        let stop = match fields.take("stop")? {
            None => Vec::new(),
            Some(OneOrMore::One(stop)) => vec![stop],
            Some(OneOrMore::More(stops)) => stops,
        };
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        within("the number of stop strings", stop.len(), 0..=MAX_STOPS)
            .and_then(|_| within("the number of bytes of a stop string", longest, 0..=MAX_STOP))
            .map_err(|error| error.with_param("stop"))?;
        let request = Request { max_tokens, sampling, stop, samples, seed, ..Request::default() };
        let stream = fields.take("stream")?.unwrap_or(false);
        let options = fields.take::<StreamOptions>("stream_options")?;
        if options.is_some() && !stream {
            return Err(ApiError::field("stream_options", "stream_options needs stream to be true"));
        }
        let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        let token_ids = fields.take("return_token_ids")?.unwrap_or(false);
        let steer = Steer::take(fields, shared)?;
        Ok(Self { request, steer, log_probs: None, stream, include_usage, token_ids })
    }

    /// Reports log-probabilities, and those of the `top` likeliest tokens.
    pub(crate) fn report(&mut self, name: &str, top: usize) -> Result<(), ApiError> {
        let top = within(name, top, 0..=MAX_TOP)?;
        if top > 0 && self.steer.is_some() {
            let message =
                "the likeliest tokens of a steered answer are not known, since tokens are taken over from probes";
            return Err(ApiError::field(name, format!("{message}: {name} must be 0")));
        }
        self.log_probs = Some(top);
        Ok(())
    }

    /// Returns the request for answers to `prompt`, which came in the field `name`. Prompt `place` draws from streams of
    /// its own.
    pub(crate) fn request(
        &self,
        shared: &Shared,
        name: &str,
        place: usize,
        prompt: Vec<TokenId>,
    ) -> Result<Request, ApiError> {
        let stream = (place * self.request.samples) as u64;
        let request = Request { prompt, stream, ..self.request.clone() };
        request.check(shared.model.shape()).map_err(|error| match error {
            RequestError::PromptTooLong { .. } => {
                ApiError::field(name, error.to_string()).with_code("context_length_exceeded")
            }
            RequestError::Sampling(SamplingError::Setting(error)) => error.into(),
            RequestError::Stop(_) => ApiError::field("stop", error.to_string()),
            _ => ApiError::field(name, causes(&error)),
        })?;
        Ok(request)
    }
}

fn sampling(fields: &mut Fields, base: Sampling) -> Result<Sampling, ApiError> {
    let top_k = fields.take::<i64>("top_k")?;
    let sampling = Sampling {
        temperature: fields.take("temperature")?.unwrap_or(base.temperature),
        top_p: fields.take("top_p")?.unwrap_or(base.top_p),
        // All tokens are -1 to some clients, and 0 to others.
        top_k: match top_k {
            None => base.top_k,
            Some(-1) => 0,
            Some(top_k) => usize::try_from(top_k)
                .map_err(|_| ApiError::field("top_k", format!("top_k is {top_k}, must be >= -1")))?,
        },
        min_p: fields.take("min_p")?.unwrap_or(base.min_p),
        repetition_penalty: fields.take("repetition_penalty")?.unwrap_or(base.repetition_penalty),
    };
    match sampling.validate() {
        Err(SamplingError::Setting(error)) => Err(error.into()),
        Err(error) => Err(ApiError::bad(causes(&error))),
        Ok(()) => Ok(sampling),
    }
}

/// Checks that the number `name` is within its bounds.
pub(crate) fn within(name: &str, value: usize, bounds: RangeInclusive<usize>) -> Result<usize, ApiError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = bounds.into_inner();
    Err(ApiError::field(name, format!("{name} is {value}, must be {least} to {most}")))
}

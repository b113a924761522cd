//! What is sent and what comes back. Most servers pass over fields that they do not know.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stir_core::{Request, TokenId};

use crate::run::stream_of;

/// The form in which a server takes prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PromptForm {
    TokenIds,
    Text,
}

/// The fields that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FieldSet {
    /// Those of every server that is known.
    All,
    /// Without those of a single server, for one that refuses what it does not know.
    Common,
}

impl FieldSet {
    pub(super) fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Where the tokens of an answer are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TokenSource {
    /// The server returns them.
    Returned,
    /// Its text is tokenised here. The tokens that it was sampled as may have been others.
    Retokenised,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PromptField<'a> {
    TokenIds(&'a [TokenId]),
    Text(&'a str),
}

/// A request for one completion. Every field that changes what is sampled is there: a server's own defaults (those that
/// vLLM and SGLang take from the model's `generation_config.json`) must not decide.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    prompt: PromptField<'a>,
    max_tokens: usize,
    n: usize,
    temperature: f32,
    top_p: f32,
    top_k: usize,
    min_p: f32,
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    seed: u64,
    stop: [&'static str; 0],
    ignore_eos: bool,
    stream: bool,
    echo: bool,
    /// vLLM, SGLang and `stir serve`.
    return_token_ids: bool,
    #[serde(flatten)]
    own: Option<OwnFields>,
}

/// The fields of single servers.
#[derive(Serialize)]
struct OwnFields {
    /// vLLM and SGLang: special tokens within the answer must be seen where its text is tokenised again.
    skip_special_tokens: bool,
    spaces_between_special_tokens: bool,
    /// llama.cpp, from here on.
    repeat_penalty: f32,
    /// Its penalty looks at the last 64 tokens unless it is told otherwise.
    repeat_last_n: usize,
    /// Its own order has the temperature last, where top-p means something else.
    samplers: [&'static str; 5],
    mirostat: u8,
    dynatemp_range: f32,
    return_tokens: bool,
    /// The tokens are in the part of the answer that this brings.
    verbose: bool,
}

impl<'a> Body<'a> {
    /// `budget` is the largest number of tokens, `vocab_size` that of the model: where all tokens are kept, `top_k` is
    /// that number, since servers disagree on whether 0 or -1 stands for all.
    pub(super) fn new(
        model: &'a str,
        request: &'a Request,
        text: &'a str,
        (form, fields): (PromptForm, FieldSet),
        budget: usize,
        vocab_size: usize,
    ) -> Self {
        let sampling = request.sampling;
        let prompt = match form {
            PromptForm::TokenIds => PromptField::TokenIds(&request.prompt),
            PromptForm::Text => PromptField::Text(text),
        };
        let own = fields.is_all().then(|| OwnFields {
            skip_special_tokens: false,
            spaces_between_special_tokens: false,
            repeat_penalty: sampling.repetition_penalty,
            repeat_last_n: request.prompt.len() + budget,
            samplers: ["penalties", "temperature", "top_k", "top_p", "min_p"],
            mirostat: 0,
            dynatemp_range: 0.0,
            return_tokens: true,
            verbose: true,
        });
        Self {
            model,
            prompt,
            max_tokens: budget,
            n: 1,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: if sampling.top_k == 0 { vocab_size } else { sampling.top_k.min(vocab_size) },
            min_p: sampling.min_p,
            repetition_penalty: sampling.repetition_penalty,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: seed(request),
            stop: [],
            ignore_eos: false,
            stream: false,
            echo: false,
            return_token_ids: true,
            own,
        }
    }
}

/// Returns a seed for the request's seed and stream, in the 31 bits that every server takes.
fn seed(request: &Request) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&request.seed.to_le_bytes()).update(&request.stream.to_le_bytes());
    stream_of(hasher.finalize()) >> 33
}

/// An answer.
#[derive(Deserialize)]
pub(super) struct Completion {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    /// llama.cpp.
    #[serde(rename = "__verbose")]
    verbose: Option<Verbose>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) text: String,
    pub(super) finish_reason: Option<String>,
    /// vLLM and SGLang.
    token_ids: Option<Vec<i64>>,
    pub(super) prompt_token_ids: Option<Vec<i64>>,
    tokens: Option<Vec<i64>>,
    /// vLLM: the end token, if it is not the first of several.
    stop_reason: Option<Value>,
    /// SGLang.
    matched_stop: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<usize>,
    pub(super) completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct Verbose {
    tokens: Option<Vec<i64>>,
}

impl Completion {
    /// Takes the tokens of the answer's first choice out, from wherever the server puts them.
    pub(super) fn take_tokens(&mut self) -> Option<Vec<i64>> {
        let verbose = self.verbose.as_mut().and_then(|verbose| verbose.tokens.take());
        let choice = self.choices.first_mut()?;
        let places = [choice.token_ids.take(), choice.tokens.take(), verbose];
        // An answer holds at least its end token: none is an empty list.
        places.into_iter().flatten().find(|tokens| !tokens.is_empty())
    }
}

impl Choice {
    /// Returns the token that the server names as the one that ended the answer.
    pub(super) fn end_token(&self) -> Option<i64> {
        [&self.stop_reason, &self.matched_stop].into_iter().flatten().find_map(Value::as_i64)
    }
}

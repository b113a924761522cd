use std::sync::Arc;

use serde_json::{Map, Value, json};
use stir_controller::Steered;
use stir_core::{Event, Finish, Request, Token, TokenId};

use super::{Shared, api_error::ApiError, params::Params};
use crate::{client::Update, lane::Note};

/// A request that was understood.
pub(crate) struct Call {
    pub shape: Shape,
    /// One for each prompt.
    pub requests: Vec<Request>,
    pub params: Params,
}

/// The two forms of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    Completion,
}

/// Writes the answers to a request, whole or piece by piece.
pub(crate) struct Reply {
    shared: Arc<Shared>,
    call: Call,
    id: String,
    created: u64,
    /// For each answer, what has been written of it.
    written: Vec<Written>,
}

#[derive(Default)]
struct Written {
    tokens: usize,
    /// Characters of the tokens' texts.
    characters: usize,
}

/// A part of an answer: all of it, or what is new.
struct Part<'a> {
    index: usize,
    is_new: bool,
    text: &'a str,
    tokens: &'a [Token<Note>],
    end: Option<&'a Steered>,
}

impl Reply {
    pub(crate) fn new(shared: Arc<Shared>, call: Call) -> Self {
        let prefix = if call.shape == Shape::Chat { "chatcmpl" } else { "cmpl" };
        let (id, created) = (format!("{prefix}-{:016x}", shared.random()), super::now());
        let answers = call.requests.iter().map(|request| request.samples).sum();
        let written = std::iter::repeat_with(Written::default).take(answers).collect();
        Self { shared, call, id, created, written }
    }

    /// Returns the number of answers.
    pub(crate) fn answers(&self) -> usize {
        self.written.len()
    }

    /// Returns the chunks that open a stream: one for each answer.
    pub(crate) fn open(&mut self) -> Vec<Value> {
        if self.call.shape == Shape::Completion && !self.call.params.token_ids {
            return Vec::new();
        }
        let open = |index| self.choice(&Part { index, is_new: true, text: "", tokens: &[], end: None }, 0);
        let choices: Vec<Value> = (0..self.answers()).map(open).collect();
        choices
            .into_iter()
            .enumerate()
            .map(|(index, mut choice)| {
                if self.call.shape == Shape::Chat {
                    choice["delta"]["role"] = "assistant".into();
                }
                let mut chunk = self.chunk(vec![choice]);
                if self.call.params.token_ids {
                    self.add_prompt(&mut chunk, index);
                }
                chunk
            })
            .collect()
    }

    /// Returns the chunk that tells of `update`, if there is something to tell.
    pub(crate) fn update(&mut self, index: usize, update: Update) -> Result<Option<Value>, ApiError> {
        let (text, tokens, end) = match news(update)? {
            News::Token(token) => (token.text.clone(), vec![token], None),
            News::End(text, answer) => (text, Vec::new(), Some(answer)),
        };
        let Params { log_probs, token_ids, .. } = self.call.params;
        let is_step = |token: &Token<Note>| token.note.place.as_ref().is_some_and(|place| place.step.is_some());
        let part = Part { index, is_new: true, text: &text, tokens: &tokens, end: end.as_ref() };
        let offset = self.written[index].characters;
        let is_told =
            !text.is_empty() || end.is_some() || log_probs.is_some() || token_ids || tokens.iter().any(is_step);
        let chunk = is_told.then(|| self.chunk(vec![self.choice(&part, offset)]));
        self.write(index, &tokens);
        Ok(chunk)
    }

    fn write(&mut self, index: usize, tokens: &[Token<Note>]) {
        let characters: usize = tokens.iter().map(|token| self.name(token.id).chars().count()).sum();
        self.written[index].tokens += tokens.len();
        self.written[index].characters += characters;
    }

    /// Returns the chunk that closes a stream, if the usage is wanted.
    pub(crate) fn close(&self) -> Option<Value> {
        let mut chunk = self.chunk(Vec::new());
        chunk["usage"] = self.usage();
        self.call.params.include_usage.then_some(chunk)
    }

    /// Returns the whole reply; `updates` holds those of every answer in order.
    pub(crate) fn whole(mut self, updates: Vec<Vec<Update>>) -> Result<Value, ApiError> {
        let mut choices = Vec::new();
        for (index, updates) in updates.into_iter().enumerate() {
            let (mut text, mut tokens, mut end) = (String::new(), Vec::new(), None);
            for update in updates {
                match news(update)? {
                    News::Token(token) => {
                        text += &token.text;
                        tokens.push(token);
                    }
                    News::End(rest, answer) => {
                        text += &rest;
                        end = Some(answer);
                    }
                }
            }
            let part = Part { index, is_new: false, text: &text, tokens: &tokens, end: end.as_ref() };
            choices.push(self.choice(&part, 0));
            self.write(index, &tokens);
        }
        let object = if self.call.shape == Shape::Chat { "chat.completion" } else { "text_completion" };
        let mut whole = self.envelope(object, choices);
        whole["usage"] = self.usage();
        if self.call.params.token_ids {
            (0..self.answers()).for_each(|index| self.add_prompt(&mut whole, index));
        }
        Ok(whole)
    }

    /// Adds the tokens of the prompt of answer `index`, where vLLM has them.
    fn add_prompt(&self, reply: &mut Value, index: usize) {
        let prompt = json!(self.prompt(index));
        match self.call.shape {
            Shape::Chat => reply["prompt_token_ids"] = prompt,
            Shape::Completion => {
                let choices = reply["choices"].as_array_mut().into_iter().flatten();
                for choice in choices.filter(|choice| choice["index"] == index) {
                    choice["prompt_token_ids"] = prompt.clone();
                }
            }
        }
    }

    fn prompt(&self, index: usize) -> &[TokenId] {
        let samples = self.call.params.request.samples;
        self.call.requests.get(index / samples).map_or(&[], |request| &request.prompt)
    }

    fn chunk(&self, choices: Vec<Value>) -> Value {
        let object = if self.call.shape == Shape::Chat { "chat.completion.chunk" } else { "text_completion" };
        let mut chunk = self.envelope(object, choices);
        if self.call.params.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.shared.model.name(),
            "system_fingerprint": self.shared.model.fingerprint().weights,
            "choices": choices,
        })
    }

    fn usage(&self) -> Value {
        let prompt: usize = self.call.requests.iter().map(|request| request.prompt.len()).sum();
        let completion: usize = self.written.iter().map(|written| written.tokens).sum();
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
    }

    fn choice(&self, part: &Part<'_>, offset: usize) -> Value {
        let Part { index, is_new, text, tokens, end } = *part;
        let mut choice = json!({ "index": index });
        match (self.call.shape, is_new) {
            (Shape::Chat, true) => choice["delta"] = json!({ "content": text }),
            (Shape::Chat, false) => {
                choice["message"] = json!({ "role": "assistant", "content": text, "refusal": null });
            }
            (Shape::Completion, _) => choice["text"] = text.into(),
        }
        let log_probs = self.call.params.log_probs.filter(|_| !tokens.is_empty() || !is_new);
        choice["logprobs"] = log_probs.map_or(Value::Null, |_| self.log_probs(tokens, offset));
        let finish = end.map(|answer| answer.generated.finish);
        choice["finish_reason"] = finish.map_or(Value::Null, |finish| match finish {
            Finish::Eos | Finish::Stop => "stop".into(),
            _ => "length".into(),
        });
        // Whoever waits for an answer does not cancel it: its time was up.
        if finish == Some(Finish::Cancelled) {
            choice["stop_reason"] = "time_limit".into();
        }
        if self.call.params.token_ids {
            choice["token_ids"] = tokens.iter().map(|token| token.id).collect();
        }
        if let Some(steer) = &self.call.params.steer {
            choice["stir"] = match end {
                Some(Steered { steps, probe_tokens, .. }) => {
                    json!({ "library": steer.library, "steps": steps, "probe_tokens": probe_tokens })
                }
                None => tokens.iter().find_map(|token| token.note.place.as_ref()).map_or(Value::Null, |place| {
                    let mut mark =
                        json!({ "segment": place.segment, "steered": place.steered(), "scale": place.scale });
                    if let Some(step) = &place.step {
                        mark["step"] = json!(step);
                    }
                    mark
                }),
            };
        }
        choice
    }

    /// Returns the log-probabilities of `tokens`, before which the texts of tokens have `offset` characters.
    fn log_probs(&self, tokens: &[Token<Note>], offset: usize) -> Value {
        match self.call.shape {
            Shape::Chat => {
                let one = |(id, log_prob): (TokenId, f32)| {
                    let bytes = self.shared.model.vocab().bytes(id);
                    json!({ "token": self.name(id), "logprob": log_prob, "bytes": bytes })
                };
                let content = tokens.iter().map(|token| {
                    let mut content = one((token.id, token.log_prob));
                    content["top_logprobs"] = token.note.top.iter().copied().map(one).collect();
                    content
                });
                json!({ "content": content.collect::<Vec<_>>(), "refusal": null })
            }
            Shape::Completion => {
                let top = |token: &Token<Note>| -> Value {
                    let top = token.note.top.iter().map(|&(id, log_prob)| (self.name(id), json!(log_prob)));
                    top.collect::<Map<_, _>>().into()
                };
                let names: Vec<String> = tokens.iter().map(|token| self.name(token.id)).collect();
                let offsets = names.iter().scan(offset, |end, name| {
                    let start = *end;
                    *end += name.chars().count();
                    Some(start)
                });
                json!({
                    "token_logprobs": tokens.iter().map(|token| token.log_prob).collect::<Vec<_>>(),
                    "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
                    "text_offset": offsets.collect::<Vec<_>>(),
                    "tokens": names,
                })
            }
        }
    }

    /// Returns the text of a token, or its name where it adds none.
    fn name(&self, id: TokenId) -> String {
        let vocab = self.shared.model.vocab();
        vocab.special_name(id).map_or_else(|| vocab.text(&[id]), str::to_owned)
    }
}

/// What an update tells.
enum News {
    Token(Token<Note>),
    End(String, Steered),
}

fn news(update: Update) -> Result<News, ApiError> {
    match update {
        Update::Event(event) => match *event {
            Event::Token(token) => Ok(News::Token(token)),
            Event::Finished { text, answer } => Ok(News::End(text, answer)),
            Event::Failed { .. } => Err(ApiError::failed("the model computed logits that describe no distribution")),
        },
        Update::Lost(_) => Err(ApiError::failed("the answer was lost; the log of the server says why")),
    }
}

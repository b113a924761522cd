//! How a server is asked, and what it was found to take.

use serde::Serialize;
use stir_core::{Request, TokenId};
use tracing::{debug, warn};

use super::{
    RemoteError, RemoteServer, ServerError, Tokens, answer,
    client::Client,
    protocol::{Body, FieldSet, PromptForm, TokenSource},
};
use crate::{FailureReason, Prompt, RolloutConfig, RolloutError, run::request};

/// The model, the server and the settings of a run: what all of its threads share.
pub(super) struct Asking<'t, T> {
    pub(super) model: &'t T,
    pub(super) server: RemoteServer,
    pub(super) config: RolloutConfig,
}

/// What a server was found to take and to return.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Manner {
    pub(super) prompts: PromptForm,
    /// Left out where it is `all`, as in runs that were begun before it was there.
    #[serde(skip_serializing_if = "FieldSet::is_all")]
    pub(super) fields: FieldSet,
    pub(super) token_ids: TokenSource,
}

/// The part of the settings that takes the place of the model's.
#[derive(Serialize)]
pub(super) struct Sampler<'a> {
    computation: &'static str,
    reproducible: bool,
    server: Named<'a>,
    tokenizer: String,
    end_tokens: Vec<TokenId>,
}

/// The address is not part of it: a server that is started again has another.
#[derive(Serialize)]
struct Named<'a> {
    model: &'a str,
    #[serde(flatten)]
    manner: Manner,
}

impl<T: Tokens> Asking<'_, T> {
    pub(super) fn sampler(&self, manner: Manner) -> Sampler<'_> {
        let mut end_tokens = self.model.vocab().eos().to_vec();
        end_tokens.sort_unstable();
        let server = Named { model: &self.server.model, manner };
        Sampler { computation: "server", reproducible: false, server, tokenizer: self.model.tokenizer(), end_tokens }
    }

    /// Asks for one token after the first prompt that can be asked, if there is one.
    pub(super) fn probe(&self, client: &Client<'_>, prompts: &[Prompt]) -> Result<Manner, RemoteError> {
        let mut asked = prompts.iter().filter_map(|prompt| Some((prompt, self.request(prompt).ok()?)));
        let Some((prompt, request)) = asked.next() else {
            return Ok(Manner {
                prompts: PromptForm::TokenIds,
                fields: FieldSet::All,
                token_ids: TokenSource::Returned,
            });
        };
        let request = Request { max_tokens: 1, ..request };
        let (mut form, mut fields) = (PromptForm::TokenIds, FieldSet::All);
        let body = loop {
            // llama-cpp-python answers 500 to a prompt that is no text.
            let is_final = |status| status == 500 && form == PromptForm::TokenIds;
            match client.post(&self.body(prompt, &request, (form, fields), 1)?, 0, is_final) {
                Err(ServerError::Status { status: 400 | 422, .. }) if fields.is_all() => fields = FieldSet::Common,
                Err(ServerError::Status { status: 400 | 422 | 500, .. }) if form == PromptForm::TokenIds => {
                    (form, fields) = (PromptForm::Text, FieldSet::All);
                }
                answered => break answered?,
            }
        };
        let unusable = |source| RemoteError::Reply { url: client.url.clone(), id: prompt.id.clone(), k: 0, source };
        let mut completion = answer::parse(&body).map_err(unusable)?;
        let token_ids =
            if completion.take_tokens().is_some() { TokenSource::Returned } else { TokenSource::Retokenised };
        let completion = answer::parse(&body).map_err(unusable)?;
        // The other reasons are the sample's own: a first token alone may be half a character, which no tokenizer takes.
        if let Err(FailureReason::Reply(source)) = answer::sample(self.model, &request, completion, token_ids) {
            return Err(unusable(source));
        }
        if form == PromptForm::Text {
            warn!(url = client.url, "the server takes no token ids as a prompt, so it gets text");
        }
        if token_ids == TokenSource::Retokenised {
            warn!(url = client.url, "the server returns no token ids, so its texts are tokenised again");
        }
        if fields == FieldSet::Common {
            debug!(url = client.url, "the server refuses fields that it does not know");
        }
        Ok(Manner { prompts: form, fields, token_ids })
    }

    pub(super) fn request(&self, prompt: &Prompt) -> Result<Request, FailureReason<T::Error>> {
        request(&self.config, prompt, self.model.shape(), |text| self.model.encode_prompt(text))
    }

    pub(super) fn body(
        &self,
        prompt: &Prompt,
        request: &Request,
        form: (PromptForm, FieldSet),
        budget: usize,
    ) -> Result<Vec<u8>, RolloutError> {
        let vocab_size = self.model.shape().vocab_size;
        let body = Body::new(&self.server.model, request, &prompt.prompt, form, budget, vocab_size);
        Ok(stir_files::json_line(&body)?)
    }
}

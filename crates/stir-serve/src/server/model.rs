use std::{error::Error, fmt, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};
use stir_core::{Fingerprint, ModelShape, Sampling, SettingError, Text, TokenId, Vocab};

/// An error of a model, whatever its type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text of the message.
    pub content: String,
}

/// Renders a conversation as the text of a prompt; the map holds the variables that the request gives to the template.
type Render = dyn Fn(&[Message], &Map<String, Value>) -> Result<String, BoxError> + Send + Sync;

/// What is served: an engine with a tokenizer, its name, and how a conversation becomes a prompt.
///
/// ```
/// use stir_core::toy::ToyEngine;
/// use stir_serve::Model;
/// let engine = ToyEngine::new(1).passing_over_unknown();
/// let model = Model::new("toy", engine).with_chat(|messages, _| Ok(messages[0].content.clone()));
/// assert_eq!(model.name(), "toy");
/// ```
pub struct Model<E> {
    name: String,
    engine: Arc<E>,
    render: Option<Box<Render>>,
    sampling: Sampling,
}

impl<E: Text> Model<E> {
    /// Returns the model called `name`, without a chat template, that is sampled at temperature 1 where a request does
    /// not say.
    pub fn new(name: impl Into<String>, engine: impl Into<Arc<E>>) -> Self {
        let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        Self { name: name.into(), engine: engine.into(), render: None, sampling }
    }

    /// Renders conversations by `render`, which is called on several threads.
    #[must_use]
    pub fn with_chat(
        self,
        render: impl Fn(&[Message], &Map<String, Value>) -> Result<String, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { render: Some(Box::new(render)), ..self }
    }

    /// Samples by `sampling` where a request does not say, as the authors of many models recommend.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting out of bounds.
    pub fn with_sampling(self, sampling: Sampling) -> Result<Self, SettingError> {
        match sampling.validate() {
            Err(stir_core::SamplingError::Setting(error)) => Err(error),
            _ => Ok(Self { sampling, ..self }),
        }
    }

    /// Returns the name that requests call the model by.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn engine(&self) -> Arc<E> {
        self.engine.clone()
    }
}

impl<E> fmt::Debug for Model<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// What requests need of a model, whatever its engine.
pub(crate) trait Served: Send + Sync {
    fn name(&self) -> &str;
    fn shape(&self) -> ModelShape;
    fn vocab(&self) -> &Vocab;
    fn fingerprint(&self) -> &Fingerprint;
    fn sampling(&self) -> Sampling;
    /// Returns the tokens of `text` as a whole prompt.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, BoxError>;
    /// Returns the text of a conversation; `None` where the model has no chat template.
    fn render(&self, messages: &[Message], variables: &Map<String, Value>) -> Option<Result<String, BoxError>>;
}

impl<E: Text> Served for Model<E> {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> ModelShape {
        self.engine.shape()
    }

    fn vocab(&self) -> &Vocab {
        self.engine.vocab()
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.engine.fingerprint()
    }

    fn sampling(&self) -> Sampling {
        self.sampling
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, BoxError> {
        Ok(self.engine.encode_prompt(text)?)
    }

    fn render(&self, messages: &[Message], variables: &Map<String, Value>) -> Option<Result<String, BoxError>> {
        self.render.as_ref().map(|render| render(messages, variables))
    }
}

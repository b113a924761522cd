use serde::{Deserialize, Serialize};

use crate::{EmptyStop, ModelShape, SampleRng, Sampling, SamplingError, StopMatcher, TokenId};

/// What is to be generated: a prompt, and everything that decides what follows it. Plain data.
///
/// Sample `i` draws from stream `stream + i` of `seed` and from nothing else, so what it becomes does not depend on the
/// other samples, on the other requests of a batch, or on how many run side by side.
///
/// ```
/// use stir_core::{Request, Sampling};
/// let request = Request { samples: 3, stop: vec!["\n\n".into()], ..Request::new(vec![1, 2, 3]) };
/// assert_eq!(request.sampling, Sampling::default());
/// let parsed: Request = serde_json::from_str(r#"{"prompt": [1, 2, 3], "samples": 3, "stop": ["\n\n"]}"#)?;
/// assert_eq!(parsed, request);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// What is continued; at least one token.
    pub prompt: Vec<TokenId>,
    /// New tokens per sample at most, the one that ends it among them.
    pub max_tokens: usize,
    /// How a token is drawn.
    pub sampling: Sampling,
    /// A sample ends with the token that completes one of these, and its text before it.
    pub stop: Vec<String>,
    /// How many answers are wanted. They share one encoding of the prompt.
    pub samples: usize,
    /// Source of all randomness.
    pub seed: u64,
    /// The random stream of the first sample; the others follow.
    pub stream: u64,
}

impl Default for Request {
    fn default() -> Self {
        let sampling = Sampling::default();
        Self { prompt: Vec::new(), max_tokens: 512, sampling, stop: Vec::new(), samples: 1, seed: 0, stream: 0 }
    }
}

impl Request {
    /// One sample of up to 512 tokens after `prompt`, with the settings of [`Sampling::default`].
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self { prompt, ..Self::default() }
    }

    /// One request for each prompt; prompt `i` draws from stream `i` of `seed`.
    pub fn batch(prompts: &[Vec<TokenId>], max_tokens: usize, sampling: Sampling, seed: u64) -> Vec<Self> {
        let prompts = prompts.iter().cloned().zip(0..);
        prompts.map(|(prompt, stream)| Self { max_tokens, sampling, seed, stream, ..Self::new(prompt) }).collect()
    }

    /// Checks every field for a model of `shape`.
    ///
    /// ```
    /// use stir_core::{Engine, Request, RequestError, toy::ToyEngine};
    /// let shape = ToyEngine::new(0).shape();
    /// let request = Request { samples: 0, ..Request::new(vec![1]) };
    /// assert_eq!(request.check(shape), Err(RequestError::ZeroSamples));
    /// assert!(matches!(Request::new(vec![u32::MAX]).check(shape), Err(RequestError::Token { .. })));
    /// ```
    ///
    /// # Errors
    /// [`RequestError`] with what is wrong first.
    pub fn check(&self, shape: ModelShape) -> Result<(), RequestError> {
        let (tokens, max_context) = (self.prompt.len(), shape.max_context);
        if tokens == 0 {
            Err(RequestError::EmptyPrompt)
        } else if tokens >= max_context {
            Err(RequestError::PromptTooLong { tokens, max_context })
        } else if let Some(&token) = self.prompt.iter().find(|&&token| token as usize >= shape.vocab_size) {
            Err(RequestError::Token { token, vocab_size: shape.vocab_size })
        } else if self.max_tokens == 0 {
            Err(RequestError::ZeroBudget)
        } else if self.samples == 0 {
            Err(RequestError::ZeroSamples)
        } else {
            self.sampling.validate()?;
            StopMatcher::new(&self.stop)?;
            Ok(())
        }
    }

    /// The random stream of sample `sample`.
    pub fn sample_stream(&self, sample: usize) -> u64 {
        self.stream.wrapping_add(sample as u64)
    }

    /// The random numbers of sample `sample`.
    pub fn rng(&self, sample: usize) -> SampleRng {
        SampleRng::new(self.seed, self.sample_stream(sample))
    }
}

/// A request that cannot be served.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Nothing to condition on.
    #[error("the prompt holds no token")]
    EmptyPrompt,
    /// No room for a single new token.
    #[error("the prompt holds {tokens} tokens and the model's context {max_context}: no room for an answer")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of the model.
        max_context: usize,
    },
    /// A token that the model does not have.
    #[error("token {token} of the prompt is outside the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        token: TokenId,
        /// Rows of the output head.
        vocab_size: usize,
    },
    /// A generation of no tokens.
    #[error("max_tokens is 0, must be at least 1")]
    ZeroBudget,
    /// A request for nothing.
    #[error("samples is 0, must be at least 1")]
    ZeroSamples,
    /// A stop string that would end every text at once.
    #[error(transparent)]
    Stop(#[from] EmptyStop),
    /// Sampling settings out of bounds.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

use serde::{Deserialize, Serialize};

use crate::{EmptyStop, ModelShape, SampleRng, Sampling, SamplingError, StopMatcher, TokenId};

/// A request for generated text: a prompt, and everything that decides how it is continued. Plain data.
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
    /// The tokens to be continued; at least one.
    pub prompt: Vec<TokenId>,
    /// The largest number of new tokens per sample, including the one that ends it.
    pub max_tokens: usize,
    /// The settings by which a token is drawn.
    pub sampling: Sampling,
    /// The stop strings: a sample ends with the token that completes one of them, and its text ends before it. One that
    /// is the name of a special token ends it at that token, which adds nothing to the text.
    pub stop: Vec<String>,
    /// The number of answers. They share one encoding of the prompt.
    pub samples: usize,
    /// The seed of all random numbers.
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
    /// Returns a request for one sample of up to 512 tokens after `prompt`, with the settings of [`Sampling::default`].
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self { prompt, ..Self::default() }
    }

    /// Returns one request for each of `prompts`, with the settings of this one; prompt `i` draws from stream
    /// `stream + i`.
    ///
    /// ```
    /// use stir_core::Request;
    /// let requests = Request { max_tokens: 9, stream: 5, ..Request::default() }.with_prompts(&[vec![1], vec![2, 3]]);
    /// assert_eq!((requests[1].prompt.as_slice(), requests[1].stream, requests[1].max_tokens), (&[2, 3][..], 6, 9));
    /// ```
    pub fn with_prompts(&self, prompts: &[Vec<TokenId>]) -> Vec<Self> {
        let streams = (0..).map(|i| self.sample_stream(i));
        prompts
            .iter()
            .zip(streams)
            .map(|(prompt, stream)| Self { prompt: prompt.clone(), stream, ..self.clone() })
            .collect()
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
    /// [`RequestError`] for the first fault found.
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

    /// Returns the random stream of sample `sample`.
    pub fn sample_stream(&self, sample: usize) -> u64 {
        self.stream.wrapping_add(sample as u64)
    }

    /// Returns the random number generator of sample `sample`.
    pub fn rng(&self, sample: usize) -> SampleRng {
        SampleRng::new(self.seed, self.sample_stream(sample))
    }
}

/// The fault of a request that cannot be served.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The prompt is empty.
    #[error("the prompt holds no token")]
    EmptyPrompt,
    /// The prompt leaves no room for a single new token.
    #[error(
        "the prompt holds {tokens} tokens, which leaves no room for an answer in the model's context of {max_context}"
    )]
    PromptTooLong {
        /// The number of tokens of the prompt.
        tokens: usize,
        /// The number of positions of the model's context.
        max_context: usize,
    },
    /// The prompt holds a token that the model does not have.
    #[error("token {token} of the prompt is outside the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        token: TokenId,
        /// The number of rows of the output head.
        vocab_size: usize,
    },
    /// The budget is 0.
    #[error("max_tokens is 0, must be at least 1")]
    ZeroBudget,
    /// No answer was asked for.
    #[error("samples is 0, must be at least 1")]
    ZeroSamples,
    /// A stop string is empty.
    #[error(transparent)]
    Stop(#[from] EmptyStop),
    /// A sampling setting is out of bounds.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

use stir_core::{RequestError, SamplingError};

use crate::Rollout;

/// The counts of a run's output, earlier parts of the run included, and the samples that could not be drawn.
#[derive(Debug)]
pub struct Summary<E> {
    /// The number of prompts given.
    pub problems: usize,
    /// The number of prompts with at least one sample.
    pub sampled: usize,
    /// The number of prompts with right and wrong samples, which are those that mining can learn from.
    pub mixed: usize,
    /// The number of samples.
    pub samples: usize,
    /// The number of right samples.
    pub correct: usize,
    /// The number of tokens of all samples.
    pub tokens: usize,
    /// The number of samples with as many tokens as a sample may have. Nearly all of them were cut off: a wrong answer
    /// among them may have been a right one, and contrasts tell finished from unfinished.
    pub at_limit: usize,
    /// The samples that could not be drawn, in the order met. All others were.
    pub failures: Vec<Failure<E>>,
    /// True if the run reached its end, false if the observer stopped it.
    pub complete: bool,
}

impl<E> Summary<E> {
    /// Returns the share of right samples; `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct, self.samples)
    }

    /// Returns the mean number of tokens of a sample; `None` without samples.
    pub fn mean_tokens(&self) -> Option<f64> {
        ratio(self.tokens, self.samples)
    }

    /// Returns the share of sampled prompts with right and wrong samples; `None` without samples.
    pub fn mixed_share(&self) -> Option<f64> {
        ratio(self.mixed, self.sampled)
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A prompt, or one sample of it, that could not be done.
#[derive(Debug, thiserror::Error)]
#[error("prompt {id:?} lacks {samples} of its samples")]
pub struct Failure<E> {
    /// The id of the prompt.
    pub id: String,
    /// The number of samples that it lacks.
    pub samples: usize,
    /// The reason.
    #[source]
    pub reason: FailureReason<E>,
}

/// The reason why a prompt could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailureReason<E> {
    /// There is no answer to judge by.
    #[error("the prompt has no gold answer to judge by")]
    NoGold,
    /// The tokenizer refused the prompt.
    #[error("the prompt cannot be encoded")]
    Encode(#[source] E),
    /// The prompt leaves no room for an answer, or is empty.
    #[error("the prompt cannot be continued")]
    Request(#[source] RequestError),
    /// The model computed logits that describe no distribution.
    #[error("the model broke down in a sample")]
    Sampling(#[source] SamplingError),
    /// The server's answer cannot be used.
    #[cfg(feature = "remote")]
    #[error("the server's answer cannot be used")]
    Reply(#[from] crate::remote::ReplyError),
}

/// Counts what is in an output.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The numbers of right and wrong samples of every prompt.
    prompts: Vec<(usize, usize)>,
    tokens: usize,
    at_limit: usize,
    max_tokens: usize,
}

impl Tally {
    pub(crate) fn new(prompts: usize, max_tokens: usize) -> Self {
        Self { prompts: vec![(0, 0); prompts], tokens: 0, at_limit: 0, max_tokens }
    }

    pub(crate) fn add(&mut self, prompt: usize, rollout: &Rollout) {
        let (right, wrong) = &mut self.prompts[prompt];
        *(if rollout.correct { right } else { wrong }) += 1;
        self.tokens += rollout.token_ids.len();
        self.at_limit += usize::from(rollout.token_ids.len() >= self.max_tokens);
    }

    pub(crate) fn summary<E>(&self, failures: Vec<Failure<E>>, complete: bool) -> Summary<E> {
        let count = |keep: fn(&(usize, usize)) -> bool| self.prompts.iter().filter(|t| keep(t)).count();
        Summary {
            problems: self.prompts.len(),
            sampled: count(|(right, wrong)| right + wrong > 0),
            mixed: count(|(right, wrong)| *right > 0 && *wrong > 0),
            samples: self.prompts.iter().map(|(right, wrong)| right + wrong).sum(),
            correct: self.prompts.iter().map(|(right, _)| right).sum(),
            tokens: self.tokens,
            at_limit: self.at_limit,
            failures,
            complete,
        }
    }
}

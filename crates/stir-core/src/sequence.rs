use serde::{Deserialize, Serialize};

use crate::{
    Choice, Engine, Lane, ModelShape, Output, Request, RequestError, Row, SampleRng, Sampling, SamplingError, Session,
    StopMatcher, TokenId, Vocab,
};

/// The reason why a generated sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// The model ended it.
    Eos,
    /// A stop string was complete.
    Stop,
    /// The budget or the model's context was used up.
    Length,
    /// It was cancelled.
    Cancelled,
}

/// A finished sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The new tokens, with the one that ended the sequence.
    pub tokens: Vec<TokenId>,
    /// The model's log-probability of each token.
    pub log_probs: Vec<f32>,
    /// The reason why the sequence ended.
    pub finish: Finish,
    /// The number of bytes of the tokens that are the answer's text: all, or those before the stop string.
    pub text_len: usize,
    /// The number of forward passes that the sequence took part in.
    pub forward_passes: usize,
}

impl Generated {
    /// Returns the answer: the text of the tokens, up to the stop string.
    pub fn text(&self, vocab: &Vocab) -> String {
        self.text_after(&[], vocab)
    }

    /// Returns the text of `before` and of the answer that continues it. They are put together as bytes, since a character
    /// may be cut between them.
    pub fn text_after(&self, before: &[TokenId], vocab: &Vocab) -> String {
        let len = before.iter().map(|&token| vocab.bytes(token).len()).sum::<usize>() + self.text_len;
        vocab.text_within(&[before, &self.tokens].concat(), len)
    }
}

/// One sample of a [`Request`] in progress: its tokens, how the next is drawn, and when it ends.
///
/// Plain and steered lanes both hold one and give it logits, so there is one place that ends sequences.
///
/// ```
/// use stir_core::{Engine, Finish, Request, Sequence, Text, toy::ToyEngine};
/// let engine = ToyEngine::new(0);
/// let request = Request { stop: vec!["lo".into()], ..Request::new(engine.encode("say")?) };
/// let mut sequence = Sequence::new(&engine, &request, 0)?;
/// for token in engine.encode("hello")? {
///     sequence.push(engine.vocab(), stir_core::Choice { token, log_prob: -1.0 });
/// }
/// assert_eq!(sequence.finish(), Some(Finish::Stop));
/// assert_eq!(sequence.generated().text(engine.vocab()), "hel");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sequence {
    /// Prompt and answer.
    tokens: Vec<TokenId>,
    prompt: usize,
    log_probs: Vec<f32>,
    budget: usize,
    max_context: usize,
    sampling: Sampling,
    rng: SampleRng,
    stops: StopMatcher,
    /// The special tokens among the stop strings.
    stop_tokens: Vec<TokenId>,
    finish: Option<Finish>,
    forward_passes: usize,
}

impl Sequence {
    /// Returns sample `sample` of `request`, before its first token.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    pub fn new<E: Engine>(engine: &E, request: &Request, sample: usize) -> Result<Self, RequestError> {
        Self::of(engine.shape(), engine.vocab(), request, sample)
    }

    /// Works like [`new`](Self::new) for a model of `shape` and `vocab` that computes elsewhere, such as on a server whose
    /// tokens are [pushed](Self::push).
    ///
    /// # Errors
    /// Fails like [`new`](Self::new).
    pub fn of(shape: ModelShape, vocab: &Vocab, request: &Request, sample: usize) -> Result<Self, RequestError> {
        request.check(shape)?;
        let max_context = shape.max_context;
        Ok(Self {
            tokens: request.prompt.clone(),
            prompt: request.prompt.len(),
            log_probs: Vec::new(),
            budget: request.max_tokens.min(max_context - request.prompt.len()),
            max_context,
            sampling: request.sampling,
            rng: request.rng(sample),
            stops: StopMatcher::new(&request.stop)?,
            stop_tokens: request.stop.iter().filter_map(|stop| vocab.special(stop)).collect(),
            finish: None,
            forward_passes: 0,
        })
    }

    /// Returns the largest number of tokens that the answer may have: what was asked for, within the context.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Returns the prompt and the answer so far; at least one token.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Returns the answer so far.
    pub fn answer(&self) -> &[TokenId] {
        &self.tokens[self.prompt..]
    }

    /// Returns the model's log-probability of each token of the answer.
    pub fn log_probs(&self) -> &[f32] {
        &self.log_probs
    }

    /// Returns the settings by which tokens are drawn.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Returns the number of positions that the model's context still has.
    pub fn room(&self) -> usize {
        self.max_context.saturating_sub(self.tokens.len())
    }

    /// Returns the reason why the sequence ended; `None` while it continues.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Counts a forward pass that the sequence took part in.
    pub fn count_pass(&mut self) {
        self.forward_passes += 1;
    }

    /// Draws the next token from the logits after the last one, and appends it.
    ///
    /// # Errors
    /// [`SamplingError::NonFinite`] for a row that describes no distribution.
    pub fn draw(&mut self, vocab: &Vocab, logits: &[f32]) -> Result<(), SamplingError> {
        let choice = self.sampling.pick(logits, &self.tokens, &mut self.rng)?;
        self.push(vocab, choice);
        Ok(())
    }

    /// Appends a token, unless the sequence has ended.
    ///
    /// A stop string ends it first, then an end token, then the budget.
    pub fn push(&mut self, vocab: &Vocab, choice: Choice) {
        if self.finish.is_some() {
            return;
        }
        self.tokens.push(choice.token);
        self.log_probs.push(choice.log_prob);
        let stopped = self.stops.push(vocab.bytes(choice.token)).is_some();
        self.finish = if stopped || self.stop_tokens.contains(&choice.token) {
            Some(Finish::Stop)
        } else if vocab.is_eos(choice.token) {
            Some(Finish::Eos)
        } else if self.log_probs.len() >= self.budget {
            Some(Finish::Length)
        } else {
            None
        };
    }

    /// Returns what has been generated; it is marked as cancelled if nothing else ended it.
    pub fn generated(&self) -> Generated {
        Generated {
            tokens: self.answer().to_vec(),
            log_probs: self.log_probs.clone(),
            finish: self.finish.unwrap_or(Finish::Cancelled),
            text_len: self.stops.text_len(),
            forward_passes: self.forward_passes,
        }
    }
}

/// Returns a session that holds all of `prompt` except its last token. Forks of it continue from there, so that many
/// samples need the prompt encoded only once.
///
/// # Errors
/// The engine's error.
pub fn prefill<E: Engine>(engine: &E, prompt: &[TokenId]) -> Result<E::Session, E::Error> {
    let mut session = engine.session();
    if let Some((_, head)) = prompt.split_last()
        && !head.is_empty()
    {
        let row = Row { session: &mut session, tokens: head, additions: Vec::new(), capture: &[], logits: false };
        engine.forward(&mut [row])?;
    }
    Ok(session)
}

/// A lane that generates one [`Sequence`], with what streaming needs to know of it.
pub trait Generation<S>: Lane<S> {
    /// A note on a token, in addition to its text.
    type Note;

    /// Takes the outputs of a pass, as [`absorb`](Lane::absorb) does, and leaves the result where it is.
    ///
    /// # Errors
    /// [`SamplingError`] when a row of logits describes no distribution.
    fn advance(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<(), SamplingError>;

    /// Returns what has been generated so far.
    fn sequence(&self) -> &Sequence;

    /// Returns the note on token `index` of the answer.
    fn note(&self, index: usize) -> Self::Note;

    /// Returns what has been generated, finished or not.
    fn answer(&self) -> Self::Done;

    /// Returns the answer, once the sequence has ended.
    fn finished(&self) -> Option<Self::Done> {
        self.sequence().finish().map(|_| self.answer())
    }
}

/// Plain decoding of one sequence.
#[derive(Debug)]
pub struct Decode<S> {
    /// May lag behind the sequence.
    session: S,
    sequence: Sequence,
}

impl<S: Session> Decode<S> {
    /// Returns a lane for sample `sample` of `request`.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    pub fn new<E: Engine<Session = S>>(engine: &E, request: &Request, sample: usize) -> Result<Self, RequestError> {
        Self::resume(engine, engine.session(), request, sample)
    }

    /// Works like [`new`](Self::new) where `session` already holds the first tokens of the prompt: a fork of what
    /// [`prefill`] gave, or of an earlier turn. One that holds the whole prompt or more is rewound to its last token.
    ///
    /// # Errors
    /// Fails like [`new`](Self::new).
    pub fn resume<E: Engine<Session = S>>(
        engine: &E,
        mut session: S,
        request: &Request,
        sample: usize,
    ) -> Result<Self, RequestError> {
        let sequence = Sequence::new(engine, request, sample)?;
        session.rewind(request.prompt.len() - 1);
        Ok(Self { session, sequence })
    }
}

impl<S: Session> Lane<S> for Decode<S> {
    type Done = Generated;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        let tokens = &self.sequence.tokens()[self.session.len()..];
        rows.push(Row { session: &mut self.session, tokens, additions: Vec::new(), capture: &[], logits: true });
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Generated>, SamplingError> {
        self.advance(vocab, outputs)?;
        Ok(self.finished())
    }
}

impl<S: Session> Generation<S> for Decode<S> {
    type Note = ();

    fn advance(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<(), SamplingError> {
        self.sequence.count_pass();
        self.sequence.draw(vocab, &outputs.pop().unwrap_or_default().logits)
    }

    fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    fn note(&self, _: usize) {}

    fn answer(&self) -> Generated {
        self.sequence.generated()
    }
}

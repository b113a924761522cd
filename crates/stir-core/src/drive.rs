use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use crate::{Engine, ModelShape, Output, Row, SampleRng, Sampling, SamplingError, Session, TokenId, Vocab};

/// One sequence being generated: a state machine that says which rows it needs next and learns what they gave.
pub trait Lane<S> {
    /// What is left when the sequence is finished.
    type Done;

    /// Pushes the rows this lane needs in the next forward pass; at least one.
    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>);

    /// Takes the outputs of those rows, in the order pushed. `Some` when the lane is finished.
    ///
    /// # Errors
    /// When a row of logits describes no distribution.
    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Self::Done>, SamplingError>;
}

/// Runs lanes through an engine, up to `width` at a time, until all are finished.
///
/// This is the only decoding loop. Every pass carries the rows of all running lanes, whatever stage each is at, and a
/// finished lane's place goes to the next waiting one (continuous batching). `done` receives the lane's place in
/// `lanes` and its result as soon as it finishes; `Break` stops the loop and drops the lanes still running.
///
/// # Errors
/// The first error of `lanes`, of the engine, or of a lane.
pub fn drive<E, L>(
    engine: &E,
    lanes: impl IntoIterator<Item = Result<L, DriveError<E::Error>>>,
    width: usize,
    mut done: impl FnMut(usize, L::Done) -> ControlFlow<()>,
) -> Result<(), DriveError<E::Error>>
where
    E: Engine,
    L: Lane<E::Session>,
{
    let mut waiting = lanes.into_iter().enumerate().fuse();
    let mut running: Vec<(usize, L)> = Vec::new();
    loop {
        while running.len() < width.max(1) {
            let Some((index, lane)) = waiting.next() else { break };
            running.push((index, lane?));
        }
        if running.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        let counts: Vec<usize> = running
            .iter_mut()
            .map(|(_, lane)| {
                let before = rows.len();
                lane.rows(&mut rows);
                rows.len() - before
            })
            .collect();
        let mut outputs = engine.forward(&mut rows).map_err(DriveError::Engine)?.into_iter();
        drop(rows);

        let mut still = Vec::with_capacity(running.len());
        for ((index, mut lane), count) in running.drain(..).zip(counts) {
            let own = outputs.by_ref().take(count).collect();
            match lane.absorb(engine.vocab(), own).map_err(|source| DriveError::Sampling { lane: index, source })? {
                None => still.push((index, lane)),
                Some(result) => {
                    if done(index, result).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        running = still;
    }
}

/// As [`drive`], with the results of all lanes in the order of the lanes.
///
/// # Errors
/// As [`drive`].
pub fn drive_all<E, L>(
    engine: &E,
    lanes: impl IntoIterator<Item = Result<L, DriveError<E::Error>>>,
    width: usize,
) -> Result<Vec<L::Done>, DriveError<E::Error>>
where
    E: Engine,
    L: Lane<E::Session>,
{
    let mut results = BTreeMap::new();
    drive(engine, lanes, width, |index, result| {
        results.insert(index, result);
        ControlFlow::Continue(())
    })?;
    Ok(results.into_values().collect())
}

/// Why a run of lanes stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E: std::error::Error + 'static> {
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] E),
    /// A lane could not be started.
    #[error("a sequence could not be started")]
    Request(#[from] RequestError),
    /// A model computed logits that describe no distribution.
    #[error("sequence {lane}")]
    Sampling {
        /// Place of the lane among those given.
        lane: usize,
        /// What was wrong with the row.
        #[source]
        source: SamplingError,
    },
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
    /// A generation of no tokens.
    #[error("max_tokens is 0, must be at least 1")]
    ZeroBudget,
    /// Sampling settings out of bounds.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

/// How a generated sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended it.
    Eos,
    /// The budget or the model's context was used up.
    Length,
}

/// How many tokens a sequence may still get, checked once for every kind of lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// New tokens allowed: what was asked for, or what the context leaves.
    pub budget: usize,
    max_context: usize,
}

impl Limits {
    /// The limits of a prompt of `prompt_tokens` that may grow by `max_tokens`.
    ///
    /// # Errors
    /// [`RequestError`] for an empty prompt, one that fills the context, or a budget of 0.
    pub fn new(shape: ModelShape, prompt_tokens: usize, max_tokens: usize) -> Result<Self, RequestError> {
        if prompt_tokens == 0 {
            return Err(RequestError::EmptyPrompt);
        }
        if prompt_tokens >= shape.max_context {
            return Err(RequestError::PromptTooLong { tokens: prompt_tokens, max_context: shape.max_context });
        }
        if max_tokens == 0 {
            return Err(RequestError::ZeroBudget);
        }
        Ok(Self { budget: max_tokens.min(shape.max_context - prompt_tokens), max_context: shape.max_context })
    }

    /// Positions the context still has after `tokens`.
    pub fn room(self, tokens: usize) -> usize {
        self.max_context.saturating_sub(tokens)
    }

    /// How a sequence that has `generated` tokens, the last being `token`, ends here; `None` when it goes on.
    pub fn finish(self, vocab: &Vocab, token: TokenId, generated: usize) -> Option<Finish> {
        if vocab.is_eos(token) {
            Some(Finish::Eos)
        } else if generated >= self.budget {
            Some(Finish::Length)
        } else {
            None
        }
    }
}

/// Plain decoding of one sequence.
#[derive(Debug)]
pub struct Decode<S> {
    session: S,
    pending: Vec<TokenId>,
    limits: Limits,
    sampling: Sampling,
    rng: SampleRng,
    generated: Generated,
}

/// A finished sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// New tokens, with the one that ended the sequence.
    pub tokens: Vec<TokenId>,
    /// The model's log-probability of each.
    pub log_probs: Vec<f32>,
    /// How the sequence ended.
    pub finish: Finish,
    /// Forward passes the sequence took part in.
    pub forward_passes: usize,
}

impl<S: Session> Decode<S> {
    /// A sequence that continues `prompt` by up to `max_tokens`.
    ///
    /// # Errors
    /// [`RequestError`] for an empty or too long prompt, no budget, or sampling settings out of bounds.
    pub fn new<E: Engine<Session = S>>(
        engine: &E,
        prompt: &[TokenId],
        max_tokens: usize,
        sampling: Sampling,
        rng: SampleRng,
    ) -> Result<Self, RequestError> {
        Self::resume(engine, engine.session(), prompt, max_tokens, sampling, rng)
    }

    /// As [`new`](Self::new), where `session` already holds the first tokens of `prompt` (but not the last).
    ///
    /// Forks of one session that holds all but the last token of a prompt sample from it with a single prefill.
    ///
    /// # Errors
    /// As [`new`](Self::new); a session that holds the whole prompt or more is rewound to its last token.
    pub fn resume<E: Engine<Session = S>>(
        engine: &E,
        mut session: S,
        prompt: &[TokenId],
        max_tokens: usize,
        sampling: Sampling,
        rng: SampleRng,
    ) -> Result<Self, RequestError> {
        let limits = Limits::new(engine.shape(), prompt.len(), max_tokens)?;
        sampling.validate()?;
        session.rewind(prompt.len() - 1);
        let pending = prompt[session.len()..].to_vec();
        let generated =
            Generated { tokens: Vec::new(), log_probs: Vec::new(), finish: Finish::Length, forward_passes: 0 };
        Ok(Self { session, pending, limits, sampling, rng, generated })
    }
}

impl<S: Session> Lane<S> for Decode<S> {
    type Done = Generated;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        rows.push(Row {
            session: &mut self.session,
            tokens: &self.pending,
            additions: Vec::new(),
            capture: &[],
            logits: true,
        });
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Generated>, SamplingError> {
        for output in outputs {
            let choice = self.sampling.pick(&output.logits, &mut self.rng)?;
            self.pending = vec![choice.token];
            self.generated.tokens.push(choice.token);
            self.generated.log_probs.push(choice.log_prob);
            self.generated.forward_passes += 1;
            if let Some(finish) = self.limits.finish(vocab, choice.token, self.generated.tokens.len()) {
                self.generated.finish = finish;
                return Ok(Some(self.generated.clone()));
            }
        }
        Ok(None)
    }
}

/// Decodes every prompt, `width` at a time; answers in the order of the prompts. Prompt `i` draws from stream `i` of
/// `seed`.
///
/// # Errors
/// As [`drive`]; the first prompt that cannot be served fails the call.
pub fn generate<E: Engine>(
    engine: &E,
    prompts: &[Vec<TokenId>],
    max_tokens: usize,
    sampling: Sampling,
    seed: u64,
    width: usize,
) -> Result<Vec<Generated>, DriveError<E::Error>> {
    let lanes = prompts
        .iter()
        .enumerate()
        .map(|(i, prompt)| Ok(Decode::new(engine, prompt, max_tokens, sampling, SampleRng::new(seed, i as u64))?));
    drive_all(engine, lanes, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::ToyEngine;

    #[test]
    fn batches_equal_singles_and_keep_order() {
        let engine = ToyEngine::new(11);
        let prompts: Vec<_> = ["abc", "d", "hello", "ab", "zzzz"].iter().map(|p| engine.encode(p).unwrap()).collect();
        let sampling = Sampling { temperature: 1.0, top_p: 0.9 };
        let wide = generate(&engine, &prompts, 24, sampling, 5, 3).unwrap();
        assert_eq!(wide, generate(&engine, &prompts, 24, sampling, 5, 1).unwrap());
        assert_eq!(wide.len(), prompts.len());
        assert!(wide.iter().all(|g| g.tokens.len() == g.log_probs.len() && g.forward_passes == g.tokens.len()));
    }

    #[test]
    fn a_forked_prefix_samples_what_a_fresh_one_does() {
        let engine = ToyEngine::new(11);
        let prompt = engine.encode("hello").unwrap();
        let mut prefix = engine.session();
        let (_, head) = prompt.split_last().unwrap();
        let row = Row { session: &mut prefix, tokens: head, additions: vec![], capture: &[], logits: false };
        engine.forward(&mut [row]).unwrap();
        let sampling = Sampling::default();
        let run = |lane: Decode<_>| {
            let mut out = None;
            drive(&engine, [Ok(lane)], 1, |_, g| {
                out = Some(g);
                ControlFlow::Continue(())
            })
            .unwrap();
            out.unwrap()
        };
        let forked = run(Decode::resume(&engine, prefix.fork(), &prompt, 20, sampling, SampleRng::new(1, 2)).unwrap());
        assert_eq!(forked, run(Decode::new(&engine, &prompt, 20, sampling, SampleRng::new(1, 2)).unwrap()));
        let full = run(Decode::new(&engine, &prompt, 20, sampling, SampleRng::new(1, 2)).unwrap());
        assert_eq!(forked.tokens, full.tokens);
    }

    #[test]
    fn bad_requests_name_what_is_wrong() {
        let engine = ToyEngine::new(0);
        let make = |prompt: &[TokenId], max, sampling| {
            Decode::new(&engine, prompt, max, sampling, SampleRng::new(0, 0)).map(|_| ()).unwrap_err()
        };
        assert_eq!(make(&[], 1, Sampling::GREEDY), RequestError::EmptyPrompt);
        assert_eq!(make(&[1], 0, Sampling::GREEDY), RequestError::ZeroBudget);
        let max_context = engine.shape().max_context;
        assert_eq!(
            make(&vec![1; max_context], 1, Sampling::GREEDY),
            RequestError::PromptTooLong { tokens: max_context, max_context }
        );
        assert!(matches!(make(&[1], 1, Sampling { temperature: -1.0, top_p: 1.0 }), RequestError::Sampling(_)));
    }

    #[test]
    fn the_context_ends_a_sequence_and_break_ends_the_loop() {
        let engine = ToyEngine::without_eos(3);
        let prompts = vec![vec![1; engine.shape().max_context - 4]; 3];
        let answers = generate(&engine, &prompts, 100, Sampling::GREEDY, 0, 2).unwrap();
        assert!(answers.iter().all(|g| g.tokens.len() == 4 && g.finish == Finish::Length));

        let mut seen = 0;
        let lanes = prompts.iter().map(|p| Ok(Decode::new(&engine, p, 2, Sampling::GREEDY, SampleRng::new(0, 0))?));
        drive(&engine, lanes, 1, |_, _| {
            seen += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(seen, 1);
    }
}

//! A small deterministic engine without tensors.
//!
//! It is a causal network in plain loops (three layers, ten dimensions, a context of 96 positions, a vocabulary of
//! lower-case letters, digits, newlines and the two-newline tokens that real vocabularies have), so that everything
//! above the [`Engine`] contract can be tested in milliseconds. Its text is noise; its caching, forking and steering
//! behave as a transformer's do.

mod broken;
mod watched;

use std::sync::Arc;

pub use broken::{break_json, fuzz_runs};
pub use watched::Watched;

use crate::{Engine, Fingerprint, HookPoint, ModelShape, Output, Row, SampleRng, Session, Text, TokenId, Vocab};

const LAYERS: usize = 3;
const HIDDEN: usize = 10;
const CONTEXT: usize = 96;
const SPECIAL: [&str; 4] = ["\n", "\n\n", ".\n\n", ". "];

type Stream = [f32; HIDDEN];
type Matrix = [Stream; HIDDEN];

/// The engine; see the [module](self).
#[derive(Debug, Clone)]
pub struct ToyEngine {
    fingerprint: Fingerprint,
    vocab: Vocab,
    start: Option<TokenId>,
    /// True if characters without a token are passed over.
    lenient: bool,
    device: String,
    embedding: Vec<Stream>,
    /// Per layer: how a position reads itself, how it reads the past.
    layers: Vec<(Matrix, Matrix)>,
}

/// The encoded part of one sequence: per layer and position, what later positions see of it.
#[derive(Debug, Clone, Default)]
pub struct ToySession {
    past: [Arc<Vec<Stream>>; LAYERS],
    len: usize,
}

/// The error of the toy engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToyError {
    /// The text has a character outside the alphabet.
    #[error("the toy vocabulary has no token for {0:?}")]
    Unknown(char),
    /// The row breaks the contract.
    #[error("row {row}: {what}")]
    Row {
        /// The row's place in the batch.
        row: usize,
        /// The fault.
        what: &'static str,
    },
}

impl ToyEngine {
    /// Returns an engine whose weights are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = SampleRng::new(seed, 0);
        let mut stream = |scale: f64| -> Stream { std::array::from_fn(|_| (rng.normal() * scale) as f32) };
        let texts: Vec<String> = ('a'..='z')
            .chain('0'..='9')
            .map(String::from)
            .chain(SPECIAL.map(String::from))
            .chain([String::new()])
            .collect();
        let eos = texts.len() as TokenId - 1;
        let layers =
            (0..LAYERS).map(|_| (std::array::from_fn(|_| stream(0.4)), std::array::from_fn(|_| stream(0.6)))).collect();
        let mut embedding: Vec<Stream> = texts.iter().map(|_| stream(1.0)).collect();
        // Boundaries and ends must come often enough to be tested, and not so often that nothing else does.
        for row in embedding.iter_mut().rev().take(4) {
            row.iter_mut().for_each(|x| *x *= 1.3);
        }
        Self {
            fingerprint: Fingerprint {
                architecture: "toy".into(),
                n_layers: LAYERS,
                hidden_size: HIDDEN,
                vocab_size: texts.len(),
                tokenizer: "toy".into(),
                weights: format!("{seed:016x}"),
            },
            vocab: Vocab::new(texts.iter().map(String::as_bytes), [eos]),
            start: None,
            lenient: false,
            device: String::new(),
            embedding,
            layers,
        }
    }

    /// Returns the engine of [`new`](Self::new) without a token that ends a sequence.
    pub fn without_eos(seed: u64) -> Self {
        let engine = Self::new(seed);
        let ids = 0..engine.vocab.len() as TokenId;
        let vocab = Vocab::new(ids.map(|id| engine.vocab.bytes(id)), []);
        Self { vocab, ..engine }
    }

    /// Returns the same engine with prompts that start with `token`, as those of many models start with a BOS token.
    pub fn starting_with(self, token: TokenId) -> Self {
        Self { start: Some(token), ..self }
    }

    /// Returns the same engine with a tokenizer that passes over characters outside its alphabet, such as those of tags.
    pub fn passing_over_unknown(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// Returns the same engine under the name of a quantisation, which changes nothing but its fingerprint.
    pub fn stored_as(self, quantisation: &str) -> Self {
        let weights = format!("{quantisation}:{}", self.fingerprint.weights);
        Self { fingerprint: Fingerprint { weights, ..self.fingerprint }, ..self }
    }

    /// Returns the same engine under the name of a device.
    pub fn on_device(self, device: impl Into<String>) -> Self {
        Self { device: device.into(), ..self }
    }

    fn check(&self, index: usize, row: &Row<'_, ToySession>) -> Result<(), ToyError> {
        let refuse = |what| Err(ToyError::Row { row: index, what });
        let new = row.session.len..row.session.len + row.tokens.len();
        if row.tokens.is_empty() {
            refuse("no tokens")
        } else if new.end > CONTEXT {
            refuse("more positions than the context holds")
        } else if row.tokens.iter().any(|&t| t as usize >= self.embedding.len()) {
            refuse("token outside the vocabulary")
        } else if row.capture.iter().chain(row.additions.iter().map(|a| &a.point)).any(|p| p.layer() >= LAYERS) {
            refuse("no such hook point")
        } else if row.additions.iter().any(|a| a.vector.len() != HIDDEN) {
            refuse("addition of the wrong width")
        } else if row.additions.iter().any(|a| !new.contains(&a.position)) {
            refuse("addition outside the row's tokens")
        } else {
            Ok(())
        }
    }

    fn run(&self, row: &mut Row<'_, ToySession>) -> Output {
        let mut output = Output { captures: vec![Vec::new(); row.capture.len()], ..Output::default() };
        let mut stream = Stream::default();
        for (i, &token) in row.tokens.iter().enumerate() {
            let (position, last) = (row.session.len, i + 1 == row.tokens.len());
            stream = self.embedding[token as usize];
            stream[position % HIDDEN] += 0.1;
            for (layer, (own, past)) in self.layers.iter().enumerate() {
                let mut hook = |point: HookPoint, stream: &mut Stream| {
                    for a in row.additions.iter().filter(|a| a.point == point && a.position == position) {
                        stream.iter_mut().zip(a.vector).for_each(|(x, v)| *x += a.scale * v);
                    }
                    for (slot, _) in row.capture.iter().enumerate().filter(|(_, p)| last && **p == point) {
                        output.captures[slot] = stream.to_vec();
                    }
                };
                hook(HookPoint::ResidPre(layer), &mut stream);
                let seen = &row.session.past[layer];
                let context: Stream = std::array::from_fn(|d| {
                    let recent = seen[..position].iter().rev().enumerate();
                    recent.map(|(age, x)| x[d] * 0.8f32.powi(age as i32)).sum()
                });
                let value: Stream = std::array::from_fn(|d| dot(&past[d], &stream).tanh());
                let cache = Arc::make_mut(&mut row.session.past[layer]);
                cache.truncate(position);
                cache.push(value);
                let read: Stream = std::array::from_fn(|d| (dot(&own[d], &stream) + context[d]).tanh());
                stream.iter_mut().zip(read).for_each(|(x, r)| *x += r);
                hook(HookPoint::ResidPost(layer), &mut stream);
            }
            row.session.len += 1;
        }
        if row.logits {
            output.logits = self.embedding.iter().map(|e| dot(e, &stream)).collect();
        }
        output
    }
}

fn dot(a: &Stream, b: &Stream) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

impl Engine for ToyEngine {
    type Session = ToySession;
    type Error = ToyError;

    fn device(&self) -> String {
        self.device.clone()
    }

    fn shape(&self) -> ModelShape {
        ModelShape { n_layers: LAYERS, hidden_size: HIDDEN, vocab_size: self.embedding.len(), max_context: CONTEXT }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn session(&self) -> ToySession {
        ToySession::default()
    }

    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        rows.iter().enumerate().try_for_each(|(i, row)| self.check(i, row))?;
        Ok(rows.iter_mut().map(|row| self.run(row)).collect())
    }
}

impl Text for ToyEngine {
    /// Matches the longest token first, as a greedy tokenizer would.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        let (mut rest, mut tokens) = (text, Vec::new());
        while let Some(first) = rest.chars().next() {
            let id = (0..self.vocab.len() as TokenId)
                .filter(|&id| !self.vocab.bytes(id).is_empty() && rest.as_bytes().starts_with(self.vocab.bytes(id)))
                .max_by_key(|&id| self.vocab.bytes(id).len());
            match id {
                None if !self.lenient => return Err(ToyError::Unknown(first)),
                None => rest = &rest[first.len_utf8()..],
                Some(id) => {
                    tokens.push(id);
                    rest = &rest[self.vocab.bytes(id).len()..];
                }
            }
        }
        Ok(tokens)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        let mut tokens = self.encode(text)?;
        let missing = self.start.filter(|start| tokens.first() != Some(start));
        missing.into_iter().for_each(|start| tokens.insert(0, start));
        Ok(tokens)
    }
}

impl Session for ToySession {
    fn len(&self) -> usize {
        self.len
    }

    fn fork(&self) -> Self {
        self.clone()
    }

    fn rewind(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GenerateOptions, Request, Sampling, conformance, control_points, generate};

    #[test]
    fn keeps_the_contract() {
        for seed in 0..5 {
            conformance::check(&ToyEngine::new(seed), 0.0).unwrap();
            conformance::check(&ToyEngine::new(seed).starting_with(3), 0.0).unwrap();
            conformance::check_text(&ToyEngine::new(seed)).unwrap();
            conformance::check_text(&ToyEngine::new(seed).starting_with(3)).unwrap();
            conformance::check_text(&ToyEngine::new(seed).passing_over_unknown()).unwrap();
        }
    }

    #[test]
    fn a_character_without_a_token_is_refused_or_passed_over() {
        let engine = ToyEngine::new(0);
        assert_eq!(engine.encode("a<é>b"), Err(ToyError::Unknown('<')));
        assert_eq!(engine.clone().passing_over_unknown().encode("a<é>b"), engine.encode("ab"));
    }

    #[test]
    fn reaches_boundaries_and_ends() {
        let engine = ToyEngine::new(1);
        let prompts: Vec<_> = ('a'..='z').map(|c| engine.encode(&c.to_string()).unwrap()).collect();
        let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let requests = Request { max_tokens: 60, sampling, ..Request::default() }.with_prompts(&prompts);
        let answers = generate(&engine, &requests, GenerateOptions::default()).unwrap().concat();
        let points = answers.iter().map(|g| control_points(engine.vocab(), &Default::default(), &g.tokens).len());
        assert!(points.sum::<usize>() > 26);
        assert!(answers.iter().any(|g| g.finish == crate::Finish::Eos));
    }
}

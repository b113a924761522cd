//! Checks that an engine keeps the [`Engine`] and [`Text`] contracts.
//!
//! ```
//! use stir_core::{conformance, toy::ToyEngine};
//! conformance::check(&ToyEngine::new(1), 0.0)?;
//! conformance::check_text(&ToyEngine::new(1))?;
//! # Ok::<(), stir_core::conformance::Violation>(())
//! ```

use crate::{Addition, Engine, HookPoint, Output, Row, SampleRng, Session, Text, TokenId};

/// A promise of the contract that an engine breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Two ways to compute the same result differ.
    #[error("{law}: results differ by {difference} of the largest magnitude, allowed {tolerance}")]
    Differs {
        /// The promise.
        law: &'static str,
        /// The largest absolute difference over the largest absolute value.
        difference: f32,
        /// The largest difference that was allowed.
        tolerance: f32,
    },
    /// Something that must change results did not.
    #[error("an effect is missing where {law}")]
    NoEffect {
        /// The promise.
        law: &'static str,
    },
    /// A row that must be refused was accepted.
    #[error("the engine accepted {what}")]
    Accepted {
        /// The bad row.
        what: &'static str,
    },
    /// A row that must be served was refused.
    #[error("the engine refused a valid row ({law}): {message}")]
    Refused {
        /// The promise being checked.
        law: &'static str,
        /// The engine's message.
        message: String,
    },
    /// The tokens of a prompt do not end with those of its text.
    #[error("the tokens of the prompt {text:?} do not end with those of its text")]
    Prompt {
        /// The text.
        text: String,
    },
    /// A session's length or an output's size is wrong.
    #[error("{law}: expected {expected}, found {found}")]
    Size {
        /// The promise.
        law: &'static str,
        /// The expected value.
        expected: usize,
        /// The value found.
        found: usize,
    },
}

/// Checks every promise of [`Engine`]; `tolerance` is relative to the largest magnitude of the compared row (0 for
/// bit-equality).
///
/// # Errors
/// The first [`Violation`] found.
pub fn check<E: Engine>(engine: &E, tolerance: f32) -> Result<(), Violation> {
    let shape = engine.shape();
    let points: Vec<HookPoint> =
        (0..shape.n_layers).flat_map(|l| [HookPoint::ResidPre(l), HookPoint::ResidPost(l)]).collect();
    let mut tokens = tokens(engine);
    let (prompt, tail, other) = (tokens(11), tokens(4), tokens(4));
    let mut suite = Suite { engine, tolerance, points };

    let reference = suite.fresh("prefill", &[&prompt, &tail], None)?;
    suite.sizes(&reference)?;
    suite.chunks_and_rewinds(&prompt, &tail, &other, &reference)?;
    suite.forks(&prompt, &tail, &other, &reference)?;
    suite.batches(&prompt, &tail, &other)?;
    let found = suite.forward("an empty batch gives no outputs", &mut [])?.len();
    if found > 0 {
        return Err(Violation::Size { law: "an empty batch gives no outputs", expected: 0, found });
    }
    suite.additions(&prompt, &tail, &reference)?;
    suite.branches(&prompt, &tail, &other)?;
    suite.refusals(&prompt)
}

/// Checks the promise of [`Text`]: a prompt's tokens are those of its text, with the start of a sequence in front. An
/// engine may refuse a text; it must then refuse the prompt, too.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check_text<E: Text>(engine: &E) -> Result<(), Violation> {
    let text = engine.vocab().text(&tokens(engine)(11));
    match (engine.encode(&text), engine.encode_prompt(&text)) {
        (Ok(plain), Ok(prompt)) if prompt.ends_with(&plain) => Ok(()),
        (Err(_), Err(_)) => Ok(()),
        _ => Err(Violation::Prompt { text }),
    }
}

/// Draws tokens of the model's vocabulary.
fn tokens<E: Engine>(engine: &E) -> impl FnMut(usize) -> Vec<TokenId> {
    let (mut rng, vocab_size) = (SampleRng::new(0x5717, 0), engine.shape().vocab_size);
    move |n| (0..n).map(|_| rng.below(vocab_size) as TokenId).collect()
}

struct Suite<'e, E> {
    engine: &'e E,
    tolerance: f32,
    points: Vec<HookPoint>,
}

impl<E: Engine> Suite<'_, E> {
    /// Appends `tokens` and reads everything.
    fn extend(
        &self,
        law: &'static str,
        session: &mut E::Session,
        tokens: &[TokenId],
        additions: &[Addition<'_>],
    ) -> Result<Output, Violation> {
        let row = Row { session, tokens, additions: additions.to_vec(), capture: &self.points, logits: true };
        let mut outputs = self.forward(law, &mut [row])?;
        let found = outputs.len();
        outputs.pop().filter(|_| found == 1).ok_or(Violation::Size { law: "one output per row", expected: 1, found })
    }

    fn forward(&self, law: &'static str, rows: &mut [Row<'_, E::Session>]) -> Result<Vec<Output>, Violation> {
        self.engine.forward(rows).map_err(|error| Violation::Refused { law, message: error.to_string() })
    }

    /// Returns the chunks one after another in one pass of an empty session.
    fn fresh(
        &self,
        law: &'static str,
        chunks: &[&[TokenId]],
        addition: Option<Addition<'_>>,
    ) -> Result<Output, Violation> {
        self.extend(law, &mut self.engine.session(), &chunks.concat(), addition.as_slice())
    }

    fn same(&self, law: &'static str, expected: &Output, found: &Output) -> Result<(), Violation> {
        let rows = |o: &Output| -> Vec<Vec<f32>> { std::iter::once(&o.logits).chain(&o.captures).cloned().collect() };
        for (expected, found) in rows(expected).iter().zip(rows(found)) {
            self.close(law, expected, &found)?;
        }
        Ok(())
    }

    fn close(&self, law: &'static str, expected: &[f32], found: &[f32]) -> Result<(), Violation> {
        let difference = difference(expected, found);
        // A difference that is not a number is not within any tolerance.
        if difference <= self.tolerance {
            Ok(())
        } else {
            Err(Violation::Differs { law, difference, tolerance: self.tolerance })
        }
    }

    fn len(&self, law: &'static str, session: &E::Session, expected: usize) -> Result<(), Violation> {
        let found = session.len();
        if found == expected { Ok(()) } else { Err(Violation::Size { law, expected, found }) }
    }

    fn sizes(&self, output: &Output) -> Result<(), Violation> {
        let shape = self.engine.shape();
        let size = |law, expected, found| {
            if expected == found { Ok(()) } else { Err(Violation::Size { law, expected, found }) }
        };
        size("logits are [vocab_size]", shape.vocab_size, output.logits.len())?;
        size("one capture per point", self.points.len(), output.captures.len())?;
        output.captures.iter().try_for_each(|c| size("captures are [hidden_size]", shape.hidden_size, c.len()))
    }

    fn chunks_and_rewinds(
        &mut self,
        prompt: &[TokenId],
        tail: &[TokenId],
        other: &[TokenId],
        reference: &Output,
    ) -> Result<(), Violation> {
        let law = "encoding token by token equals encoding at once";
        let mut session = self.engine.session();
        self.extend(law, &mut session, prompt, &[])?;
        let mut last = None;
        for token in tail {
            last = Some(self.extend(law, &mut session, &[*token], &[])?);
        }
        last.map_or(Ok(()), |found| self.same(law, reference, &found))?;
        self.len(law, &session, prompt.len() + tail.len())?;

        let law = "encoding after a rewind equals encoding afresh";
        session.rewind(prompt.len() + tail.len() + 5);
        self.len("rewinding past the end does nothing", &session, prompt.len() + tail.len())?;
        session.rewind(prompt.len() - 3);
        self.len(law, &session, prompt.len() - 3)?;
        self.extend(law, &mut session, &other[..2], &[])?;
        session.rewind(prompt.len() - 3);
        let again = [&prompt[prompt.len() - 3..], tail].concat();
        self.same(law, reference, &self.extend(law, &mut session, &again, &[])?)?;
        session.rewind(0);
        self.same(
            "a session rewound to nothing is new",
            reference,
            &self.extend(law, &mut session, &[prompt, tail].concat(), &[])?,
        )
    }

    fn forks(
        &mut self,
        prompt: &[TokenId],
        tail: &[TokenId],
        other: &[TokenId],
        reference: &Output,
    ) -> Result<(), Violation> {
        let law = "a fork does not disturb its origin, nor the origin its fork";
        let mut origin = self.engine.session();
        self.extend(law, &mut origin, prompt, &[])?;
        let mut fork = origin.fork();
        let mut early = origin.fork();
        early.rewind(prompt.len() - 2);
        self.extend(law, &mut fork, other, &[])?;
        self.extend(law, &mut early, other, &[])?;
        let mut nested = fork.fork();
        self.same(law, reference, &self.extend(law, &mut origin, tail, &[])?)?;
        self.same(law, &self.fresh(law, &[prompt, other, tail], None)?, &self.extend(law, &mut nested, tail, &[])?)?;
        drop(origin);
        self.same(law, &self.fresh(law, &[prompt, other, other], None)?, &self.extend(law, &mut fork, other, &[])?)?;
        let expected = self.fresh(law, &[&prompt[..prompt.len() - 2], other, tail], None)?;
        self.same(law, &expected, &self.extend(law, &mut early, tail, &[])?)
    }

    fn batches(&mut self, prompt: &[TokenId], tail: &[TokenId], other: &[TokenId]) -> Result<(), Violation> {
        let law = "a batch equals its singles";
        let sequences = [prompt.to_vec(), [prompt, tail].concat(), other.to_vec(), [tail, other].concat()];
        // One session is empty, one holds a single token, two share a fork's past: lengths and stages differ.
        let mut shared = self.engine.session();
        self.extend(law, &mut shared, &sequences[1][..4], &[])?;
        let mut first = self.engine.session();
        self.extend(law, &mut first, &sequences[3][..1], &[])?;
        let mut sessions = [shared.fork(), shared.fork(), self.engine.session(), first];
        let mut rows: Vec<_> = sessions
            .iter_mut()
            .zip(&sequences)
            .map(|(session, tokens)| Row {
                tokens: &tokens[session.len()..],
                session,
                additions: vec![],
                capture: &self.points,
                logits: true,
            })
            .collect();
        let outputs = self.forward(law, &mut rows)?;
        drop(rows);
        for (tokens, output) in sequences.iter().zip(&outputs) {
            self.same(law, &self.fresh(law, &[tokens], None)?, output)?;
        }
        // A second pass over the same sessions, one token each.
        let mut rows: Vec<_> = sessions
            .iter_mut()
            .map(|session| Row { tokens: &other[..1], session, additions: vec![], capture: &self.points, logits: true })
            .collect();
        let outputs = self.forward(law, &mut rows)?;
        for (tokens, output) in sequences.iter().zip(&outputs) {
            self.same(law, &self.fresh(law, &[tokens, &other[..1]], None)?, output)?;
        }
        let mut session = self.engine.session();
        let row = Row { session: &mut session, tokens: prompt, additions: vec![], capture: &[], logits: false };
        let outputs = self.forward(law, &mut [row])?;
        let unasked = outputs.iter().map(|o| o.logits.len() + o.captures.len()).sum();
        if unasked == 0 {
            Ok(())
        } else {
            Err(Violation::Size { law: "nothing is returned unasked", expected: 0, found: unasked })
        }
    }

    fn additions(&mut self, prompt: &[TokenId], tail: &[TokenId], reference: &Output) -> Result<(), Violation> {
        let hidden = self.engine.shape().hidden_size;
        let mut rng = SampleRng::new(0xadd, 0);
        let magnitude = reference.captures.iter().flatten().fold(0.0f32, |m, x| m.max(x.abs()));
        let vector: Vec<f32> = (0..hidden).map(|_| magnitude * rng.normal() as f32).collect();
        let zero = Addition { point: self.points[0], position: 1, vector: &vector, scale: 0.0 };
        self.same(
            "an addition of scale 0 changes nothing",
            reference,
            &self.fresh("scale 0", &[prompt, tail], Some(zero))?,
        )?;

        let boundary = prompt.len() - 1;
        for (slot, &point) in self.points.iter().enumerate() {
            let addition = Addition { point, position: boundary, vector: &vector, scale: 0.5 };
            let law = "additions come before captures and are exactly scale * vector";
            let (plain, steered) = (self.fresh(law, &[prompt], None)?, self.fresh(law, &[prompt], Some(addition))?);
            let expected: Vec<f32> = plain.captures[slot].iter().zip(&vector).map(|(x, v)| x + 0.5 * v).collect();
            self.close(law, &expected, &steered.captures[slot])?;
            if steered.logits == plain.logits {
                return Err(Violation::NoEffect { law: "an addition reaches the logits" });
            }

            let law = "an impulse at a cached boundary equals one in a forward from scratch";
            let expected = self.fresh(law, &[prompt, tail], Some(addition))?;
            let mut session = self.engine.session();
            self.extend(law, &mut session, prompt, &[])?;
            let mut probe = session.fork();
            session.rewind(boundary);
            probe.rewind(boundary);
            for session in [&mut probe, &mut session] {
                self.extend(law, session, &prompt[boundary..], &[addition])?;
                self.same(law, &expected, &self.extend(law, session, tail, &[])?)?;
            }
            // Above the last attention layer an addition leaves no trace in the cache.
            if point != HookPoint::ResidPost(self.engine.shape().n_layers - 1) && expected.logits == reference.logits {
                return Err(Violation::NoEffect { law: "an impulse reaches later tokens through the cache" });
            }

            let law = "re-encoding without the impulse forgets it";
            session.rewind(boundary);
            let again = [&prompt[boundary..], tail].concat();
            self.same(law, reference, &self.extend(law, &mut session, &again, &[])?)?;
        }
        Ok(())
    }

    /// Forks that are steered differently and continue with the same tokens, as probes do. An engine may compute once
    /// what they have in common, and must not compute less.
    fn branches(&mut self, prompt: &[TokenId], tail: &[TokenId], other: &[TokenId]) -> Result<(), Violation> {
        let law = "forks that take the same tokens are what they are alone";
        let (mut rng, boundary) = (SampleRng::new(0xf0c, 0), prompt.len() - 1);
        let vector: Vec<f32> = (0..self.engine.shape().hidden_size).map(|_| rng.normal() as f32).collect();
        let scales = [None, Some(1.0), Some(-2.0), None, Some(1.0)];
        let mut origin = self.engine.session();
        self.extend(law, &mut origin, prompt, &[])?;
        for point in &self.points {
            let mut together = scales.map(|_| origin.fork());
            together.iter_mut().for_each(|session| session.rewind(boundary));
            let mut alone = together.each_ref().map(Session::fork);
            let passes = [&prompt[boundary..], &tail[..1], &tail[1..2], &tail[2..], &other[..1]];
            for (pass, tokens) in passes.into_iter().enumerate() {
                // One of them goes its own way for a while.
                let tokens = scales.map(|scale| if pass == 2 && scale == Some(-2.0) { &other[1..2] } else { tokens });
                let additions = scales.map(|scale| match scale.filter(|_| pass == 0) {
                    Some(scale) => vec![Addition { point: *point, position: boundary, vector: &vector, scale }],
                    None => Vec::new(),
                });
                let capture = std::slice::from_ref(point);
                let row = |((session, tokens), additions)| Row { session, tokens, additions, capture, logits: true };
                let mut rows: Vec<_> = together.iter_mut().zip(tokens).zip(additions.clone()).map(row).collect();
                let found = self.forward(law, &mut rows)?;
                for (row, found) in alone.iter_mut().zip(tokens).zip(additions).map(row).zip(found) {
                    self.same(law, &self.forward(law, &mut [row])?[0], &found)?;
                }
            }
        }
        Ok(())
    }

    fn refusals(&mut self, prompt: &[TokenId]) -> Result<(), Violation> {
        let shape = self.engine.shape();
        let vector = vec![0.0; shape.hidden_size];
        let at = |point, position, vector| Addition { point, position, vector, scale: 1.0 };
        let too_deep = [HookPoint::ResidPost(shape.n_layers)];
        type Case<'a> = (&'static str, &'a [TokenId], Option<Addition<'a>>, &'a [HookPoint]);
        let cases: [Case<'_>; 6] = [
            ("a row without tokens", &[], None, &[]),
            ("a token outside the vocabulary", &[shape.vocab_size as TokenId], None, &[]),
            ("a capture at a layer that does not exist", prompt, None, &too_deep),
            ("an addition at a layer that does not exist", prompt, Some(at(too_deep[0], 0, &vector)), &[]),
            ("an addition of the wrong width", prompt, Some(at(HookPoint::ResidPost(0), 0, &vector[1..])), &[]),
            (
                "an addition outside the row's tokens",
                prompt,
                Some(at(HookPoint::ResidPost(0), prompt.len(), &vector)),
                &[],
            ),
        ];
        for (what, tokens, addition, capture) in cases {
            let mut session = self.engine.session();
            let row =
                Row { session: &mut session, tokens, additions: addition.into_iter().collect(), capture, logits: true };
            if self.engine.forward(&mut [row]).is_ok() {
                return Err(Violation::Accepted { what });
            }
        }
        let mut session = self.engine.session();
        let tokens = vec![0; shape.max_context.min(1 << 16) + 1];
        let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &[], logits: false };
        if shape.max_context < 1 << 16 && self.engine.forward(&mut [row]).is_ok() {
            return Err(Violation::Accepted { what: "more positions than the context holds" });
        }
        Ok(())
    }
}

/// Returns the largest absolute difference over the largest absolute expected value; infinite for rows of different
/// lengths.
fn difference(expected: &[f32], found: &[f32]) -> f32 {
    if expected.len() != found.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    // `f32::max` would drop a NaN.
    let gap = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, |m: f32, x| if x <= m { m } else { x });
    gap / largest
}

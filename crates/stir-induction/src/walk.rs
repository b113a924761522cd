use stir_core::{HookPoint, Lane, Output, Row, SamplingError, TokenId, Vocab};

/// One answer on its way through the model, from boundary to boundary: each pass ends at the next one and reads it.
#[derive(Debug)]
pub(crate) struct Walk<'p, S> {
    /// Holds the prompt and the answer's first `done` tokens.
    session: S,
    tokens: Vec<TokenId>,
    done: usize,
    /// The places to read at: indices into `tokens`, rising.
    stops: Vec<usize>,
    points: &'p [HookPoint],
    walked: Walked,
}

/// The states that a walk read.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Place of the problem.
    pub(crate) problem: usize,
    /// Place of the answer among the problem's.
    pub(crate) member: usize,
    /// Per stop: the token's index, and `[points, hidden_size]`.
    pub(crate) states: Vec<(usize, Vec<Vec<f32>>)>,
}

impl<'p, S> Walk<'p, S> {
    /// Returns a walk of `tokens`, the first `done` of which `session` holds, that reads `points` at `stops` (rising, at
    /// least one, none before `done`).
    pub(crate) fn new(
        session: S,
        tokens: Vec<TokenId>,
        done: usize,
        stops: Vec<usize>,
        points: &'p [HookPoint],
        problem: usize,
        member: usize,
    ) -> Self {
        Self { session, tokens, done, stops, points, walked: Walked { problem, member, states: Vec::new() } }
    }

    /// Returns one past the next place to read.
    fn next_end(&self) -> usize {
        self.stops.get(self.walked.states.len()).map_or(self.tokens.len(), |stop| stop + 1)
    }
}

impl<S> Lane<S> for Walk<'_, S> {
    type Done = Walked;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        let end = self.next_end();
        rows.push(Row {
            session: &mut self.session,
            tokens: &self.tokens[self.done..end],
            additions: Vec::new(),
            capture: self.points,
            logits: false,
        });
    }

    fn absorb(&mut self, _: &Vocab, outputs: Vec<Output>) -> Result<Option<Walked>, SamplingError> {
        for output in outputs {
            self.done = self.next_end();
            self.walked.states.push((self.done - 1, output.captures));
        }
        let finished = self.walked.states.len() >= self.stops.len();
        Ok(finished.then(|| Walked { states: std::mem::take(&mut self.walked.states), ..self.walked }))
    }
}

use std::fmt;

use stir_core::{Engine, Lane, Output, Request, RequestError, Row, SamplingError, Vocab};

use super::{context::Question, error::LaneError, reply::Reply};

/// A way of answering: a factory of lanes.
pub trait Method<E: Engine> {
    /// Returns a lane that answers `question`. `request` has the tokens of its prompt, the budget of the answer, the stop
    /// strings, the seed and the random stream, and the way tokens are drawn unless the method decides it.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    fn lane<'a>(&'a self, question: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError>;
}

/// The result of a lane: an answer, or the reason why there is none.
pub type LaneResult<E> = Result<Reply, LaneError<<E as Engine>::Error>>;

/// An answer in progress.
pub struct AnswerLane<'a, E: Engine>(Box<dyn Lane<E::Session, Done = LaneResult<E>> + 'a>);

impl<'a, E: Engine + 'a> AnswerLane<'a, E> {
    /// Returns an answer by a lane of any kind.
    pub fn new(lane: impl Lane<E::Session, Done = LaneResult<E>> + 'a) -> Self {
        Self(Box::new(lane))
    }

    /// Returns an answer by a lane whose result `finish` turns into a reply.
    pub fn map<L: Lane<E::Session> + 'a>(lane: L, finish: impl Fn(&Vocab, L::Done) -> Reply + 'a) -> Self {
        Self::new(Mapped { lane, finish: move |vocab: &Vocab, done| Ok(finish(vocab, done)) })
    }

    /// Returns a lane that ends at once.
    pub(super) fn ended(result: LaneResult<E>) -> Self {
        Self::new(Ended(Some(result)))
    }
}

impl<E: Engine> fmt::Debug for AnswerLane<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerLane").finish_non_exhaustive()
    }
}

impl<E: Engine> Lane<E::Session> for AnswerLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        self.0.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.0.absorb(vocab, outputs)
    }
}

/// A lane whose result becomes another.
struct Mapped<L, F> {
    lane: L,
    finish: F,
}

impl<S, D, L: Lane<S>, F: Fn(&Vocab, L::Done) -> D> Lane<S> for Mapped<L, F> {
    type Done = D;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        self.lane.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<D>, SamplingError> {
        Ok(self.lane.absorb(vocab, outputs)?.map(|done| (self.finish)(vocab, done)))
    }
}

struct Ended<D>(Option<D>);

impl<S, D> Lane<S> for Ended<D> {
    type Done = D;

    fn rows<'a>(&'a mut self, _: &mut Vec<Row<'a, S>>) {}

    fn absorb(&mut self, _: &Vocab, _: Vec<Output>) -> Result<Option<D>, SamplingError> {
        Ok(self.0.take())
    }
}

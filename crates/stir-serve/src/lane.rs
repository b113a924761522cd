use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use stir_controller::{Controller, Place, Steered, SteeredLane};
use stir_core::{
    Decode, Engine, Event, EventLane, Generation, Lane, Output, Request, RequestError, Row, SampleId, SamplingError,
    Sequence, Session, TokenId, Vocab, argmax, log_prob,
};

use crate::{AnswerError, client::Client};

/// One answer in progress: the lane that generates it, and the client that waits for it.
pub(crate) struct AnswerLane<S: Session> {
    lane: EventLane<S, Answering<S>>,
    client: Rc<Client>,
}

/// How an answer is generated.
pub(crate) struct Start<'a> {
    pub request: &'a Request,
    pub sample: usize,
    /// None for a plain answer.
    pub controller: Option<&'a Controller>,
    /// The number of likeliest tokens that are reported at every token; 0 in a steered answer.
    pub top: usize,
}

impl<S: Session> AnswerLane<S> {
    /// Begins an answer where `session` holds the first tokens of the prompt.
    pub(crate) fn start<E: Engine<Session = S>>(
        engine: &E,
        session: S,
        start: &Start<'_>,
        client: Rc<Client>,
    ) -> Result<Self, RequestError> {
        let &Start { request, sample, controller, top } = start;
        let kind = match controller {
            Some(controller) => Kind::Steered(Box::new(controller.resume(engine, session, request, sample)?)),
            None => Kind::Plain(Box::new(Decode::resume(engine, session, request, sample)?)),
        };
        let id = SampleId { request: 0, sample };
        let lane = EventLane::new(id, Answering { kind, top, tops: Vec::new() }, &request.stop)?;
        Ok(Self { lane, client })
    }

    pub(crate) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// Ends the answer as it is.
    pub(crate) fn cut(self) {
        let Self { lane, client } = self;
        client.send(lane.cancel());
    }
}

impl<S: Session> Lane<S> for AnswerLane<S> {
    type Done = ();

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        self.lane.rows(rows);
    }

    /// A panic ends this answer and no other.
    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<()>, SamplingError> {
        let Ok(absorbed) = catch_unwind(AssertUnwindSafe(|| self.lane.absorb(vocab, outputs))) else {
            tracing::error!("a panic ended one answer");
            self.client.lose(&AnswerError::Panic);
            return Ok(Some(()));
        };
        let finished = absorbed?;
        let is_finished = finished.is_some();
        for event in finished.map_or_else(|| self.lane.take_events(), |(_, events)| events) {
            self.client.send(event);
        }
        Ok(is_finished.then_some(()))
    }
}

/// What is remarked on a token.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Note {
    /// Its place in a steered answer.
    pub place: Option<Place>,
    /// The likeliest tokens in its place, with their log-probabilities.
    pub top: Vec<(TokenId, f32)>,
}

/// An event of an answer of either kind. A plain answer is one without steps.
pub(crate) type NotedEvent = Event<Steered, Note>;

/// A generation, plain or steered, that notes the likeliest tokens.
struct Answering<S> {
    kind: Kind<S>,
    top: usize,
    /// Those of every token so far, if they are wanted.
    tops: Vec<Vec<(TokenId, f32)>>,
}

enum Kind<S> {
    Plain(Box<Decode<S>>),
    Steered(Box<SteeredLane<S>>),
}

impl<S: Session> Lane<S> for Answering<S> {
    type Done = Steered;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        match &mut self.kind {
            Kind::Plain(lane) => lane.rows(rows),
            Kind::Steered(lane) => lane.rows(rows),
        }
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Steered>, SamplingError> {
        self.advance(vocab, outputs)?;
        Ok(self.finished())
    }
}

impl<S: Session> Generation<S> for Answering<S> {
    type Note = Note;

    fn advance(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<(), SamplingError> {
        match &mut self.kind {
            Kind::Plain(lane) => {
                if let Some(output) = outputs.last().filter(|_| self.top > 0) {
                    self.tops.push(likeliest(&output.logits, self.top)?);
                }
                lane.advance(vocab, outputs)
            }
            Kind::Steered(lane) => lane.advance(vocab, outputs),
        }
    }

    fn sequence(&self) -> &Sequence {
        match &self.kind {
            Kind::Plain(lane) => lane.sequence(),
            Kind::Steered(lane) => lane.sequence(),
        }
    }

    fn note(&self, index: usize) -> Note {
        let place = match &self.kind {
            Kind::Plain(_) => None,
            Kind::Steered(lane) => Some(lane.note(index)),
        };
        Note { place, top: self.tops.get(index).cloned().unwrap_or_default() }
    }

    fn answer(&self) -> Steered {
        match &self.kind {
            Kind::Plain(lane) => {
                Steered { generated: lane.answer(), probe_tokens: 0, non_finite: 0, steps: Vec::new() }
            }
            Kind::Steered(lane) => lane.answer(),
        }
    }
}

/// Returns the `count` likeliest tokens with their log-probabilities, ties to the lower id.
fn likeliest(logits: &[f32], count: usize) -> Result<Vec<(TokenId, f32)>, SamplingError> {
    let best = argmax(logits)?;
    let at_best = log_prob(logits, best as TokenId)?;
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    let order = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    if count < ids.len() {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    Ok(ids.into_iter().map(|id| (id as TokenId, at_best + (logits[id] - logits[best]))).collect())
}

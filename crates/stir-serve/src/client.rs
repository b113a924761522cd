use std::{cell::Cell, sync::Arc, time::Instant};

use stir_core::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use crate::{AnswerError, lane::NotedEvent, metrics::Metrics};

/// What a client is told of an answer.
#[derive(Debug)]
pub(crate) enum Update {
    Event(Box<NotedEvent>),
    /// The answer was lost; it has no other last event.
    Lost(AnswerError),
}

impl Update {
    /// Returns whether it is the last of an answer.
    pub(crate) fn is_last(&self) -> bool {
        !matches!(self, Self::Event(event) if matches!(**event, Event::Token(_)))
    }
}

/// Who waits for an answer, and until when.
///
/// The channel has no bound of its own: an answer has no more events than tokens, and those are bounded.
pub(crate) struct Client {
    /// The number of the answer in its request.
    index: usize,
    updates: UnboundedSender<(usize, Update)>,
    since: Instant,
    /// None if the answer may take any time.
    deadline: Option<Instant>,
    metrics: Arc<Metrics>,
    /// The answer's place among those that run or wait; given back before its end is told.
    permit: Cell<Option<OwnedSemaphorePermit>>,
    has_begun: Cell<bool>,
    has_ended: Cell<bool>,
}

impl Client {
    /// Returns who waits for answer `index` of a request that came now and has to be answered before `deadline`.
    pub(crate) fn new(
        index: usize,
        updates: UnboundedSender<(usize, Update)>,
        deadline: Option<Instant>,
        metrics: Arc<Metrics>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (since, permit) = (Instant::now(), Cell::new(Some(permit)));
        Self {
            index,
            updates,
            since,
            deadline,
            metrics,
            permit,
            has_begun: Cell::default(),
            has_ended: Cell::default(),
        }
    }

    /// Returns whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.updates.is_closed()
    }

    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(crate) fn send(&self, event: NotedEvent) {
        match &event {
            Event::Token(_) => {
                self.metrics.completion_tokens.add(1);
                if !self.has_begun.replace(true) {
                    self.metrics.first_token.observe(self.since.elapsed());
                }
            }
            Event::Finished { answer, .. } | Event::Failed { answer, .. } => {
                self.end();
                self.metrics.probe_tokens.add(answer.probe_tokens as u64);
                self.metrics.answer.observe(self.since.elapsed());
            }
        }
        self.update(Update::Event(Box::new(event)));
    }

    /// Tells that the answer was lost, unless its end was told.
    pub(crate) fn lose(&self, error: &AnswerError) {
        if !self.end() && !self.is_gone() {
            self.metrics.lost.add(1);
            self.update(Update::Lost(error.clone()));
        }
    }

    /// Returns whether the answer had ended before.
    fn end(&self) -> bool {
        drop(self.permit.take());
        self.has_ended.replace(true)
    }

    fn update(&self, update: Update) {
        // Nobody to be told is what `is_gone` is for.
        let _ = self.updates.send((self.index, update));
    }
}

impl Drop for Client {
    /// Tells of the end of an answer that did not come to one: the thread that ran it has ended.
    fn drop(&mut self) {
        self.lose(&AnswerError::Stopped);
    }
}

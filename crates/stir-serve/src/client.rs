use std::{sync::Arc, time::Instant};

use stir_core::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use crate::{lane::AnswerEvent, metrics::Metrics};

/// What a client is told of an answer.
#[derive(Debug)]
pub(crate) enum Update {
    Event(Box<AnswerEvent>),
    /// The answer was lost; it has no other last event.
    Lost,
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
    deadline: Instant,
    metrics: Arc<Metrics>,
    /// The answer's place among those that run or wait; given back when it ends.
    _permit: OwnedSemaphorePermit,
    has_begun: bool,
    has_ended: bool,
}

impl Client {
    /// Returns who waits for answer `index` of a request that came now and has to be answered before `deadline`.
    pub(crate) fn new(
        index: usize,
        updates: UnboundedSender<(usize, Update)>,
        deadline: Instant,
        metrics: Arc<Metrics>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let since = Instant::now();
        Self { index, updates, since, deadline, metrics, _permit: permit, has_begun: false, has_ended: false }
    }

    /// Returns whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.updates.is_closed()
    }

    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    pub(crate) fn send(&mut self, event: AnswerEvent) {
        match &event {
            Event::Token(_) => {
                self.metrics.completion_tokens.add(1);
                if !self.has_begun {
                    self.has_begun = true;
                    self.metrics.first_token.observe(self.since.elapsed());
                }
            }
            Event::Finished { answer, .. } | Event::Failed { answer, .. } => {
                self.has_ended = true;
                self.metrics.probe_tokens.add(answer.probe_tokens as u64);
                self.metrics.answer.observe(self.since.elapsed());
            }
        }
        self.update(Update::Event(Box::new(event)));
    }

    fn update(&self, update: Update) {
        // Nobody to be told is what `is_gone` is for.
        let _ = self.updates.send((self.index, update));
    }
}

impl Drop for Client {
    /// Tells of the end of an answer that did not come to one.
    fn drop(&mut self) {
        if !self.has_ended && !self.is_gone() {
            self.metrics.lost.add(1);
            self.update(Update::Lost);
        }
    }
}

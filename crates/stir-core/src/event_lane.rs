use std::{fmt, mem};

use crate::{EmptyStop, Event, Generation, Lane, Output, Row, SampleId, SamplingError, TextStream, Token, Vocab};

/// The events of a generation `G`.
pub type EventOf<S, G> = Event<<G as Lane<S>>::Done, <G as Generation<S>>::Note>;

/// A generation whose tokens become events, for a [`Scheduler`](crate::Scheduler) of your own. A
/// [`Generator`](crate::Generator) runs such lanes and is all that most servers need; one that has more to keep for an
/// answer (who waits for it, until when) puts this lane into its own.
///
/// ```
/// use stir_core::{Decode, Event, EventLane, Request, SampleId, Scheduler, Text, toy::ToyEngine};
/// let engine = ToyEngine::new(7);
/// let request = Request { max_tokens: 5, ..Request::new(engine.encode("abc")?) };
/// let lane = EventLane::new(SampleId { request: 0, sample: 0 }, Decode::new(&engine, &request, 0)?, &request.stop)?;
/// let mut scheduler = Scheduler::new(&engine, 8);
/// scheduler.push(lane);
/// let mut events = Vec::new();
/// while !scheduler.is_empty() {
///     let finished = scheduler.step()?;
///     events.extend(scheduler.lanes_mut().flat_map(|(_, lane)| lane.take_events()));
///     for (_, last) in finished {
///         events.extend(last?.1);
///     }
/// }
/// assert!(matches!(events.last(), Some(Event::Finished { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EventLane<S, G: Generation<S>> {
    id: SampleId,
    generation: G,
    text: TextStream,
    /// Events that have not been handed out.
    events: Vec<EventOf<S, G>>,
}

impl<S, G: Generation<S>> EventLane<S, G> {
    /// Returns the lane of the sample `id`, whose text ends before the first of the strings `stop`.
    ///
    /// # Errors
    /// [`EmptyStop`] for the first stop string that is empty.
    pub fn new(id: SampleId, generation: G, stop: &[String]) -> Result<Self, EmptyStop> {
        Ok(Self { id, generation, text: TextStream::new(stop)?, events: Vec::new() })
    }

    /// Returns the number of the sample.
    pub fn id(&self) -> SampleId {
        self.id
    }

    /// Returns the events since the last call, while the lane has not finished.
    pub fn take_events(&mut self) -> Vec<EventOf<S, G>> {
        mem::take(&mut self.events)
    }

    /// Ends an answer that is wanted no more; returns its last event. Events that were not taken are lost.
    pub fn cancel(mut self) -> EventOf<S, G> {
        Event::Finished { text: self.text.finish(), answer: self.generation.answer() }
    }
}

impl<S, G: Generation<S>> Lane<S> for EventLane<S, G> {
    /// The sample, and the events that were not taken, the last one among them. Logits that describe no distribution
    /// are an event, too.
    type Done = (SampleId, Vec<EventOf<S, G>>);

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        self.generation.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Self::Done>, SamplingError> {
        let reported = self.generation.sequence().answer().len();
        let advanced = self.generation.advance(vocab, outputs);
        let sequence = self.generation.sequence();
        for (index, &id) in sequence.answer().iter().enumerate().skip(reported) {
            let (log_prob, text) = (sequence.log_probs()[index], self.text.push(vocab.bytes(id)));
            let note = self.generation.note(index);
            self.events.push(Event::Token(Token { index, id, log_prob, text, note }));
        }
        if advanced.is_ok() && sequence.finish().is_none() {
            return Ok(None);
        }
        let (text, answer) = (self.text.finish(), self.generation.answer());
        self.events.push(match advanced {
            Ok(()) => Event::Finished { text, answer },
            Err(error) => Event::Failed { text, answer, error },
        });
        Ok(Some((self.id, self.take_events())))
    }
}

impl<S, G: Generation<S>> fmt::Debug for EventLane<S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.generation.sequence().answer().len();
        f.debug_struct("EventLane").field("id", &self.id).field("tokens", &tokens).finish_non_exhaustive()
    }
}

use std::{collections::VecDeque, fmt, mem};

use crate::{
    Decode, Engine, EventLane, EventOf, Generation, LaneId, Request, RequestError, SampleId, SamplingError, Scheduler,
    Session, prefill,
};

/// Generates answers to requests that may arrive at any time, one forward pass per step, and returns events.
///
/// This is what a server runs: requests are pushed and cancelled between two steps, share passes with those that are
/// already running, and every token comes back as soon as it is there. A prompt of several samples is encoded when the
/// first of them finds room, once for all of them. If all requests are known beforehand, [`generate`](crate::generate)
/// and [`stream`](crate::stream) are shorter.
///
/// Every sample gets exactly one last event ([`Finished`](crate::Event::Finished) or
/// [`Failed`](crate::Event::Failed)) unless the engine fails.
///
/// ```
/// use stir_core::{Event, Generator, Request, Text, toy::ToyEngine};
///
/// let engine = ToyEngine::without_eos(7);
/// let mut generator = Generator::new(&engine, 8);
/// let long = generator.push(Request { max_tokens: 60, ..Request::new(engine.encode("abc")?) })?;
/// generator.step()?;
/// let short = generator.push(Request { max_tokens: 2, ..Request::new(engine.encode("d")?) })?;
/// let mut finished = Vec::new();
/// while !generator.is_empty() {
///     for (id, event) in generator.step()? {
///         if let Event::Finished { .. } = event {
///             finished.push(id.request);
///             generator.cancel_request(long);
///         }
///     }
/// }
/// assert_eq!(finished, [short, long]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Generator<
    E: Engine,
    G: Generation<E::Session> = Decode<<E as Engine>::Session>,
    F = fn(&E, <E as Engine>::Session, &Request, usize) -> Result<G, RequestError>,
> {
    scheduler: Scheduler<E, EventLane<E::Session, G>>,
    start: F,
    /// Requests with samples that have not begun.
    queue: VecDeque<QueuedRequest>,
    /// The request of several samples that began last, and a session that holds all of its prompt but the last token.
    prefix: Option<(usize, E::Session)>,
    pushed: usize,
    /// Last events of samples that were cancelled.
    cancelled: Vec<(SampleId, EventOf<E::Session, G>)>,
}

#[derive(Debug)]
struct QueuedRequest {
    id: usize,
    request: Request,
    /// Samples that have not begun.
    samples: VecDeque<usize>,
}

impl<E: Engine> Generator<E> {
    /// Creates a generator of plain answers that runs up to `max_batch` samples (at least one) in a pass.
    pub fn new(engine: E, max_batch: usize) -> Self {
        Self::with(engine, max_batch, Decode::resume)
    }
}

impl<E, G, F> Generator<E, G, F>
where
    E: Engine,
    G: Generation<E::Session>,
    F: Fn(&E, E::Session, &Request, usize) -> Result<G, RequestError>,
{
    /// Creates a generator of answers of any kind. `start` begins one sample: it is given the engine, a session that
    /// holds a part of the prompt (or nothing), the request and the number of the sample. `Controller::resume` of
    /// `stir-controller` begins steered ones.
    pub fn with(engine: E, max_batch: usize, start: F) -> Self {
        let (scheduler, queue, cancelled) = (Scheduler::new(engine, max_batch), VecDeque::new(), Vec::new());
        Self { scheduler, start, queue, prefix: None, pushed: 0, cancelled }
    }

    /// Returns the engine.
    pub fn engine(&self) -> &E {
        self.scheduler.engine()
    }

    /// Returns whether every request has been served and no event is left.
    pub fn is_empty(&self) -> bool {
        self.scheduler.is_empty() && self.queue.is_empty() && self.cancelled.is_empty()
    }

    /// Adds a request and returns its number, which counts from 0 and is the [`SampleId::request`] of its events. Its
    /// samples begin in the next step if there is room, and otherwise wait for their turn.
    ///
    /// # Errors
    /// [`RequestError`] if the request cannot be served; it is not added then and takes no number.
    pub fn push(&mut self, request: Request) -> Result<usize, RequestError> {
        request.check(self.engine().shape())?;
        let id = self.pushed;
        self.pushed += 1;
        let samples = (0..request.samples).collect();
        self.queue.push_back(QueuedRequest { id, request, samples });
        Ok(id)
    }

    /// Ends one answer. It keeps what has been generated and gets its last event in the next step. Does nothing if the
    /// answer has ended already.
    pub fn cancel(&mut self, id: SampleId) {
        self.cancel_where(|sample| sample == id);
    }

    /// Ends all answers to a request, as [`cancel`](Self::cancel) ends one.
    pub fn cancel_request(&mut self, request: usize) {
        self.cancel_where(|sample| sample.request == request);
    }

    /// Ends all answers, as [`cancel`](Self::cancel) ends one.
    pub fn cancel_all(&mut self) {
        self.cancel_where(|_| true);
    }

    fn cancel_where(&mut self, is_meant: impl Fn(SampleId) -> bool) {
        let meant: Vec<LaneId> =
            self.scheduler.lanes().filter(|(_, lane)| is_meant(lane.id())).map(|(id, _)| id).collect();
        let lanes = meant.into_iter().filter_map(|id| self.scheduler.cancel(id));
        self.cancelled.extend(lanes.map(|lane| (lane.id(), lane.cancel())));
        // A sample that has not begun gets an answer without a token.
        let engine = self.scheduler.engine();
        for QueuedRequest { id, request, samples } in &mut self.queue {
            samples.retain(|&sample| {
                let id = SampleId { request: *id, sample };
                if !is_meant(id) {
                    return true;
                }
                // One that is refused all the same stays, so that the next step reports it.
                let lane = begin(engine, &self.start, engine.session(), id, request);
                let is_refused = lane.is_err();
                self.cancelled.extend(lane.map(|lane| (id, lane.cancel())));
                is_refused
            });
        }
        self.queue.retain(|queued| !queued.samples.is_empty());
    }

    /// Runs one forward pass and returns its events, sample by sample in the order in which they began.
    ///
    /// After a cancellation the step returns the last events of the cancelled samples, without a pass.
    ///
    /// # Errors
    /// [`GenerateError::Engine`] if the engine fails in a pass or in encoding a prompt, and [`GenerateError::Request`] if
    /// the kind of generation refuses a request. The samples concerned are lost and get no further event; all others are
    /// kept, and the generator stays usable.
    #[expect(clippy::type_complexity, reason = "an alias would hide what is returned")]
    pub fn step(&mut self) -> Result<Vec<(SampleId, EventOf<E::Session, G>)>, GenerateError<E::Error>> {
        if !self.cancelled.is_empty() {
            return Ok(mem::take(&mut self.cancelled));
        }
        self.admit()?;
        let ids: Vec<SampleId> = self.scheduler.lanes().map(|(_, lane)| lane.id()).collect();
        let finished =
            self.scheduler.step().map_err(|error| GenerateError::Engine { lost: ids, source: error.source })?;
        let running = self.scheduler.lanes_mut();
        let mut events: Vec<_> = running.map(|(id, lane)| (id, (lane.id(), lane.take_events()))).collect();
        // A lane of this kind turns broken logits into an event.
        events.extend(finished.into_iter().filter_map(|(lane, done)| Some((lane, done.ok()?))));
        events.sort_by_key(|(lane, _)| *lane);
        if self.scheduler.is_empty() && self.queue.is_empty() {
            self.prefix = None;
        }
        Ok(events.into_iter().flat_map(|(_, (id, events))| events.into_iter().map(move |event| (id, event))).collect())
    }

    /// Begins samples while there is room.
    fn admit(&mut self) -> Result<(), GenerateError<E::Error>> {
        while self.scheduler.has_room()
            && let Some(&mut QueuedRequest { id: number, ref request, ref mut samples }) = self.queue.front_mut()
        {
            let engine = self.scheduler.engine();
            if self.prefix.as_ref().is_none_or(|(of, _)| *of != number) {
                self.prefix = None;
                if request.samples > 1 {
                    match prefill(engine, &request.prompt) {
                        Ok(session) => self.prefix = Some((number, session)),
                        Err(source) => {
                            let lost = samples.iter().map(|&sample| SampleId { request: number, sample }).collect();
                            self.queue.pop_front();
                            return Err(GenerateError::Engine { lost, source });
                        }
                    }
                }
            }
            let session = self.prefix.as_ref().map_or_else(|| engine.session(), |(_, prefix)| prefix.fork());
            if let Some(sample) = samples.pop_front() {
                match begin(engine, &self.start, session, SampleId { request: number, sample }, request) {
                    Ok(lane) => drop(self.scheduler.push(lane)),
                    Err(source) => {
                        self.queue.pop_front();
                        return Err(GenerateError::Request { request: number, source });
                    }
                }
            }
            if self.queue.front().is_some_and(|queued| queued.samples.is_empty()) {
                self.queue.pop_front();
            }
        }
        Ok(())
    }
}

/// Begins the sample `id` of `request`.
fn begin<E: Engine, G: Generation<E::Session>>(
    engine: &E,
    start: impl Fn(&E, E::Session, &Request, usize) -> Result<G, RequestError>,
    session: E::Session,
    id: SampleId,
    request: &Request,
) -> Result<EventLane<E::Session, G>, RequestError> {
    Ok(EventLane::new(id, start(engine, session, request, id.sample)?, &request.stop)?)
}

impl<E, G, F> fmt::Debug for Generator<E, G, F>
where
    E: Engine,
    G: Generation<E::Session>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, waiting) = (self.scheduler.len(), &self.queue);
        f.debug_struct("Generator").field("running", &running).field("waiting", waiting).finish_non_exhaustive()
    }
}

/// The reason why requests could not be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError<E> {
    /// A request cannot be served.
    #[error("request {request} cannot be served")]
    Request {
        /// The request's number, from 0.
        request: usize,
        /// The fault of the request.
        source: RequestError,
    },
    /// The engine failed.
    #[error("the engine failed while {} answers were being generated", .lost.len())]
    Engine {
        /// The answers that were lost with it.
        lost: Vec<SampleId>,
        /// The engine's error.
        source: E,
    },
    /// The model computed logits that describe no distribution.
    #[error("the model broke down in sample {} of request {}", .sample.sample, .sample.request)]
    Sampling {
        /// The answer that cannot be continued.
        sample: SampleId,
        /// The fault of the row of logits.
        source: SamplingError,
    },
}

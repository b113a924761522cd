use std::{collections::VecDeque, ops::ControlFlow};

use crate::{Engine, Output, Row, SamplingError, Vocab};

/// One sequence being generated: a state machine that says which rows it needs next and learns their outputs.
pub trait Lane<S> {
    /// The lane's result.
    type Done;

    /// Pushes the rows that this lane needs in the next forward pass. A lane that pushes none is finished without
    /// another pass: it then absorbs no outputs and returns its result.
    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>);

    /// Takes the outputs of those rows, in the order pushed. Returns the result once the lane is finished.
    ///
    /// # Errors
    /// Fails if a row of logits describes no distribution.
    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Self::Done>, SamplingError>;
}

/// The decoding loop, one forward pass at a time. Lanes join and leave whenever their owner likes.
///
/// Every pass carries the rows of all running lanes, whatever stage each is at, and the place of a lane that has
/// finished goes to the next one that waits (continuous batching). At most `max_batch` lanes share a pass. Everything in
/// this project that generates does so through a scheduler.
///
/// `E` may be an engine, a reference or an [`Arc`](std::sync::Arc): with the last, a scheduler can be moved to a thread
/// of its own. For requests and events instead of lanes and results see [`Generator`](crate::Generator).
///
/// ```
/// use stir_core::{Decode, Request, Scheduler, Text, toy::ToyEngine};
///
/// let engine = ToyEngine::new(7);
/// let request = Request { max_tokens: 5, ..Request::new(engine.encode("abc")?) };
/// let mut scheduler = Scheduler::new(&engine, 8);
/// let first = scheduler.push(Decode::new(&engine, &request, 0)?);
/// assert!(scheduler.step()?.is_empty(), "one token of five");
/// let second = scheduler.push(Decode::new(&engine, &request, 1)?); // joins the next pass
/// let mut order = Vec::new();
/// while !scheduler.is_empty() {
///     for (id, answer) in scheduler.step()? {
///         assert!(answer?.tokens.len() <= 5);
///         order.push(id);
///     }
/// }
/// assert_eq!(order.len(), 2);
/// assert!(order.contains(&first) && order.contains(&second));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scheduler<E, L> {
    engine: E,
    max_batch: usize,
    /// Lanes that have found no room yet, in the order pushed.
    waiting: VecDeque<(LaneId, L)>,
    /// Lanes of the next pass, in the order pushed.
    running: Vec<(LaneId, L)>,
    pushed: usize,
}

/// The number of a lane in its [`Scheduler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(usize);

impl LaneId {
    /// Returns how many lanes were pushed before this one.
    pub fn index(self) -> usize {
        self.0
    }
}

impl<E, L> Scheduler<E, L> {
    /// Creates a scheduler without lanes that runs up to `max_batch` of them (at least one) in a pass.
    pub fn new(engine: E, max_batch: usize) -> Self {
        Self { engine, max_batch: max_batch.max(1), waiting: VecDeque::new(), running: Vec::new(), pushed: 0 }
    }

    /// Returns the engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Adds a lane. It takes part in the next pass if there is room, and otherwise waits for its turn.
    pub fn push(&mut self, lane: L) -> LaneId {
        let id = LaneId(self.pushed);
        self.pushed += 1;
        self.waiting.push_back((id, lane));
        id
    }

    /// Removes a lane that has not finished and returns it as it is. A lane that has an answer for its result holds the
    /// part generated so far: [`Generation::answer`](crate::Generation::answer).
    pub fn cancel(&mut self, id: LaneId) -> Option<L> {
        if let Some(place) = self.running.iter().position(|(running, _)| *running == id) {
            return Some(self.running.remove(place).1);
        }
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == id)?;
        self.waiting.remove(place).map(|(_, lane)| lane)
    }

    /// Returns whether a lane pushed now takes part in the next pass.
    pub fn has_room(&self) -> bool {
        self.len() < self.max_batch
    }

    /// Returns the number of lanes that have not finished, running or waiting.
    pub fn len(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// Returns whether there is no lane left to run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the lanes that have not finished, in the order pushed.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, &L)> {
        self.running.iter().chain(&self.waiting).map(|(id, lane)| (*id, lane))
    }

    /// Returns the lanes that have not finished, in the order pushed.
    pub fn lanes_mut(&mut self) -> impl Iterator<Item = (LaneId, &mut L)> {
        self.running.iter_mut().chain(&mut self.waiting).map(|(id, lane)| (*id, lane))
    }
}

impl<E: Engine, L: Lane<E::Session>> Scheduler<E, L> {
    /// Runs one forward pass and returns the lanes that it finished with their results, in the order pushed. A lane
    /// whose logits describe no distribution ends with that error; the others continue.
    ///
    /// There is no pass if no lane needs one.
    ///
    /// # Errors
    /// [`StepError`] if the engine fails. The lanes of that pass are lost, because their sessions may be partly
    /// extended; the error lists them. Lanes that waited are kept, and the scheduler stays usable.
    #[expect(clippy::type_complexity, reason = "an alias would hide what comes back")]
    pub fn step(&mut self) -> Result<Vec<(LaneId, Result<L::Done, SamplingError>)>, StepError<LaneId, E::Error>> {
        let room = self.max_batch.saturating_sub(self.running.len()).min(self.waiting.len());
        self.running.extend(self.waiting.drain(..room));
        let (mut rows, mut counts) = (Vec::new(), Vec::with_capacity(self.running.len()));
        for (_, lane) in &mut self.running {
            let before = rows.len();
            lane.rows(&mut rows);
            counts.push(rows.len() - before);
        }
        let outputs = if rows.is_empty() { Ok(Vec::new()) } else { self.engine.forward(&mut rows) };
        drop(rows);
        let mut outputs = outputs
            .map_err(|source| StepError { lost: self.running.drain(..).map(|(id, _)| id).collect(), source })?
            .into_iter();

        let mut finished = Vec::new();
        for ((id, mut lane), count) in std::mem::take(&mut self.running).into_iter().zip(counts) {
            match lane.absorb(self.engine.vocab(), outputs.by_ref().take(count).collect()).transpose() {
                None => self.running.push((id, lane)),
                Some(result) => finished.push((id, result)),
            }
        }
        Ok(finished)
    }
}

/// The engine failed in a forward pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine failed in a forward pass of {} sequences", .lost.len())]
pub struct StepError<Id, E> {
    /// The sequences that were lost with it.
    pub lost: Vec<Id>,
    /// The engine's error.
    pub source: E,
}

/// Runs lanes through an engine, up to `max_batch` at a time, until all are finished.
///
/// `lanes` is asked for the next lane when there is room for it. `done` receives each result as soon as it is there,
/// with the lane's place in `lanes`; `Break` stops the loop and drops the lanes still running.
///
/// # Errors
/// The first error of the engine or of a lane.
pub fn drive<E, L>(
    engine: &E,
    lanes: impl IntoIterator<Item = L>,
    max_batch: usize,
    mut done: impl FnMut(usize, L::Done) -> ControlFlow<()>,
) -> Result<(), DriveError<E::Error>>
where
    E: Engine,
    L: Lane<E::Session>,
{
    let (mut scheduler, mut lanes) = (Scheduler::new(engine, max_batch), lanes.into_iter().fuse());
    loop {
        while scheduler.has_room()
            && let Some(lane) = lanes.next()
        {
            scheduler.push(lane);
        }
        if scheduler.is_empty() {
            return Ok(());
        }
        for (id, result) in scheduler.step().map_err(|error| DriveError::Engine(error.source))? {
            let result = result.map_err(|source| DriveError::Sampling { lane: id.index(), source })?;
            if done(id.index(), result).is_break() {
                return Ok(());
            }
        }
    }
}

/// The reason why [`drive`] stopped. There are no others, because all else is up to the lanes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DriveError<E> {
    /// The engine failed.
    #[error("the engine failed in a forward pass")]
    Engine(#[source] E),
    /// The model computed logits that describe no distribution.
    #[error("the model broke down in sequence {lane}")]
    Sampling {
        /// The lane's place among those given, from 0.
        lane: usize,
        /// The fault of the row of logits.
        source: SamplingError,
    },
}

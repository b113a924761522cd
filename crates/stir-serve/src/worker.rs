use std::{
    collections::VecDeque,
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use stir_controller::Controller;
use stir_core::{Engine, LaneId, Request, Scheduler, Session};

use crate::{
    AnswerError,
    client::Client,
    lane::{AnswerLane, Start},
    metrics::Metrics,
    prefix::PrefixCache,
};

/// The number of tokens of prompts that are encoded between two passes, so that running answers do not wait for all of a
/// long prompt or for many short ones, and no pass needs memory for a long one.
const PART: usize = 256;

/// The most answers that may be allowed to run and wait.
pub(crate) const MAX_ANSWERS: usize = 100_000;

/// A prompt, and those who wait for its answers.
pub(crate) struct Job {
    /// It was checked against the model.
    pub request: Request,
    /// None for plain answers.
    pub controller: Option<Controller>,
    /// The number of likeliest tokens that are reported at every token.
    pub top: usize,
    /// One for each sample that has not begun.
    pub clients: VecDeque<Client>,
}

/// What the engine's thread is told.
pub(crate) enum Command {
    Answer(Box<Job>),
    /// Drop all answers and end.
    Stop,
}

/// Starts the thread that runs the engine: the only one that does, so that all answers share its passes.
pub(crate) fn spawn<E: Engine + 'static>(
    engine: Arc<E>,
    max_batch: usize,
    prefix_positions: usize,
    metrics: Arc<Metrics>,
) -> io::Result<(Sender<Command>, JoinHandle<()>)>
where
    E::Session: 'static,
{
    let (sender, commands) = channel();
    let thread = thread::Builder::new().name("engine".into()).spawn(move || {
        let scheduler = Scheduler::new(engine.clone(), max_batch);
        let prefixes = PrefixCache::new(prefix_positions, PART);
        Worker { engine, max_batch, commands, scheduler, waiting: VecDeque::new(), prefixes, metrics }.run();
    })?;
    Ok((sender, thread))
}

impl Job {
    /// Begins the next sample where `session` holds the first tokens of the prompt. Where that is not possible, its
    /// client is told so.
    fn begin<E: Engine>(&mut self, engine: &Arc<E>, session: E::Session) -> Option<AnswerLane<E::Session>> {
        let sample = self.request.samples - self.clients.len();
        let client = Rc::new(self.clients.pop_front()?);
        let start = Start { request: &self.request, sample, controller: self.controller.as_ref(), top: self.top };
        let begun = catch_unwind(AssertUnwindSafe(|| AnswerLane::start(engine, session, &start, client.clone())));
        match begun.map_or(Err(AnswerError::Panic), |begun| begun.map_err(AnswerError::from)) {
            Ok(lane) => Some(lane),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "an answer could not begin");
                client.lose(&error);
                None
            }
        }
    }
}

struct Worker<E: Engine> {
    engine: Arc<E>,
    max_batch: usize,
    commands: Receiver<Command>,
    scheduler: Scheduler<Arc<E>, AnswerLane<E::Session>>,
    /// Jobs with answers that have not begun, first come first. Each comes with a session that holds what is encoded of
    /// its prompt, once that has begun.
    waiting: VecDeque<(Box<Job>, Option<E::Session>)>,
    prefixes: PrefixCache<E::Session>,
    metrics: Arc<Metrics>,
}

impl<E: Engine> Worker<E> {
    /// Answers until it is told to stop, or until nobody is left who could ask.
    fn run(mut self) {
        loop {
            if self.scheduler.is_empty() && self.waiting.is_empty() {
                self.gauge();
                match self.commands.recv() {
                    Ok(Command::Answer(job)) => self.waiting.push_back((job, None)),
                    Ok(Command::Stop) | Err(_) => return,
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Answer(job) => self.waiting.push_back((job, None)),
                    Command::Stop => return,
                }
            }
            self.end_unwanted();
            self.admit();
            self.gauge();
            self.step();
        }
    }

    fn gauge(&self) {
        let waiting: usize = self.waiting.iter().map(|(job, _)| job.clients.len()).sum();
        self.metrics.running.set(self.scheduler.len() as u64);
        self.metrics.waiting.set(waiting as u64);
        self.metrics.prefix_positions.set(self.prefixes.positions() as u64);
    }

    /// Ends answers that nobody waits for, and those whose time is up.
    fn end_unwanted(&mut self) {
        let now = Instant::now();
        let is_unwanted = |client: &Client| client.is_gone() || client.is_late(now);
        let lanes = self.scheduler.lanes().filter(|(_, lane)| is_unwanted(lane.client()));
        let lanes: Vec<LaneId> = lanes.map(|(id, _)| id).collect();
        for lane in lanes.into_iter().filter_map(|id| self.scheduler.cancel(id)) {
            if lane.client().is_gone() {
                self.metrics.cancelled.add(1);
            } else {
                lane.cut();
            }
        }
        for (job, _) in &mut self.waiting {
            if job.clients.front().is_some_and(Client::is_gone) {
                self.metrics.cancelled.add(job.clients.len() as u64);
                job.clients.clear();
            }
            while job.clients.front().is_some_and(|client| client.is_late(now)) {
                if let Some(lane) = job.begin(&self.engine, self.engine.session()) {
                    lane.cut();
                }
            }
        }
        self.waiting.retain(|(job, _)| !job.clients.is_empty());
    }

    /// Begins answers while there is room, as far as the tokens of their prompts go that can be encoded before the next
    /// pass: a part of a long one, or several short ones.
    fn admit(&mut self) {
        let mut encoded = 0;
        while self.scheduler.has_room()
            && let Some((job, session)) = self.waiting.front_mut()
        {
            let (engine, prefixes, prompt) = (&*self.engine, &mut self.prefixes, &job.request.prompt);
            let session = session.get_or_insert_with(|| {
                let session = prefixes.find(engine, prompt);
                self.metrics.prompt_tokens.add(prompt.len() as u64);
                self.metrics.cached_tokens.add(session.len() as u64);
                session
            });
            let left = prompt.len().saturating_sub(session.len() + 1).min(PART);
            if left > 0 {
                if encoded > 0 && encoded + left > PART {
                    return;
                }
                encoded += left;
                match caught(|| prefixes.extend(engine, prompt, session)) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn Error, "a prompt was not encoded");
                        job.clients.iter().for_each(|client| client.lose(&error));
                        self.waiting.pop_front();
                        continue;
                    }
                }
            }
            let lane = job.begin(&self.engine, session.fork());
            if job.clients.is_empty() {
                self.waiting.pop_front();
            }
            if let Some(lane) = lane {
                self.scheduler.push(lane);
            }
        }
    }

    /// Runs one pass. Where the engine fails, the answers in it are lost, and only those.
    fn step(&mut self) {
        if self.scheduler.is_empty() {
            return;
        }
        let start = Instant::now();
        // Lanes that are lost are dropped before it is known why.
        let clients: Vec<Rc<Client>> = self.scheduler.lanes().map(|(_, lane)| lane.client().clone()).collect();
        if let Err(error) = caught(|| self.scheduler.step().map_err(|error| error.source)) {
            tracing::error!(error = &error as &dyn Error, answers = clients.len(), "a pass failed");
            clients.iter().for_each(|client| client.lose(&error));
            // After a panic it still holds the lanes.
            self.scheduler = Scheduler::new(self.engine.clone(), self.max_batch);
        }
        self.metrics.passes.observe(start.elapsed());
    }
}

/// Runs a part of a pass; a panic in it is an error.
fn caught<T, E: Error + Send + Sync + 'static>(part: impl FnOnce() -> Result<T, E>) -> Result<T, AnswerError> {
    let result = catch_unwind(AssertUnwindSafe(part)).map_err(|_| AnswerError::Panic)?;
    result.map_err(|error| AnswerError::Engine(Arc::new(error)))
}

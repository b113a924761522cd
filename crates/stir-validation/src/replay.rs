use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
};

use stir_basis::{Entry, Library};
use stir_controller::{Controller, LayerState, Scope, Steered, SteeredLane};
use stir_core::{Generation, HookPoint, LaneId, Request, Row, Scheduler, Session, Text, TokenId, judged_text};
use stir_files::RecordLog;
use stir_rollout::{Prompt, sample_stream};
use tracing::{debug, warn};

use crate::{Arm, Cost, Job, Outcome, ReplayConfig, Start, ValidationError, settings};

/// Judges whole answers.
#[derive(Clone, Copy)]
pub struct Judge<'j> {
    /// Its name, which keeps apart the verdicts of two judges.
    pub name: &'j str,
    /// Says whether an answer to a problem is right, as [`Rollouts::run`](stir_rollout::Rollouts::run) is told.
    pub is_right: &'j dyn Fn(&Prompt, &str) -> bool,
}

impl fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a run does first, and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It reads the states at starts.
    States,
    /// It continues answers.
    Continuations,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub phase: Phase,
    /// The number of states read, or of continuations that are finished, those of earlier parts of the run included.
    pub done: usize,
    /// The number of states or continuations asked for so far.
    pub asked: usize,
    /// The number of tokens encoded for states, or generated in this part of the run.
    pub tokens: usize,
}

/// Watches a run; `Break` ends it, and what is finished is kept.
pub type Observer<'o> = dyn FnMut(Progress) -> ControlFlow<()> + 'o;

/// Judged continuations of answers from their boundaries, with and without impulses, in a file of records from which a
/// stopped run resumes.
///
/// A start is encoded once for all its continuations, which are forks of it, and after another boundary of the same
/// answer only from there on. An impulse is added at the boundary token; after it the model is left alone. The same random
/// numbers are drawn under every arm. So where impulses end with their segment, two continuations of a start that draw the
/// same numbers and whose first segments are the same tokens are the same to the end, and the rest of one is the rest of both.
pub struct Replays<'r, E> {
    engine: &'r E,
    config: &'r ReplayConfig,
    starts: &'r [Start],
    arms: &'r [Arm],
    judge: Judge<'r>,
    controller: Controller,
    log: RecordLog<Outcome, Job>,
    known: HashMap<Job, Known>,
    /// A finished continuation of every beginning that others may share.
    begun: HashMap<Beginning, Known>,
    /// The beginnings whose rest is in `cost`.
    paid: HashSet<Beginning>,
    planned: HashSet<Job>,
    asked: HashSet<Job>,
    cost: Cost,
    tokens: usize,
}

/// What is kept of an outcome in memory.
#[derive(Debug, Clone)]
struct Known {
    right: bool,
    segment: usize,
    token_ids: Arc<[TokenId]>,
}

/// The first segment of a continuation: start, sample, and its tokens.
type Beginning = (usize, usize, Box<[TokenId]>);

impl Known {
    fn of(outcome: &Outcome) -> Self {
        Self { right: outcome.right, segment: outcome.segment, token_ids: outcome.token_ids.as_slice().into() }
    }

    fn outcome(&self, job: Job) -> Outcome {
        let Job { start, arm, sample } = job;
        Outcome { start, arm, sample, right: self.right, segment: self.segment, token_ids: self.token_ids.to_vec() }
    }
}

/// The continuations that share their rest with one that is running.
#[derive(Default)]
struct Shared {
    /// The others, by beginning.
    waiting: HashMap<Beginning, Vec<Job>>,
    /// The beginnings of those that run.
    running: HashMap<LaneId, Beginning>,
}

impl<'r, E: Text> Replays<'r, E> {
    /// Opens the records `out`, or begins them. `jobs` are all that there may be, in the order of the finished file; `arms`
    /// are checked.
    ///
    /// # Errors
    /// [`ValidationError`] for a setting or an arm out of bounds, a job without start or arm, and records that are not
    /// those of this run.
    pub fn open(
        engine: &'r E,
        config: &'r ReplayConfig,
        starts: &'r [Start],
        arms: &'r [Arm],
        jobs: &[Job],
        judge: Judge<'r>,
        out: impl AsRef<Path>,
    ) -> Result<Self, ValidationError<E::Error>> {
        config.validate()?;
        arms.iter().try_for_each(|arm| arm.check(engine))?;
        if let Some(job) = jobs.iter().find(|job| job.start >= starts.len() || job.arm >= arms.len()) {
            return Err(ValidationError::Unplanned(format!("{job:?}")));
        }
        // Nothing is retrieved: the library is there for its delimiter.
        let library = Library::from_vectors([Entry { key: [1.0].into(), ..Entry::default() }])?;
        let controller = Controller::unchecked(library.with_delimiter(config.delimiter.clone()), config.controller())?;
        let settings = settings::describe(engine, config, starts, arms, judge.name)?;
        let log = RecordLog::open(out, &settings, jobs.iter().copied(), Outcome::job)?;
        let mut replays = Self {
            engine,
            config,
            starts,
            arms,
            judge,
            controller,
            log,
            known: HashMap::new(),
            begun: HashMap::new(),
            paid: HashSet::new(),
            planned: jobs.iter().copied().collect(),
            asked: HashSet::new(),
            cost: Cost::default(),
            tokens: 0,
        };
        for outcome in replays.log.records()? {
            let outcome = outcome?;
            replays.know(outcome.job(), Known::of(&outcome));
        }
        Ok(replays)
    }

    /// Makes the continuations `jobs`, except those that are there.
    ///
    /// # Errors
    /// [`ValidationError::Unplanned`] for a job that was not announced, [`ValidationError::Stopped`] where the observer
    /// ends the run, [`ValidationError::Engine`] and [`ValidationError::File`]. What is finished is kept in any case.
    pub fn run(&mut self, jobs: &[Job], observer: &mut Observer<'_>) -> Result<(), ValidationError<E::Error>> {
        let asked: BTreeSet<Job> = jobs.iter().copied().filter(|job| !self.asked.contains(job)).collect();
        if let Some(job) = asked.iter().find(|job| !self.planned.contains(job)) {
            return Err(ValidationError::Unplanned(format!("{job:?}")));
        }
        self.asked.extend(&asked);
        let missing: Vec<Job> = asked.iter().copied().filter(|job| !self.known.contains_key(job)).collect();
        self.make(&missing, observer)?;
        let cost = self.cost_of(&asked);
        self.cost += cost;
        Ok(())
    }

    fn make(&mut self, missing: &[Job], observer: &mut Observer<'_>) -> Result<(), ValidationError<E::Error>> {
        let engine = self.engine;
        let mut scheduler = Scheduler::new(engine, self.config.max_batch);
        let (mut jobs, mut pushed, mut current) = (missing.iter(), Vec::with_capacity(missing.len()), None);
        let (mut left, mut shared) = (missing.len(), Shared::default());
        loop {
            let (phase, asked) = (Phase::Continuations, self.asked.len());
            let progress = Progress { phase, done: asked - left, asked, tokens: self.tokens };
            if observer(progress).is_break() {
                return Err(ValidationError::Stopped);
            }
            while scheduler.has_room()
                && let Some(&job) = jobs.next()
            {
                scheduler.push(self.lane(job, missing, &mut current)?);
                pushed.push(job);
            }
            if scheduler.is_empty() {
                return Ok(());
            }
            for (lane, result) in scheduler.step().map_err(|error| ValidationError::Engine(error.source))? {
                let outcome = self.judged(pushed[lane.index()], result.ok());
                let known = Known::of(&outcome);
                self.tokens += known.token_ids.len();
                let others = shared.running.remove(&lane).and_then(|beginning| shared.waiting.remove(&beginning));
                for job in std::iter::once(outcome.job()).chain(others.into_iter().flatten()) {
                    self.keep(job, known.clone())?;
                    left -= 1;
                }
            }
            if self.config.scope == Scope::Segment {
                left -= self.share(&mut scheduler, &pushed, &mut shared)?;
            }
        }
    }

    /// Ends the lanes that are at the end of a first segment with which another continuation began. Returns how many are
    /// finished by that.
    fn share(
        &mut self,
        scheduler: &mut Scheduler<&'r E, SteeredLane<E::Session>>,
        pushed: &[Job],
        shared: &mut Shared,
    ) -> Result<usize, ValidationError<E::Error>> {
        let is_at_end = |lane: &SteeredLane<_>| matches!(lane.steps(), [_, second] if second.tokens == 0);
        let at_end = scheduler.lanes().filter(|(_, lane)| is_at_end(lane));
        let at_end: Vec<(LaneId, Job, Beginning)> = at_end
            .map(|(id, lane)| {
                let job = pushed[id.index()];
                let first = &lane.sequence().tokens()[self.starts[job.start].prefix_len()..];
                (id, job, (job.start, job.sample, first.into()))
            })
            .collect();
        let mut finished = 0;
        for (id, job, beginning) in at_end {
            if let Some(known) = self.begun.get(&beginning).cloned() {
                self.keep(job, known)?;
                finished += 1;
            } else if let Some(others) = shared.waiting.get_mut(&beginning) {
                others.push(job);
            } else {
                shared.waiting.insert(beginning.clone(), Vec::new());
                shared.running.insert(id, beginning);
                continue;
            }
            self.tokens += beginning.2.len();
            scheduler.cancel(id);
        }
        Ok(finished)
    }

    /// Writes down the outcome of a job.
    fn keep(&mut self, job: Job, known: Known) -> Result<(), ValidationError<E::Error>> {
        self.log.push(&known.outcome(job))?;
        self.know(job, known);
        Ok(())
    }

    fn know(&mut self, job: Job, known: Known) {
        if let Some(beginning) = self.beginning(job, &known) {
            self.begun.entry(beginning).or_insert_with(|| known.clone());
        }
        self.known.insert(job, known);
    }

    /// Returns the first segment of a continuation, if something follows it that others may share: an impulse must end with it.
    fn beginning(&self, job: Job, known: &Known) -> Option<Beginning> {
        let Known { segment, token_ids, .. } = known;
        let is_shared = self.config.scope == Scope::Segment && *segment < token_ids.len();
        is_shared.then(|| (job.start, job.sample, token_ids[..*segment].into()))
    }

    /// Returns the lane of a job. `current` holds the start that was encoded last.
    fn lane(
        &self,
        job: Job,
        missing: &[Job],
        current: &mut Option<Encoded<E::Session>>,
    ) -> Result<SteeredLane<E::Session>, ValidationError<E::Error>> {
        let start = &self.starts[job.start];
        let encoded = match current {
            Some(encoded) if encoded.start == job.start => encoded,
            before => {
                let encoded = self.encode(job.start, missing, before.take()).map_err(ValidationError::Engine)?;
                before.insert(encoded)
            }
        };
        let first = self.arms[job.arm].impulse.as_ref().and_then(|impulse| {
            let state = encoded.states.iter().find(|state| state.layer == impulse.layer)?;
            Some(impulse.at(&state.values))
        });
        let stream = sample_stream(&start.name(), job.sample);
        let request = Request { stream, ..encoded.request.clone() };
        let lane = self.controller.resume_with(self.engine, encoded.session.fork(), &request, 0, first);
        lane.map_err(|source| ValidationError::Request { start: start.name(), source })
    }

    /// Encodes a start, except what it has in common with the one encoded before, and reads the states whose lengths its
    /// impulses are relative to.
    fn encode(
        &self,
        place: usize,
        missing: &[Job],
        before: Option<Encoded<E::Session>>,
    ) -> Result<Encoded<E::Session>, E::Error> {
        let arms = missing.iter().filter(|job| job.start == place).map(|job| &self.arms[job.arm]);
        let layers: BTreeSet<usize> = arms.filter_map(|arm| Some(arm.impulse.as_ref()?.layer)).collect();
        let points: Vec<HookPoint> = layers.iter().copied().map(HookPoint::ResidPost).collect();
        let (prefix, mut session) = (self.starts[place].prefix(), self.engine.session());
        if let Some(before) = before {
            session = before.session;
            session.rewind(common(&before.request.prompt, &prefix));
        }
        let tokens = &prefix[session.len()..];
        let row = Row { session: &mut session, tokens, additions: vec![], capture: &points, logits: false };
        let captures = self.engine.forward(&mut [row])?.pop().unwrap_or_default().captures;
        let states = layers.into_iter().zip(captures).map(|(layer, values)| LayerState { layer, values }).collect();
        let ReplayConfig { max_tokens, sampling, ref stop, seed, .. } = *self.config;
        let request = Request { max_tokens, sampling, stop: stop.clone(), seed, ..Request::new(prefix) };
        Ok(Encoded { start: place, session, request, states })
    }

    fn judged(&self, job: Job, steered: Option<Steered>) -> Outcome {
        let Job { start: place, arm, sample } = job;
        let start = &self.starts[place];
        let Some(Steered { generated, steps, .. }) = steered else {
            warn!(start = start.name(), arm = self.arms[arm].name, "the model broke down in a continuation");
            return Outcome { start: place, arm, sample, right: false, segment: 0, token_ids: Vec::new() };
        };
        let text = generated.text_after(&start.answer[..start.len], self.engine.vocab());
        let right = (self.judge.is_right)(&start.problem, &judged_text(&start.problem.prompt, &text));
        debug!(start = start.name(), arm = self.arms[arm].name, sample, right, "continued");
        let segment = steps.first().map_or(0, |step| step.tokens);
        Outcome { start: place, arm, sample, right, segment, token_ids: generated.tokens }
    }

    /// Returns what the jobs cost in a run that is not interrupted, and was not told of before.
    fn cost_of(&mut self, jobs: &BTreeSet<Job>) -> Cost {
        let starts: BTreeSet<usize> = jobs.iter().map(|job| job.start).collect();
        let mut cost = Cost { continuations: jobs.len(), ..Cost::default() };
        let prefixes: Vec<Vec<TokenId>> = starts.iter().map(|&start| self.starts[start].prefix()).collect();
        cost.encoded = prefixes.iter().map(Vec::len).sum();
        cost.encoded -= prefixes.windows(2).map(|pair| common(&pair[0], &pair[1])).sum::<usize>();
        let forgotten = self.config.scope == Scope::Segment;
        for job in jobs {
            let Some(known) = self.known.get(job) else { continue };
            let is_paid = self.beginning(*job, known).is_some_and(|beginning| !self.paid.insert(beginning));
            cost.generated += if is_paid { known.segment } else { known.token_ids.len() };
            if forgotten && self.arms[job.arm].impulse.is_some() {
                cost.encoded += known.segment;
            }
        }
        cost
    }
}

impl<E> Replays<'_, E> {
    /// Returns whether a continuation is right; `None` where it has not been made.
    pub fn right(&self, job: Job) -> Option<bool> {
        self.known.get(&job).map(|known| known.right)
    }

    /// Returns what the continuations asked for cost, as if the run had never been interrupted.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Puts the records in order, and returns the outcomes.
    ///
    /// # Errors
    /// [`ValidationError::File`].
    pub fn finish<X>(self) -> Result<Vec<Outcome>, ValidationError<X>> {
        Ok(self.log.finish()?.collect::<Result<_, _>>()?)
    }
}

impl<E> fmt::Debug for Replays<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, log, cost, .. } = self;
        f.debug_struct("Replays").field("config", config).field("log", log).field("cost", cost).finish_non_exhaustive()
    }
}

/// Returns how many tokens of a prefix need not be encoded where `before` is: those at the start of both, and not its last,
/// where states are read.
fn common(before: &[TokenId], prefix: &[TokenId]) -> usize {
    let same = before.iter().zip(prefix).take_while(|(a, b)| a == b).count();
    same.min(prefix.len() - 1)
}

/// An encoded start.
struct Encoded<S> {
    start: usize,
    /// Holds the whole prefix; a continuation encodes its last token again.
    session: S,
    request: Request,
    states: Vec<LayerState>,
}

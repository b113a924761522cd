use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    ops::ControlFlow,
};

use stir_basis::{MinedPairs, Pair};
use stir_core::{FingerprintMismatch, HookPoint, LayerSpecError, Scheduler, Session, Text};
use stir_rollout::{Rollout, RolloutError, sampled_by};
use tracing::{debug, info, info_span, warn};

use crate::{
    InductionConfig, InductionError, InductionReport, Progress,
    contrast::{Selection, contrasts},
    error::JsonError,
    pool::Pool,
    read::{Reader, prefill},
    walk::{Walk, Walked},
};

/// Mines the pairs of `rollouts` (stage 2), which come problem by problem: from
/// [`read_groups`](stir_rollout::read_groups) or [`group_rollouts`](stir_rollout::group_rollouts). See the
/// [crate](crate) for an example, and [`Induction`] for more options.
///
/// # Errors
/// Fails like [`Induction::new`] and [`Induction::run`].
pub fn induce<E: Text>(
    engine: &E,
    rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
    config: InductionConfig,
) -> Result<(MinedPairs, InductionReport), InductionError<E::Error>> {
    Induction::new(engine, config)?.run(rollouts)
}

/// A mining run: [`induce`] with gold solutions, the settings of the rollouts and an observer.
pub struct Induction<'e, E> {
    engine: &'e E,
    config: InductionConfig,
    /// Rising, without repetition.
    layers: Vec<usize>,
    points: Vec<HookPoint>,
    solutions: HashMap<String, String>,
    rollout_settings: Option<String>,
    on_progress: Option<Box<Observer<'e>>>,
}

type Observer<'o> = dyn FnMut(Progress) -> ControlFlow<()> + 'o;

impl<'e, E: Text> Induction<'e, E> {
    /// Prepares a run on the model that made the rollouts. Another one can only mine their texts: rollouts without
    /// tokens and [settings](Self::rollout_settings).
    ///
    /// # Errors
    /// [`InductionError::Setting`] for a setting out of bounds, [`InductionError::Layer`] for a layer that the model
    /// does not have.
    pub fn new(engine: &'e E, config: InductionConfig) -> Result<Self, InductionError<E::Error>> {
        config.validate()?;
        let layers = layers(engine, &config)?;
        let points = layers.iter().map(|&layer| HookPoint::ResidPost(layer)).collect();
        let (solutions, rollout_settings, on_progress) = (HashMap::new(), None, None);
        Ok(Self { engine, config, layers, points, solutions, rollout_settings, on_progress })
    }

    /// Gives the data set's solutions, problem id to text, for [`PositiveSource::Gold`](crate::PositiveSource::Gold) and
    /// [`PositiveSource::RolloutOrGold`](crate::PositiveSource::RolloutOrGold). A solution counts as one right rollout of
    /// the tokens of its text.
    #[must_use]
    pub fn solutions(mut self, solutions: impl IntoIterator<Item = (String, String)>) -> Self {
        self.solutions.extend(solutions);
        self
    }

    /// Gives the settings (JSON text) under which the rollouts were made; the provenance records them as `rollouts`. If
    /// they name the model ([`sampled_by`]), [`run`](Self::run) refuses rollouts of another one.
    #[must_use]
    pub fn rollout_settings(self, json: impl Into<String>) -> Self {
        Self { rollout_settings: Some(json.into()), ..self }
    }

    /// Calls `observer` before every problem; `Break` ends the run with the pairs of the problems before it.
    #[must_use]
    pub fn on_progress(self, observer: impl FnMut(Progress) -> ControlFlow<()> + 'e) -> Self {
        Self { on_progress: Some(Box::new(observer)), ..self }
    }

    /// Reads every problem's rollouts and keeps the pairs of highest quality. Ties go to the pair discovered earlier: by
    /// order of problems, then control point, then layer.
    ///
    /// Only answers that are part of a contrast are run through the model, up to the last boundary needed, and none
    /// whose pairs could not be kept. A rollout that cannot be used is counted in the report and skipped.
    ///
    /// # Errors
    /// [`InductionError::Fingerprint`] for rollouts of another model, [`InductionError::Requantised`] for those of
    /// another quantisation of it unless [`InductionConfig::allow_requantised`] is set; the first error of `rollouts` or
    /// of the engine.
    pub fn run(
        mut self,
        rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
    ) -> Result<(MinedPairs, InductionReport), InductionError<E::Error>> {
        check_model(self.engine, self.rollout_settings.as_deref(), &self.config)?;
        let settings = serde_json::to_string(&self.config);
        let settings = settings.map_err(|error| InductionError::Unwritable(JsonError(error)))?;
        let mut provenance = BTreeMap::from([("induction".to_owned(), settings)]);
        provenance.extend(self.rollout_settings.iter().map(|json| ("rollouts".to_owned(), json.clone())));
        let span = info_span!("induction", layers = ?self.layers, keep = self.config.keep);
        let _entered = span.enter();

        let observer = self.on_progress.take();
        let rollouts = rollouts.into_iter();
        let total = rollouts.size_hint().1;
        let found = vec![0; self.config.max_control_points];
        let mut miner = Miner {
            run: &self,
            rollouts: rollouts.fuse(),
            observer,
            total,
            ready: VecDeque::new(),
            pending: HashMap::new(),
            pool: Pool::new(self.config.keep),
            report: InductionReport { found, complete: true, ..InductionReport::default() },
        };
        let mut scheduler = Scheduler::new(self.engine, self.config.max_batch);
        loop {
            while scheduler.has_room()
                && let Some(walk) = miner.next_walk()?
            {
                scheduler.push(walk);
            }
            if scheduler.is_empty() {
                break;
            }
            let finished = scheduler.step().map_err(|error| InductionError::Engine(error.source))?;
            // A walk looks at no logits and always ends well.
            finished.into_iter().filter_map(|(_, walked)| walked.ok()).for_each(|walked| miner.take(walked));
        }
        let Miner { pool, mut report, .. } = miner;
        report.kept = pool.len();
        info!(problems = report.problems, pairs = report.kept, skipped = ?report.skipped, "the pairs are mined");
        let candidates = MinedPairs {
            fingerprint: self.engine.fingerprint().clone(),
            delimiter: self.config.delimiter.clone(),
            pairs: pool.into_best().collect(),
            means: Vec::new(),
            heads: Vec::new(),
            provenance,
        };
        Ok((candidates, report))
    }
}

impl<E> fmt::Debug for Induction<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, layers, .. } = self;
        f.debug_struct("Induction").field("config", config).field("layers", layers).finish_non_exhaustive()
    }
}

/// The order in which a pair is discovered: problem, control point, layer.
type Discovery = (usize, usize, usize);

struct Miner<'r, 'e, E: Text, I> {
    run: &'r Induction<'e, E>,
    rollouts: I,
    observer: Option<Box<Observer<'e>>>,
    total: Option<usize>,
    /// Answers of the last problem begun, waiting for room.
    ready: VecDeque<Walk<'r, E::Session>>,
    /// Problems with answers that are still running: no more than the batch has room for.
    pending: HashMap<usize, PendingProblem>,
    pool: Pool<Discovery, Pair>,
    report: InductionReport,
}

struct PendingProblem {
    id: String,
    selections: Vec<Selection>,
    /// Per member and token: `[layers, hidden_size]`.
    states: HashMap<(usize, usize), Vec<Vec<f32>>>,
    /// The control points of each member.
    boundaries: Vec<Vec<usize>>,
    /// The number of answers that are still running.
    missing: usize,
}

impl<'r, E: Text, I> Miner<'r, '_, E, I>
where
    I: Iterator<Item = Result<Vec<Rollout>, RolloutError>>,
{
    /// Returns the next answer to be encoded; begins problems until one needs some.
    fn next_walk(&mut self) -> Result<Option<Walk<'r, E::Session>>, InductionError<E::Error>> {
        loop {
            if let Some(walk) = self.ready.pop_front() {
                return Ok(Some(walk));
            }
            if !self.report.complete {
                return Ok(None);
            }
            let Some(group) = self.rollouts.next().transpose()? else { return Ok(None) };
            let InductionReport { problems, encoded_tokens: tokens, .. } = self.report;
            let progress = Progress { problems, total: self.total, pairs: self.pool.len(), tokens };
            if self.observer.as_mut().is_some_and(|observer| observer(progress).is_break()) {
                self.report.complete = false;
            } else {
                self.begin(&group).map_err(InductionError::Engine)?;
            }
        }
    }

    /// Decides what the contrasts of a problem are and prepares the answers that they need.
    fn begin(&mut self, group: &[Rollout]) -> Result<(), E::Error> {
        let place = self.report.problems;
        self.report.problems += 1;
        self.report.rollouts += group.len();
        let Some(Rollout { id, prompt, .. }) = group.first() else { return Ok(()) };
        let Ok(prompt_tokens) = self.run.engine.encode_prompt(prompt) else {
            warn!(id, "skipped a problem whose prompt the tokenizer refuses");
            self.report.skipped.unencodable_prompts += 1;
            return Ok(());
        };
        let reader = Reader { engine: self.run.engine, config: &self.run.config, solutions: &self.run.solutions };
        let members = reader.members(group, prompt, prompt_tokens.len(), &mut self.report.skipped);
        let mut selections = contrasts(id, &members, &self.run.config, &mut self.report.skipped);
        self.report.with_contrast += usize::from(!selections.is_empty());
        selections.iter().for_each(|s| self.report.found[s.m - 1] += 1);
        // Layers share quality and order: if the first is outranked, so are all.
        let (pool, first) = (&self.pool, self.run.layers[0]);
        let before = selections.len();
        selections.retain(|s| pool.admits(s.quality, &(place, s.m, first)));
        self.report.skipped.outranked += before - selections.len();
        debug!(id, rollouts = group.len(), contrasts = before, kept = selections.len(), "contrasted");
        if selections.is_empty() {
            return Ok(());
        }

        let mut stops: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for s in &selections {
            for &member in s.plus.iter().chain(&s.minus) {
                stops.entry(member).or_default().insert(members[member].boundaries[s.m - 1]);
            }
        }
        let prefix = prefill(self.run.engine, &prompt_tokens)?;
        self.report.encoded_tokens += prompt_tokens.len();
        let pending = PendingProblem {
            id: id.clone(),
            selections,
            states: HashMap::new(),
            boundaries: members.iter().map(|member| member.boundaries.clone()).collect(),
            missing: stops.len(),
        };
        self.pending.insert(place, pending);
        self.report.encoded_rollouts += stops.len();
        for (member, stops) in stops {
            let mut tokens = members[member].tokens.clone();
            tokens.truncate(stops.last().map_or(0, |last| last + 1));
            self.report.encoded_tokens += tokens.len();
            let stops = stops.into_iter().collect();
            self.ready.push_back(Walk::new(prefix.fork(), tokens, stops, &self.run.points, place, member));
        }
        Ok(())
    }

    /// Takes the states of one answer; the problem's pairs are made once all are there.
    fn take(&mut self, Walked { problem, member, states }: Walked) {
        let Some(pending) = self.pending.get_mut(&problem) else { return };
        pending.states.extend(states.into_iter().map(|(token, state)| ((member, token), state)));
        pending.missing -= 1;
        if pending.missing > 0 {
            return;
        }
        let Some(finished) = self.pending.remove(&problem) else { return };
        for selection in &finished.selections {
            for (slot, &layer) in self.run.layers.iter().enumerate() {
                let pair = finished.pair(selection, slot, layer);
                if pair.mu_plus.iter().chain(&pair.mu_minus).chain(&pair.delta()).all(|x| x.is_finite()) {
                    self.pool.push(pair.quality, (problem, pair.m, layer), pair);
                } else {
                    warn!(id = pair.problem, m = pair.m, layer, "skipped a pair whose states are not finite");
                    self.report.skipped.non_finite_pairs += 1;
                }
            }
        }
    }
}

impl PendingProblem {
    fn pair(&self, selection: &Selection, slot: usize, layer: usize) -> Pair {
        let m = selection.m;
        let mean = |side: &[usize]| {
            let states = side.iter().filter_map(|&member| self.states.get(&(member, self.boundaries[member][m - 1])));
            mean(states.filter_map(|state| state.get(slot)), side.len())
        };
        let (mu_plus, mu_minus) = (mean(&selection.plus), mean(&selection.minus));
        Pair { problem: self.id.clone(), m, layer, quality: selection.quality, mu_plus, mu_minus, ..Pair::default() }
    }
}

/// Returns the layers that the settings name, rising, without repetition.
pub(crate) fn layers<E: Text>(engine: &E, config: &InductionConfig) -> Result<Vec<usize>, LayerSpecError> {
    let n_layers = engine.shape().n_layers;
    let layers: BTreeSet<usize> = config.layers.iter().map(|spec| spec.resolve(n_layers)).collect::<Result<_, _>>()?;
    Ok(layers.into_iter().collect())
}

/// Checks that the model is the one that the settings of the rollouts name, if they name one.
pub(crate) fn check_model<E: Text>(
    engine: &E,
    rollout_settings: Option<&str>,
    config: &InductionConfig,
) -> Result<(), InductionError<E::Error>> {
    let Some(model) = rollout_settings.and_then(sampled_by) else { return Ok(()) };
    match model.check_or_requantised("the set of rollouts", engine.fingerprint(), config.allow_requantised) {
        Err(source @ FingerprintMismatch::Quantisation { .. }) => Err(InductionError::Requantised(source)),
        checked => checked.map_err(InductionError::Fingerprint),
    }
}

/// Returns the mean of `n` states, summed in f32 in the order given.
///
/// # Shapes
/// Each state and the result: `[hidden_size]`.
fn mean<'s>(states: impl Iterator<Item = &'s Vec<f32>>, n: usize) -> Vec<f32> {
    let mut sum = Vec::new();
    for state in states {
        sum.resize(state.len(), 0.0);
        sum.iter_mut().zip(state).for_each(|(s, x)| *s += x);
    }
    sum.iter_mut().for_each(|s| *s /= n as f32);
    sum
}

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::ControlFlow,
};

use stir_basis::{MinedPairs, Pair, StateMean};
use stir_core::{FingerprintMismatch, HookPoint, LayerSpecError, Scheduler, Text};
use stir_files::Shard;
use stir_rollout::{Fork, Rollout, RolloutError, sampled_by};
use tracing::{info, info_span};

use crate::{
    Contrast, InductionConfig, InductionError, InductionReport, Progress, error::JsonError, miner::Miner, pooled, shard,
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
    pub(crate) engine: &'e E,
    pub(crate) config: InductionConfig,
    /// Rising, without repetition.
    pub(crate) layers: Vec<usize>,
    pub(crate) points: Vec<HookPoint>,
    pub(crate) solutions: HashMap<String, String>,
    rollout_settings: Option<String>,
    forks: Option<Box<ForkGroups<'e>>>,
    fork_settings: Option<String>,
    pub(crate) shard: Option<Shard>,
    on_progress: Option<Box<Observer<'e>>>,
}

/// The forks of one problem after the other.
pub(crate) type ForkGroups<'f> = dyn Iterator<Item = Result<Vec<Fork>, RolloutError>> + 'f;

pub(crate) type Observer<'o> = dyn FnMut(Progress) -> ControlFlow<()> + 'o;

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
        Ok(Self {
            engine,
            config,
            layers,
            points,
            solutions: HashMap::new(),
            rollout_settings: None,
            forks: None,
            fork_settings: None,
            shard: None,
            on_progress: None,
        })
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

    /// Gives the forks of the rollouts, which [`Contrast::Forked`] needs and nothing else looks at: problem by problem, in
    /// the order of the rollouts, as [`read_forks`](stir_rollout::read_forks) gives those of a finished run.
    #[must_use]
    pub fn forks(self, forks: impl IntoIterator<Item = Result<Vec<Fork>, RolloutError>, IntoIter: 'e>) -> Self {
        Self { forks: Some(Box::new(forks.into_iter())), ..self }
    }

    /// Gives the settings (JSON text) under which the forks were made, as [`rollout_settings`](Self::rollout_settings)
    /// does for rollouts; the provenance records them as `forks`.
    #[must_use]
    pub fn fork_settings(self, json: impl Into<String>) -> Self {
        Self { fork_settings: Some(json.into()), ..self }
    }

    /// Mines only the problems of one part of the run, chosen by their places; [`run`](Self::run) is given all of them.
    /// [`merge_pairs`](crate::merge_pairs) puts the pairs of all parts together to those of the whole run.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }
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
    /// whose pairs could not be kept. With [`center`](InductionConfig::center), [`deconfound`](InductionConfig::deconfound)
    /// or [`shrink`](InductionConfig::shrink) all answers to problems with right and wrong ones are, up to their last
    /// control point. A rollout that cannot be used is counted in the report and skipped.
    ///
    /// # Errors
    /// [`InductionError::Undivided`] for a [part](Self::shard) under settings that need the states of all problems:
    /// corrections of vectors and pooled contrasts. [`InductionError::NoForks`] without the forks that
    /// [`Contrast::Forked`] needs, and
    /// [`InductionError::UnmatchedForks`] for forks of a problem that is not among the rollouts, or in another order.
    /// [`InductionError::Fingerprint`] for rollouts of another model, [`InductionError::Requantised`] for those of
    /// another quantisation of it unless [`InductionConfig::allow_requantised`] is set; the first error of `rollouts` or
    /// of the engine.
    pub fn run(
        mut self,
        rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
    ) -> Result<(MinedPairs, InductionReport), InductionError<E::Error>> {
        if let (Some(_), Some(setting)) = (self.shard, shard::undivided(&self.config)) {
            return Err(InductionError::Undivided { setting });
        }
        check_model(self.engine, self.rollout_settings.as_deref(), &self.config)?;
        check_model(self.engine, self.fork_settings.as_deref(), &self.config)?;
        let settings = serde_json::to_string(&self.config);
        let settings = settings.map_err(|error| InductionError::Unwritable(JsonError(error)))?;
        let mut provenance = BTreeMap::from([("induction".to_owned(), settings)]);
        provenance.extend(self.rollout_settings.iter().map(|json| ("rollouts".to_owned(), json.clone())));
        if self.config.contrast == Contrast::Forked {
            provenance.extend(self.fork_settings.iter().map(|json| ("forks".to_owned(), json.clone())));
        }
        let span = info_span!("induction", layers = ?self.layers, keep = self.config.keep);
        let _entered = span.enter();

        let mut observer = self.on_progress.take();
        let rollouts = rollouts.into_iter();
        let mined = |pairs: Vec<Pair>, means: Vec<StateMean>| MinedPairs {
            fingerprint: self.engine.fingerprint().clone(),
            delimiter: self.config.delimiter.clone(),
            pairs,
            means,
            heads: Vec::new(),
            provenance,
        };
        if self.config.contrast.is_pooled() {
            let (mut stopped, total) = (false, rollouts.size_hint().1);
            let rollouts = rollouts.enumerate().map_while(|(problems, group)| {
                let progress = Progress { problems, total, pairs: 0, tokens: 0 };
                stopped |= observer.as_mut().is_some_and(|observer| observer(progress).is_break());
                (!stopped).then_some(group)
            });
            let (pairs, mut report) = pooled::mine(self.engine, rollouts, &self.config, &self.layers)?;
            report.complete = !stopped;
            info!(problems = report.problems, pairs = report.kept, skipped = ?report.skipped, "the pairs are mined");
            return Ok((mined(pairs, Vec::new()), report));
        }
        let forks = self.forks.take().filter(|_| self.config.contrast == Contrast::Forked);
        if self.config.contrast == Contrast::Forked && forks.is_none() {
            return Err(InductionError::NoForks);
        }
        let mut miner = Miner::new(&self, rollouts, forks, observer);
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
        let share = miner.share();
        let (pairs, means, report) = miner.finish()?;
        info!(problems = report.problems, pairs = report.kept, skipped = ?report.skipped, "the pairs are mined");
        let mut mined = mined(pairs, means);
        if let Some(share) = share {
            mined.provenance.insert(shard::PROVENANCE.to_owned(), shard::describe(share, report.complete)?);
        }
        Ok((mined, report))
    }
}

impl<E> fmt::Debug for Induction<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, layers, .. } = self;
        f.debug_struct("Induction").field("config", config).field("layers", layers).finish_non_exhaustive()
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

use std::sync::Arc;

use stir_basis::{Library, ValueHead, norm};
use stir_core::{Fingerprint, HookPoint, SampleRng};

use crate::{
    Candidate, Commit, ControlState, ControllerConfig, ControllerError, Decision, Plan, Planned, Probe, ProbeScores,
    Scored, Strength, Variant,
};

/// A score must beat another by this much to count as better.
const TIE: f64 = 1e-12;

/// The decisions of the method, without any I/O: [`plan`](Self::plan) retrieves, [`decide`](Self::decide) scores and
/// commits. [`steer`](Self::steer) starts the state machine that asks for them in your own loop;
/// [`generate`](Self::generate) and [`stream`](Self::stream) run it on an [`Engine`](stir_core::Engine).
///
/// A controller owns its library, and a clone shares it.
///
/// ```
/// use stir_basis::{Action, Entry, Library};
/// use stir_controller::{ControlState, Controller, ControllerConfig, LayerState, Planned, ProbeScores};
///
/// let action = Action::Steer(vec![0.5, 0.5]);
/// let wrong = Entry { layer: 14, quality: 0.8, key: [1.0, 0.0].into(), action, ..Entry::default() };
/// let controller = Controller::unchecked(Library::from_vectors([wrong])?, ControllerConfig::default())?;
///
/// // The state after layer 14 at the first boundary:
/// let states = vec![LayerState { layer: 14, values: vec![3.0, 0.0] }];
/// let Planned::Probe(plan) = controller.plan(&ControlState { sequence: 0, m: 1, states }) else { panic!() };
/// assert_eq!(plan.candidates().len(), 1);
/// // Mean log-probabilities of a short continuation, without and with the candidate:
/// let decision = controller.decide(plan, &ProbeScores { null: -0.9, candidates: vec![-0.4] })?;
/// let commit = decision.commit.expect("nothing speaks against it");
/// assert!((commit.scale - (2.0 * 0.8 + 0.1 * 0.5)).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Controller {
    library: Arc<Library>,
    config: ControllerConfig,
    /// The layers that states are read after, ascending.
    layers: Arc<[usize]>,
    /// The same as hook points.
    points: Arc<[HookPoint]>,
    /// The mean vector and its layer, for the variant that adds it.
    mean: Option<(usize, Arc<[f32]>)>,
    /// The read-out that probes are scored by, if they are, and the place of its layer among `layers`.
    head: Option<(usize, Arc<ValueHead>)>,
}

impl Controller {
    /// Creates a controller that steers `model` with `library`.
    ///
    /// # Errors
    /// [`ControllerError`] when a setting is out of bounds, when the library was made for another model (or, unless
    /// [`allow_requantised`](ControllerConfig::allow_requantised) is set, for another quantisation of it), or when the
    /// settings need a vector or a value head and the library has none.
    pub fn new(
        library: impl Into<Arc<Library>>,
        model: &Fingerprint,
        config: ControllerConfig,
    ) -> Result<Self, ControllerError> {
        let library = library.into();
        config.validate()?;
        library.check(model, config.allow_requantised).map_err(ControllerError::Library)?;
        Self::unchecked(library, config)
    }

    /// Creates a controller for vectors that name no model, such as those of
    /// [`Library::from_vectors`](stir_basis::Library::from_vectors). Nothing then checks that they fit the model.
    ///
    /// # Errors
    /// [`ControllerError`] when a setting is out of bounds, or when the settings need a vector or a value head and the
    /// library has none.
    pub fn unchecked(library: impl Into<Arc<Library>>, config: ControllerConfig) -> Result<Self, ControllerError> {
        let library = library.into();
        config.validate()?;
        let mut layers = library.layers();
        let head = match config.probe {
            Probe::LogProb => None,
            Probe::Value => {
                let rank = |head: &&ValueHead| (head.auc.unwrap_or(f64::NEG_INFINITY), head.layer);
                let best = library.heads().iter().max_by(|a, b| {
                    let ((a, a_layer), (b, b_layer)) = (rank(a), rank(b));
                    a.total_cmp(&b).then(a_layer.cmp(&b_layer))
                });
                let head = best.ok_or(ControllerError::NoHead)?;
                let slot = layers.binary_search(&head.layer).unwrap_or_else(|slot| {
                    layers.insert(slot, head.layer);
                    slot
                });
                Some((slot, Arc::new(head.clone())))
            }
        };
        let layers: Arc<[usize]> = layers.into();
        let points = layers.iter().copied().map(HookPoint::ResidPost).collect();
        let mean = match config.variant {
            Variant::StaticVector => {
                let found = layers.iter().find_map(|&layer| library.mean_delta(layer).map(|mean| (layer, mean.into())));
                Some(found.ok_or(ControllerError::NoVector)?)
            }
            _ => None,
        };
        Ok(Self { library, config, layers, points, mean, head })
    }

    /// Returns the settings.
    pub fn config(&self) -> &ControllerConfig {
        &self.config
    }

    /// Returns the library.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Returns the decoder layers after which states are to be read at control points, ascending.
    pub fn layers(&self) -> &Arc<[usize]> {
        &self.layers
    }

    /// Returns the same places as [`layers`](Self::layers), as hook points of a row.
    pub fn points(&self) -> &[HookPoint] {
        &self.points
    }

    /// Returns the read-out that probes are scored by, with the place of its layer among [`layers`](Self::layers);
    /// `None` where they are scored by their tokens.
    pub(crate) fn head(&self) -> Option<&(usize, Arc<ValueHead>)> {
        self.head.as_ref()
    }

    /// Plans a control point: returns what to do there where that is certain without probing, else what to probe.
    ///
    /// Nothing is probed by the variants [`NoMemory`](Variant::NoMemory), [`NoProbing`](Variant::NoProbing) and
    /// [`StaticVector`](Variant::StaticVector), at a control point at which the settings do not let the controller act,
    /// and where no vector was retrieved. The states matter only where
    /// [`needs_states`](Self::needs_states) says so.
    pub fn plan(&self, at: &ControlState) -> Planned {
        if let Some(decision) = self.without_states(at.sequence, at.m) {
            return Planned::Decided(decision);
        }
        if let Some((layer, mean)) = &self.mean {
            return Planned::Decided(self.constant(at.sequence, at.m, *layer, mean, relative_length(at, *layer, mean)));
        }
        let plan = self.retrieve(at);
        if plan.candidates.is_empty() || self.config.variant == Variant::NoProbing {
            return Planned::Decided(self.settle(plan, |_| 0.0));
        }
        Planned::Probe(plan)
    }

    /// Says whether what [`plan`](Self::plan) finds at control point `m` depends on the states there. Where it does
    /// not, they need not be read.
    pub fn needs_states(&self, m: usize) -> bool {
        self.config.acts_at(m) && (self.mean.is_none() || self.config.strength != Strength::Score)
    }

    /// Decides where the state does not matter; `None` where it does.
    pub(crate) fn without_states(&self, sequence: u64, m: usize) -> Option<Decision> {
        if !self.config.acts_at(m) {
            return Some(Decision::default());
        }
        if self.needs_states(m) {
            return None;
        }
        // The length of the stream plays no part.
        self.mean.as_ref().map(|(layer, mean)| self.constant(sequence, m, *layer, mean, 1.0))
    }

    /// Decides for the mean of all vectors.
    fn constant(&self, sequence: u64, m: usize, layer: usize, mean: &Arc<[f32]>, relative_length: f64) -> Decision {
        let scale = self.config.strength.scale(self.config.k_scale, relative_length);
        let mut decision = Decision::of(Commit { entry: None, layer, vector: mean.clone(), scale });
        decision.commit = decision.commit.filter(|commit| commit.scale > 0.0);
        report(sequence, m, &decision);
        decision
    }

    fn retrieve(&self, at: &ControlState) -> Plan {
        let (config, m) = (&self.config, at.m);
        let non_finite = at.states.iter().filter(|state| state.values.iter().any(|x| !x.is_finite())).count();
        let mut retrieved = Vec::new();
        if self.library.group_len(m) >= config.min_entries {
            let states: Vec<_> = at.states.iter().map(|state| (state.layer, state.values.as_slice())).collect();
            retrieved = self.library.retrieve(m, &states, config.retrieve);
        }
        if retrieved.first().is_some_and(|nearest| f64::from(nearest.similarity) < config.min_similarity) {
            retrieved.clear();
        }
        let (mut wrong, mut null_advantage) = (Vec::new(), 0.0f64);
        for hit in &retrieved {
            let Some(entry) = self.library.entry(hit.entry) else { continue };
            let (similarity, advantage) = (hit.similarity, f64::from(hit.similarity) * entry.quality);
            match entry.vector() {
                None => null_advantage = null_advantage.max(advantage),
                Some(vector) => wrong.push((hit.entry, entry, similarity, advantage, vector)),
            }
        }
        // By (A, s, q). The sort is stable, so what is equal in all three keeps the order of retrieval.
        wrong.sort_by(|(_, a, a_similarity, a_advantage, _), (_, b, b_similarity, b_advantage, _)| {
            let by_similarity = b_similarity.total_cmp(a_similarity);
            b_advantage.total_cmp(a_advantage).then(by_similarity).then(b.quality.total_cmp(&a.quality))
        });
        wrong.truncate(config.candidates);
        let candidate = |(index, entry, similarity, advantage, vector): (usize, &stir_basis::Entry, _, _, &[f32])| {
            let vector = match config.variant {
                Variant::RandomVector => self.noise(index, vector),
                _ => vector.into(),
            };
            let relative_length = relative_length(at, entry.layer, &vector);
            let probe_scale = config.strength.scale(1.0, relative_length);
            Candidate { entry: index, layer: entry.layer, similarity, advantage, vector, relative_length, probe_scale }
        };
        let (candidates, broken): (Vec<_>, Vec<_>) =
            wrong.into_iter().map(candidate).partition(|c| can_add(c.probe_scale, &c.vector));
        let non_finite = non_finite + broken.len();
        // One draw per control point, from its own stream, so that decisions do not depend on each other.
        let draw = SampleRng::new(config.seed, (at.sequence << 16) | m as u64).uniform();
        Plan { sequence: at.sequence, m, retrieved, candidates, null_advantage, draw, non_finite }
    }

    /// Returns Gaussian noise as long as `vector`; an entry gets the same wherever it is retrieved.
    fn noise(&self, entry: usize, vector: &[f32]) -> Arc<[f32]> {
        let mut rng = SampleRng::new(self.config.seed, u64::MAX - entry as u64);
        let noise: Vec<f64> = vector.iter().map(|_| rng.normal()).collect();
        let wanted = norm(vector);
        let drawn = noise.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        noise.into_iter().map(|x| (x * wanted / drawn) as f32).collect()
    }

    /// Scores the plan's candidates by what probing found, and chooses one of them, or nothing.
    ///
    /// # Errors
    /// [`ControllerError::ProbeCount`] when the scores are not one for each candidate.
    pub fn decide(&self, plan: Plan, scores: &ProbeScores) -> Result<Decision, ControllerError> {
        let (expected, found) = (plan.candidates.len(), scores.candidates.len());
        if expected != found {
            return Err(ControllerError::ProbeCount { expected, found });
        }
        Ok(self.settle(plan, |i| scores.candidates[i] - scores.null))
    }

    /// Chooses among the plan's candidates by the gain of each.
    pub(crate) fn settle(&self, plan: Plan, gain: impl Fn(usize) -> f64) -> Decision {
        let config = &self.config;
        let null_score = config.beta * plan.null_advantage;
        let score = |(i, c): (usize, &Candidate)| {
            let gain = gain(i);
            let score = config.beta * c.advantage + config.rho * gain;
            Scored { entry: c.entry, score, advantage: c.advantage, similarity: c.similarity, gain }
        };
        let scored: Vec<Scored> = plan.candidates.iter().enumerate().map(score).collect();
        let scale =
            |i: usize| config.strength.scale(config.k_scale * scored[i].score, plan.candidates[i].relative_length);
        let (mut usable, broken): (Vec<usize>, Vec<usize>) = (0..scored.len())
            .partition(|&i| scored[i].score.is_finite() && can_add(scale(i), &plan.candidates[i].vector));
        usable.retain(|&i| config.min_gain.is_none_or(|least| scored[i].gain >= least));
        let choice = match config.variant {
            Variant::RandomChoice => {
                Some((plan.draw * scored.len() as f64) as usize).filter(|drawn| usable.contains(drawn))
            }
            // The first of equal scores.
            _ => usable.into_iter().reduce(|best, i| if scored[i].score > scored[best].score { i } else { best }),
        };
        let wins =
            |&i: &usize| scored[i].score > null_score + TIE && scored[i].score >= config.tau_null && scale(i) > 0.0;
        let choice = choice.filter(wins);
        let commit = choice.map(|i| {
            let Candidate { entry, layer, vector, .. } = &plan.candidates[i];
            Commit { entry: Some(*entry), layer: *layer, vector: vector.clone(), scale: scale(i) }
        });
        let decision = Decision {
            commit,
            score: choice.map_or(null_score, |i| scored[i].score),
            null_score,
            retrieved: plan.retrieved,
            non_finite: plan.non_finite + broken.len(),
            candidates: scored,
        };
        report(plan.sequence, plan.m, &decision);
        decision
    }
}

impl Decision {
    /// Decides for `commit`, unless it is not finite.
    pub(crate) fn of(commit: Commit) -> Self {
        let finite = can_add(commit.scale, &commit.vector);
        Self { commit: Some(commit).filter(|_| finite), non_finite: usize::from(!finite), ..Self::default() }
    }
}

/// Returns the length of `vector` over that of the state after `layer`; NaN where that was not read.
fn relative_length(at: &ControlState, layer: usize, vector: &[f32]) -> f64 {
    let state = at.states.iter().find(|state| state.layer == layer);
    state.map_or(f64::NAN, |state| norm(vector) / norm(&state.values))
}

/// Returns whether `scale * vector` is finite. A score that is not finite gives a scale that is not.
fn can_add(scale: f32, vector: &[f32]) -> bool {
    vector.iter().all(|x| (scale * x).is_finite())
}

/// Records what was decided.
fn report(sequence: u64, m: usize, decision: &Decision) {
    let Decision { commit, score, null_score, candidates, non_finite, .. } = decision;
    tracing::debug!(
        sequence,
        m,
        chosen = commit.as_ref().and_then(|commit| commit.entry),
        score,
        null_score,
        scale = commit.as_ref().map_or(0.0, |commit| commit.scale),
        candidates = candidates.len(),
        "a control point was decided"
    );
    if *non_finite > 0 {
        tracing::warn!(sequence, m, non_finite, "states, scores or impulses that are not finite were left out");
    }
}

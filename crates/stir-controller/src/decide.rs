use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use stir_basis::{Hit, Library};
use stir_core::{Fingerprint, HookPoint, SampleRng};

use crate::{ControllerConfig, ControllerError, Variant};

/// A score must beat another by this much to count as better.
const TIE: f64 = 1e-12;

/// The decisions of the method, without any I/O: [`plan`](Self::plan) retrieves, [`decide`](Self::decide) scores and
/// commits. An engine of any kind can be steered with these two; [`lane`](Self::lane) runs them on an
/// [`Engine`](stir_core::Engine).
///
/// ```
/// use std::collections::BTreeMap;
/// use stir_basis::{Action, Entry, Library, normalize};
/// use stir_controller::{Controller, ControllerConfig, ProbeScores};
/// use stir_core::{Delimiter, Fingerprint};
///
/// let fingerprint = Fingerprint {
///     architecture: "qwen2".into(), n_layers: 28, hidden_size: 2, vocab_size: 100,
///     tokenizer: "a1".into(), weights: "b2".into(),
/// };
/// let wrong = Entry {
///     problem: "p1".into(), m: 1, layer: 14, quality: 0.8,
///     key: normalize(&[1.0, 0.0]).expect("not zero").into(), action: Action::Steer(vec![0.5, 0.5]),
/// };
/// let library = Library::from_entries(fingerprint, Delimiter::default(), vec![wrong], BTreeMap::new())?;
/// let controller = Controller::new(&library, library.fingerprint(), ControllerConfig::default())?;
///
/// // The state after layer 14 at the first boundary:
/// let plan = controller.plan(0, 1, &[(14, &[3.0, 0.0])]);
/// assert_eq!(plan.candidates().len(), 1);
/// // Mean log-probabilities of a short continuation, without and with the candidate:
/// let decision = controller.decide(plan, Some(&ProbeScores { null: -0.9, candidates: vec![-0.4] }))?;
/// let commit = decision.commit.expect("nothing speaks against it");
/// assert!((commit.scale - (2.0 * 0.8 + 0.1 * 0.5)).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Controller<'l> {
    library: &'l Library,
    config: ControllerConfig,
    /// Where states are read.
    points: Vec<HookPoint>,
    /// The mean vector, for the variant that needs it.
    mean: Option<(usize, Vec<f32>)>,
}

/// What was found at a control point; [`Controller::decide`] consumes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'l> {
    retrieved: Vec<Hit>,
    candidates: Vec<Candidate<'l>>,
    null_advantage: f64,
    probing: bool,
    /// Uniform in [0, 1), for the variant that draws.
    draw: f64,
    non_finite: usize,
}

/// A retrieved vector that may be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'l> {
    /// Its index in the library.
    pub entry: usize,
    /// The decoder layer whose output it is added to.
    pub layer: usize,
    /// Cosine of the state and the entry's key.
    pub similarity: f32,
    /// `A`: similarity times quality.
    pub advantage: f64,
    /// `[hidden_size]`; a probe adds it at scale 1.
    pub vector: Cow<'l, [f32]>,
}

/// What probing found: mean log-probability, under the model's distribution, of the tokens each probe generated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProbeScores {
    /// Without an impulse.
    pub null: f64,
    /// With each candidate of the plan, in its order.
    pub candidates: Vec<f64>,
}

/// What to do in the next segment, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision<'l> {
    /// The impulse, or none.
    pub commit: Option<Commit<'l>>,
    /// Score of what was chosen: the candidate's, or that of doing nothing.
    pub score: f64,
    /// Score of doing nothing.
    pub null_score: f64,
    /// Entries retrieved, nearest first.
    pub retrieved: Vec<Hit>,
    /// Every candidate with its score, best advantage first.
    pub candidates: Vec<Scored>,
    /// States, and candidates' scores or impulses, left out because they were not finite.
    pub non_finite: usize,
}

/// `stream(resid_post.layer, boundary) += scale * vector`.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit<'l> {
    /// Index in the library; `None` for a vector that is not an entry.
    pub entry: Option<usize>,
    /// The decoder layer whose output it is added to.
    pub layer: usize,
    /// `[hidden_size]`
    pub vector: Cow<'l, [f32]>,
    /// `k_scale * S`
    pub scale: f32,
}

/// A candidate's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// Its index in the library.
    pub entry: usize,
    /// `S`
    #[serde(deserialize_with = "number")]
    pub score: f64,
    /// `A`
    pub advantage: f64,
    /// Cosine of the state and its key.
    pub similarity: f32,
    /// `P - P_null`; 0 where nothing was probed, NaN where a probe has no score.
    #[serde(deserialize_with = "number")]
    pub gain: f64,
}

/// JSON writes null for a number that is not finite.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl<'l> Controller<'l> {
    /// A controller that steers `model` with `library`.
    ///
    /// # Errors
    /// When a setting is out of bounds, the library was made for another model, or the variant needs a vector and the
    /// library has none.
    pub fn new(library: &'l Library, model: &Fingerprint, config: ControllerConfig) -> Result<Self, ControllerError> {
        config.validate()?;
        library.check(model).map_err(ControllerError::Library)?;
        let points = library.layers().into_iter().map(HookPoint::ResidPost).collect();
        let mean = match config.variant {
            Variant::StaticVector => {
                let mut layers = library.layers().into_iter();
                let found = layers.find_map(|layer| library.mean_delta(layer).map(|mean| (layer, mean)));
                Some(found.ok_or(ControllerError::NoVector)?)
            }
            _ => None,
        };
        Ok(Self { library, config, points, mean })
    }

    /// The settings.
    pub fn config(&self) -> &ControllerConfig {
        &self.config
    }

    /// The library.
    pub fn library(&self) -> &'l Library {
        self.library
    }

    /// Where states are to be read at control points.
    pub fn points(&self) -> &[HookPoint] {
        &self.points
    }

    /// What can be done at control point `m` of a sequence, given the states there: for every layer of the library,
    /// the residual stream after it at the boundary token, `[hidden_size]`.
    ///
    /// `sequence` numbers the sequence; it matters only to variants that draw at random.
    pub fn plan(&self, sequence: u64, m: usize, states: &[(usize, &[f32])]) -> Plan<'l> {
        let config = &self.config;
        let non_finite = states.iter().filter(|(_, state)| state.iter().any(|x| !x.is_finite())).count();
        let mut retrieved = Vec::new();
        if config.acts_at(m) && self.library.group_len(m) >= config.min_entries {
            retrieved = self.library.retrieve(m, states, config.retrieve);
        }
        if retrieved.first().is_some_and(|nearest| f64::from(nearest.similarity) < config.min_similarity) {
            retrieved.clear();
        }
        let (mut wrong, mut null_advantage) = (Vec::new(), 0.0f64);
        for hit in &retrieved {
            let Some(entry) = self.library.entry(hit.entry) else { continue };
            let (similarity, advantage) = (hit.similarity, f64::from(hit.similarity) * entry.quality);
            match entry.vector().map(Cow::Borrowed) {
                None => null_advantage = null_advantage.max(advantage),
                Some(vector) => {
                    let (entry, layer, quality) = (hit.entry, entry.layer, entry.quality);
                    wrong.push((quality, Candidate { entry, layer, similarity, advantage, vector }));
                }
            }
        }
        // By (A, s, q). The sort is stable, so what is equal in all three keeps the order of retrieval.
        wrong.sort_by(|(p, a), (q, b)| {
            let by_similarity = b.similarity.total_cmp(&a.similarity);
            b.advantage.total_cmp(&a.advantage).then(by_similarity).then(q.total_cmp(p))
        });
        wrong.truncate(config.candidates);
        let mut candidates: Vec<_> = wrong.into_iter().map(|(_, candidate)| candidate).collect();
        if config.variant == Variant::RandomVector {
            candidates.iter_mut().for_each(|c| c.vector = Cow::Owned(self.noise(c.entry, &c.vector)));
        }
        let probing = config.variant != Variant::NoProbing && !candidates.is_empty();
        // One draw per control point, from a stream of its own, so that decisions do not depend on each other.
        let draw = SampleRng::new(config.seed, (sequence << 16) | m as u64).uniform();
        Plan { retrieved, candidates, null_advantage, probing, draw, non_finite }
    }

    /// Gaussian noise as long as `vector`; an entry gets the same wherever it is retrieved.
    fn noise(&self, entry: usize, vector: &[f32]) -> Vec<f32> {
        let mut rng = SampleRng::new(self.config.seed, u64::MAX - entry as u64);
        let noise: Vec<f64> = vector.iter().map(|_| rng.normal()).collect();
        let wanted = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let drawn = noise.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        noise.into_iter().map(|x| (x * wanted / drawn) as f32).collect()
    }

    /// Scores the plan's candidates and chooses one, or nothing. `probes` is what probing found, `None` where
    /// [`Plan::needs_probes`] says that nothing is to be probed.
    ///
    /// # Errors
    /// [`ControllerError::ProbeCount`] when the scores are not one for each candidate.
    pub fn decide(&self, plan: Plan<'l>, probes: Option<&ProbeScores>) -> Result<Decision<'l>, ControllerError> {
        let expected = if plan.probing { plan.candidates.len() } else { 0 };
        let found = probes.map_or(0, |p| p.candidates.len());
        if expected != found {
            return Err(ControllerError::ProbeCount { expected, found });
        }
        Ok(self.settle(plan, |i| probes.map_or(0.0, |p| p.candidates[i] - p.null)))
    }

    /// As [`decide`](Self::decide), given the gain of each candidate; it is asked for only where the plan needs probes.
    pub(crate) fn settle(&self, mut plan: Plan<'l>, gain: impl Fn(usize) -> f64) -> Decision<'l> {
        let config = &self.config;
        let null_score = config.beta * plan.null_advantage;
        let score = |(i, c): (usize, &Candidate<'_>)| {
            let gain = if plan.probing { gain(i) } else { 0.0 };
            let score = config.beta * c.advantage + config.rho * gain;
            Scored { entry: c.entry, score, advantage: c.advantage, similarity: c.similarity, gain }
        };
        let scored: Vec<Scored> = plan.candidates.iter().enumerate().map(score).collect();
        let scale = |i: usize| (config.k_scale * scored[i].score) as f32;
        let (usable, broken): (Vec<usize>, Vec<usize>) =
            (0..scored.len()).partition(|&i| can_add(scale(i), &plan.candidates[i].vector));
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
            let Candidate { entry, layer, vector, .. } = plan.candidates.swap_remove(i);
            Commit { entry: Some(entry), layer, vector, scale: scale(i) }
        });
        Decision {
            commit,
            score: choice.map_or(null_score, |i| scored[i].score),
            null_score,
            retrieved: plan.retrieved,
            non_finite: plan.non_finite + broken.len(),
            candidates: scored,
        }
    }

    /// What the variant does at a control point without looking at the state, if it is of that kind.
    pub(crate) fn blind(&self) -> Option<Decision<'l>> {
        let (layer, mean) = self.mean.as_ref()?;
        let scale = self.config.k_scale as f32;
        if !can_add(scale, mean) {
            return Some(Decision { non_finite: 1, ..Decision::default() });
        }
        let commit = Commit { entry: None, layer: *layer, vector: Cow::Owned(mean.clone()), scale };
        Some(Decision { commit: Some(commit).filter(|_| scale > 0.0), ..Decision::default() })
    }
}

/// Whether `scale * vector` is finite. A score that is not gives a scale that is not.
fn can_add(scale: f32, vector: &[f32]) -> bool {
    vector.iter().all(|x| (scale * x).is_finite())
}

impl<'l> Plan<'l> {
    /// The vectors that may be committed, best advantage first.
    pub fn candidates(&self) -> &[Candidate<'l>] {
        &self.candidates
    }

    /// Whether [`Controller::decide`] wants probe scores.
    pub fn needs_probes(&self) -> bool {
        self.probing
    }
}

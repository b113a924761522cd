use serde::{Deserialize, Serialize};
use stir_basis::norm;

use crate::{
    DiagnosisConfig, DiagnosisError, Estimate, PairMeasures, Quantiles, Reliability, Replay, States,
    auc::{Within, auc},
    order::Ordered,
    reliability::{RELIABILITY_POINTS, SplitHalves, spearman_brown},
    retrieval::{Retrieved, retrieve},
    sharing::{Shared, between},
    solve,
};

/// What the states of one layer say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerMeasures {
    /// The decoder layer, from 0, after which the states were read.
    pub layer: usize,
    /// The number of states.
    pub rows: usize,
    /// The number of problems that they come from.
    pub problems: usize,
    /// The number of problems that have right and wrong rows at some control point.
    pub mixed: usize,
    /// The share of states of right rollouts.
    pub right_share: f64,
    /// The mean norm of the states.
    pub mean_norm: f64,
    /// How much of a delta is more than noise; `None` if no problem has two right and two wrong rows at a control point.
    pub reliability: Option<Reliability>,
    /// The mean cosine of the deltas of two problems at the same control point, up to [`RELIABILITY_POINTS`].
    pub between: Option<Estimate>,
    /// The same between deltas without noise, as in [`PointMeasures::between_corrected`].
    pub between_corrected: Option<f64>,
    /// How well a linear probe for right, trained on other problems, orders states; `None` if it could not be trained.
    pub probe: Option<Ordering>,
    /// How well it orders them if it knows only how few tokens remain.
    pub shortness_within: Option<Estimate>,
    /// How much better than shortness the probe orders the states of one problem and control point.
    pub probe_over_shortness: Option<Estimate>,
    /// The share of the variance of log(remaining tokens) that a ridge regression, trained on other problems, explains.
    pub remaining_r2: Option<f64>,
    /// Retrieval with cosines of the states as they are.
    pub retrieval: Retrieval,
    /// Retrieval with cosines of the states less the mean of their control point.
    pub retrieval_centred: Retrieval,
    /// The control points, by rising `m`.
    pub points: Vec<PointMeasures>,
    /// What mined pairs would do; `None` where none were given.
    pub pairs: Option<PairMeasures>,
    /// What interventions did at the boundaries that they were mined at; empty where nothing was replayed.
    pub replays: Vec<Replay>,
}

/// How well a score orders right before wrong: shares of pairs, 0.5 being chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordering {
    /// Over all pairs of a right and a wrong state; `None` without any.
    pub across: Option<f64>,
    /// Over pairs of one problem and control point, where neither the problem nor the position helps.
    pub within: Option<Estimate>,
}

/// The nearest keys as a classifier of right and wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// How well they order states.
    pub ordering: Ordering,
    /// Cosines of states with keys of their control point; `None` without keys.
    pub similarity: Option<Quantiles>,
}

/// What the states at one control point say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointMeasures {
    /// The control point, from 1.
    pub m: usize,
    /// The number of states.
    pub rows: usize,
    /// The number of problems that get as far.
    pub problems: usize,
    /// The number of problems with right and wrong states here; each has a delta.
    pub mixed: usize,
    /// The mean norm of the states.
    pub stream_norm: f64,
    /// The mean norm of the deltas.
    pub delta_norm: Option<f64>,
    /// The mean cosine of deltas of two random halves of a problem's samples.
    pub split_half: Option<Estimate>,
    /// The mean cosine of the deltas of two problems.
    pub between: Option<Estimate>,
    /// The same between deltas without noise: divided by the reliability of the layer's deltas. `None` where that cannot be
    /// told from 0. As an estimate it may exceed 1.
    pub between_corrected: Option<f64>,
    /// The reliability of the mean of all deltas, as a direction that problems share, by Spearman-Brown.
    pub pooled_reliability: Option<f64>,
    /// How well the probe orders states of one problem.
    pub probe_within: Option<Estimate>,
    /// How well retrieval, centred, orders states of one problem.
    pub retrieval_within: Option<Estimate>,
}

impl LayerMeasures {
    /// Measures the states of `layer`. [`pairs`](Self::pairs) and [`replays`](Self::replays) are left to be filled in.
    ///
    /// # Errors
    /// [`DiagnosisError::Setting`] for a setting out of bounds, [`DiagnosisError::Solver`] if a linear model cannot be
    /// fitted.
    pub fn new(layer: usize, states: &States, config: &DiagnosisConfig) -> Result<Self, DiagnosisError> {
        config.validate()?;
        let ordered = &Ordered::new(states);
        let rows = ordered.len();
        let boundaries = || (0..rows).map(|place| ordered.at(place));
        let norms: Vec<f64> = (0..rows).map(|place| norm(ordered.state(place))).collect();

        let halves = SplitHalves::new(ordered, config);
        let reliability = halves.reliability();
        let probe = solve::probe(ordered)?;
        let shortness: Vec<f64> = boundaries().map(|b| -(b.remaining() as f64)).collect();
        let remaining: Vec<f64> = boundaries().map(|b| (b.remaining() as f64).ln()).collect();
        let predicted = solve::ridge(ordered, &remaining)?;
        let (raw, centred) = (retrieve(ordered, false), retrieve(ordered, true));

        let short_within = Within::new(ordered, &shortness);
        let probe_within = probe.as_deref().map(|scores| Within::new(ordered, scores));
        let centred_within = Within::new(ordered, &centred.scores);
        let by_point = ordered.points();
        let shared: Vec<Shared> = by_point.keys().map(|&m| Shared::new(ordered, m)).collect();
        let measurable = reliability.filter(|r| r.split_half.above(0.0));
        let corrected = |between: Option<Estimate>| Some(between?.value / measurable?.full);
        let between_all = between(shared.iter().filter(|shared| shared.m <= RELIABILITY_POINTS));
        let points = by_point.values().zip(&shared).map(|(places, shared)| {
            let (m, between) = (shared.m, shared.between());
            PointMeasures {
                m,
                rows: places.len(),
                problems: ordered.cells.iter().filter(|cell| cell.m == m).count(),
                mixed: shared.deltas(),
                stream_norm: places.iter().map(|&place| norms[place]).sum::<f64>() / places.len() as f64,
                delta_norm: shared.mean_norm,
                split_half: halves.at(m),
                between,
                between_corrected: corrected(between),
                pooled_reliability: between.map(|b| spearman_brown(b.value.max(0.0), shared.deltas() as f64)),
                probe_within: probe_within.as_ref().and_then(|within| within.share(Some(m))),
                retrieval_within: centred_within.share(Some(m)),
            }
        });
        let points = points.collect();
        let mut mixed: Vec<usize> = ordered.cells.iter().filter(|cell| cell.mixed()).map(|cell| cell.problem).collect();
        mixed.dedup();
        Ok(Self {
            layer,
            rows,
            problems: ordered.problems().len(),
            mixed: mixed.len(),
            right_share: boundaries().filter(|b| b.right).count() as f64 / rows as f64,
            mean_norm: norms.iter().sum::<f64>() / rows as f64,
            reliability,
            between: between_all,
            between_corrected: corrected(between_all),
            probe: probe.as_deref().map(|scores| ordering(ordered, scores)),
            shortness_within: short_within.share(None),
            probe_over_shortness: probe_within.as_ref().and_then(|within| within.minus(&short_within)),
            remaining_r2: predicted.and_then(|predicted| r2(&remaining, &predicted)),
            retrieval: retrieval(ordered, raw),
            retrieval_centred: retrieval(ordered, centred),
            points,
            pairs: None,
            replays: vec![],
        })
    }
}

fn ordering(ordered: &Ordered<'_>, scores: &[f64]) -> Ordering {
    let labelled: Vec<(f64, bool)> =
        scores.iter().enumerate().map(|(place, &score)| (score, ordered.at(place).right)).collect();
    Ordering { across: auc(&labelled), within: Within::new(ordered, scores).share(None) }
}

fn retrieval(ordered: &Ordered<'_>, retrieved: Retrieved) -> Retrieval {
    let ordering = ordering(ordered, &retrieved.scores);
    Retrieval { ordering, similarity: Quantiles::of(retrieved.similarities) }
}

/// Returns the share of the variance of `values` that `predicted` explains; `None` if they do not vary.
fn r2(values: &[f64], predicted: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let left: f64 = values.iter().zip(predicted).map(|(value, predicted)| (value - predicted).powi(2)).sum();
    (total > 0.0).then(|| 1.0 - left / total)
}

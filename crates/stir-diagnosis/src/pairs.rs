use serde::{Deserialize, Serialize};
use stir_basis::{Pair, norm};

use crate::{DiagnosisError, Quantiles, States, order::Ordered};

/// What mined pairs would do at run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairMeasures {
    /// The number of pairs of the layer.
    pub pairs: usize,
    /// Their qualities `q`.
    pub quality: Quantiles,
    /// The norm of the impulse over that of the stream where it is added, for a state that equals a pair's key:
    /// `gain * q * |delta|` over the mean norm of the states at the pair's control point.
    pub impulse: Quantiles,
    /// The scale of the impulse for a quality of 1: `k_scale * beta` of the controller.
    pub gain: f64,
}

impl PairMeasures {
    /// Measures the pairs of `layer`, whose states are `states`; `None` if there are none at control points that the
    /// states have. `gain` is the controller's `k_scale * beta`, 2 by default: a state like the key is given a score of
    /// `beta * q`, to which the gain of the probe adds a little.
    ///
    /// # Errors
    /// [`DiagnosisError::Size`] for a pair of another width, [`DiagnosisError::Setting`] for a gain that is not finite
    /// and positive, [`DiagnosisError::Row`] for the first pair with a value that is not finite.
    pub fn new(states: &States, layer: usize, pairs: &[Pair], gain: f64) -> Result<Option<Self>, DiagnosisError> {
        stir_core::SettingError::above_zero("gain", gain)?;
        let ordered = Ordered::new(states);
        let norms: Vec<(usize, f64)> = ordered
            .points()
            .into_iter()
            .map(|(m, places)| {
                let sum: f64 = places.iter().map(|&place| norm(ordered.state(place))).sum();
                (m, sum / places.len() as f64)
            })
            .collect();
        let (mut qualities, mut impulses) = (vec![], vec![]);
        for (row, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.layer == layer) {
            let width = states.hidden_size();
            for (field, side) in [("mu_plus", &pair.mu_plus), ("mu_minus", &pair.mu_minus)] {
                if side.len() != width {
                    return Err(DiagnosisError::Size { field, found: side.len(), bound: width.to_string() });
                }
            }
            let length = norm(&pair.steering_vector());
            if !length.is_finite() || !pair.quality.is_finite() {
                return Err(crate::states::fault(
                    row,
                    "pair",
                    format!("{length} long, of quality {}", pair.quality),
                    "finite",
                ));
            }
            let Ok(at) = norms.binary_search_by_key(&pair.m, |(m, _)| *m) else { continue };
            qualities.push(pair.quality);
            if norms[at].1 > 0.0 {
                impulses.push(gain * pair.quality * length / norms[at].1);
            }
        }
        let pairs = qualities.len();
        let (quality, impulse) = (Quantiles::of(qualities), Quantiles::of(impulses));
        Ok(quality.zip(impulse).map(|(quality, impulse)| Self { pairs, quality, impulse, gain }))
    }
}

use serde::{Deserialize, Serialize};

use crate::{
    content::{ContentError, Rules},
    vector::dot,
};

/// A linear read-out of the residual stream after one layer: how likely the answer is going to be right.
///
/// ```
/// use stir_basis::ValueHead;
/// let head = ValueHead { layer: 14, weights: vec![0.5, -0.5], bias: 0.0, auc: None };
/// assert_eq!(head.value(&[2.0, 2.0]), 0.5);
/// assert!(head.value(&[4.0, 0.0]) > 0.88);
/// assert!(head.value(&[4.0]).is_nan());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueHead {
    /// The decoder layer whose output (`resid_post`) is read, 0-based.
    pub layer: usize,
    /// The weights on the stream as it is, not centred, `[hidden_size]`.
    pub weights: Vec<f32>,
    /// The logit of a stream of zeros.
    pub bias: f32,
    /// How well it told right from wrong on problems it was not fitted on: area under the ROC curve, in [0, 1].
    pub auc: Option<f64>,
}

impl ValueHead {
    /// Returns the probability `sigmoid(<weights, state> + bias)`; NaN for a state that is not finite or of another
    /// width.
    pub fn value(&self, state: &[f32]) -> f64 {
        let logit = dot::<f32, f64>(&self.weights, state) + f64::from(self.bias);
        if state.len() == self.weights.len() && logit.is_finite() { 1.0 / (1.0 + (-logit).exp()) } else { f64::NAN }
    }
}

pub(crate) fn check(heads: &[ValueHead], n_layers: usize, width: usize) -> Result<(), ContentError> {
    for (index, ValueHead { layer, weights, bias, auc }) in heads.iter().enumerate() {
        let rules = Rules { item: "head", index };
        rules.layer(*layer, n_layers)?;
        rules.ensure(heads[..index].iter().all(|head| head.layer != *layer), "layer", "that of no other head")?;
        rules.width("weights", weights, width)?;
        rules.finite("weights", weights)?;
        rules.finite("bias", &[*bias])?;
        rules.ensure(auc.is_none_or(|auc| (0.0..=1.0).contains(&auc)), "auc", "in [0, 1]")?;
    }
    Ok(())
}

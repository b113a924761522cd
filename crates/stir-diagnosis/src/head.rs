use stir_basis::ValueHead;

use crate::{Boundary, DiagnosisError, States, auc::auc, order::Ordered, solve};

/// Fits a read-out of success on the states of `layer`: the logistic regression that [`LayerMeasures::probe`] measures, on
/// all rows, with its weights on states as they are. Its `auc` is that of the probe, over all rows of problems that were
/// left out. `None` without right and wrong rows.
///
/// ```
/// use stir_diagnosis::{Boundary, States, value_head};
/// let at = |sample| Boundary { problem: 0, sample, m: 1, token: 7, length: 20, right: sample < 2 };
/// let boundaries = (0..4).map(at).collect();
/// let states = States::new(1, boundaries, vec![3.0, 4.0, -3.0, -2.0])?;
/// let head = value_head(14, &states)?.unwrap();
/// assert!(head.value(&[4.0]) > 0.5 && head.value(&[-3.0]) < 0.5);
/// assert_eq!((head.layer, head.auc), (14, None)); // one problem: none can be left out
/// # Ok::<(), stir_diagnosis::DiagnosisError>(())
/// ```
///
/// # Errors
/// [`DiagnosisError::Solver`] if the regression cannot be fitted.
///
/// [`LayerMeasures::probe`]: crate::LayerMeasures::probe
pub fn value_head(layer: usize, states: &States) -> Result<Option<ValueHead>, DiagnosisError> {
    let ordered = &Ordered::new(states);
    let Some((weights, bias)) = solve::head(ordered)? else { return Ok(None) };
    let auc = solve::probe(ordered)?.and_then(|scores| {
        let judged = scores.iter().enumerate().map(|(place, &score)| (score, ordered.at(place).right));
        auc(&judged.collect::<Vec<_>>())
    });
    Ok(Some(ValueHead { layer, weights, bias, auc }))
}

/// Fits a [`value_head`] for every one of `layers`, whose states are at the same `boundaries`; none without boundaries.
///
/// # Shapes
/// Each layer: `[boundaries, hidden_size]`.
///
/// # Errors
/// Fails like [`States::new`] and [`value_head`].
pub fn value_heads(
    hidden_size: usize,
    boundaries: &[Boundary],
    layers: impl IntoIterator<Item = (usize, Vec<f32>)>,
) -> Result<Vec<ValueHead>, DiagnosisError> {
    let mut heads = Vec::new();
    for (layer, values) in layers.into_iter().filter(|_| !boundaries.is_empty()) {
        heads.extend(value_head(layer, &States::new(hidden_size, boundaries.to_vec(), values)?)?);
    }
    Ok(heads)
}

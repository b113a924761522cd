//! Linear models of states, from linfa, whose types (and ndarray's) do not leave this module.
//!
//! Both solvers are L-BFGS, which only multiplies with the matrix of states: a pass takes `rows * hidden_size` steps, and
//! the penalties below keep the number of passes at some tens, whether there are more rows or more dimensions. Nothing
//! would be gained by turning the states into their span or by solving the dual.

use linfa::{DatasetBase, traits::Fit};
use linfa_linear::{Link, TweedieRegressor};
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, ShapeBuilder};
use rayon::prelude::*;

use crate::{
    DiagnosisError,
    error::{Solver, SolverError},
    folds::folds,
    order::{Ordered, dot},
};

/// The penalty of the logistic regression, `1 / C` with scikit-learn's `C` of 1e-3: states have about as many dimensions
/// as there are rows, so that any labels could be learned by heart without it.
const LOGISTIC_PENALTY: f64 = 1e3;

/// The penalty of the ridge regression, scikit-learn's `alpha`.
const RIDGE_PENALTY: f64 = 2e3;

/// The norm of the gradient, for each row, at which a solver stops. The sums over rows that are minimised have gradients
/// of about 1 for each row where the solvers begin.
const TOLERANCE: f64 = 1e-5;

/// Passes of a solver, at most.
const PASSES: usize = 500;

/// Returns what a linear probe, trained on other problems, says of each place: the larger, the likelier right. `None` if
/// no problem can be left out, or what is left has right or wrong rows alone.
pub(crate) fn probe(ordered: &Ordered<'_>) -> Result<Option<Vec<f64>>, DiagnosisError> {
    let right: Vec<bool> = (0..ordered.len()).map(|place| ordered.at(place).right).collect();
    let fit = |x: Array2<f64>, places: &[usize]| {
        let targets: Array1<bool> = places.iter().map(|&place| right[place]).collect();
        logistic(x, targets)
    };
    let both = |places: &[usize]| places.iter().any(|&p| right[p]) && places.iter().any(|&p| !right[p]);
    left_out(ordered, both, fit).map_err(not_fitted)
}

fn not_fitted(source: Solver) -> DiagnosisError {
    DiagnosisError::Solver { model: "logistic regression", source: SolverError(source) }
}

/// Returns the probe on all rows: its weights on the states as they are, `[hidden_size]`, and the logit of a state of
/// zeros. `None` without right and wrong rows.
pub(crate) fn head(ordered: &Ordered<'_>) -> Result<Option<(Vec<f32>, f32)>, DiagnosisError> {
    let places: Vec<usize> = (0..ordered.len()).collect();
    let right: Array1<bool> = places.iter().map(|&place| ordered.at(place).right).collect();
    if right.iter().all(|&right| right) || !right.iter().any(|&right| right) {
        return Ok(None);
    }
    let scaler = Scaler::new(ordered, &places);
    let fitted = logistic(scaler.matrix(ordered, &places), right).and_then(Linear::finite).map_err(not_fitted)?;
    let weights: Vec<f64> = fitted.weights.iter().zip(&scaler.scale).map(|(w, scale)| w / scale).collect();
    let bias = fitted.intercept - dot(&weights, &scaler.mean);
    Ok(Some((weights.into_iter().map(|w| w as f32).collect(), bias as f32)))
}

/// Returns the target of each place as a ridge regression on the other problems predicts it. `None` if no problem can be
/// left out.
pub(crate) fn ridge(ordered: &Ordered<'_>, target: &[f64]) -> Result<Option<Vec<f64>>, DiagnosisError> {
    let fit = |x: Array2<f64>, places: &[usize]| {
        let tolerance = TOLERANCE * x.nrows() as f64;
        let dataset = DatasetBase::new(x, places.iter().map(|&place| target[place]).collect::<Array1<f64>>());
        let params = TweedieRegressor::params().power(0.0).link(Link::Identity).alpha(RIDGE_PENALTY);
        let model = params.tol(tolerance).max_iter(PASSES).fit(&dataset)?;
        Ok(Linear { weights: model.coef.to_vec(), intercept: model.intercept })
    };
    let predicted = left_out(ordered, |_| true, fit);
    predicted.map_err(|source| DiagnosisError::Solver { model: "ridge regression", source: SolverError(source) })
}

fn logistic(x: Array2<f64>, targets: Array1<bool>) -> Result<Linear, Solver> {
    let tolerance = TOLERANCE * x.nrows() as f64;
    let dataset = DatasetBase::new(x, targets);
    let params = LogisticRegression::default().alpha(LOGISTIC_PENALTY).max_iterations(PASSES as u64);
    let model = params.gradient_tolerance(tolerance).fit(&dataset)?;
    // linfa calls one of the two labels positive, by its own rules.
    let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
    let weights = model.params().iter().map(|w| sign * w).collect();
    Ok(Linear { weights, intercept: sign * model.intercept() })
}

/// A function of a standardised state.
struct Linear {
    /// `[hidden_size]`.
    weights: Vec<f64>,
    intercept: f64,
}

impl Linear {
    fn finite(self) -> Result<Self, Solver> {
        let is_finite = self.weights.iter().chain([&self.intercept]).all(|w| w.is_finite());
        if is_finite { Ok(self) } else { Err(Solver::NotFinite) }
    }
}

/// Returns the value at each place of the function that `fit` finds on the standardised states of the other problems,
/// `[rows, hidden_size]`, and their places. `None` if there are no folds, or `can_fit` says no of one.
fn left_out(
    ordered: &Ordered<'_>,
    can_fit: impl Fn(&[usize]) -> bool,
    fit: impl Fn(Array2<f64>, &[usize]) -> Result<Linear, Solver> + Sync,
) -> Result<Option<Vec<f64>>, Solver> {
    let problems: Vec<usize> = (0..ordered.len()).map(|place| ordered.at(place).problem).collect();
    let Some(fold_of) = folds(&problems) else { return Ok(None) };
    let last = fold_of.iter().copied().max().unwrap_or_default();
    let split = |fold| (0..ordered.len()).partition::<Vec<usize>, _>(|&place| fold_of[place] != fold);
    let splits: Vec<(Vec<usize>, Vec<usize>)> = (0..=last).map(split).collect();
    if !splits.iter().all(|(train, _)| can_fit(train)) {
        return Ok(None);
    }
    let values = splits.par_iter().map(|(train, test)| {
        let scaler = Scaler::new(ordered, train);
        let linear = fit(scaler.matrix(ordered, train), train)?.finite()?;
        Ok(test.iter().map(|&place| (place, scaler.apply(&linear, ordered.state(place)))).collect::<Vec<_>>())
    });
    let mut all = vec![0.0; ordered.len()];
    for (place, value) in values.collect::<Result<Vec<_>, Solver>>()?.into_iter().flatten() {
        all[place] = value;
    }
    Ok(Some(all))
}

/// Brings every dimension to mean 0 and variance 1, over the rows that it was made from.
struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    fn new(ordered: &Ordered<'_>, places: &[usize]) -> Self {
        let mean = ordered.mean(places);
        let mut squares = vec![0.0; mean.len()];
        for &place in places {
            for ((square, &x), mean) in squares.iter_mut().zip(ordered.state(place)).zip(&mean) {
                *square += (f64::from(x) - mean).powi(2);
            }
        }
        let n = places.len() as f64;
        let scale = squares.iter().zip(&mean).map(|(square, mean)| {
            let variance = square / n;
            // What rounding makes of a dimension that does not vary must not become noise of variance 1.
            let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
            if variance > rounding { variance.sqrt() } else { 1.0 }
        });
        Self { scale: scale.collect(), mean }
    }

    /// Returns the standardised states, `[places, hidden_size]`, column by column in memory: gradients are products with
    /// columns, which take several times as long where a column is scattered.
    fn matrix(&self, ordered: &Ordered<'_>, places: &[usize]) -> Array2<f64> {
        let value = |(row, column): (usize, usize)| {
            (f64::from(ordered.state(places[row])[column]) - self.mean[column]) / self.scale[column]
        };
        Array2::from_shape_fn((places.len(), self.mean.len()).f(), value)
    }

    fn apply(&self, linear: &Linear, state: &[f32]) -> f64 {
        let scaled = state.iter().zip(&self.mean).zip(&self.scale);
        let terms = scaled.zip(&linear.weights).map(|(((&x, mean), scale), w)| w * (f64::from(x) - mean) / scale);
        terms.sum::<f64>() + linear.intercept
    }
}

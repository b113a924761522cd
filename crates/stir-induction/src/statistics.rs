//! What all states of a run have in common, in memory that does not grow with the number of problems.

use std::collections::BTreeMap;

use stir_basis::{BasisError, Pair, StateMean};

use crate::{
    InductionConfig, LayerEstimate,
    problem::{Boundary, Comparison, Problem, Reading},
    ridge::{Moments, Products, RidgeError},
    shrink::{Noisy, Variances, shrink},
};

/// The control points that have a covariate each; later ones share the last.
const POINTS: usize = 32;

/// The sums of a run.
#[derive(Debug)]
pub(crate) struct Statistics {
    center: bool,
    deconfound: bool,
    shrink: bool,
    /// The number of columns of `m`.
    points: usize,
    layers: Vec<LayerSums>,
}

#[derive(Debug)]
struct LayerSums {
    layer: usize,
    /// By control point: the number of states and their sum.
    means: BTreeMap<usize, (u64, Vec<f64>)>,
    all: Moments,
    /// The deviations from the mean of a side, and their degrees of freedom.
    within: Products,
    freedom: u64,
}

/// What a pair's vector is corrected by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Correction {
    /// The mean covariates of the successes minus those of the failures.
    covariates: Vec<f64>,
    /// `1 / n` of the successes plus that of the failures.
    noise: f64,
}

impl Statistics {
    /// Returns empty sums for what `config` asks for; `None` if it asks for nothing that needs any.
    pub(crate) fn new(config: &InductionConfig, layers: &[usize], width: usize) -> Option<Self> {
        let InductionConfig { center, deconfound, shrink, max_control_points, .. } = *config;
        // The segments after the last control point of a fork end at one more.
        let points = if deconfound { (max_control_points + 1).min(POINTS) } else { 0 };
        let covariates = Self::covariates_of(points, Boundary { m: 1, token: 0, length: 1 }).len();
        let sums = |&layer: &usize| LayerSums {
            layer,
            means: BTreeMap::new(),
            all: Moments::new(covariates, width),
            within: Products::new(covariates, width),
            freedom: 0,
        };
        let layers = layers.iter().map(sums).collect();
        (center || deconfound || shrink).then_some(Self { center, deconfound, shrink, points, layers })
    }

    /// Returns what length, position and control point say about a state: the logarithms of the tokens left and of those
    /// so far (the boundary token counts in both), the share that is done, and which control point it is.
    fn covariates_of(points: usize, Boundary { m, token, length }: Boundary) -> Vec<f64> {
        if points == 0 {
            return Vec::new();
        }
        let (done, left) = (token as f64 + 1.0, (length.saturating_sub(token)).max(1) as f64);
        let mut covariates = vec![left.ln(), done.ln(), done / length.max(1) as f64];
        // The first control point is what the others are compared with.
        covariates.extend((2..=points).map(|point| f64::from(u8::from(m.min(points) == point))));
        covariates
    }

    /// Takes the states of a problem. Those that are not finite are left out.
    pub(crate) fn add(&mut self, problem: &Problem) {
        let points = self.points;
        for (slot, sums) in self.layers.iter_mut().enumerate() {
            let row = |reading: &Reading| {
                let state: Vec<f64> = problem.state(reading, slot)?.iter().map(|&x| f64::from(x)).collect();
                let covariates = Self::covariates_of(points, reading.boundary);
                state.iter().all(|x| x.is_finite()).then_some((covariates, state))
            };
            for reading in problem.starts.iter().chain(&problem.all) {
                let Some((covariates, state)) = row(reading) else { continue };
                let empty = || (0, vec![0.0; state.len()]);
                let (count, sum) = sums.means.entry(reading.boundary.m).or_insert_with(empty);
                *count += 1;
                sum.iter_mut().zip(&state).for_each(|(sum, x)| *sum += x);
                if reading.boundary.m > 0 {
                    sums.all.add(&covariates, &state);
                }
            }
            for side in &problem.sides {
                let rows: Vec<(Vec<f64>, Vec<f64>)> = side.iter().filter_map(row).collect();
                let Some((mean_x, mean_h)) = means(&rows) else { continue };
                for (x, h) in &rows {
                    sums.within.add(&minus(x, &mean_x), &minus(h, &mean_h));
                }
                sums.freedom += rows.len() as u64 - 1;
            }
        }
    }

    /// Returns what the vector of `comparison` will be corrected by.
    pub(crate) fn sides(&self, comparison: &Comparison) -> Correction {
        let mean = |side: &[Reading]| {
            let rows: Vec<_> =
                side.iter().map(|reading| (Self::covariates_of(self.points, reading.boundary), Vec::new())).collect();
            means(&rows).unwrap_or_default().0
        };
        let Comparison { plus, minus: minus_side, .. } = comparison;
        let noise = 1.0 / plus.len().max(1) as f64 + 1.0 / minus_side.len().max(1) as f64;
        Correction { covariates: minus(&mean(plus), &mean(minus_side)), noise }
    }

    /// Corrects the vectors of `pairs`; returns what was found out about each layer, and the means if they are asked for.
    ///
    /// # Errors
    /// [`CorrectionError`] if the regression or the clustering fails.
    pub(crate) fn correct(
        self,
        pairs: &mut [(Pair, Correction)],
    ) -> Result<(Vec<LayerEstimate>, Vec<StateMean>), CorrectionError> {
        let (mut estimates, mut kept) = (Vec::new(), Vec::new());
        for sums in &self.layers {
            let layer = sums.layer;
            let means = sums.means.iter().map(|(&m, (count, sum))| {
                let mean = sum.iter().map(|x| (x / *count as f64) as f32).collect();
                StateMean { layer, m, count: *count, mean }
            });
            let means: Vec<StateMean> = means.collect();
            let of_layer: Vec<&mut (Pair, Correction)> =
                pairs.iter_mut().filter(|(pair, _)| pair.layer == layer).collect();
            estimates.push(self.correct_layer(sums, &means, of_layer)?);
            kept.extend(means);
        }
        Ok((estimates, if self.center { kept } else { Vec::new() }))
    }

    fn correct_layer(
        &self,
        sums: &LayerSums,
        means: &[StateMean],
        pairs: Vec<&mut (Pair, Correction)>,
    ) -> Result<LayerEstimate, CorrectionError> {
        let LayerSums { layer, all, within, freedom, .. } = sums;
        let coefficients = if self.deconfound { all.ridge()? } else { Vec::new() };
        let mut estimate = LayerEstimate { layer: *layer, states: all.count, ..LayerEstimate::default() };
        let total = all.centred();
        estimate.removed = (self.deconfound && total.hh > 0.0).then(|| 1.0 - total.residual(&coefficients) / total.hh);
        let variance = (*freedom > 0).then(|| within.residual(&coefficients) / *freedom as f64);

        let mut noisy = Vec::new();
        for (pair, sides) in pairs.iter() {
            let mut vector: Vec<f64> = pair.steering_vector().into_iter().map(f64::from).collect();
            for (covariate, row) in sides.covariates.iter().zip(coefficients.chunks_exact(vector.len().max(1))) {
                vector.iter_mut().zip(row).for_each(|(x, coefficient)| *x -= covariate * coefficient);
            }
            let mean = means.iter().find(|mean| self.center && mean.m == pair.m).map(|mean| &mean.mean);
            let context = match mean {
                Some(mean) => pair.mu_minus.iter().zip(mean).map(|(x, mean)| x - mean).collect(),
                None => pair.mu_minus.clone(),
            };
            noisy.push(Noisy { m: pair.m, context, vector, noise: variance.unwrap_or_default() * sides.noise });
        }
        if self.shrink
            && variance.is_some()
            && let Some(Variances { noise, signal }) = shrink(&mut noisy)?
        {
            let reliability = (signal + noise > 0.0).then(|| signal / (signal + noise));
            estimate = LayerEstimate { noise: Some(noise), signal: Some(signal), reliability, ..estimate };
        }
        if self.deconfound || self.shrink {
            for ((pair, _), Noisy { vector, .. }) in pairs.into_iter().zip(noisy) {
                pair.vector = Some(vector.into_iter().map(|x| x as f32).collect());
            }
        }
        Ok(estimate)
    }
}

/// The reason why vectors could not be corrected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorrectionError {
    /// What length, position and control point explain cannot be told.
    #[error("the states cannot be regressed on length, position and control point")]
    Ridge(#[from] RidgeError),
    /// The contexts could not be clustered.
    #[error("the contexts of the vectors cannot be clustered")]
    Cluster(#[from] BasisError),
}

/// Returns the mean covariates and the mean state; `None` without rows.
fn means(rows: &[(Vec<f64>, Vec<f64>)]) -> Option<(Vec<f64>, Vec<f64>)> {
    let (mut x_sum, mut h_sum) = rows.first()?.clone();
    for (x, h) in &rows[1..] {
        x_sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        h_sum.iter_mut().zip(h).for_each(|(sum, h)| *sum += h);
    }
    x_sum.iter_mut().chain(&mut h_sum).for_each(|sum| *sum /= rows.len() as f64);
    Some((x_sum, h_sum))
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use stir_core::SampleRng;

    use super::*;

    const WIDTH: usize = 6;

    /// Problems whose right answers are shorter. A state is the problem's own, what is right about it (dimension 1), how
    /// much is left (dimension 0), and noise.
    fn planted(problems: usize) -> Vec<Problem> {
        let mut rng = SampleRng::new(3, 0);
        let mut problem = |place: usize| {
            let own: Vec<f64> = (0..WIDTH).map(|_| rng.normal()).collect();
            let mut problem = Problem { id: place.to_string(), ..Problem::default() };
            for walk in 0..8 {
                let right = walk < 4;
                let length = if right { 50 } else { 80 } + rng.below(60);
                let token = 5 + rng.below(20);
                let reading = Reading { walk, at: token, boundary: Boundary { m: 1, token, length } };
                let mut state: Vec<f32> = own.iter().map(|own| (own + 0.3 * rng.normal()) as f32).collect();
                state[0] += 5.0 * ((length - token) as f32).ln();
                state[1] += if right { 2.0 } else { 0.0 };
                problem.states.insert((walk, token), vec![state]);
                problem.all.push(reading);
            }
            problem.sides = vec![problem.all[..4].to_vec(), problem.all[4..].to_vec()];
            let (plus, minus) = (problem.sides[0].clone(), problem.sides[1].clone());
            let comparison = Comparison { m: 1, quality: 1.0, quality_error: None, context: None, plus, minus };
            problem.comparisons = vec![(0, comparison)];
            problem
        };
        (0..problems).map(&mut problem).collect()
    }

    fn corrected(config: &InductionConfig, problems: &[Problem]) -> (Vec<Vec<f32>>, LayerEstimate) {
        let mut statistics = Statistics::new(config, &[0], WIDTH).unwrap();
        problems.iter().for_each(|problem| statistics.add(problem));
        let pairs = problems.iter().map(|problem| {
            let comparison = &problem.comparisons[0].1;
            (problem.pair(comparison, 0, 0), statistics.sides(comparison))
        });
        let mut pairs: Vec<_> = pairs.collect();
        let (mut estimates, _) = statistics.correct(&mut pairs).unwrap();
        (pairs.into_iter().map(|(pair, _)| pair.steering_vector()).collect(), estimates.remove(0))
    }

    fn mean(vectors: &[Vec<f32>], dimension: usize) -> f64 {
        vectors.iter().map(|vector| f64::from(vector[dimension])).sum::<f64>() / vectors.len() as f64
    }

    #[test]
    fn a_planted_direction_of_length_is_removed() {
        let problems = planted(60);
        let (raw, _) = corrected(&InductionConfig { center: true, ..InductionConfig::default() }, &problems);
        let config = InductionConfig { deconfound: true, ..InductionConfig::default() };
        let (clean, estimate) = corrected(&config, &problems);
        assert!(mean(&raw, 0) < -1.5 && mean(&clean, 0).abs() < 0.05 * mean(&raw, 0).abs(), "{}", mean(&clean, 0));
        // What is right about a state is correlated with what is left, so a part of it goes too.
        assert!((1.9..2.1).contains(&mean(&raw, 1)) && (0.8..2.0).contains(&mean(&clean, 1)), "{}", mean(&clean, 1));
        let removed = estimate.removed.unwrap();
        assert!((0.3..0.8).contains(&removed) && estimate.reliability.is_none(), "{removed}");
        assert_eq!(estimate.states, 480);
    }

    #[test]
    fn the_noise_of_sides_is_estimated_and_shrunken_away() {
        let problems = planted(60);
        let config = InductionConfig { deconfound: true, shrink: true, ..InductionConfig::default() };
        let (clean, _) = corrected(&InductionConfig { shrink: false, ..config.clone() }, &problems);
        let (shrunken, estimate) = corrected(&config, &problems);
        assert!(estimate.reliability.unwrap() < 0.25, "{estimate:?}");
        // All problems have the same true vector.
        let error = |vectors: &[Vec<f32>]| -> f64 {
            let means: Vec<f64> = (0..WIDTH).map(|d| mean(&clean, d)).collect();
            let square =
                |vector: &Vec<f32>| vector.iter().zip(&means).map(|(x, m)| (f64::from(*x) - m).powi(2)).sum::<f64>();
            vectors.iter().map(square).sum::<f64>() / vectors.len() as f64
        };
        // At least six dimensions of noise 0.3, two sides of four, and exactly what the vectors scatter by.
        let noise = estimate.noise.unwrap();
        assert!(noise > 6.0 * 0.09 / 2.0 && (error(&clean) / noise - 1.0).abs() < 0.2, "{noise} {}", error(&clean));
        assert!(error(&shrunken) < 0.1 * error(&clean), "{} {}", error(&shrunken), error(&clean));
    }

    #[test]
    fn a_state_that_is_not_finite_is_in_no_sum() {
        let mut problems = planted(3);
        let config = InductionConfig { center: true, deconfound: true, ..InductionConfig::default() };
        let broken = problems[1].all[0];
        problems[1].states.get_mut(&(broken.walk, broken.at)).unwrap()[0][2] = f32::NAN;
        let mut statistics = Statistics::new(&config, &[0], WIDTH).unwrap();
        problems.iter().for_each(|problem| statistics.add(problem));
        let (estimates, means) = statistics.correct(&mut []).unwrap();
        assert_eq!((estimates[0].states, means[0].count), (23, 23));
        assert!(means[0].mean.iter().all(|x| x.is_finite()));
        assert!(Statistics::new(&InductionConfig::default(), &[0], WIDTH).is_none());
    }

    #[test]
    fn covariates_say_length_position_and_control_point() {
        let of = |m, token, length| Statistics::covariates_of(3, Boundary { m, token, length });
        assert_eq!(of(1, 0, 1), [0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(of(2, 4, 10), [6f64.ln(), 5f64.ln(), 0.5, 1.0, 0.0]);
        assert_eq!(of(9, 4, 10)[3..], [0.0, 1.0]);
        assert!(Statistics::covariates_of(0, Boundary { m: 1, token: 0, length: 1 }).is_empty());
    }
}

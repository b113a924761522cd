//! Empirical Bayes: vectors of few samples are drawn toward the mean of their likes.
//!
//! Each vector is its true value and noise of known variance; the true values of a group scatter about the group's mean.
//! The variance of that scatter is estimated by moments, and a vector keeps the share of its deviation from the mean that
//! is signal (Efron and Morris 1975, "Data analysis using Stein's estimator and its generalizations"; Morris 1983,
//! "Parametric empirical Bayes inference"). Variances are sums over dimensions, so a vector has one share for all of them.

use std::collections::BTreeMap;

use stir_basis::{BasisError, cluster_states};

/// A cluster of contexts for every so many vectors of a control point.
const VECTORS_PER_CLUSTER: usize = 16;

/// The fewest vectors of a group whose mean stands for them.
const SMALLEST_GROUP: usize = 4;

/// A vector of one layer that is to be shrunken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Noisy {
    pub(crate) m: usize,
    /// The state that retrieval compares with, `[hidden_size]`.
    pub(crate) context: Vec<f32>,
    /// `[hidden_size]`.
    pub(crate) vector: Vec<f64>,
    /// The variance of the vector's noise, summed over dimensions.
    pub(crate) noise: f64,
}

/// The variances of the vectors of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Variances {
    /// The mean variance of the noise.
    pub(crate) noise: f64,
    /// The variance of the true vectors about the means of their groups.
    pub(crate) signal: f64,
}

/// Shrinks the vectors of one layer. `None`, and nothing is changed, where no two vectors have a mean in common.
///
/// # Errors
/// Those of [`cluster_states`].
pub(crate) fn shrink(noisy: &mut [Noisy]) -> Result<Option<Variances>, BasisError> {
    let groups = groups(noisy)?;
    let members = |group: &[usize]| group.iter().map(|&i| &noisy[i]).collect::<Vec<_>>();
    let (mut spread, mut freedom) = (0.0, 0.0);
    let mut means = Vec::new();
    for group in &groups {
        let group = members(group);
        let (mean, n) = (mean(&group), group.len() as f64);
        for member in &group {
            let squares = member.vector.iter().zip(&mean).map(|(x, mean)| (x - mean).powi(2));
            spread += squares.sum::<f64>() - member.noise * (1.0 - 1.0 / n);
        }
        freedom += n - 1.0;
        means.push(mean);
    }
    if freedom == 0.0 {
        return Ok(None);
    }
    let signal = f64::max(spread / freedom, 0.0);
    for (group, mean) in groups.iter().zip(&means) {
        for &i in group {
            let Noisy { vector, noise, .. } = &mut noisy[i];
            let share = if signal + *noise > 0.0 { signal / (signal + *noise) } else { 1.0 };
            vector.iter_mut().zip(mean).for_each(|(x, mean)| *x = mean + share * (*x - mean));
        }
    }
    let noise = noisy.iter().map(|noisy| noisy.noise).sum::<f64>() / noisy.len() as f64;
    Ok(Some(Variances { noise, signal }))
}

/// Returns the groups of vectors, by place: the clusters of contexts of each control point. What would be alone with
/// fewer than [`SMALLEST_GROUP`] joins the others of its control point, and of its layer, that are.
fn groups(noisy: &[Noisy]) -> Result<Vec<Vec<usize>>, BasisError> {
    let mut points: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, Noisy { m, .. }) in noisy.iter().enumerate() {
        points.entry(*m).or_default().push(i);
    }
    let (mut groups, mut few) = (Vec::new(), Vec::new());
    for point in points.into_values() {
        let clusters = point.len() / VECTORS_PER_CLUSTER;
        let mut rest = Vec::new();
        if clusters > 1 {
            let contexts: Vec<&[f32]> = point.iter().map(|&i| &noisy[i].context[..]).collect();
            let mut by_cluster: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
            for (&i, cluster) in point.iter().zip(cluster_states(&contexts, clusters, 0)?) {
                by_cluster.entry(cluster).or_default().push(i);
            }
            for (cluster, members) in by_cluster {
                let is_group = cluster.is_some() && members.len() >= SMALLEST_GROUP;
                if is_group { groups.push(members) } else { rest.extend(members) }
            }
        } else {
            rest = point;
        }
        if rest.len() >= SMALLEST_GROUP { groups.push(rest) } else { few.extend(rest) }
    }
    groups.extend((!few.is_empty()).then_some(few));
    Ok(groups)
}

fn mean(group: &[&Noisy]) -> Vec<f64> {
    let mut sum = vec![0.0; group.first().map_or(0, |noisy| noisy.vector.len())];
    for noisy in group {
        sum.iter_mut().zip(&noisy.vector).for_each(|(sum, x)| *sum += x);
    }
    sum.iter_mut().for_each(|sum| *sum /= group.len() as f64);
    sum
}

#[cfg(test)]
mod tests {
    use stir_core::SampleRng;

    use super::*;

    const WIDTH: usize = 24;

    /// Vectors of two kinds of context with true values about two means, seen with noise.
    fn planted(n: usize, signal: f64, noise: f64) -> (Vec<Noisy>, Vec<Vec<f64>>) {
        let mut rng = SampleRng::new(5, 0);
        let mut normal = |scale: f64| -> Vec<f64> { (0..WIDTH).map(|_| scale * rng.normal()).collect() };
        let means = [normal(1.0), normal(1.0)];
        let contexts = [normal(1.0), normal(1.0)];
        let (mut noisy, mut truth) = (Vec::new(), Vec::new());
        for i in 0..n {
            let add = |a: &[f64], b: Vec<f64>| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
            // Vectors with more samples have less noise.
            let own = noise / (1 + i % 3) as f64;
            let true_value = add(&means[i % 2], normal((signal / WIDTH as f64).sqrt()));
            let vector = add(&true_value, normal((own / WIDTH as f64).sqrt()));
            let context = add(&contexts[i % 2], normal(0.05)).into_iter().map(|x| x as f32).collect();
            noisy.push(Noisy { m: 1 + i % 3, context, vector, noise: own });
            truth.push(true_value);
        }
        (noisy, truth)
    }

    fn error(noisy: &[Noisy], truth: &[Vec<f64>]) -> f64 {
        let square = |(noisy, truth): (&Noisy, &Vec<f64>)| -> f64 {
            noisy.vector.iter().zip(truth).map(|(x, t)| (x - t).powi(2)).sum()
        };
        noisy.iter().zip(truth).map(square).sum::<f64>() / noisy.len() as f64
    }

    #[test]
    fn shrunken_vectors_are_nearer_to_the_truth_by_what_theory_says() {
        let (signal, noise) = (2.0, 12.0);
        let (mut noisy, truth) = planted(300, signal, noise);
        let before = error(&noisy, &truth);
        let found = shrink(&mut noisy).unwrap().unwrap();
        assert!((found.signal / signal - 1.0).abs() < 0.25, "{found:?}");
        assert!((found.noise / (noise * (1.0 + 0.5 + 1.0 / 3.0) / 3.0) - 1.0).abs() < 1e-9, "{found:?}");
        let after = error(&noisy, &truth);
        // The Bayes risk of one vector is signal noise / (signal + noise).
        let risk = |noise: f64| signal * noise / (signal + noise);
        let expected = (risk(noise) + risk(noise / 2.0) + risk(noise / 3.0)) / 3.0;
        assert!(before > 3.5 * after && after < 1.25 * expected, "{before} {after} {expected}");
    }

    #[test]
    fn without_noise_nothing_moves_and_without_signal_only_means_are_left() {
        let (mut noisy, _) = planted(60, 2.0, 0.0);
        let before = noisy.clone();
        shrink(&mut noisy).unwrap();
        assert!(error(&noisy, &before.iter().map(|n| n.vector.clone()).collect::<Vec<_>>()) < 1e-20);

        let (mut noisy, _) = planted(8, 0.0, 0.0);
        noisy.iter_mut().for_each(|n| n.noise = 1e9);
        assert_eq!(shrink(&mut noisy).unwrap().unwrap().signal, 0.0);
        let mut alone = planted(1, 1.0, 1.0).0;
        let before = alone.clone();
        assert_eq!((shrink(&mut alone).unwrap(), alone), (None, before));
        assert_eq!(shrink(&mut []).unwrap(), None);
    }

    #[test]
    fn no_group_is_small_where_there_are_others_to_join() {
        let (mut noisy, _) = planted(100, 1.0, 1.0);
        noisy[0].context.fill(0.0);
        noisy.iter_mut().skip(97).for_each(|n| n.m = 9);
        let groups = groups(&noisy).unwrap();
        let mut all: Vec<usize> = groups.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(groups.len() >= 4);
        let small: Vec<&Vec<usize>> = groups.iter().filter(|group| group.len() < SMALLEST_GROUP).collect();
        assert!(small.len() <= 1 && groups.last().unwrap().contains(&97));
    }
}

//! Clustering of unit keys with linfa, whose types (and ndarray's) do not leave this module.

use linfa::{
    DatasetBase, ParamGuard,
    traits::{Fit, Predict, Transformer},
};
use linfa_clustering::{Dbscan, DbscanParamsError, KMeans, KMeansError, KMeansInit};
use ndarray::{Array2, ShapeError};
use stir_core::SampleRng;

use crate::vector::dot;

/// A fault of the clustering of keys.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ClusterError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    KMeans(#[from] KMeansError),
    #[error(transparent)]
    Dbscan(#[from] DbscanParamsError),
}

/// Returns the k-means cluster of each of `n` keys, `keys` being `[n, width]`.
pub(crate) fn kmeans(
    keys: &[f32],
    n: usize,
    clusters: usize,
    rng: &mut SampleRng,
) -> Result<Vec<Option<usize>>, ClusterError> {
    let width = keys.len() / n;
    let seeds = plus_plus(keys, width, clusters, rng);
    let centroids: Vec<f32> = seeds.iter().flat_map(|&i| row(keys, width, i)).copied().collect();
    let data = DatasetBase::from(matrix(keys, n)?);
    // With the first centroids given, linfa's own generator is never asked and one run is all there is to run.
    let model = KMeans::params(clusters)
        .init_method(KMeansInit::Precomputed(matrix(&centroids, clusters)?))
        .n_runs(1)
        .fit(&data)
        .map_err(Fault::from)?;
    Ok(model.predict(data.records()).into_iter().map(Some).collect())
}

/// Returns the density cluster of each of `n` keys, `keys` being `[n, width]`; `None` for noise.
pub(crate) fn dbscan(
    keys: &[f32],
    n: usize,
    tolerance: f64,
    min_points: usize,
) -> Result<Vec<Option<usize>>, ClusterError> {
    let params = Dbscan::params(min_points).tolerance(tolerance as f32).check().map_err(Fault::from)?;
    Ok(params.transform(&matrix(keys, n)?).into_iter().collect())
}

/// Returns the key nearest the mean of the members of each cluster, in order of the clusters; ties to the lower index.
///
/// The means are taken here, in f64: linfa's k-means counts a cluster's old centroid as one more member.
pub(crate) fn nearest_to_centroids(keys: &[f32], labels: &[Option<usize>]) -> Vec<usize> {
    let clusters = labels.iter().flatten().max().map_or(0, |last| last + 1);
    let width = keys.len() / labels.len().max(1);
    let mut sums = vec![0.0; clusters * width];
    let mut sizes = vec![0.0; clusters];
    let members = || labels.iter().enumerate().filter_map(|(i, label)| Some((i, (*label)?)));
    for (i, cluster) in members() {
        sizes[cluster] += 1.0;
        sums[cluster * width..].iter_mut().zip(row(keys, width, i)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let mut nearest: Vec<Option<(f64, usize)>> = vec![None; clusters];
    for (i, cluster) in members() {
        let sum = &sums[cluster * width..][..width];
        let distance: f64 =
            sum.iter().zip(row(keys, width, i)).map(|(s, &x)| (s / sizes[cluster] - f64::from(x)).powi(2)).sum();
        if nearest[cluster].is_none_or(|(least, _)| distance < least) {
            nearest[cluster] = Some((distance, i));
        }
    }
    nearest.into_iter().flatten().map(|(_, i)| i).collect()
}

/// Returns the first centroids: each drawn with probability proportional to the squared distance from those before it
/// (Arthur and Vassilvitskii 2007, "k-means++"). Distances between unit keys are `2 - 2 <a, b>`.
fn plus_plus(keys: &[f32], width: usize, clusters: usize, rng: &mut SampleRng) -> Vec<usize> {
    let n = keys.len() / width;
    let mut centroids = vec![rng.below(n)];
    let mut distance = vec![f64::INFINITY; n];
    while let Some(&last) = centroids.last()
        && centroids.len() < clusters
    {
        for (i, distance) in distance.iter_mut().enumerate() {
            let cosine: f64 = dot(row(keys, width, i), row(keys, width, last));
            *distance = distance.min((2.0 - 2.0 * cosine).max(0.0));
        }
        let mut left = rng.uniform() * distance.iter().sum::<f64>();
        let drawn = distance.iter().position(|d| {
            left -= d;
            left < 0.0
        });
        // Nothing is drawn when every key coincides with a centroid: the cluster will be empty.
        centroids.push(drawn.unwrap_or(last));
    }
    centroids
}

fn matrix(keys: &[f32], n: usize) -> Result<Array2<f32>, Fault> {
    Ok(Array2::from_shape_vec((n, keys.len() / n), keys.to_vec())?)
}

fn row(keys: &[f32], width: usize, i: usize) -> &[f32] {
    &keys[i * width..][..width]
}

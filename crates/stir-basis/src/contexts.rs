use crate::BasisError;

/// Returns the k-means cluster of each of `states`, compared by direction alone, as retrieval does. `None` for a state that
/// is zero or not finite.
///
/// # Shapes
/// Each state: `[width]`.
///
/// # Errors
/// [`BasisError::NoClustering`] without the feature `clustering`.
#[cfg(not(feature = "clustering"))]
pub fn cluster_states(_: &[&[f32]], _: usize, _: u64) -> Result<Vec<Option<usize>>, BasisError> {
    Err(BasisError::NoClustering { method: crate::SelectionMethod::KMeans { seed: 0 }.name() })
}

/// Returns the k-means cluster of each of `states`, compared by direction alone, as retrieval does. `None` for a state that
/// is zero or not finite. `clusters` is lowered to the number of states that can be used.
///
/// ```
/// let states = [[2.0, 0.1], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]];
/// let states: Vec<&[f32]> = states.iter().map(|state| &state[..]).collect();
/// let clusters = stir_basis::cluster_states(&states, 2, 0)?;
/// assert!(clusters[0] == clusters[2] && clusters[0] != clusters[1]);
/// assert_eq!(clusters[3], None);
/// # Ok::<(), stir_basis::BasisError>(())
/// ```
///
/// # Shapes
/// Each state: `[width]`.
///
/// # Errors
/// [`BasisError::Cluster`] for states of different widths; [`BasisError::NoClustering`] without the feature `clustering`.
#[cfg(feature = "clustering")]
pub fn cluster_states(states: &[&[f32]], clusters: usize, seed: u64) -> Result<Vec<Option<usize>>, BasisError> {
    let keys: Vec<Option<Vec<f32>>> = states.iter().map(|state| crate::normalize(state)).collect();
    let usable: Vec<f32> = keys.iter().flatten().flatten().copied().collect();
    let n = keys.iter().flatten().count();
    if n == 0 {
        return Ok(vec![None; states.len()]);
    }
    let mut rng = stir_core::SampleRng::new(seed, 0);
    let mut labels = crate::cluster::kmeans(&usable, n, clusters.clamp(1, n), &mut rng)?.into_iter();
    Ok(keys.iter().map(|key| key.as_ref().and_then(|_| labels.next().flatten())).collect())
}

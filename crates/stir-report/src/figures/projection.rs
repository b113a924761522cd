//! Points of many dimensions in two, for looking at them.

use bhtsne::tSNE;

/// Two coordinates per point.
pub(crate) type Plane = Vec<[f64; 2]>;

/// Rounds of the iteration that finds the principal components, at most.
const ROUNDS: usize = 300;
/// Fewest points that t-SNE says anything about.
const FEWEST: usize = 12;

/// Inner products of centred points, `[n, n]`: all that both projections need.
pub(crate) struct Gram {
    n: usize,
    products: Vec<f64>,
}

impl Gram {
    /// Projects points of equal width.
    pub(crate) fn new(points: &[&[f32]]) -> Self {
        let n = points.len();
        let width = points.iter().map(|point| point.len()).min().unwrap_or(0);
        let mean = |i: usize| points.iter().map(|point| f64::from(point[i])).sum::<f64>() / n as f64;
        let means: Vec<f64> = (0..width).map(mean).collect();
        let centre =
            |point: &&[f32]| -> Vec<f64> { point.iter().zip(&means).map(|(&x, m)| f64::from(x) - m).collect() };
        let centred: Vec<Vec<f64>> = points.iter().map(centre).collect();
        let mut products = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let product = dot(&centred[i], &centred[j]);
                (products[i * n + j], products[j * n + i]) = (product, product);
            }
        }
        Self { n, products }
    }

    /// Returns the first two principal components, and which part of the variance each explains.
    ///
    /// Their scores are the leading eigenvectors of the Gram matrix, found by orthogonal iteration. Of the two signs,
    /// the one that puts the farthest point on the positive side is taken, so that the same points give the same plane.
    pub(crate) fn principal(&self) -> (Plane, [f64; 2]) {
        let n = self.n;
        // Any start that is not orthogonal to what is sought will do; this one is not for any data that is met.
        let start = |k: f64| (0..n).map(|i| (k * (i as f64 + 1.0) * 0.754_877_666).fract() - 0.5).collect::<Vec<f64>>();
        // Two more than wanted: what limits convergence is then the fifth component.
        let mut basis = [start(1.0), start(2.0), start(3.0), start(5.0)];
        orthonormalize(&mut basis);
        let mut values = [0.0; 4];
        for _ in 0..ROUNDS {
            let mut next = basis.clone();
            next.iter_mut().zip(&basis).for_each(|(next, vector)| *next = self.times(vector));
            let found = basis.clone().map(|_| 0.0);
            let mut found = found;
            for (value, (vector, image)) in found.iter_mut().zip(basis.iter().zip(&next)) {
                *value = dot(vector, image);
            }
            orthonormalize(&mut next);
            let settled = found.iter().zip(values).take(2).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs());
            (basis, values) = (next, found);
            if settled {
                break;
            }
        }
        let total: f64 = (0..n).map(|i| self.products[i * n + i]).sum();
        let explained = [values[0], values[1]].map(|value| if total > 0.0 { value / total } else { 0.0 });
        let scores = [0, 1].map(|k| {
            let vector = &basis[k];
            let farthest =
                vector.iter().copied().fold(0.0f64, |far, x| if x.abs() > far.abs() + 1e-9 { x } else { far });
            let factor = values[k].max(0.0).sqrt() * if farthest < 0.0 { -1.0 } else { 1.0 };
            vector.iter().map(|x| x * factor).collect::<Vec<f64>>()
        });
        ((0..n).map(|i| [scores[0][i], scores[1][i]]).collect(), explained)
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        if self.n == 0 {
            return vec![];
        }
        self.products.chunks(self.n).map(|row| dot(row, vector)).collect()
    }

    /// Returns the t-SNE embedding (van der Maaten and Hinton 2008), started from the principal components, which keeps
    /// the large structure and makes it repeatable (Kobak and Berens 2019); `None` for too few points.
    ///
    /// On one thread: sums over threads come in an order of their own.
    pub(crate) fn neighbours(&self, start: &Plane) -> Option<Plane> {
        let n = self.n;
        if n < FEWEST || self.products.iter().any(|product| !product.is_finite()) {
            return None;
        }
        let spread = (start.iter().map(|[x, _]| x * x).sum::<f64>() / n as f64).sqrt();
        if spread <= 0.0 {
            return None;
        }
        let begin: Vec<f64> = start.iter().flatten().map(|x| 1e-4 * x / spread).collect();
        let indices: Vec<usize> = (0..n).collect();
        let distance = |&i: &usize, &j: &usize| {
            let at = |i: usize, j: usize| self.products[i * n + j];
            (at(i, i) + at(j, j) - 2.0 * at(i, j)).max(0.0).sqrt()
        };
        let fit = || {
            let mut tsne: tSNE<'_, f64, usize, 2> = tSNE::new(&indices);
            tsne.perplexity(((n - 1) as f64 / 3.0).floor().min(30.0)).initial_embedding(begin).exact(distance);
            tsne.embedding()
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
        let flat = pool.install(fit);
        Some(flat.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Orthonormalizes by Gram and Schmidt; a vector that depends on those before it becomes zero.
fn orthonormalize(vectors: &mut [Vec<f64>; 4]) {
    for k in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(k);
        let vector = &mut rest[0];
        let size = dot(vector, vector).sqrt();
        // Twice: once leaves what rounding brings back.
        for other in before.iter().chain(before.iter()) {
            let along = dot(vector, other);
            vector.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
        }
        let norm = dot(vector, vector).sqrt();
        let factor = if norm > 1e-10 * size { 1.0 / norm } else { 0.0 };
        vector.iter_mut().for_each(|x| *x *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 points in 6 dimensions, spread 5, 2 and a little.
    fn points() -> Vec<Vec<f32>> {
        let wave = |i: usize, k: f64| (k * i as f64).sin() as f32;
        (0..40)
            .map(|i| {
                let (a, b) = (5.0 * wave(i, 0.37), 2.0 * wave(i, 1.31));
                vec![a + 1.0, b, a - b, 0.1 * wave(i, 2.3), 0.5 * b, 3.0]
            })
            .collect()
    }

    #[test]
    fn points_in_a_plane_keep_their_distances() {
        let points = points();
        let rows: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
        let (plane, explained) = Gram::new(&rows).principal();
        assert!(explained[0] > explained[1] && explained.iter().sum::<f64>() > 0.999, "{explained:?}");
        for i in 0..40 {
            for j in 0..i {
                let wide: f64 = (0..6).map(|k| f64::from(points[i][k] - points[j][k]).powi(2)).sum::<f64>().sqrt();
                let flat = (plane[i][0] - plane[j][0]).hypot(plane[i][1] - plane[j][1]);
                assert!((wide - flat).abs() < 0.25, "{i} {j}: {wide} {flat}");
            }
        }
    }

    #[test]
    fn two_clusters_stay_apart_and_come_out_the_same() {
        let mut points = points();
        points.iter_mut().skip(20).for_each(|point| point[3] += 60.0);
        let rows: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
        let gram = Gram::new(&rows);
        let (start, _) = gram.principal();
        let found = gram.neighbours(&start).unwrap();
        assert_eq!(found, gram.neighbours(&start).unwrap());
        let near = |i: usize, j: usize| (found[i][0] - found[j][0]).hypot(found[i][1] - found[j][1]);
        for i in 0..40 {
            let closest = (0..40).filter(|&j| j != i).min_by(|&a, &b| near(i, a).total_cmp(&near(i, b))).unwrap();
            assert_eq!(i < 20, closest < 20, "{i} {closest}");
        }
    }

    #[test]
    fn nothing_and_nonsense_give_no_panic() {
        assert!(Gram::new(&[]).principal().0.is_empty());
        let same = vec![[1.0f32, 2.0]; 30];
        let rows: Vec<&[f32]> = same.iter().map(|row| &row[..]).collect();
        let gram = Gram::new(&rows);
        let (plane, explained) = gram.principal();
        assert_eq!((plane.len(), explained), (30, [0.0, 0.0]));
        assert_eq!(gram.neighbours(&plane), None);
        let broken = vec![[f32::NAN, 1.0]; 30];
        let rows: Vec<&[f32]> = broken.iter().map(|row| &row[..]).collect();
        let gram = Gram::new(&rows);
        assert_eq!(gram.neighbours(&gram.principal().0), None);
    }
}

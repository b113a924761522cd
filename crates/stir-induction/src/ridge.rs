//! Ridge regression of states on covariates, from sums that are streamed.

/// The penalty: as if one more state had been seen, at the mean, for every standardised covariate.
const PENALTY: f64 = 1.0;

/// A sum of squares below this share of the one about zero is what rounding leaves of a constant.
const ROUNDING: f64 = 1e-10;

/// The regression has no solution, because what it is made of is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sums of states and covariates are not finite")]
pub struct RidgeError;

/// Sums of products of covariates `x` (`[p]`) and states `h` (`[width]`), which are never held themselves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Products {
    covariates: usize,
    width: usize,
    /// `[p, p]`.
    xx: Vec<f64>,
    /// `[p, width]`.
    xh: Vec<f64>,
    /// The sum of squares of the states.
    pub(crate) hh: f64,
}

impl Products {
    pub(crate) fn new(covariates: usize, width: usize) -> Self {
        let (xx, xh) = (vec![0.0; covariates * covariates], vec![0.0; covariates * width]);
        Self { covariates, width, xx, xh, hh: 0.0 }
    }

    pub(crate) fn add(&mut self, x: &[f64], h: &[f64]) {
        self.add_times(1.0, x, h);
    }

    fn add_times(&mut self, factor: f64, x: &[f64], h: &[f64]) {
        for (i, &xi) in x.iter().enumerate().filter(|(_, xi)| **xi != 0.0) {
            for (sum, &xj) in self.xx[i * self.covariates..].iter_mut().zip(x) {
                *sum += factor * xi * xj;
            }
            for (sum, &h) in self.xh[i * self.width..][..self.width].iter_mut().zip(h) {
                *sum += factor * xi * h;
            }
        }
        self.hh += factor * h.iter().map(|h| h * h).sum::<f64>();
    }

    /// Returns the sum of squares that is left of the states when `coefficients`, `[p, width]`, times the covariates are
    /// taken out.
    pub(crate) fn residual(&self, coefficients: &[f64]) -> f64 {
        let mut left = self.hh;
        for (i, row) in coefficients.chunks_exact(self.width.max(1)).enumerate() {
            left -= 2.0 * dot(row, &self.xh[i * self.width..]);
            for (j, other) in coefficients.chunks_exact(self.width.max(1)).enumerate() {
                left += self.xx[i * self.covariates + j] * dot(row, other);
            }
        }
        left.max(0.0)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The first and second moments of covariates and states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    x: Vec<f64>,
    h: Vec<f64>,
    products: Products,
}

impl Moments {
    pub(crate) fn new(covariates: usize, width: usize) -> Self {
        let products = Products::new(covariates, width);
        Self { count: 0, x: vec![0.0; covariates], h: vec![0.0; width], products }
    }

    pub(crate) fn add(&mut self, x: &[f64], h: &[f64]) {
        self.count += 1;
        self.x.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        self.h.iter_mut().zip(h).for_each(|(sum, h)| *sum += h);
        self.products.add(x, h);
    }

    /// Returns the products of the deviations from the means.
    pub(crate) fn centred(&self) -> Products {
        let mut centred = self.products.clone();
        let n = (self.count as f64).max(1.0);
        centred.add_times(-1.0 / n, &self.x, &self.h);
        for i in 0..self.x.len() {
            let diagonal = i * self.x.len() + i;
            if centred.xx[diagonal] <= ROUNDING * self.products.xx[diagonal] {
                // A covariate that does not vary explains nothing.
                for j in 0..self.x.len() {
                    centred.xx[i * self.x.len() + j] = 0.0;
                    centred.xx[j * self.x.len() + i] = 0.0;
                }
                centred.xh[i * self.h.len()..][..self.h.len()].fill(0.0);
            }
        }
        centred
    }

    /// Returns the coefficients of the states on the covariates, `[p, width]`: ridge regression with an intercept, which
    /// is not penalised and not returned, on covariates of variance 1.
    ///
    /// # Errors
    /// [`RidgeError`] for numbers that are not finite.
    pub(crate) fn ridge(&self) -> Result<Vec<f64>, RidgeError> {
        let Products { covariates: p, width, xx, xh, .. } = self.centred();
        if p == 0 {
            return Ok(Vec::new());
        }
        let scale: Vec<f64> = (0..p).map(|i| xx[i * p + i].sqrt()).map(|s| if s > 0.0 { s } else { 1.0 }).collect();
        let correlation = |(i, j): (usize, usize)| {
            let penalty = PENALTY / (self.count as f64).max(1.0);
            let constant = if xx[i * p + i] > 0.0 { 0.0 } else { 1.0 };
            xx[i * p + j] / (scale[i] * scale[j]) + if i == j { penalty + constant } else { 0.0 }
        };
        let mut matrix: Vec<f64> = (0..p * p).map(|at| correlation((at / p, at % p))).collect();
        let mut solved = xh;
        for (row, scale) in solved.chunks_exact_mut(width.max(1)).zip(&scale) {
            row.iter_mut().for_each(|x| *x /= scale);
        }
        solve(&mut matrix, &mut solved, p, width).ok_or(RidgeError)?;
        for (row, scale) in solved.chunks_exact_mut(width.max(1)).zip(&scale) {
            row.iter_mut().for_each(|x| *x /= scale);
        }
        Ok(solved)
    }
}

/// Solves `a x = b` in the place of `b`, `[p, width]`, by the Cholesky factors of `a`, `[p, p]`, which is symmetric; `None`
/// if it is not positive definite. There are a few dozen covariates at most: a library for this would be half of what
/// the crate depends on.
fn solve(a: &mut [f64], b: &mut [f64], p: usize, width: usize) -> Option<()> {
    for j in 0..p {
        for i in j..p {
            let product: f64 = (0..j).map(|k| a[i * p + k] * a[j * p + k]).sum();
            let left = a[i * p + j] - product;
            a[i * p + j] = if i == j { Some(left.sqrt()).filter(|root| *root > 0.0)? } else { left / a[j * p + j] };
        }
    }
    // First with the lower factor, downwards, then with its transpose, upwards.
    for i in 0..p {
        for k in 0..i {
            take_off(b, i, k, width, a[i * p + k]);
        }
        b[i * width..][..width].iter_mut().for_each(|x| *x /= a[i * p + i]);
    }
    for i in (0..p).rev() {
        for k in i + 1..p {
            take_off(b, i, k, width, a[k * p + i]);
        }
        b[i * width..][..width].iter_mut().for_each(|x| *x /= a[i * p + i]);
    }
    Some(())
}

/// Subtracts `factor` times row `from` from row `row`.
fn take_off(b: &mut [f64], row: usize, from: usize, width: usize, factor: f64) {
    for column in 0..width {
        b[row * width + column] -= factor * b[from * width + column];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = (Vec<f64>, Vec<f64>);

    /// Least squares by gradient descent on rows that were put next to each other: another way to the same numbers.
    fn descend(rows: &[Row]) -> Vec<f64> {
        let (n, p, width) = (rows.len() as f64, rows[0].0.len(), rows[0].1.len());
        let mean = |pick: &dyn Fn(&Row) -> f64| rows.iter().map(pick).sum::<f64>() / n;
        let x_mean: Vec<f64> = (0..p).map(|i| mean(&|row| row.0[i])).collect();
        let h_mean: Vec<f64> = (0..width).map(|d| mean(&|row| row.1[d])).collect();
        let deviation: Vec<f64> = (0..p).map(|i| mean(&|row| (row.0[i] - x_mean[i]).powi(2)).sqrt()).collect();
        let mut b = vec![0.0; p * width];
        for _ in 0..20_000 {
            let mut gradient: Vec<f64> = b.iter().map(|b| PENALTY * b / n).collect();
            for (x, h) in rows {
                let z: Vec<f64> = (0..p).map(|i| (x[i] - x_mean[i]) / deviation[i]).collect();
                for d in 0..width {
                    let error = (0..p).map(|i| z[i] * b[i * width + d]).sum::<f64>() - (h[d] - h_mean[d]);
                    (0..p).for_each(|i| gradient[i * width + d] += z[i] * error / n);
                }
            }
            b.iter_mut().zip(&gradient).for_each(|(b, g)| *b -= 0.3 * g);
        }
        b.iter().enumerate().map(|(at, b)| b / deviation[at / width]).collect()
    }

    fn rows(n: usize, p: usize, width: usize) -> impl Strategy<Value = Vec<Row>> {
        let row = (prop::collection::vec(-3.0..3.0f64, p), prop::collection::vec(-3.0..3.0f64, width));
        prop::collection::vec(row, n)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn streamed_sums_give_what_descent_on_all_rows_finds(rows in rows(30, 3, 2)) {
            let mut moments = Moments::new(3, 2);
            rows.iter().for_each(|(x, h)| moments.add(x, h));
            let (found, expected) = (moments.ridge().unwrap(), descend(&rows));
            for (a, b) in found.iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-6, "{found:?} {expected:?}");
            }
            let n = rows.len() as f64;
            let mean = |pick: &dyn Fn(&Row) -> f64| rows.iter().map(pick).sum::<f64>() / n;
            let (x_mean, h_mean): (Vec<f64>, Vec<f64>) =
                ((0..3).map(|i| mean(&|row| row.0[i])).collect(), (0..2).map(|d| mean(&|row| row.1[d])).collect());
            let left: f64 = rows.iter().map(|(x, h)| {
                (0..2).map(|d| {
                    let fitted: f64 = (0..3).map(|i| found[i * 2 + d] * (x[i] - x_mean[i])).sum();
                    (h[d] - h_mean[d] - fitted).powi(2)
                }).sum::<f64>()
            }).sum();
            prop_assert!((moments.centred().residual(&found) - left).abs() < 1e-8);
        }
    }

    #[test]
    fn a_covariate_that_does_not_vary_explains_nothing() {
        let mut moments = Moments::new(2, 1);
        for i in 0..20 {
            moments.add(&[0.1, f64::from(i)], &[3.0 * f64::from(i) + 7.0]);
        }
        let found = moments.ridge().unwrap();
        assert!(found[0] == 0.0 && (found[1] - 3.0).abs() < 0.2, "{found:?}");
        assert_eq!(Moments::new(0, 3).ridge().unwrap(), Vec::<f64>::new());
        assert_eq!(Moments::new(1, 1).ridge().unwrap(), [0.0]);
        moments.add(&[f64::NAN, 0.0], &[1.0]);
        assert_eq!(moments.ridge(), Err(RidgeError));
    }
}

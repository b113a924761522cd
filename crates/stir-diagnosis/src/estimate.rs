use serde::{Deserialize, Serialize};

/// A mean over problems, with its standard error.
///
/// The rows of a problem resemble each other, so the problem is the unit: the error is that of the jackknife that leaves
/// out one problem at a time (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error; `None` with fewer than two problems.
    pub standard_error: Option<f64>,
    /// The number of problems that it rests on.
    pub problems: usize,
}

/// Standard errors that make an interval of about 95 %.
pub(crate) const INTERVAL: f64 = 2.0;

impl Estimate {
    /// Returns the sum of numerators over the sum of denominators, given one of each for every problem; `None` if nothing
    /// is in the denominators.
    pub(crate) fn ratio(parts: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let parts: Vec<(f64, f64)> = parts.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        let (sum, weight) = parts.iter().fold((0.0, 0.0), |(s, w), part| (s + part.0, w + part.1));
        let left_out = parts.iter().map(|(s, w)| (sum - s) / (weight - w));
        (!parts.is_empty()).then(|| Self::jackknife(sum / weight, left_out.collect()))
    }

    /// Returns the mean of one value for every problem.
    pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        Self::ratio(values.into_iter().map(|value| (value, 1.0)))
    }

    /// Returns `value` with the error that follows from the values with one problem left out.
    pub(crate) fn jackknife(value: f64, left_out: Vec<f64>) -> Self {
        let problems = left_out.len();
        let n = problems as f64;
        let mean = left_out.iter().sum::<f64>() / n;
        let squares: f64 = left_out.iter().map(|x| (x - mean).powi(2)).sum();
        let standard_error = (problems >= 2).then(|| (squares * (n - 1.0) / n).sqrt());
        Self { value, standard_error, problems }
    }

    /// Returns the ends of the interval of about 95 %; `None` where there is no standard error.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.standard_error.map(|error| (self.value - INTERVAL * error, self.value + INTERVAL * error))
    }

    /// Returns whether the whole interval lies above `bound`.
    pub fn above(&self, bound: f64) -> bool {
        self.interval().is_some_and(|(low, _)| low > bound)
    }

    /// Returns whether the whole interval lies below `bound`.
    pub fn below(&self, bound: f64) -> bool {
        self.interval().is_some_and(|(_, high)| high < bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let found = Estimate::mean([1.0, 2.0, 4.0, 9.0]).unwrap();
        let variance = [3.0f64, 2.0, 0.0, 5.0].iter().map(|d| d * d).sum::<f64>() / 3.0;
        assert!((found.value - 4.0).abs() < 1e-12);
        assert!((found.standard_error.unwrap() - (variance / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Estimate::mean([3.0]).unwrap().standard_error, None);
        assert_eq!(Estimate::ratio([(0.0, 0.0)]), None);
        assert!(found.above(0.0) && found.below(9.0) && !found.above(2.0) && !found.below(5.0));
    }
}

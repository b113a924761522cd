use serde::{Deserialize, Serialize};

/// Where the middle nine tenths of some numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// The 5 % quantile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The 95 % quantile.
    pub high: f64,
}

impl Quantiles {
    /// Returns the quantiles of `values`, interpolated linearly; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let below = (place.floor() as usize).min(last);
            let above = (below + 1).min(last);
            values[below] + (place - below as f64) * (values[above] - values[below])
        };
        Some(Self { low: at(0.05), median: at(0.5), high: at(0.95) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.percentile(values, [5, 50, 95])`.
    #[test]
    fn quantiles_are_interpolated() {
        let found = Quantiles::of([4.0, 1.0, 2.0, 10.0]).unwrap();
        for (found, expected) in [(found.low, 1.15), (found.median, 3.0), (found.high, 9.1)] {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(Quantiles::of([7.0]), Some(Quantiles { low: 7.0, median: 7.0, high: 7.0 }));
        assert_eq!(Quantiles::of([]), None);
    }
}

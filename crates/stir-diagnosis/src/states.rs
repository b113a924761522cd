use std::collections::HashMap;

use stir_rollout::Boundary;

use crate::DiagnosisError;

/// The largest number that a column may hold: what an integer of 64 bits with a sign can.
const LARGEST: usize = i64::MAX as usize;

/// The states of one layer at segment boundaries: the residual stream after the layer, at the boundary token.
///
/// A row is a boundary of a rollout. A diagnosis is about problems that have right and wrong rollouts; others may be there,
/// and only add to what is known about the states as such. The order of the rows does not matter.
///
/// ```
/// use stir_diagnosis::{Boundary, States};
/// let at = |sample, right| Boundary { problem: 0, sample, m: 1, token: 7, length: 20, right };
/// let states = States::new(2, vec![at(0, true), at(1, false)], vec![1.0, 0.5, -1.0, 0.5])?;
/// assert_eq!(states.row(1), [-1.0, 0.5]);
/// let error = States::new(1, vec![at(0, true)], vec![f32::NAN]).unwrap_err();
/// assert_eq!(error.to_string(), "row 0: states is NaN, must be finite");
/// # Ok::<(), stir_diagnosis::DiagnosisError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct States {
    hidden_size: usize,
    boundaries: Vec<Boundary>,
    values: Vec<f32>,
}

impl States {
    /// Creates states of `boundaries`.
    ///
    /// # Shapes
    /// `values`: `[boundaries, hidden_size]`, row by row.
    ///
    /// # Errors
    /// [`DiagnosisError::Size`] without rows, for a width of 0, and for another number of values;
    /// [`DiagnosisError::Row`] for the first row with a value that is not finite, `m` of 0, a token outside its answer,
    /// a place that an earlier row has (problem, sample and `m`), or another length or judgement than an earlier row of
    /// the same rollout.
    pub fn new(hidden_size: usize, boundaries: Vec<Boundary>, values: Vec<f32>) -> Result<Self, DiagnosisError> {
        let size = |field, found, bound: String| Err(DiagnosisError::Size { field, found, bound });
        if hidden_size == 0 {
            return size("a state", 0, ">= 1".to_owned());
        }
        if boundaries.is_empty() {
            return size("the list of boundaries", 0, ">= 1".to_owned());
        }
        if boundaries.len().checked_mul(hidden_size) != Some(values.len()) {
            return size("the states", values.len(), format!("{} rows of {hidden_size}", boundaries.len()));
        }
        check(&boundaries)?;
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(fault(place / hidden_size, "states", values[place], "finite"));
        }
        Ok(Self { hidden_size, boundaries, values })
    }

    /// Returns the width of a state.
    pub fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// Returns the boundaries, row by row; at least one.
    pub fn boundaries(&self) -> &[Boundary] {
        &self.boundaries
    }

    /// Returns the values, `[rows, hidden_size]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the state of row `row`, `[hidden_size]`; empty if there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        self.values.chunks_exact(self.hidden_size).nth(row).unwrap_or_default()
    }
}

fn check(boundaries: &[Boundary]) -> Result<(), DiagnosisError> {
    let mut places = HashMap::new();
    let mut rollouts: HashMap<(usize, usize), (usize, &Boundary)> = HashMap::new();
    for (row, b) in boundaries.iter().enumerate() {
        for (field, value) in [("problem", b.problem), ("sample", b.sample), ("m", b.m), ("length", b.length)] {
            if value > LARGEST {
                return Err(fault(row, field, value, "below 2^63"));
            }
        }
        if b.m == 0 {
            return Err(fault(row, "m", 0, ">= 1"));
        }
        if b.token >= b.length {
            return Err(fault(row, "token", b.token, format!("below the length, {}", b.length)));
        }
        if let Some(first) = places.insert((b.problem, b.sample, b.m), row) {
            let value = format!("{} of sample {} of problem {}", b.m, b.sample, b.problem);
            return Err(fault(row, "m", value, format!("another than that of row {first}")));
        }
        let (first, same) = *rollouts.entry((b.problem, b.sample)).or_insert((row, b));
        if same.length != b.length {
            return Err(fault(row, "length", b.length, format!("{}, as in row {first}", same.length)));
        }
        if same.right != b.right {
            return Err(fault(row, "right", b.right, format!("{}, as in row {first}", same.right)));
        }
    }
    Ok(())
}

pub(crate) fn fault(
    row: usize,
    field: &'static str,
    value: impl std::fmt::Display,
    bound: impl Into<String>,
) -> DiagnosisError {
    DiagnosisError::Row { row, field, value: value.to_string(), bound: bound.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sample: usize, m: usize) -> Boundary {
        Boundary { problem: 4, sample, m, token: 3 * m, length: 30, right: sample == 0 }
    }

    #[test]
    fn every_bound_is_named() {
        let one = |b: Boundary| States::new(1, vec![at(0, 1), b], vec![0.0; 2]).unwrap_err().to_string();
        assert_eq!(one(Boundary { m: 0, ..at(1, 1) }), "row 1: m is 0, must be >= 1");
        assert_eq!(one(Boundary { token: 30, ..at(1, 1) }), "row 1: token is 30, must be below the length, 30");
        assert_eq!(
            one(Boundary { problem: usize::MAX, ..at(1, 1) }),
            format!("row 1: problem is {}, must be below 2^63", usize::MAX)
        );
        assert_eq!(one(at(0, 1)), "row 1: m is 1 of sample 0 of problem 4, must be another than that of row 0");
        assert_eq!(one(Boundary { length: 31, ..at(0, 2) }), "row 1: length is 31, must be 30, as in row 0");
        assert_eq!(one(Boundary { right: false, ..at(0, 2) }), "row 1: right is false, must be true, as in row 0");
        let size = |width, rows: usize, values| {
            let rows = (1..=rows).map(|m| at(0, m)).collect();
            States::new(width, rows, vec![0.0; values]).unwrap_err().to_string()
        };
        assert_eq!(size(0, 1, 0), "the size of a state is 0, must be >= 1");
        assert_eq!(size(1, 0, 0), "the size of the list of boundaries is 0, must be >= 1");
        assert_eq!(size(2, 2, 3), "the size of the states is 3, must be 2 rows of 2");
        for bad in [f32::NAN, f32::INFINITY] {
            let error = States::new(2, vec![at(0, 1), at(0, 2)], vec![0.0, 0.0, 0.0, bad]).unwrap_err();
            assert_eq!(error.to_string(), format!("row 1: states is {bad}, must be finite"));
        }
    }
}

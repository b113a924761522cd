//! What is read of one problem, and what is contrasted.

use std::collections::HashMap;

use stir_basis::Pair;

/// A boundary of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// The control point; 0 for the end of the prompt.
    pub(crate) m: usize,
    /// The index of the boundary token in the answer.
    pub(crate) token: usize,
    /// The number of tokens of the answer.
    pub(crate) length: usize,
}

/// A state that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The walk that reads it, and the index of its token there.
    pub(crate) walk: usize,
    pub(crate) at: usize,
    pub(crate) boundary: Boundary,
}

/// Two sides whose mean states are subtracted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) m: usize,
    pub(crate) quality: f64,
    pub(crate) quality_error: Option<f64>,
    /// The state to steer at, where it is not that of the failures.
    pub(crate) context: Option<Reading>,
    pub(crate) plus: Vec<Reading>,
    pub(crate) minus: Vec<Reading>,
}

/// A problem with answers that are still running.
#[derive(Debug, Default)]
pub(crate) struct Problem {
    pub(crate) id: String,
    /// The comparisons worth making, with their places among all of the problem.
    pub(crate) comparisons: Vec<(usize, Comparison)>,
    /// Readings whose states count in means and regressions.
    pub(crate) all: Vec<Reading>,
    /// Readings of one side of a comparison, which differ by noise alone.
    pub(crate) sides: Vec<Vec<Reading>>,
    /// Readings at the end of the prompt.
    pub(crate) starts: Vec<Reading>,
    /// Per walk and token: `[layers, hidden_size]`.
    pub(crate) states: HashMap<(usize, usize), Vec<Vec<f32>>>,
    /// The number of walks that have not ended.
    pub(crate) missing: usize,
}

impl Problem {
    /// Returns the state of a reading at the layer in place `slot`, `[hidden_size]`.
    pub(crate) fn state(&self, reading: &Reading, slot: usize) -> Option<&Vec<f32>> {
        self.states.get(&(reading.walk, reading.at))?.get(slot)
    }

    pub(crate) fn pair(&self, comparison: &Comparison, slot: usize, layer: usize) -> Pair {
        let Comparison { m, quality, quality_error, context, plus, minus } = comparison;
        let mean = |side: &[Reading]| {
            let states = side.iter().filter_map(|reading| self.state(reading, slot));
            mean(states, side.len())
        };
        let (plus, minus) = (mean(plus), mean(minus));
        let pair = Pair { problem: self.id.clone(), m: *m, layer, quality: *quality, ..Pair::default() };
        let Some(context) = context else { return Pair { mu_plus: plus, mu_minus: minus, ..pair } };
        let context = self.state(context, slot).cloned().unwrap_or_default();
        let vector: Vec<f32> = plus.iter().zip(&minus).map(|(plus, minus)| plus - minus).collect();
        let mu_plus = context.iter().zip(&vector).map(|(x, v)| x + v).collect();
        Pair { mu_plus, mu_minus: context, vector: Some(vector), quality_error: *quality_error, ..pair }
    }
}

/// Returns the mean of `n` states, summed in f32 in the order given.
///
/// # Shapes
/// Each state and the result: `[hidden_size]`.
fn mean<'s>(states: impl Iterator<Item = &'s Vec<f32>>, n: usize) -> Vec<f32> {
    let mut sum = Vec::new();
    for state in states {
        sum.resize(state.len(), 0.0);
        sum.iter_mut().zip(state).for_each(|(s, x)| *s += x);
    }
    sum.iter_mut().for_each(|s| *s /= n as f32);
    sum
}

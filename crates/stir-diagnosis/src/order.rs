//! The rows in an order of their own, so that no number depends on the order in which they came.

use std::collections::BTreeMap;

use crate::{Boundary, States};

/// States by problem, control point and sample.
#[derive(Debug)]
pub(crate) struct Ordered<'s> {
    states: &'s States,
    /// Rows of `states`.
    order: Vec<usize>,
    /// By rising problem, then `m`.
    pub(crate) cells: Vec<Cell>,
}

/// The rows of one problem and control point, as places in the order.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) problem: usize,
    pub(crate) m: usize,
    pub(crate) right: Vec<usize>,
    pub(crate) wrong: Vec<usize>,
}

impl Cell {
    pub(crate) fn mixed(&self) -> bool {
        !self.right.is_empty() && !self.wrong.is_empty()
    }
}

impl<'s> Ordered<'s> {
    pub(crate) fn new(states: &'s States) -> Self {
        let boundaries = states.boundaries();
        let mut order: Vec<usize> = (0..boundaries.len()).collect();
        order.sort_by_key(|&row| (boundaries[row].problem, boundaries[row].m, boundaries[row].sample));
        let mut cells: Vec<Cell> = Vec::new();
        for (place, b) in order.iter().map(|&row| &boundaries[row]).enumerate() {
            if cells.last().is_none_or(|cell| (cell.problem, cell.m) != (b.problem, b.m)) {
                cells.push(Cell { problem: b.problem, m: b.m, right: vec![], wrong: vec![] });
            }
            if let Some(cell) = cells.last_mut() {
                if b.right { &mut cell.right } else { &mut cell.wrong }.push(place);
            }
        }
        Self { states, order, cells }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn hidden_size(&self) -> usize {
        self.states.hidden_size()
    }

    /// Returns the row of the states as they were given.
    pub(crate) fn row(&self, place: usize) -> usize {
        self.order[place]
    }

    pub(crate) fn at(&self, place: usize) -> &'s Boundary {
        &self.states.boundaries()[self.order[place]]
    }

    pub(crate) fn state(&self, place: usize) -> &'s [f32] {
        self.states.row(self.order[place])
    }

    /// Returns the problems, rising.
    pub(crate) fn problems(&self) -> Vec<usize> {
        let mut problems: Vec<usize> = self.cells.iter().map(|cell| cell.problem).collect();
        problems.dedup();
        problems
    }

    /// Returns the control points, rising, with the places of their rows.
    pub(crate) fn points(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut points: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        (0..self.len()).for_each(|place| points.entry(self.at(place).m).or_default().push(place));
        points
    }

    /// Returns the mean state of `places`, which are not empty, `[hidden_size]`.
    pub(crate) fn mean(&self, places: &[usize]) -> Vec<f64> {
        let mut mean = vec![0.0; self.hidden_size()];
        for &place in places {
            mean.iter_mut().zip(self.state(place)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        mean.iter_mut().for_each(|sum| *sum /= places.len() as f64);
        mean
    }

    /// Returns the mean of the right states minus that of the wrong ones, `[hidden_size]`.
    pub(crate) fn delta(&self, cell: &Cell) -> Vec<f64> {
        let wrong = self.mean(&cell.wrong);
        self.mean(&cell.right).iter().zip(&wrong).map(|(right, wrong)| right - wrong).collect()
    }
}

/// Returns `<a, b>`, in eight partial sums, which the compiler may not introduce by itself.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let tail: f64 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + tail
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

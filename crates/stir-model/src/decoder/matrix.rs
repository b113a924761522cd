//! Matrices of weights.

use burn::{
    module::{Module, Param},
    tensor::{DType, Int, Tensor},
};

#[cfg(feature = "flex")]
use crate::cpu::{self, Native};

/// A matrix of weights, `[out, in]`: a tensor, or on the CPU the blocks of a quantised file.
#[derive(Module, Debug)]
pub(crate) struct Matrix {
    /// `None` where the weights are packed.
    dense: Option<Param<Tensor<2>>>,
    /// The parts, one above another.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: std::sync::Arc<[stir_kernels::Packed]>,
}

impl From<Tensor<2>> for Matrix {
    fn from(tensor: Tensor<2>) -> Self {
        Self {
            dense: Some(Param::from_tensor(tensor)),
            #[cfg(feature = "flex")]
            packed: std::sync::Arc::new([]),
        }
    }
}

#[cfg(feature = "flex")]
impl From<Vec<stir_kernels::Packed>> for Matrix {
    fn from(parts: Vec<stir_kernels::Packed>) -> Self {
        Self { dense: None, packed: parts.into() }
    }
}

impl Matrix {
    /// Returns the parts of packed weights, which come one above another; nothing for a tensor.
    #[cfg(feature = "flex")]
    pub(crate) fn packed(&self) -> &[stir_kernels::Packed] {
        &self.packed
    }

    #[cfg(feature = "flex")]
    pub(crate) fn is_packed(&self) -> bool {
        self.dense.is_none()
    }

    /// Returns the matrix as a tensor, for which packed weights are decoded.
    pub(crate) fn tensor(&self) -> Tensor<2> {
        match &self.dense {
            Some(dense) => dense.val(),
            None => self.decoded(None),
        }
    }

    /// Returns the rows of the given numbers.
    ///
    /// # Shapes
    /// - `rows`: `[rows]`
    /// - output: `[rows, in]`
    pub(crate) fn rows(&self, rows: Tensor<1, Int>) -> Tensor<2> {
        match &self.dense {
            // A selection of burn's copies all that it selects from where that does not begin its memory.
            #[cfg(feature = "flex")]
            Some(dense) if Native::runs_on(&dense.device()) => cpu::rows(dense.val(), rows),
            Some(dense) => dense.val().select(0, rows),
            None => self.decoded(Some(rows)),
        }
    }

    /// Returns packed weights, or some rows of them, as a tensor.
    #[cfg(feature = "flex")]
    fn decoded(&self, rows: Option<Tensor<1, Int>>) -> Tensor<2> {
        let part = |mut row: usize| {
            let found = self.packed.iter().find(|part| {
                let there = part.shape()[0];
                let inside = row < there;
                row -= if inside { 0 } else { there };
                inside
            });
            found.map(|part| (part, row))
        };
        let all = || (0..self.packed.iter().map(|part| part.shape()[0]).sum()).collect();
        let rows: Vec<usize> = rows.map_or_else(all, cpu::numbers);
        let width = self.packed.first().map_or(0, |part| part.shape()[1]);
        let mut values = vec![0.0; rows.len() * width];
        for (row, values) in rows.iter().zip(values.chunks_exact_mut(width.max(1))) {
            if let Some((part, row)) = part(*row) {
                part.row(row, values);
            }
        }
        let data = burn::tensor::TensorData::new(values, [rows.len(), width]);
        Tensor::from_data(data, (&burn::tensor::Device::flex(), DType::F32))
    }

    /// Without kernels of our own no weights are packed.
    #[cfg(not(feature = "flex"))]
    fn decoded(&self, _rows: Option<Tensor<1, Int>>) -> Tensor<2> {
        unreachable!("a matrix is a tensor")
    }
}

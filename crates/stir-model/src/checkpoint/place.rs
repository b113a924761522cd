//! From bytes in a file to weights in memory: another number type and, for projections, the other order.

use burn::tensor::Element;
use half::{bf16, f16, vec::HalfBitsVecExt};
use rayon::prelude::*;
use safetensors::Dtype;

/// A type that weights are kept and computed with in.
pub(crate) trait Weight: Element + Default + Send + Sync {
    /// Zeros, in memory that nothing has been written to yet.
    fn zeros(count: usize) -> Vec<Self>;
    fn from_f32(value: f32) -> Self;
    fn from_bf16(value: bf16) -> Self;
    fn from_f16(value: f16) -> Self;
    fn is_finite(self) -> bool;
}

impl Weight for f32 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }

    fn from_f32(value: f32) -> Self {
        value
    }

    fn from_bf16(value: bf16) -> Self {
        value.to_f32()
    }

    /// As `half` does it, without a branch, so that many are converted at once: the exponent is shifted into place and
    /// its other bias made up for by a product, which is exact, also where the value is subnormal.
    fn from_f16(value: f16) -> Self {
        let bits = u32::from(value.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 127 - 15) << 23);
        let infinite = if bits & 0x7c00 == 0x7c00 { 0xff << 23 } else { 0 };
        f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
    }

    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Weight for bf16 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0u16; count].reinterpret_into()
    }

    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }

    fn from_bf16(value: bf16) -> Self {
        value
    }

    fn from_f16(value: f16) -> Self {
        bf16::from_f32(value.to_f32())
    }

    fn is_finite(self) -> bool {
        bf16::is_finite(self)
    }
}

impl Weight for f16 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0u16; count].reinterpret_into()
    }

    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    fn from_bf16(value: bf16) -> Self {
        f16::from_f32(value.to_f32())
    }

    fn from_f16(value: f16) -> Self {
        value
    }

    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }
}

/// Where the rows of a stored tensor go.
pub(crate) enum Place<'a, T> {
    /// One after the other, as they are stored.
    Rows(&'a mut [T]),
    /// Each becomes a column of a row-major matrix of `width` columns, the first of them column `start`.
    Columns { matrix: &'a mut [T], width: usize, start: usize },
}

/// Side of the squares in which a matrix is turned over; 16 f32 fill a cache line.
const TILE: usize = 16;

impl<T: Weight> Place<'_, T> {
    /// Puts whole rows of `row` elements there, the first of them row `first` of the tensor. Returns whether all values
    /// are finite, here and in `T`.
    pub(crate) fn put(&mut self, dtype: Dtype, bytes: &[u8], row: usize, first: usize) -> Option<bool> {
        Some(match dtype {
            Dtype::F32 => self.decode(bytes.as_chunks().0, row, first, |b| T::from_f32(f32::from_le_bytes(b))),
            Dtype::BF16 => self.decode(bytes.as_chunks().0, row, first, |b| T::from_bf16(bf16::from_le_bytes(b))),
            Dtype::F16 => self.decode(bytes.as_chunks().0, row, first, |b| T::from_f16(f16::from_le_bytes(b))),
            _ => return None,
        })
    }

    fn decode<const N: usize>(
        &mut self,
        stored: &[[u8; N]],
        row: usize,
        first: usize,
        decode: impl Fn([u8; N]) -> T + Sync,
    ) -> bool {
        let convert = |bytes: [u8; N], finite: &mut bool| {
            let value = decode(bytes);
            *finite &= value.is_finite();
            value
        };
        match self {
            Self::Rows(rows) => {
                let part = stored.len().div_ceil(rayon::current_num_threads()).max(1 << 14);
                let rows = &mut rows[first * row..first * row + stored.len()];
                let parts = rows.par_chunks_mut(part).zip(stored.par_chunks(part));
                parts
                    .map(|(rows, stored)| {
                        let mut finite = true;
                        rows.iter_mut().zip(stored).for_each(|(x, &bytes)| *x = convert(bytes, &mut finite));
                        finite
                    })
                    .reduce(|| true, |a, b| a && b)
            }
            Self::Columns { matrix, width, start } => {
                let (width, start, count) = (*width, *start + first, stored.len() / row);
                // The matrix has a row for every element of a stored row.
                let strips = matrix.par_chunks_mut(TILE * width).enumerate();
                strips
                    .map(|(strip, lines)| {
                        let (mut finite, from) = (true, strip * TILE);
                        for top in (0..count).step_by(TILE) {
                            let (height, mut tile) = (TILE.min(count - top), [[T::default(); TILE]; TILE]);
                            for (r, line) in tile.iter_mut().take(height).enumerate() {
                                let stored = &stored[(top + r) * row..(top + r + 1) * row][from..];
                                line.iter_mut().zip(stored).for_each(|(x, &bytes)| *x = convert(bytes, &mut finite));
                            }
                            for (c, line) in lines.chunks_exact_mut(width).enumerate() {
                                let line = &mut line[start + top..start + top + height];
                                line.iter_mut().zip(&tile).for_each(|(x, column)| *x = column[c]);
                            }
                        }
                        finite
                    })
                    .reduce(|| true, |a, b| a && b)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_rows_turned_over() {
        let (rows, row, width) = (37, 21, 50);
        let values: Vec<f32> = (0..rows * row).map(|i| i as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
        let mut matrix = vec![-1.0f32; row * width];
        // In two goes, the second from row 17 on.
        let (head, tail) = bytes.split_at(17 * row * 2);
        let mut place = Place::Columns { matrix: &mut matrix, width, start: 5 };
        assert_eq!(place.put(Dtype::BF16, head, row, 0), Some(true));
        assert_eq!(place.put(Dtype::BF16, tail, row, 17), Some(true));
        for (i, &found) in matrix.iter().enumerate() {
            let (r, c) = (i / width, i % width);
            let expected = if (5..5 + rows).contains(&c) { values[(c - 5) * row + r] } else { -1.0 };
            assert_eq!(found, bf16::from_f32(expected).to_f32());
        }
    }

    #[test]
    fn every_f16_becomes_the_f32_of_its_value() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (<f32 as Weight>::from_f16(f16::from_bits(bits)), f16::from_bits(bits).to_f32());
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_told() {
        for (value, finite) in [(1.0f32, true), (f32::NAN, false), (f32::INFINITY, false), (-0.0, true), (1e6, true)] {
            let bytes: Vec<u8> = [0.5, value].iter().flat_map(|x| x.to_le_bytes()).collect();
            let (mut rows, mut matrix) = ([0.0; 2], [0.0; 2]);
            assert_eq!(Place::Rows(&mut rows).put(Dtype::F32, &bytes, 2, 0), Some(finite));
            let mut place = Place::Columns { matrix: &mut matrix, width: 1, start: 0 };
            assert_eq!(place.put(Dtype::F32, &bytes, 2, 0), Some(finite));
            // 1e6 does not fit into f16.
            let mut rows = [f16::ZERO; 2];
            assert_eq!(Place::Rows(&mut rows).put(Dtype::F32, &bytes, 2, 0), Some(finite && value < 65504.0));
        }
        assert_eq!(Place::Rows(&mut [0.0f32; 1]).put(Dtype::I64, &[0; 8], 1, 0), None);
    }
}

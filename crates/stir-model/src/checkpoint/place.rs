//! From bytes in a file to weights in memory: another number type and, for projections, the other order.

use burn::tensor::Element;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

/// A type that weights are kept and computed with in.
pub(crate) trait Weight: Element + Default + Send + Sync {
    fn from_f32(value: f32) -> Self;
    fn is_finite(self) -> bool;
}

impl Weight for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }

    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Weight for bf16 {
    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }

    fn is_finite(self) -> bool {
        bf16::is_finite(self)
    }
}

impl Weight for f16 {
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }
}

/// Room for `count` weights. Where the system offers large pages it is made of those: half a million small ones would
/// take longer to get than the weights in them to read, and every pass walks all of them.
pub(crate) fn room<T: Weight>(count: usize) -> Vec<T> {
    let weights = vec![T::default(); count];
    #[cfg(target_os = "linux")]
    large_pages(&weights);
    weights
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "large pages can only be asked for through an unsafe call")]
fn large_pages<T>(memory: &[T]) {
    const PAGE: usize = 4096;
    let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (memory.as_ptr() as usize + size_of_val(memory)) / PAGE * PAGE;
    if end.saturating_sub(start) >= 8 << 20 {
        // SAFETY: the range lies within `memory`, and this advice changes how it is backed, not what it holds. A
        // refusal costs time, nothing else.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
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
            Dtype::F32 => self.decode(bytes.as_chunks().0, row, first, f32::from_le_bytes),
            Dtype::BF16 => self.decode(bytes.as_chunks().0, row, first, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => self.decode(bytes.as_chunks().0, row, first, |b| f16::from_le_bytes(b).to_f32()),
            _ => return None,
        })
    }

    fn decode<const N: usize>(
        &mut self,
        stored: &[[u8; N]],
        row: usize,
        first: usize,
        decode: impl Fn([u8; N]) -> f32 + Sync,
    ) -> bool {
        let convert = |bytes: [u8; N], finite: &mut bool| {
            let value = T::from_f32(decode(bytes));
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

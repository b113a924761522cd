//! Products of a tile of weights with some rows of activations.

use super::{
    activations::Quantised,
    lanes::{Lanes, Work},
    tile::{ROWS, STEP, Tile},
};
use crate::parallel::SharedSlice;

/// Where the results of a tile go.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// `[rows, stride]`
    pub(crate) y: &'a SharedSlice<'a, f32>,
    pub(crate) stride: usize,
    /// The column of the tile's first row, and how many rows of the tile there are.
    pub(crate) column: usize,
    pub(crate) count: usize,
    /// What is added to each column, from the tile's first on.
    pub(crate) bias: Option<&'a [f32]>,
}

impl Target<'_> {
    /// # Safety
    /// That of [`Lanes`]; nobody else uses these elements of the result at the same time.
    #[inline(always)]
    unsafe fn put<L: Lanes>(&self, row: usize, sums: L::F) {
        let mut all = [0.0; ROWS];
        // SAFETY: as the caller promises.
        let y = unsafe {
            L::store(all.as_mut_ptr(), sums);
            self.y.slice(row * self.stride + self.column, self.count)
        };
        for (i, y) in y.iter_mut().enumerate() {
            *y = all[i] + if let Some(bias) = self.bias { bias[i] } else { 0.0 };
        }
    }
}

/// The products of consecutive tiles with all rows of activations in 8 bits.
///
/// What a row gets is summed up in the same order whatever rows there are besides it.
pub(crate) struct Whole<'a, T> {
    pub(crate) tiles: &'a [u8],
    pub(crate) x: &'a Quantised,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) target: Target<'a>,
    pub(crate) format: std::marker::PhantomData<T>,
}

impl<T: Tile> Work for Whole<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let mut first = 0;
        while first < self.rows {
            let left = self.rows - first;
            // SAFETY: as the caller promises.
            unsafe {
                first += match () {
                    () if L::ROWS >= 8 && left >= 8 => self.group::<L, 8>(first),
                    () if L::ROWS >= 4 && left >= 4 => self.group::<L, 4>(first),
                    () if L::ROWS >= 2 && left >= 2 => self.group::<L, 2>(first),
                    () => self.group::<L, 1>(first),
                };
            }
        }
    }
}

impl<T: Tile> Whole<'_, T> {
    /// Multiplies `M` rows, from `first` on. Returns `M`.
    #[inline(always)]
    unsafe fn group<L: Lanes, const M: usize>(&self, first: usize) -> usize {
        let (blocks, steps) = (self.k / T::FORMAT.block_len(), T::steps());
        let x = &self.x.values[first * self.k..(first + M) * self.k];
        let scales = &self.x.scales[first * self.k / STEP..(first + M) * self.k / STEP];
        let sums = &self.x.sums[first * self.k / 16..(first + M) * self.k / 16];
        assert!(self.tiles.len() == blocks * T::BYTES);
        // SAFETY: as the caller promises; the slices were measured above. Plain loops, as a closure is compiled without
        // the instructions of `L`.
        unsafe {
            let (mut x, mut scales, mut sums) = (x.as_ptr(), scales.as_ptr(), sums.as_ptr());
            let mut out = [L::splat_float(0.0); M];
            for block in 0..blocks {
                let block = self.tiles.as_ptr().add(block * T::BYTES);
                for step in 0..steps {
                    if T::HALVES {
                        let (scale, _) = T::scales::<L>(block, step);
                        let [low_factor, high_factor] = T::halves::<L>(block, step);
                        let mut low = [L::splat(0); M];
                        let mut high = [L::splat(0); M];
                        for m in 0..M {
                            low[m] = L::splat(-T::ZERO * *sums.add(m));
                            high[m] = L::splat(-T::ZERO * *sums.add(M + m));
                        }
                        for g in 0..4 {
                            let values = T::values::<L>(block, step, g);
                            for m in 0..M {
                                low[m] = L::dot::<false>(low[m], values, x.add((g * M + m) * 4));
                            }
                        }
                        for g in 4..8 {
                            let values = T::values::<L>(block, step, g);
                            for m in 0..M {
                                high[m] = L::dot::<false>(high[m], values, x.add((g * M + m) * 4));
                            }
                        }
                        for m in 0..M {
                            let both = L::add(L::mul(low[m], low_factor), L::mul(high[m], high_factor));
                            let product = L::mul_float(L::to_float(both), scale);
                            out[m] = L::fma(product, L::splat_float(*scales.add(m)), out[m]);
                        }
                    } else {
                        let (scale, offset) = T::scales::<L>(block, step);
                        let mut dot = [L::splat(0); M];
                        if T::ZERO != 0 {
                            for m in 0..M {
                                dot[m] = L::splat(-T::ZERO * (*sums.add(m) + *sums.add(M + m)));
                            }
                        }
                        for g in 0..8 {
                            let values = T::values::<L>(block, step, g);
                            for m in 0..M {
                                dot[m] = if T::WIDE {
                                    L::dot::<true>(dot[m], values, x.add((g * M + m) * 4))
                                } else {
                                    L::dot::<false>(dot[m], values, x.add((g * M + m) * 4))
                                };
                            }
                        }
                        for m in 0..M {
                            let mut product = L::mul_float(L::to_float(dot[m]), scale);
                            if T::OFFSET {
                                let sum = (*sums.add(m) + *sums.add(M + m)) as f32;
                                product = L::fma(offset, L::splat_float(sum), product);
                            }
                            out[m] = L::fma(product, L::splat_float(*scales.add(m)), out[m]);
                        }
                    }
                    x = x.add(STEP * M);
                    scales = scales.add(M);
                    sums = sums.add(2 * M);
                }
            }
            for m in 0..M {
                self.target.put::<L>(first + m, out[m]);
            }
        }
        M
    }
}

/// The products of consecutive tiles with all rows of activations as they are.
pub(crate) struct Exact<'a, T> {
    pub(crate) tiles: &'a [u8],
    /// `[rows, k]`
    pub(crate) x: &'a [f32],
    pub(crate) k: usize,
    pub(crate) target: Target<'a>,
    pub(crate) format: std::marker::PhantomData<T>,
}

impl<T: Tile> Work for Exact<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (rows, mut first) = (self.x.len() / self.k, 0);
        while first < rows {
            // SAFETY: as the caller promises.
            unsafe {
                first += match () {
                    () if L::ROWS >= 4 && rows - first >= 4 => self.group::<L, 4>(first),
                    () => self.group::<L, 1>(first),
                };
            }
        }
    }
}

impl<T: Tile> Exact<'_, T> {
    /// Multiplies `M` rows, from `first` on. Returns `M`.
    #[inline(always)]
    unsafe fn group<L: Lanes, const M: usize>(&self, first: usize) -> usize {
        let (k, blocks, steps) = (self.k, self.k / T::FORMAT.block_len(), T::steps());
        let x = &self.x[first * k..(first + M) * k];
        assert!(self.tiles.len() == blocks * T::BYTES);
        // SAFETY: as in `Whole::group`.
        unsafe {
            let mut x = x.as_ptr();
            // Four sums, as each addition waits for the one before it.
            let mut out = [[L::splat_float(0.0); 4]; M];
            for block in 0..blocks {
                let block = self.tiles.as_ptr().add(block * T::BYTES);
                for step in 0..steps {
                    for g in 0..8 {
                        let (scale, offset) = decode::<T, L>(block, step, g / 4);
                        let values = T::values::<L>(block, step, g);
                        for i in 0..4 {
                            let value = L::and(L::shr(values, 8 * i as u32), L::splat(255));
                            let value = L::fma(L::to_float(value), scale, offset);
                            for m in 0..M {
                                let x = L::splat_float(*x.add(m * k + 4 * g + i));
                                out[m][i] = L::fma(value, x, out[m][i]);
                            }
                        }
                    }
                    x = x.add(STEP);
                }
            }
            let one = L::splat_float(1.0);
            for m in 0..M {
                let [a, b, c, d] = out[m];
                let sum = L::fma(L::fma(a, one, b), one, L::fma(c, one, d));
                self.target.put::<L>(first + m, sum);
            }
        }
        M
    }
}

/// Returns scale and offset of one half of a step, with which a weight is `scale * q + offset`.
///
/// # Safety
/// That of [`Tile::scales`].
#[inline(always)]
unsafe fn decode<T: Tile, L: Lanes>(block: *const u8, step: usize, half: usize) -> (L::F, L::F) {
    // SAFETY: as the caller promises.
    unsafe {
        let (mut scale, mut offset) = T::scales::<L>(block, step);
        if T::HALVES {
            scale = L::mul_float(scale, L::to_float(T::halves::<L>(block, step)[half]));
        }
        if !T::OFFSET {
            offset = L::mul_float(scale, L::splat_float(-T::ZERO as f32));
        }
        (scale, offset)
    }
}

/// The values of one row of a tile.
pub(crate) struct Decode<'a, T> {
    pub(crate) tile: &'a [u8],
    pub(crate) row: usize,
    pub(crate) out: &'a mut [f32],
    pub(crate) format: std::marker::PhantomData<T>,
}

impl<T: Tile> Work for Decode<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (block_len, mut all) = (T::FORMAT.block_len(), [0.0; ROWS]);
        assert!(self.tile.len() == self.out.len() / block_len * T::BYTES && self.row < ROWS);
        for (i, out) in self.out.chunks_exact_mut(4).enumerate() {
            let (at, g) = (4 * i, i % 8);
            // SAFETY: as the caller promises; the block is inside the tile.
            unsafe {
                let block = self.tile.as_ptr().add(at / block_len * T::BYTES);
                let step = at % block_len / STEP;
                let (scale, offset) = decode::<T, L>(block, step, g / 4);
                let values = T::values::<L>(block, step, g);
                for (i, out) in out.iter_mut().enumerate() {
                    let value = L::and(L::shr(values, 8 * i as u32), L::splat(255));
                    L::store(all.as_mut_ptr(), L::fma(L::to_float(value), scale, offset));
                    *out = all[self.row];
                }
            }
        }
    }
}

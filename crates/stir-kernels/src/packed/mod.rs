//! Weights in the block formats of GGUF files, repacked for products with several rows at once.

mod activations;
mod lanes;
mod multiply;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;

pub(crate) use self::lanes::Integers;
use self::{
    activations::Quantised,
    multiply::{Decode, Exact, Target, Whole},
    tile::{Plain, ROWS, STEP, Scaled, Six, Tile},
};
use crate::{
    Activations, Format,
    memory::{LINE, before_line},
    parallel::{SharedSlice, parallel},
};

/// A matrix of weights in a block format.
///
/// It takes as many bits as in a file, but for the last rows, which are filled up to sixteen, and for the scales of Q4_K
/// (4.63 bits a weight instead of 4.5) and Q5_K (5.63 instead of 5.5).
pub struct Packed {
    format: Format,
    n: usize,
    k: usize,
    /// The tiles, from the first multiple of [`LINE`] on.
    memory: Vec<u8>,
    start: usize,
}

/// The weights that a thread takes at once, at least.
const PART: usize = 1 << 15;

/// Does something with the layout `T` of a format.
macro_rules! with_tile {
    ($format:expr, $T:ident => $body:expr, else $other:expr) => {
        match $format {
            Format::Q4_0 => with_tile!(@ $T = Plain<4, false> => $body),
            Format::Q4_1 => with_tile!(@ $T = Plain<4, true> => $body),
            Format::Q5_0 => with_tile!(@ $T = Plain<5, false> => $body),
            Format::Q5_1 => with_tile!(@ $T = Plain<5, true> => $body),
            Format::Q8_0 => with_tile!(@ $T = Plain<8, false> => $body),
            Format::Q4K => with_tile!(@ $T = Scaled<4> => $body),
            Format::Q5K => with_tile!(@ $T = Scaled<5> => $body),
            Format::Q6K => with_tile!(@ $T = Six => $body),
            _ => $other,
        }
    };
    (@ $T:ident = $tile:ty => $body:expr) => {{
        type $T = $tile;
        $body
    }};
}

impl Packed {
    /// Packs `n` rows of `k` weights; `row` returns the bytes of a row as a file holds them. Returns `None` for a format
    /// that is not multiplied in its stored form ([`Format::is_packed`]) or rows that are no whole number of blocks.
    ///
    /// # Panics
    /// If a row has another number of bytes.
    pub fn new<'a>(format: Format, n: usize, k: usize, row: impl Fn(usize) -> &'a [u8] + Sync) -> Option<Self> {
        if k == 0 || !k.is_multiple_of(format.block_len()) {
            return None;
        }
        let blocks = k / format.block_len();
        let tile_bytes = blocks * with_tile!(format, T => T::BYTES, else return None);
        let tiles = n.div_ceil(ROWS);
        // Memory that the system has zeroed is not touched before a thread fills its part.
        let mut memory = crate::in_large_pages(vec![0; tiles * tile_bytes + LINE - 1]);
        let start = before_line(&memory);
        let shared = SharedSlice::new(&mut memory[start..start + tiles * tile_bytes]);
        parallel(tiles, n * k, |tile| {
            // SAFETY: a tile is one part.
            let tile_memory = unsafe { shared.slice(tile * tile_bytes, tile_bytes) };
            let first = tile * ROWS;
            let rows: Vec<&[u8]> = (first..n.min(first + ROWS)).map(&row).collect();
            let sizes = rows.iter().all(|bytes| Some(bytes.len()) == format.bytes_for(k));
            assert!(sizes, "the bytes of rows {first} to {}", first + rows.len());
            with_tile!(format, T => {
                // Block by block, so that what is written stays in the nearest cache.
                for (block, place) in tile_memory.chunks_exact_mut(T::BYTES).enumerate() {
                    let at = block * format.block_bytes();
                    for (i, row) in rows.iter().enumerate() {
                        T::pack(&row[at..at + format.block_bytes()], i, place);
                    }
                }
            }, else {});
        });
        Some(Self { format, n, k, memory, start })
    }

    /// Returns the format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of rows and their length.
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    /// Returns the number of bytes in memory.
    pub fn memory(&self) -> usize {
        self.memory.len()
    }

    /// Writes the values of a row.
    ///
    /// # Panics
    /// If there is no such row, or `out` has another length than rows have.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.n && out.len() == self.k, "row {index} of {}", self.n);
        let (tile, row) = (self.tile(index / ROWS), index % ROWS);
        with_tile!(self.format, T => {
            Integers::best().run(Decode { tile, row, out, format: PhantomData::<T> });
        }, else {});
    }

    fn tile(&self, tile: usize) -> &[u8] {
        let bytes = self.k / self.format.block_len() * with_tile!(self.format, T => T::BYTES, else 0);
        &self.memory[self.start + tile * bytes..][..bytes]
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} {}x{})", self.format, self.n, self.k)
    }
}

impl Format {
    /// Returns whether [`Packed`] multiplies weights of this format in their stored form.
    pub fn is_packed(self) -> bool {
        with_tile!(self, T => T::BYTES > 0, else false)
    }
}

/// Computes `y = x w^T + bias`, where `w` is made of matrices one above another.
///
/// # Shapes
/// - `x`: `[rows, k]`, `weights`: `[n_i, k]` each, `bias`: `[n]` and `y`: `[rows, n]` with `n` the sum of all `n_i`
pub(crate) fn multiply(
    set: Integers,
    x: &[f32],
    weights: &[&Packed],
    bias: Option<&[f32]>,
    y: &mut [f32],
    activations: Activations,
) {
    let Some(&Packed { k, .. }) = weights.first().copied() else { return };
    let (n, rows) = (weights.iter().map(|w| w.n).sum::<usize>(), x.len() / k);
    assert!(weights.iter().all(|w| w.k == k) && x.len() == rows * k, "the widths of {weights:?}");
    assert!(y.len() == rows * n && bias.is_none_or(|bias| bias.len() == n), "the sizes of the result");
    let quantised = (activations == Activations::Int8).then(|| Quantised::new(set, x, k));
    // Every thread has some parts, of consecutive tiles each.
    let tiles_in_all: usize = weights.iter().map(|w| w.n.div_ceil(ROWS)).sum();
    let share = tiles_in_all / (8 * rayon::current_num_threads());
    let per_part = share.min((1usize << 19) / (ROWS * k)).max(PART.div_ceil(ROWS * k)).max(1);
    let mut parts = Vec::new();
    let mut column = 0;
    for weight in weights {
        let tiles = weight.n.div_ceil(ROWS);
        parts.extend((0..tiles).step_by(per_part).map(|first| (*weight, column, first..tiles.min(first + per_part))));
        column += weight.n;
    }
    let y = SharedSlice::new(y);
    parallel(parts.len(), rows * n * k, |part| {
        let (weight, column, tiles) = &parts[part];
        for tile in tiles.clone() {
            let first = tile * ROWS;
            let count = ROWS.min(weight.n - first);
            let bias = bias.map(|bias| &bias[column + first..][..count]);
            let target = Target { y: &y, stride: n, column: column + first, count, bias };
            let tiles = weight.tile(tile);
            with_tile!(weight.format, T => {
                let format = PhantomData::<T>;
                match &quantised {
                    Some(x) => set.run(Whole { tiles, x, rows, k, target, format }),
                    None => set.run(Exact { tiles, x, k, target, format }),
                }
            }, else {});
        }
    });
}

// Activations are quantised in the blocks of the smallest formats.
const _: () = assert!(STEP == 32);

#[cfg(test)]
mod tests;

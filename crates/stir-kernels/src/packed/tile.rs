//! How sixteen rows of weights lie in memory, for each format.
//!
//! A tile holds its rows block by block. What is read together lies together: a register of 64 bytes holds, for each of
//! the sixteen rows, four consecutive values (or eight, of 4 bits). Weights take as many bits as in the file, except that
//! the 6-bit scales of Q4_K and Q5_K become bytes.

use super::lanes::Lanes;
use crate::{Format, format};

/// The number of rows of a tile.
pub(crate) const ROWS: usize = 16;

/// The values that have a scale of activations in common.
pub(crate) const STEP: usize = 32;

/// The layout of one format's tiles. Values are `scale * (q - ZERO) + offset` with a whole `q` that is not negative.
pub(crate) trait Tile {
    const FORMAT: Format;
    /// The bytes of sixteen rows of a block.
    const BYTES: usize;
    /// What is subtracted from every value.
    const ZERO: i32;
    /// True if values have an offset.
    const OFFSET: bool;
    /// True if each 16 values have a scale, a whole number times that of the block; otherwise 32 values share one.
    const HALVES: bool;
    /// True if values use 8 bits.
    const WIDE: bool;

    /// Writes row `row` of a tile's block, given the block as it lies in a file.
    fn pack(block: &[u8], row: usize, tile: &mut [u8]);

    /// Returns the values `4 g..4 g + 4` of a step of 32, as bytes.
    ///
    /// # Safety
    /// That of [`Lanes`]; a block begins at `block`.
    unsafe fn values<L: Lanes>(block: *const u8, step: usize, g: usize) -> L::I;

    /// Returns scale and offset of a step; with [`HALVES`](Self::HALVES), the scale of the block.
    ///
    /// # Safety
    /// That of [`Lanes`]; a block begins at `block`.
    unsafe fn scales<L: Lanes>(block: *const u8, step: usize) -> (L::F, L::F);

    /// Returns the whole factors of the scales of each half of a step.
    ///
    /// # Safety
    /// That of [`Lanes`]; a block begins at `block`.
    #[inline(always)]
    unsafe fn halves<L: Lanes>(_block: *const u8, _step: usize) -> [L::I; 2] {
        // SAFETY: as the caller promises.
        unsafe { [L::splat(1), L::splat(1)] }
    }

    /// The steps of a block.
    fn steps() -> usize {
        Self::FORMAT.block_len() / STEP
    }
}

/// Returns the four bytes of row `row` in a register.
#[inline(always)]
fn word(register: &mut [u8], row: usize) -> &mut [u8] {
    &mut register[4 * row..4 * row + 4]
}

/// Returns the number `i` of little-endian words.
#[inline(always)]
fn source(bytes: &[u8], i: usize) -> u32 {
    format::word(bytes, 4 * i)
}

const NIBBLES: u32 = 0x0f0f_0f0f;
const ONES: u32 = 0x0101_0101;
const TWOS: u32 = 0x0303_0303;

/// Returns the values `4 g..4 g + 4` of 32 values of 4 bits: the lower nibbles of four registers hold the first half.
#[inline(always)]
unsafe fn nibbles<L: Lanes>(registers: *const u8, g: usize) -> L::I {
    // SAFETY: as the caller promises.
    unsafe {
        let both = L::load(registers.add(64 * (g % 4)));
        let own = if g < 4 { both } else { L::shr(both, 4) };
        L::and(own, L::splat(NIBBLES as i32))
    }
}

/// Returns the fifth bits of the values `4 g..4 g + 4`, in their places: bit `8 b + g` of a row is that of value `4 g + b`.
#[inline(always)]
unsafe fn fifths<L: Lanes>(register: *const u8, g: usize) -> L::I {
    // SAFETY: as the caller promises.
    unsafe { L::shl(L::and(L::shr(L::load(register), g as u32), L::splat(ONES as i32)), 4) }
}

/// The formats with 32 values in a block: `BITS` each, from `ZERO`, with an offset or without.
///
/// The scales of the rows come first, then their offsets, the fifth bits, and the values.
pub(crate) struct Plain<const BITS: usize, const OFFSET: bool>;

impl<const BITS: usize, const OFFSET: bool> Plain<BITS, OFFSET> {
    const HIGH: usize = if OFFSET { 64 } else { 32 };
    const VALUES: usize = Self::HIGH + if BITS == 5 { 64 } else { 0 };
}

impl<const BITS: usize, const OFFSET: bool> Tile for Plain<BITS, OFFSET> {
    const FORMAT: Format = match (BITS, OFFSET) {
        (4, false) => Format::Q4_0,
        (4, true) => Format::Q4_1,
        (5, false) => Format::Q5_0,
        (5, true) => Format::Q5_1,
        _ => Format::Q8_0,
    };
    const BYTES: usize = Self::VALUES + if BITS == 8 { 512 } else { 256 };
    const ZERO: i32 = if OFFSET { 0 } else { 1 << (BITS - 1) };
    const OFFSET: bool = OFFSET;
    const HALVES: bool = false;
    const WIDE: bool = BITS == 8;

    fn pack(block: &[u8], row: usize, tile: &mut [u8]) {
        // What follows is in bounds, and the compiler sees it.
        assert!(block.len() == Self::FORMAT.block_bytes() && tile.len() == Self::BYTES && row < ROWS);
        tile[2 * row..][..2].copy_from_slice(&block[..2]);
        let mut rest = &block[2..];
        if OFFSET {
            tile[32 + 2 * row..][..2].copy_from_slice(&rest[..2]);
            rest = &rest[2..];
        }
        if BITS == 5 {
            let bits = source(rest, 0);
            // The four bits of a group go to the lowest bits of four bytes.
            let spread = |g: u32| ((bits >> (4 * g) & 15) * 0x0020_4081) & ONES;
            let high = (0..8).fold(0, |high, g| high | spread(g) << g);
            word(&mut tile[Self::HIGH..], row).copy_from_slice(&high.to_le_bytes());
            rest = &rest[4..];
        }
        for i in 0..rest.len() / 4 {
            let values = source(rest, i) ^ if BITS == 8 { 0x8080_8080 } else { 0 };
            word(&mut tile[Self::VALUES + 64 * i..], row).copy_from_slice(&values.to_le_bytes());
        }
    }

    #[inline(always)]
    unsafe fn values<L: Lanes>(block: *const u8, _step: usize, g: usize) -> L::I {
        // SAFETY: as the caller promises.
        unsafe {
            let values = block.add(Self::VALUES);
            match BITS {
                8 => L::load(values.add(64 * g)),
                5 => L::or(nibbles::<L>(values, g), fifths::<L>(block.add(Self::HIGH), g)),
                _ => nibbles::<L>(values, g),
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(block: *const u8, _step: usize) -> (L::F, L::F) {
        // SAFETY: as the caller promises.
        unsafe {
            let scale = L::load_f16(block);
            (scale, if OFFSET { L::load_f16(block.add(32)) } else { scale })
        }
    }
}

/// Q4_K and Q5_K.
///
/// The scales of the rows come first, then those of their offsets, the factors of both for each step, and for each step
/// the fifth bits and the values.
pub(crate) struct Scaled<const BITS: usize>;

impl<const BITS: usize> Scaled<BITS> {
    const STEPS: usize = 64 + 8 * 32;
    const VALUES: usize = if BITS == 5 { 64 } else { 0 };
    const STEP_BYTES: usize = Self::VALUES + 256;
}

impl<const BITS: usize> Tile for Scaled<BITS> {
    const FORMAT: Format = if BITS == 5 { Format::Q5K } else { Format::Q4K };
    const BYTES: usize = Self::STEPS + 8 * Self::STEP_BYTES;
    const ZERO: i32 = 0;
    const OFFSET: bool = true;
    const HALVES: bool = false;
    const WIDE: bool = false;

    fn pack(block: &[u8], row: usize, tile: &mut [u8]) {
        // What follows is in bounds, and the compiler sees it.
        assert!(block.len() == Self::FORMAT.block_bytes() && tile.len() == Self::BYTES && row < ROWS);
        tile[2 * row..][..2].copy_from_slice(&block[..2]);
        tile[32 + 2 * row..][..2].copy_from_slice(&block[2..4]);
        let nibbles = &block[if BITS == 5 { 48 } else { 16 }..];
        for step in 0..8 {
            let (scale, offset) = format::k_scales(&block[4..16], step);
            tile[64 + 32 * step + row] = scale;
            tile[64 + 32 * step + 16 + row] = offset;
            let tile = &mut tile[Self::STEPS + step * Self::STEP_BYTES..];
            if BITS == 5 {
                let bits = |g| (source(&block[16..], g) >> step & ONES) << g;
                word(tile, row).copy_from_slice(&(0..8).fold(0, |high, g| high | bits(g)).to_le_bytes());
            }
            let own = |i| source(&nibbles[step / 2 * 32..], i) >> (step % 2 * 4) & NIBBLES;
            for i in 0..4 {
                let values = own(i) | own(4 + i) << 4;
                word(&mut tile[Self::VALUES + 64 * i..], row).copy_from_slice(&values.to_le_bytes());
            }
        }
    }

    #[inline(always)]
    unsafe fn values<L: Lanes>(block: *const u8, step: usize, g: usize) -> L::I {
        // SAFETY: as the caller promises.
        unsafe {
            let step = block.add(Self::STEPS + step * Self::STEP_BYTES);
            let values = nibbles::<L>(step.add(Self::VALUES), g);
            if BITS == 5 { L::or(values, fifths::<L>(step, g)) } else { values }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(block: *const u8, step: usize) -> (L::F, L::F) {
        // SAFETY: as the caller promises.
        unsafe {
            let factors = block.add(64 + 32 * step);
            let (scale, offset) = (L::to_float(L::load_u8(factors)), L::to_float(L::load_u8(factors.add(16))));
            let minus = L::mul_float(L::splat_float(-1.0), L::load_f16(block.add(32)));
            (L::mul_float(L::load_f16(block), scale), L::mul_float(minus, offset))
        }
    }
}

/// Q6_K.
///
/// The scales of the rows come first, then their factors for each half of a step, and for each step the upper two bits
/// (of the first half, of the second) and the lower four.
pub(crate) struct Six;

impl Six {
    const STEPS: usize = 32 + 8 * 32;
    const STEP_BYTES: usize = 128 + 256;
}

impl Tile for Six {
    const FORMAT: Format = Format::Q6K;
    const BYTES: usize = Self::STEPS + 8 * Self::STEP_BYTES;
    const ZERO: i32 = 32;
    const OFFSET: bool = false;
    const HALVES: bool = true;
    const WIDE: bool = false;

    fn pack(block: &[u8], row: usize, tile: &mut [u8]) {
        // What follows is in bounds, and the compiler sees it.
        assert!(block.len() == Self::FORMAT.block_bytes() && tile.len() == Self::BYTES && row < ROWS);
        tile[2 * row..][..2].copy_from_slice(&block[208..210]);
        for step in 0..8 {
            for half in 0..2 {
                tile[32 + 32 * step + 16 * half + row] = block[192 + 2 * step + half];
            }
            let (part, quarter) = (step / 4, step % 4);
            let low = |i| source(&block[64 * part + 32 * (quarter % 2)..], i) >> (quarter / 2 * 4) & NIBBLES;
            let high = |g| (source(&block[128 + 32 * part..], g) >> (2 * quarter) & TWOS) << (2 * (g % 4));
            let tile = &mut tile[Self::STEPS + step * Self::STEP_BYTES..];
            for half in 0..2 {
                let bits = (4 * half..4 * half + 4).fold(0, |bits, g| bits | high(g));
                word(&mut tile[64 * half..], row).copy_from_slice(&bits.to_le_bytes());
            }
            for i in 0..4 {
                let values = low(i) | low(4 + i) << 4;
                word(&mut tile[128 + 64 * i..], row).copy_from_slice(&values.to_le_bytes());
            }
        }
    }

    #[inline(always)]
    unsafe fn values<L: Lanes>(block: *const u8, step: usize, g: usize) -> L::I {
        // SAFETY: as the caller promises.
        unsafe {
            let step = block.add(Self::STEPS + step * Self::STEP_BYTES);
            let high = L::shr(L::load(step.add(64 * (g / 4))), 2 * (g % 4) as u32);
            let high = L::shl(L::and(high, L::splat(TWOS as i32)), 4);
            L::or(nibbles::<L>(step.add(128), g), high)
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(block: *const u8, _step: usize) -> (L::F, L::F) {
        // SAFETY: as the caller promises.
        unsafe {
            let scale = L::load_f16(block);
            (scale, scale)
        }
    }

    #[inline(always)]
    unsafe fn halves<L: Lanes>(block: *const u8, step: usize) -> [L::I; 2] {
        // SAFETY: as the caller promises.
        unsafe {
            let factors = block.add(32 + 32 * step);
            [L::load_i8(factors), L::load_i8(factors.add(16))]
        }
    }
}

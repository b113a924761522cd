//! Products of a few or many rows with a matrix of weights.

use super::{
    parallel::{Shared, parallel},
    simd::{Isa, Kernel, Simd, Stored, load_part},
};

/// Elements of a row that are multiplied in one go where a product has many rows, so that what is read again and again
/// stays in the nearest caches.
const DEPTH: usize = 1024;

/// Weight rows of such a block.
const BLOCK: usize = 64;

/// `y = x w^T + bias`, computed in f32 whatever the weights are kept in.
///
/// # Shapes
/// - `x`: `[rows, k]`, `w`: `[n, k]`, `bias`: `[n]`, `y`: `[rows, n]`
pub(crate) fn linear<W: Stored>(isa: Isa, x: &[f32], w: &[W], bias: Option<&[W]>, y: &mut [f32], k: usize) {
    let (n, rows) = (w.len() / k.max(1), x.len() / k.max(1));
    assert!(w.len() == n * k && x.len() == rows * k && y.len() == rows * n && bias.is_none_or(|b| b.len() == n));
    // A thread's share is small enough to even out who is late, large enough to be worth handing over.
    let per_part = if rows <= 8 { (1 << 15) / k.max(1) } else { BLOCK }.next_multiple_of(4).max(4);
    let y = Shared::new(y);
    parallel(n.div_ceil(per_part), rows * n * k, |part| {
        let first = part * per_part;
        let count = per_part.min(n - first);
        let (w, bias) = (&w[first * k..(first + count) * k], bias.map(|bias| &bias[first..first + count]));
        isa.run(Columns { x, w, bias, y: &y, k, n, first });
    });
}

/// Some columns of the result: those of the weight rows `first..first + w.len() / k`.
struct Columns<'a, W> {
    x: &'a [f32],
    w: &'a [W],
    bias: Option<&'a [W]>,
    y: &'a Shared<'a, f32>,
    k: usize,
    n: usize,
    first: usize,
}

impl<W: Stored> Kernel for Columns<'_, W> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, w, bias, y, k, n, first } = self;
        let (rows, count) = (x.len() / k, w.len() / k);
        let depth = if rows <= S::ROWS { k } else { DEPTH };
        for from in (0..k).step_by(depth) {
            let depth = depth.min(k - from);
            for row in (0..rows).step_by(S::ROWS) {
                for column in (0..count).step_by(4) {
                    let columns = 4.min(count - column);
                    // Where fewer than four rows are left the last is taken again.
                    let w: [*const W; 4] =
                        std::array::from_fn(|i| w[(column + i.min(columns - 1)) * k + from..].as_ptr());
                    let x = x[row * k + from..].as_ptr();
                    let put = |r: usize, sums: [f32; 4]| {
                        // SAFETY: these columns of the result are this part's alone.
                        let y = unsafe { y.slice((row + r) * n + first + column, columns) };
                        for (i, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                            *y = match from {
                                0 => sum + bias.map_or(0.0, |bias| bias[column + i].to_f32()),
                                _ => *y + sum,
                            };
                        }
                    };
                    // SAFETY: `w` and `x` have `depth` elements from here on in each of their rows.
                    unsafe { tiles::<S, W>(S::ROWS.min(rows - row), w, x, k, depth, put) }
                }
            }
        }
    }
}

/// The products of the first `rows` rows of `x`, `stride` apart and at most [`Simd::ROWS`], with four others, each `k`
/// long; `put` gets the number of the row and its four.
///
/// # Safety
/// That of [`Kernel::run`], and the rows are there.
#[inline(always)]
pub(super) unsafe fn tiles<S: Simd, W: Stored>(
    rows: usize,
    w: [*const W; 4],
    x: *const f32,
    stride: usize,
    k: usize,
    put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        match rows {
            6 => tile::<S, W, 6>(w, x, stride, k, put),
            5 => tile::<S, W, 5>(w, x, stride, k, put),
            4 => tile::<S, W, 4>(w, x, stride, k, put),
            3 => tile::<S, W, 3>(w, x, stride, k, put),
            2 => tile::<S, W, 2>(w, x, stride, k, put),
            _ => one::<S, W>(w, x, k, put),
        }
    }
}

/// Bytes that a product of one row fetches ahead.
const AHEAD: usize = 4096;

/// [`tiles`] of a single row. It lives on the stream of weights alone, so these are read one row after the other.
#[inline(always)]
unsafe fn one<S: Simd, W: Stored>(w: [*const W; 4], x: *const f32, k: usize, mut put: impl FnMut(usize, [f32; 4])) {
    let step = 4 * S::LANES;
    let whole = k - k % step;
    let mut products = [0.0; 4];
    // SAFETY: as promised by the caller; every read is below `k`.
    unsafe {
        for row in 0..4 {
            let w = w[row];
            let mut sums = [S::splat(0.0); 4];
            for at in (0..whole).step_by(step) {
                for i in 0..4 {
                    let w = w.add(at + i * S::LANES);
                    S::prefetch(w.wrapping_byte_add(AHEAD));
                    sums[i] = S::fma(S::load(x.add(at + i * S::LANES)), W::load::<S>(w), sums[i]);
                }
            }
            for at in (whole..k).step_by(S::LANES) {
                let count = S::LANES.min(k - at);
                let (x, w) = (load_part::<S, f32>(x.add(at), count), load_part::<S, W>(w.add(at), count));
                sums[0] = S::fma(x, w, sums[0]);
            }
            products[row] = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
        }
    }
    put(0, products);
}

#[inline(always)]
unsafe fn tile<S: Simd, W: Stored, const M: usize>(
    w: [*const W; 4],
    x: *const f32,
    stride: usize,
    k: usize,
    mut put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller; every read is below `k`. Plain loops, as a closure is compiled without the
    // instructions of `S` before it is inlined, and then may not be.
    unsafe {
        let mut sums = [[S::splat(0.0); 4]; M];
        let whole = k - k % S::LANES;
        let mut column = [S::splat(0.0); 4];
        for at in (0..whole).step_by(S::LANES) {
            for i in 0..4 {
                column[i] = W::load::<S>(w[i].add(at));
                // What lies behind these rows is mostly what comes next.
                S::prefetch(w[i].wrapping_add(at + 4 * k));
            }
            for m in 0..M {
                let x = S::load(x.add(m * stride + at));
                for i in 0..4 {
                    sums[m][i] = S::fma(x, column[i], sums[m][i]);
                }
            }
        }
        if whole < k {
            for i in 0..4 {
                column[i] = load_part::<S, W>(w[i].add(whole), k - whole);
            }
            for m in 0..M {
                let x = load_part::<S, f32>(x.add(m * stride + whole), k - whole);
                for i in 0..4 {
                    sums[m][i] = S::fma(x, column[i], sums[m][i]);
                }
            }
        }
        for m in 0..M {
            put(m, S::sum4(sums[m]));
        }
    }
}

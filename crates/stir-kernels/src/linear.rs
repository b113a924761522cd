//! Products of a few or many rows with a matrix of weights.

use crate::{
    parallel::{SharedSlice, parallel},
    simd::{Element, Isa, Kernel, Simd, load_part},
};

/// Elements of a row that are multiplied in one go where a product has many rows, so that what is read again and again
/// stays in the nearest caches.
const DEPTH: usize = 1024;

/// Weight rows of such a block.
const BLOCK: usize = 64;

/// The most weights that a thread takes at once, and the fewest.
const PART: std::ops::RangeInclusive<usize> = 1 << 15..=1 << 19;

/// Computes `y = x w^T + bias`, computed in f32 whatever the weights are kept in.
///
/// # Shapes
/// - `x`: `[rows, k]`, `w`: `[n, k]`, `bias`: `[n]`, `y`: `[rows, n]`
pub(crate) fn linear<W: Element>(isa: Isa, x: &[f32], w: &[W], bias: Option<&[W]>, y: &mut [f32], k: usize) {
    let (n, rows) = (w.len() / k.max(1), x.len() / k.max(1));
    assert!(w.len() == n * k && x.len() == rows * k && y.len() == rows * n && bias.is_none_or(|b| b.len() == n));
    // A thread's share is small enough to even out who is late, large enough to be worth handing over.
    let share = w.len() / (8 * rayon::current_num_threads());
    let per_part = (share.clamp(*PART.start(), *PART.end()) / k.max(1)).next_multiple_of(4).max(4);
    let y = SharedSlice::new(y);
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
    y: &'a SharedSlice<'a, f32>,
    k: usize,
    n: usize,
    first: usize,
}

impl<W: Element> Kernel for Columns<'_, W> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (k, rows, count) = (self.k, self.x.len() / self.k, self.w.len() / self.k);
        if rows <= S::ROWS {
            // Nothing is read twice: the weights in the order in which they lie.
            for column in (0..count).step_by(4) {
                for from in (0..k).step_by(DEPTH) {
                    // SAFETY: as promised by the caller.
                    unsafe { self.products::<S>(0, column, from, 4 * k) };
                }
            }
            return;
        }
        for top in (0..count).step_by(BLOCK) {
            for from in (0..k).step_by(DEPTH) {
                for row in (0..rows).step_by(S::ROWS) {
                    // What comes next: the next rows while a block is met for the first time, the next block, while
                    // this one is in the cache, after that.
                    let ahead = if row == 0 { 4 * k } else { BLOCK * k };
                    for column in (top..count.min(top + BLOCK)).step_by(4) {
                        // SAFETY: as promised by the caller.
                        unsafe { self.products::<S>(row, column, from, ahead) };
                    }
                }
            }
        }
    }
}

impl<W: Element> Columns<'_, W> {
    /// Adds the products of the elements `from..from + DEPTH` to four columns of as many rows as fit into registers.
    ///
    /// Every number is summed up in the same order whatever else is computed: a row of a batch gets, bit for bit, what
    /// it gets alone.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    #[inline(always)]
    unsafe fn products<S: Simd>(&self, row: usize, column: usize, from: usize, ahead: usize) {
        let &Self { x, w, bias, y, k, n, first } = self;
        let (columns, depth) = (4.min(w.len() / k - column), DEPTH.min(k - from));
        // Where fewer than four rows are left the last is taken again.
        let w: [*const W; 4] = std::array::from_fn(|i| w[(column + i.min(columns - 1)) * k + from..].as_ptr());
        let mut start = [0.0; 4];
        if let Some(bias) = bias {
            start.iter_mut().zip(&bias[column..]).for_each(|(start, bias)| *start = bias.to_f32());
        }
        let put = |r: usize, sums: [f32; 4]| {
            // SAFETY: these columns of the result are this part's alone.
            let y = unsafe { y.slice((row + r) * n + first + column, columns) };
            if let Ok(y) = <&mut [f32; 4]>::try_from(&mut *y) {
                let before = if from == 0 { start } else { *y };
                *y = std::array::from_fn(|i| before[i] + sums[i]);
            } else {
                y.iter_mut().enumerate().for_each(|(i, y)| *y = if from == 0 { start[i] } else { *y } + sums[i]);
            }
        };
        let rows = S::ROWS.min(x.len() / k - row);
        // SAFETY: `w` and `x` have `depth` elements from here on in each of their rows.
        unsafe { tiles::<S, W>(rows, w, x[row * k + from..].as_ptr(), k, depth, ahead, put) }
    }
}

/// The products of the first `rows` rows of `x`, `stride` apart and at most [`Simd::ROWS`], with four others, each `k`
/// long; `put` gets the number of the row and its four. What lies `ahead` elements behind the four is fetched.
///
/// # Safety
/// That of [`Kernel::run`], and the rows are there.
#[inline(always)]
pub(super) unsafe fn tiles<S: Simd, W: Element>(
    rows: usize,
    w: [*const W; 4],
    x: *const f32,
    stride: usize,
    k: usize,
    ahead: usize,
    put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        match rows {
            6 => tile::<S, W, 6>(w, x, stride, k, ahead, put),
            5 => tile::<S, W, 5>(w, x, stride, k, ahead, put),
            4 => tile::<S, W, 4>(w, x, stride, k, ahead, put),
            3 => tile::<S, W, 3>(w, x, stride, k, ahead, put),
            2 => tile::<S, W, 2>(w, x, stride, k, ahead, put),
            _ => tile::<S, W, 1>(w, x, stride, k, ahead, put),
        }
    }
}

/// [`tiles`] of `M` rows, four weights at a time for each of their elements.
#[inline(always)]
unsafe fn tile<S: Simd, W: Element, const M: usize>(
    w: [*const W; 4],
    x: *const f32,
    stride: usize,
    k: usize,
    ahead: usize,
    mut put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller; every read is below `k`. Plain loops, as a closure is compiled without the
    // instructions of `S` before it is inlined, and then may not be.
    unsafe {
        let mut sums = [[S::splat(0.0); 4]; M];
        let whole = k - k % S::ELEMENTS;
        let mut column = [S::splat(0.0); 4];
        for at in (0..whole).step_by(S::ELEMENTS) {
            for i in 0..4 {
                column[i] = W::load::<S>(w[i].add(at));
                S::prefetch(w[i].wrapping_add(at + ahead));
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

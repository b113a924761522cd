//! Products of a few or many rows with a matrix of weights.

use half::bf16;

#[cfg(target_arch = "x86_64")]
use crate::operands::{has_pairs, pairs};
use crate::{
    memory::LINE,
    operands::{InF32, Operands},
    parallel::{SharedSlice, parallel},
    simd::{Element, Isa, Kernel, Simd},
};

/// Elements of a row that are multiplied in one go where a product has many rows, so that what is read again and again
/// stays in the nearest caches.
const DEPTH: usize = 1024;

/// Weight rows of such a block.
const BLOCK: usize = 64;

/// The most weights that a thread takes at once, and the fewest.
const PART: std::ops::RangeInclusive<usize> = 1 << 15..=1 << 19;

/// Such depths of a single row that are summed up before results are put down.
const DEPTHS: usize = 16;

/// How far ahead of a single row's product memory is asked for, in bytes. Of 1 to 16 KiB this came closest to the rate
/// at which memory can be read at all.
const AHEAD: usize = 2048;

/// Computes `y = x w^T + bias`, computed in f32 whatever the weights are kept in.
///
/// # Shapes
/// - `x`: `[rows, k]`, `w`: `[n, k]`, `bias`: `[n]`, `y`: `[rows, n]`
pub(crate) fn linear<W: Element>(isa: Isa, x: &[f32], w: &[W], bias: Option<&[f32]>, y: &mut [f32], k: usize) {
    divide(x, w, bias, y, k, |columns| isa.run(columns));
}

/// [`linear`] with `x` rounded to bf16 where the processor multiplies pairs of bf16. Sums are in f32.
pub(crate) fn linear_bf16(x: &[f32], w: &[bf16], bias: Option<&[f32]>, y: &mut [f32], k: usize) {
    #[cfg(target_arch = "x86_64")]
    if has_pairs() {
        let x = pairs::rounded(x);
        // SAFETY: the processor has the instructions.
        return divide(&x, w, bias, y, k, |columns| unsafe { pairs::run(columns) });
    }
    linear(Isa::best(), x, w, bias, y, k);
}

/// Divides the columns of a product among threads.
fn divide<X: Sync, W: Sync>(
    x: &[X],
    w: &[W],
    bias: Option<&[f32]>,
    y: &mut [f32],
    k: usize,
    work: impl Fn(Columns<'_, X, W>) + Sync,
) {
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
        work(Columns { x, w, bias, y: &y, k, n, first, count });
    });
}

/// Some columns of the result: those of the weight rows from `first` on.
pub(crate) struct Columns<'a, X, W> {
    x: &'a [X],
    w: &'a [W],
    bias: Option<&'a [f32]>,
    y: &'a SharedSlice<'a, f32>,
    k: usize,
    n: usize,
    first: usize,
    /// The number of these columns.
    count: usize,
}

impl<W: Element> Kernel for Columns<'_, f32, W> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as promised by the caller.
        unsafe { self.run_with::<S, InF32<W>>() }
    }
}

impl<X: Copy, W: Copy> Columns<'_, X, W> {
    /// # Safety
    /// That of [`Kernel::run`].
    #[inline(always)]
    pub(crate) unsafe fn run_with<S: Simd, O: Operands<S, X = X, W = W>>(self) {
        let (k, rows, count) = (self.k, self.x.len() / self.k, self.count);
        // One weight row after the other where a register takes a whole line of memory; with less to do for each load,
        // or more, four at a time are read faster.
        if rows == 1 && size_of::<W>() * O::ELEMENTS == LINE {
            // SAFETY: as promised by the caller.
            return unsafe { self.one_row::<S, O>() };
        }
        if rows <= S::ROWS {
            // Nothing is read twice: four rows of weights at a time.
            for column in (0..count).step_by(4) {
                for from in (0..k).step_by(DEPTH) {
                    // SAFETY: as promised by the caller.
                    unsafe { self.products::<S, O>(0, column, from, 4 * k) };
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
                        unsafe { self.products::<S, O>(row, column, from, ahead) };
                    }
                }
            }
        }
    }

    /// Computes the only row, for which the weights are read in the order in which they lie.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    #[inline(always)]
    unsafe fn one_row<S: Simd, O: Operands<S, X = X, W = W>>(&self) {
        let &Self { x, w, k, count, .. } = self;
        // SAFETY: as promised by the caller; the results are this part's.
        unsafe {
            let mut sums = [[S::splat(0.0); 4]; DEPTHS];
            for column in (0..count).step_by(4) {
                for start in (0..k).step_by(DEPTHS * DEPTH) {
                    let depths = || (start..k).step_by(DEPTH).take(DEPTHS).enumerate();
                    for i in 0..4.min(count - column) {
                        for (depth, from) in depths() {
                            let w = w[(column + i) * k + from..].as_ptr();
                            sums[depth][i] = row::<S, O>(w, x[from..].as_ptr(), DEPTH.min(k - from));
                        }
                    }
                    for (depth, from) in depths() {
                        self.place(0, column, from)(0, S::sum4(sums[depth]));
                    }
                }
            }
        }
    }

    /// Adds the products of the elements `from..from + DEPTH` to four columns of as many rows as fit into registers.
    ///
    /// Every number is summed up in the same order whatever else is computed, here and in `one_row`: a row of a batch
    /// gets, bit for bit, what it gets alone.
    ///
    /// # Safety
    /// That of [`Kernel::run`].
    #[inline(always)]
    unsafe fn products<S: Simd, O: Operands<S, X = X, W = W>>(
        &self,
        row: usize,
        column: usize,
        from: usize,
        ahead: usize,
    ) {
        let &Self { x, w, k, count, .. } = self;
        let (columns, depth) = (4.min(count - column), DEPTH.min(k - from));
        // Where fewer than four rows are left the last is taken again.
        let w: [*const W; 4] = std::array::from_fn(|i| w[(column + i.min(columns - 1)) * k + from..].as_ptr());
        let rows = S::ROWS.min(x.len() / k - row);
        // SAFETY: `w` and `x` have `depth` elements from here on in each of their rows; the results are this part's.
        unsafe {
            let put = self.place(row, column, from);
            tiles::<S, O>(rows, w, x[row * k + from..].as_ptr(), k, depth, ahead, put);
        }
    }

    /// Returns what adds the sums over the elements from `from` on to up to four columns of a row, whose number counts
    /// from `row`; those from 0 on begin them.
    ///
    /// # Safety
    /// These columns are this part's alone.
    #[inline(always)]
    unsafe fn place(&self, row: usize, column: usize, from: usize) -> impl Fn(usize, [f32; 4]) {
        let &Self { bias, y, n, first, count, .. } = self;
        let columns = 4.min(count - column);
        let mut start = [0.0; 4];
        if let Some(bias) = bias {
            start.iter_mut().zip(&bias[column..]).for_each(|(start, bias)| *start = *bias);
        }
        move |r, sums| {
            // SAFETY: as promised by the caller.
            let y = unsafe { y.slice((row + r) * n + first + column, columns) };
            if let Ok(y) = <&mut [f32; 4]>::try_from(&mut *y) {
                let before = if from == 0 { start } else { *y };
                *y = std::array::from_fn(|i| before[i] + sums[i]);
            } else {
                y.iter_mut().enumerate().for_each(|(i, y)| *y = if from == 0 { start[i] } else { *y } + sums[i]);
            }
        }
    }
}

/// The products of the first `rows` rows of `x`, `stride` apart and at most [`Simd::ROWS`], with four others, each `k`
/// long; `put` gets the number of the row and its four. What lies `ahead` elements behind the four is fetched.
///
/// # Safety
/// That of [`Kernel::run`], and the rows are there.
#[inline(always)]
pub(super) unsafe fn tiles<S: Simd, O: Operands<S>>(
    rows: usize,
    w: [*const O::W; 4],
    x: *const O::X,
    stride: usize,
    k: usize,
    ahead: usize,
    put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        match rows {
            6 => tile::<S, O, 6>(w, x, stride, k, ahead, put),
            5 => tile::<S, O, 5>(w, x, stride, k, ahead, put),
            4 => tile::<S, O, 4>(w, x, stride, k, ahead, put),
            3 => tile::<S, O, 3>(w, x, stride, k, ahead, put),
            2 => tile::<S, O, 2>(w, x, stride, k, ahead, put),
            _ => tile::<S, O, 1>(w, x, stride, k, ahead, put),
        }
    }
}

/// [`tiles`] of `M` rows, four weights at a time for each of their elements.
#[inline(always)]
unsafe fn tile<S: Simd, O: Operands<S>, const M: usize>(
    w: [*const O::W; 4],
    x: *const O::X,
    stride: usize,
    k: usize,
    ahead: usize,
    mut put: impl FnMut(usize, [f32; 4]),
) {
    // SAFETY: as promised by the caller; every read is below `k`. Plain loops, as a closure is compiled without the
    // instructions of `S` before it is inlined, and then may not be.
    unsafe {
        let mut sums = [[S::splat(0.0); 4]; M];
        let whole = k - k % O::ELEMENTS;
        for at in (0..whole).step_by(O::ELEMENTS) {
            let column = [O::w(w[0].add(at)), O::w(w[1].add(at)), O::w(w[2].add(at)), O::w(w[3].add(at))];
            for i in 0..4 {
                S::prefetch(w[i].wrapping_add(at + ahead));
            }
            for m in 0..M {
                let x = O::x(x.add(m * stride + at));
                for i in 0..4 {
                    sums[m][i] = O::add_products(x, column[i], sums[m][i]);
                }
            }
        }
        if whole < k {
            let rest = k - whole;
            let column = [
                O::w_part(w[0].add(whole), rest),
                O::w_part(w[1].add(whole), rest),
                O::w_part(w[2].add(whole), rest),
                O::w_part(w[3].add(whole), rest),
            ];
            for m in 0..M {
                let x = O::x_part(x.add(m * stride + whole), rest);
                for i in 0..4 {
                    sums[m][i] = O::add_products(x, column[i], sums[m][i]);
                }
            }
        }
        for m in 0..M {
            put(m, S::sum4(sums[m]));
        }
    }
}

/// The sums of the products of two rows, each `k` long.
///
/// # Safety
/// That of [`Kernel::run`], and the rows are there.
#[inline(always)]
unsafe fn row<S: Simd, O: Operands<S>>(w: *const O::W, x: *const O::X, k: usize) -> S::V {
    // SAFETY: as promised by the caller; every read is below `k`.
    unsafe {
        let mut sums = S::splat(0.0);
        let whole = k - k % O::ELEMENTS;
        for at in (0..whole).step_by(O::ELEMENTS) {
            S::prefetch(w.wrapping_add(at).wrapping_byte_add(AHEAD));
            sums = O::add_products(O::x(x.add(at)), O::w(w.add(at)), sums);
        }
        if whole < k {
            sums = O::add_products(O::x_part(x.add(whole), k - whole), O::w_part(w.add(whole), k - whole), sums);
        }
        sums
    }
}

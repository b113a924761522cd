//! Attention over caches that lie in memory.

use std::ops::Range;

use crate::{
    linear::tiles,
    operands::InF32,
    parallel::{SharedSlice, parallel},
    simd::{Element, Isa, Kernel, MAX_ELEMENTS, Simd, elements, exp, load_part},
};

/// About how many query vectors of one key head are processed together; they share what is read of the cache.
const QUERIES: usize = 32;

/// The number of registers of a value that are summed up together.
const WIDE: usize = 4;

/// Keys and values of consecutive positions of one layer, `[n_kv_heads, capacity, head_dim]` each.
#[derive(Debug)]
pub struct SpanView<'a, T> {
    /// The keys.
    pub keys: &'a [T],
    /// The values.
    pub values: &'a [T],
    /// The number of positions that there is room for.
    pub capacity: usize,
    /// The number of positions held.
    pub len: usize,
}

/// The new tokens of one sequence and all that it holds of one layer, the new tokens included.
#[derive(Debug)]
pub struct Sequence<'a, T> {
    /// All positions, in order.
    pub spans: Vec<SpanView<'a, T>>,
    /// The new tokens' places in the batch.
    pub tokens: Range<usize>,
    /// The absolute position of the first new token.
    pub position: usize,
}

/// The sizes and options of attention, the same for all sequences.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// The number of query heads.
    pub n_heads: usize,
    /// The number of key heads, which divides `n_heads`.
    pub n_kv_heads: usize,
    /// The number of elements of a head.
    pub head_dim: usize,
    /// The number of positions that a token sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// The bound `c` of scores in `c * tanh(score / c)`.
    pub softcap: Option<f32>,
}

/// Every new token attends to what it sees of its sequence.
///
/// # Shapes
/// - `q`: `[tokens, n_heads, head_dim]` in rows of `stride`, scaled
/// - `out`: `[tokens, n_heads * head_dim]`
pub(crate) fn attend<T: Element>(
    isa: Isa,
    shape: AttentionShape,
    q: &[f32],
    stride: usize,
    sequences: &[Sequence<'_, T>],
    out: &mut [f32],
) {
    let group = shape.n_heads / shape.n_kv_heads;
    let per_block = (QUERIES / group).max(1);
    let blocks: Vec<(&Sequence<'_, T>, Range<usize>)> = sequences
        .iter()
        .flat_map(|sequence| {
            let count = sequence.tokens.len();
            (0..count).step_by(per_block).map(move |from| (sequence, from..count.min(from + per_block)))
        })
        .collect();
    let cost: usize = sequences
        .iter()
        .map(|s| 2 * s.tokens.len() * (s.position + s.tokens.len()) * shape.n_heads * shape.head_dim)
        .sum();
    let out = SharedSlice::new(out);
    // The blocks of one key head come one after another: forks find their common past in the cache of the processor.
    parallel(blocks.len() * shape.n_kv_heads, cost, |part| {
        let (head, (sequence, block)) = (part / blocks.len(), &blocks[part % blocks.len()]);
        isa.run(Block { shape, q, stride, sequence, block: block.clone(), head, out: &out });
    });
}

/// Some new tokens of a sequence, for one key head and the queries that share it.
struct Block<'a, T> {
    shape: AttentionShape,
    q: &'a [f32],
    stride: usize,
    sequence: &'a Sequence<'a, T>,
    block: Range<usize>,
    head: usize,
    out: &'a SharedSlice<'a, f32>,
}

impl<T: Element> Kernel for Block<'_, T> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { shape, q, stride, sequence, block, head, out } = self;
        let AttentionShape { n_heads, n_kv_heads, head_dim, window, softcap } = shape;
        let group = n_heads / n_kv_heads;
        let first_seen = |position: usize| window.map_or(0, |w| (position + 1).saturating_sub(w));
        // What some token of the block sees.
        let seen = first_seen(sequence.position + block.start)..sequence.position + block.end;
        let keys = seen.len();
        let rows = block.len() * group;

        let mut queries = Vec::with_capacity(rows * head_dim);
        for token in block.clone() {
            let at = (sequence.tokens.start + token) * stride + head * group * head_dim;
            queries.extend_from_slice(&q[at..at + group * head_dim]);
        }
        // Rows are apart by whole registers; what is written behind a row's end is never read as a score.
        let apart = keys.next_multiple_of(MAX_ELEMENTS);
        let mut scores = vec![0.0; rows * apart];
        for (span, own, at) in overlaps(&sequence.spans, &seen) {
            let from = (head * span.capacity + own.start) * head_dim;
            let keys = &span.keys[from..from + own.len() * head_dim];
            // SAFETY: the processor has the instructions.
            unsafe { dot::<S, T>(&queries, keys, head_dim, &mut scores[at..], apart) };
        }
        let mut sums = vec![0.0; rows];
        for (row, sum) in sums.iter_mut().enumerate() {
            let position = sequence.position + block.start + row / group;
            let own = first_seen(position) - seen.start..position + 1 - seen.start;
            let scores = &mut scores[row * apart..][..keys];
            if let Some(bound) = softcap {
                scores[own.clone()].iter_mut().for_each(|x| *x = (*x / bound).tanh() * bound);
            }
            scores[..own.start].fill(0.0);
            scores[own.end..].fill(0.0);
            // SAFETY: the processor has the instructions.
            *sum = unsafe { exponentiate::<S>(&mut scores[own]) };
        }
        let mut mixed = vec![0.0; rows * head_dim];
        for (span, own, at) in overlaps(&sequence.spans, &seen) {
            let from = (head * span.capacity + own.start) * head_dim;
            let values = &span.values[from..from + own.len() * head_dim];
            // SAFETY: the processor has the instructions.
            unsafe { mix::<S, T>(&scores[at..], apart, values, head_dim, &mut mixed) };
        }
        let by_token = mixed.chunks_exact(group * head_dim).zip(sums.chunks_exact(group));
        for (token, (values, sums)) in block.zip(by_token) {
            let at = (sequence.tokens.start + token) * n_heads * head_dim + head * group * head_dim;
            // SAFETY: these heads of these tokens are this block's alone.
            let out = unsafe { out.slice(at, group * head_dim) };
            for ((out, values), sum) in out.chunks_exact_mut(head_dim).zip(values.chunks_exact(head_dim)).zip(sums) {
                out.iter_mut().zip(values).for_each(|(out, x)| *out = x / sum);
            }
        }
    }
}

/// Returns the spans in which some of the positions `seen` are, with those of their own positions and the place of the
/// first of them among all seen.
fn overlaps<'a, T>(
    spans: &'a [SpanView<'a, T>],
    seen: &Range<usize>,
) -> impl Iterator<Item = (&'a SpanView<'a, T>, Range<usize>, usize)> {
    let starts = spans.iter().scan(0, |end, span| {
        let start = *end;
        *end += span.len;
        Some(start)
    });
    spans.iter().zip(starts).filter_map(|(span, start)| {
        let (from, to) = (seen.start.max(start), seen.end.min(start + span.len));
        (from < to).then(|| (span, from - start..to - start, from - seen.start))
    })
}

/// The products of every query with every key: `scores[q * apart + k]`.
#[inline(always)]
unsafe fn dot<S: Simd, T: Element>(queries: &[f32], keys: &[T], head_dim: usize, scores: &mut [f32], apart: usize) {
    let (rows, count) = (queries.len() / head_dim, keys.len() / head_dim);
    for key in (0..count).step_by(4) {
        let found = 4.min(count - key);
        let w: [*const T; 4] = std::array::from_fn(|i| keys[(key + i.min(found - 1)) * head_dim..].as_ptr());
        for row in (0..rows).step_by(S::ROWS) {
            let put = |r: usize, products: [f32; 4]| {
                scores[(row + r) * apart + key..][..found].copy_from_slice(&products[..found]);
            };
            let x = queries[row * head_dim..].as_ptr();
            // SAFETY: the rows are `head_dim` long.
            unsafe { tiles::<S, InF32<T>>(S::ROWS.min(rows - row), w, x, head_dim, head_dim, 4 * head_dim, put) }
        }
    }
}

/// Replaces the scores by `exp(score - largest)` and returns the sum of these.
#[inline(always)]
unsafe fn exponentiate<S: Simd>(scores: &mut [f32]) -> f32 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    let whole = scores.len() - scores.len() % S::ELEMENTS;
    // SAFETY: what is read and written is inside the slice.
    unsafe {
        let (largest, mut sum) = (S::splat(largest), S::splat(0.0));
        for at in (0..whole).step_by(S::ELEMENTS) {
            let p = scores[at..].as_mut_ptr();
            let x = exp::<S>(S::sub(S::load(p), largest));
            S::store(p, x);
            sum = S::add(sum, x);
        }
        let mut total = S::sum(sum);
        let rest = &mut scores[whole..];
        if !rest.is_empty() {
            let x = elements::<S>(exp::<S>(S::sub(load_part::<S, f32>(rest.as_ptr(), rest.len()), largest)));
            rest.copy_from_slice(&x[..rest.len()]);
            total += rest.iter().sum::<f32>();
        }
        total
    }
}

/// Adds to every row of `out` the values, each as often as the row's weights say: `out[r] += sum_k weights[r, k] v[k]`,
/// one after another, so that it does not matter into how many spans they are divided.
#[inline(always)]
unsafe fn mix<S: Simd, T: Element>(weights: &[f32], apart: usize, values: &[T], head_dim: usize, out: &mut [f32]) {
    let rows = out.len() / head_dim;
    for row in (0..rows).step_by(S::ROWS) {
        let weights = &weights[row * apart..];
        let out = &mut out[row * head_dim..];
        // SAFETY: as promised by the caller.
        unsafe {
            match S::ROWS.min(rows - row) {
                6 => mix_rows::<S, T, 6>(weights, apart, values, head_dim, out),
                5 => mix_rows::<S, T, 5>(weights, apart, values, head_dim, out),
                4 => mix_rows::<S, T, 4>(weights, apart, values, head_dim, out),
                3 => mix_rows::<S, T, 3>(weights, apart, values, head_dim, out),
                2 => mix_rows::<S, T, 2>(weights, apart, values, head_dim, out),
                _ => mix_rows::<S, T, 1>(weights, apart, values, head_dim, out),
            }
        }
    }
}

#[inline(always)]
unsafe fn mix_rows<S: Simd, T: Element, const M: usize>(
    weights: &[f32],
    apart: usize,
    values: &[T],
    head_dim: usize,
    out: &mut [f32],
) {
    let count = values.len() / head_dim;
    assert!(weights.len() >= (M - 1) * apart + count && out.len() >= M * head_dim);
    let mut at = 0;
    while at < head_dim {
        let registers = ((head_dim - at) / S::ELEMENTS).min(WIDE);
        // SAFETY: columns `at..at + registers * ELEMENTS`, or those left, are inside each row.
        unsafe {
            match registers {
                4 => at += columns::<S, T, M, 4>(weights, apart, values, head_dim, at, out),
                2 | 3 => at += columns::<S, T, M, 2>(weights, apart, values, head_dim, at, out),
                1 => at += columns::<S, T, M, 1>(weights, apart, values, head_dim, at, out),
                _ => {
                    let rest = head_dim - at;
                    for m in 0..M {
                        let out = &mut out[m * head_dim + at..][..rest];
                        let mut sum = load_part::<S, f32>(out.as_ptr(), rest);
                        for key in 0..count {
                            let value = load_part::<S, T>(values.as_ptr().add(key * head_dim + at), rest);
                            sum = S::fma(S::splat(weights[m * apart + key]), value, sum);
                        }
                        out.copy_from_slice(&elements::<S>(sum)[..rest]);
                    }
                    at = head_dim;
                }
            }
        }
    }
}

/// [`mix_rows`] in `N` registers of columns; returns how many columns these are.
#[inline(always)]
unsafe fn columns<S: Simd, T: Element, const M: usize, const N: usize>(
    weights: &[f32],
    apart: usize,
    values: &[T],
    head_dim: usize,
    at: usize,
    out: &mut [f32],
) -> usize {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        for m in 0..M {
            for n in 0..N {
                sums[m][n] = S::load(out.as_ptr().add(m * head_dim + at + n * S::ELEMENTS));
            }
        }
        let mut value = [S::splat(0.0); N];
        for key in 0..values.len() / head_dim {
            for n in 0..N {
                value[n] = T::load::<S>(values.as_ptr().add(key * head_dim + at + n * S::ELEMENTS));
            }
            for m in 0..M {
                let weight = S::splat(*weights.as_ptr().add(m * apart + key));
                for n in 0..N {
                    sums[m][n] = S::fma(weight, value[n], sums[m][n]);
                }
            }
        }
        for m in 0..M {
            for n in 0..N {
                S::store(out.as_mut_ptr().add(m * head_dim + at + n * S::ELEMENTS), sums[m][n]);
            }
        }
    }
    N * S::ELEMENTS
}

//! Kernels that work on each row, or on each number, by itself.

use crate::{
    Activation,
    parallel::{SharedSlice, parallel},
    simd::{Isa, Kernel, Simd, elements, exp, load_part},
};

/// Rows that a thread takes at once.
const ROWS: usize = 8;

/// Multiplications that an exponential counts for.
const EXPONENTIAL: usize = 16;

/// Writes every row divided by its root mean square and multiplied by `gamma`.
///
/// # Shapes
/// - `x` and `out`: `[rows, width]`, `gamma`: `[width]`
pub(crate) fn norm(isa: Isa, x: &[f32], gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = gamma.len();
    assert!(width > 0 && x.len() == out.len() && x.len().is_multiple_of(width));
    let rows = x.len() / width;
    let out = SharedSlice::new(out);
    parallel(rows.div_ceil(ROWS), 2 * x.len(), |part| {
        for row in part * ROWS..rows.min((part + 1) * ROWS) {
            // SAFETY: the rows of a part are its own.
            let out = unsafe { out.slice(row * width, width) };
            isa.run(Normed { x: &x[row * width..][..width], gamma, epsilon, out });
        }
    });
}

/// One row of [`norm`].
struct Normed<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for Normed<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, gamma, epsilon, out } = self;
        let whole = x.len() - x.len() % S::ELEMENTS;
        // SAFETY: the processor has the instructions, and what is read is inside the slices.
        unsafe {
            let mut sum = S::splat(0.0);
            for at in (0..whole).step_by(S::ELEMENTS) {
                let x = S::load(x[at..].as_ptr());
                sum = S::fma(x, x, sum);
            }
            let rest: f32 = x[whole..].iter().map(|x| x * x).sum();
            let rms = ((S::sum(sum) + rest) / x.len() as f32 + epsilon).sqrt();
            // A loop that the compiler turns into vectors by itself.
            for ((out, x), gamma) in out.iter_mut().zip(x).zip(gamma) {
                *out = x / rms * gamma;
            }
        }
    }
}

/// The activated first half of every row times its second half.
///
/// # Shapes
/// - `gate_up`: `[rows, 2 width]`, `out`: `[rows, width]`
pub(crate) fn gate(isa: Isa, gate_up: &[f32], activation: Activation, width: usize, out: &mut [f32]) {
    assert!(width > 0 && gate_up.len() == 2 * out.len() && out.len().is_multiple_of(width));
    let rows = out.len() / width;
    let out = SharedSlice::new(out);
    // Parts of rows, so that there is work for every thread in a single one.
    let piece = width.div_ceil(4).next_multiple_of(64);
    let per_row = width.div_ceil(piece);
    parallel(rows * per_row, EXPONENTIAL * rows * width, |part| {
        let (row, from) = (part / per_row, part % per_row * piece);
        let count = piece.min(width - from);
        // SAFETY: this piece of the row is this part's own.
        let out = unsafe { out.slice(row * width + from, count) };
        let (gate, up) = gate_up[row * 2 * width..][..2 * width].split_at(width);
        isa.run(Gated { gate: &gate[from..from + count], up: &up[from..from + count], activation, out });
    });
}

/// A piece of a row of [`gate`].
struct Gated<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Kernel for Gated<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { gate, up, activation, out } = self;
        let whole = out.len() - out.len() % S::ELEMENTS;
        // SAFETY: the processor has the instructions, and what is read and written is inside the slices.
        unsafe {
            for at in (0..whole).step_by(S::ELEMENTS) {
                let gated = activated::<S>(S::load(gate[at..].as_ptr()), activation);
                S::store(out[at..].as_mut_ptr(), S::mul(gated, S::load(up[at..].as_ptr())));
            }
            let (gate, rest) = (&gate[whole..], out.len() - whole);
            if rest > 0 {
                let gated = elements::<S>(activated::<S>(load_part::<S, f32>(gate.as_ptr(), rest), activation));
                for ((out, gated), up) in out[whole..].iter_mut().zip(gated).zip(&up[whole..]) {
                    *out = gated * up;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn activated<S: Simd>(x: S::V, activation: Activation) -> S::V {
    // SAFETY: as the caller promises.
    unsafe {
        let inner = match activation {
            Activation::Silu => x,
            // `(1 + tanh(u)) / 2` is the logistic function of `2 u`.
            Activation::GeluTanh => {
                let cube = S::mul(S::mul(x, x), x);
                let inner = S::fma(cube, S::splat(0.044_715), x);
                S::mul(inner, S::splat(2.0 * std::f32::consts::FRAC_2_PI.sqrt()))
            }
        };
        S::div(x, S::add(S::splat(1.0), exp::<S>(S::sub(S::splat(0.0), inner))))
    }
}

/// How the heads of queries and keys are normed and turned before attention.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// The number of query heads, the first of a row.
    pub n_heads: usize,
    /// The number of key heads, which come next.
    pub n_kv_heads: usize,
    /// The number of elements of a head.
    pub head_dim: usize,
    /// The factors of the norms of the queries and of the keys: as wide as a head, which norms every head by itself,
    /// or as all heads of a token, which norms them at once.
    pub norms: Option<[&'a [f32]; 2]>,
    /// The number added to the mean square in these norms.
    pub epsilon: f32,
    /// The cosines of the angles, `[tokens, rotary_dim / 2]`.
    pub cos: &'a [f32],
    /// The sines of the angles, in the same shape.
    pub sin: &'a [f32],
    /// The number of leading elements of a head that are turned: `i` with `i + rotary_dim / 2`.
    pub rotary_dim: usize,
    /// The factor of the queries.
    pub scale: f32,
}

/// Norms and turns queries and keys in place, and scales the queries.
///
/// # Shapes
/// - `qkv`: `[tokens, stride]`, each row beginning with the heads of the queries and those of the keys
pub(crate) fn heads(qkv: &mut [f32], stride: usize, heads: &Heads<'_>) {
    let &Heads { n_heads, n_kv_heads, head_dim, norms, epsilon, cos, sin, rotary_dim, scale } = heads;
    let (tokens, cost, half) = (qkv.len() / stride, qkv.len(), rotary_dim / 2);
    assert!(qkv.len() == tokens * stride && (n_heads + n_kv_heads) * head_dim <= stride && 2 * half <= head_dim);
    for (gamma, heads) in norms.into_iter().flatten().zip([n_heads, n_kv_heads]) {
        assert!(gamma.len() == head_dim || gamma.len() == heads * head_dim);
    }
    let qkv = SharedSlice::new(qkv);
    parallel(tokens, cost, |token| {
        // SAFETY: a token is one part.
        let row = unsafe { qkv.slice(token * stride, (n_heads + n_kv_heads) * head_dim) };
        let (cos, sin) = (&cos[token * half..][..half], &sin[token * half..][..half]);
        if let Some([q, k]) = norms {
            let (queries, keys) = row.split_at_mut(n_heads * head_dim);
            norm_parts(queries, q, head_dim, epsilon);
            norm_parts(keys, k, head_dim, epsilon);
        }
        for (i, head) in row.chunks_exact_mut(head_dim).enumerate() {
            let (low, high) = head[..2 * half].split_at_mut(half);
            for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
            }
            if i < n_heads {
                head.iter_mut().for_each(|x| *x *= scale);
            }
        }
    });
}

/// Norms parts of a row in place, each as wide as `gamma`. Sums within heads and then over them.
fn norm_parts(row: &mut [f32], gamma: &[f32], head_dim: usize, epsilon: f32) {
    for part in row.chunks_exact_mut(gamma.len()) {
        let square: f32 = part.chunks(head_dim).map(|head| head.iter().map(|x| x * x).sum::<f32>()).sum();
        let rms = (square / gamma.len() as f32 + epsilon).sqrt();
        part.iter_mut().zip(gamma).for_each(|(x, gamma)| *x = *x / rms * gamma);
    }
}

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]
#![warn(unreachable_pub)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![allow(
    clippy::needless_range_loop,
    reason = "closures are compiled without the instructions of the kernel they are in"
)]

mod attention;
mod format;
mod linear;
mod memory;
mod operands;
mod packed;
mod parallel;
mod rows;
mod simd;

pub use attention::{AttentionShape, Sequence, SpanView};
pub use format::Format;
use half::bf16;
pub use memory::{LINE, before_line, in_large_pages};
pub use packed::Packed;
pub use rows::Heads;
pub use simd::Element;
use simd::Isa;

/// The activation of a gated feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// The Gaussian error linear unit in its approximation by tanh.
    GeluTanh,
}

/// What quantised weights are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// Activations as they are, in f32.
    Exact,
    /// Each 32 activations as whole numbers of 8 bits and a scale.
    #[default]
    Int8,
}

impl std::fmt::Display for Activations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Int8 => "int8",
        })
    }
}

impl std::str::FromStr for Activations {
    type Err = UnknownActivations;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "exact" => Ok(Self::Exact),
            "int8" => Ok(Self::Int8),
            _ => Err(UnknownActivations(name.to_owned())),
        }
    }
}

/// A name that is neither `exact` nor `int8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownActivations(String);

impl std::fmt::Display for UnknownActivations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "activations are exact or int8, not {:?}", self.0)
    }
}

impl std::error::Error for UnknownActivations {}

/// Computes `y = x w^T + bias`, where `w` is made of quantised matrices one above another.
///
/// A row of `x` gets, bit for bit, what it gets alone.
///
/// # Shapes
/// - `x`: `[rows, k]`, `weights`: `[n_i, k]` each, `bias`: `[n]` and `y`: `[rows, n]` with `n` the sum of all `n_i`
///
/// # Panics
/// If the lengths disagree.
pub fn linear_packed(x: &[f32], weights: &[&Packed], bias: Option<&[f32]>, y: &mut [f32], activations: Activations) {
    packed::multiply(packed::Integers::best(), x, weights, bias, y, activations);
}

/// Computes `y = x w^T + bias`, in f32 whatever the weights are kept in.
///
/// # Shapes
/// - `x`: `[rows, k]`, `w`: `[n, k]`, `bias`: `[n]`, `y`: `[rows, n]`
///
/// # Panics
/// If the lengths disagree.
pub fn linear<W: Element>(x: &[f32], w: &[W], bias: Option<&[f32]>, y: &mut [f32], k: usize) {
    linear::linear(Isa::best(), x, w, bias, y, k);
}

/// Returns whether the processor multiplies pairs of bf16 (AVX-512 BF16).
pub fn has_bf16() -> bool {
    operands::has_pairs()
}

/// [`linear`] with `x` rounded to bf16 too where the processor multiplies pairs of bf16 ([`has_bf16`]), which is
/// almost twice as fast; sums are in f32. On other processors it is [`linear`] itself.
///
/// # Shapes
/// Those of [`linear`].
///
/// # Panics
/// If the lengths disagree.
pub fn linear_bf16(x: &[f32], w: &[bf16], bias: Option<&[f32]>, y: &mut [f32], k: usize) {
    linear::linear_bf16(x, w, bias, y, k);
}

/// Computes attention of every new token to what it sees of its sequence.
///
/// # Shapes
/// - `q`: `[tokens, n_heads, head_dim]` in rows of `stride`, scaled
/// - `out`: `[tokens, n_heads * head_dim]`
///
/// # Panics
/// If the lengths disagree.
pub fn attend<T: Element>(
    shape: AttentionShape,
    q: &[f32],
    stride: usize,
    sequences: &[Sequence<'_, T>],
    out: &mut [f32],
) {
    attention::attend(Isa::best(), shape, q, stride, sequences, out);
}

/// Norms and turns queries and keys in place, and scales the queries.
///
/// # Shapes
/// - `qkv`: `[tokens, stride]`, each row beginning with the heads of the queries and those of the keys
///
/// # Panics
/// If the lengths disagree.
pub fn prepare_heads(qkv: &mut [f32], stride: usize, heads: &Heads<'_>) {
    rows::heads(qkv, stride, heads);
}

/// Writes every row divided by its root mean square and multiplied by `gamma`.
///
/// # Shapes
/// - `x` and `out`: `[rows, width]`, `gamma`: `[width]`
///
/// # Panics
/// If the lengths disagree.
pub fn norm(x: &[f32], gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    rows::norm(Isa::best(), x, gamma, epsilon, out);
}

/// Writes the activated first half of every row times its second half.
///
/// # Shapes
/// - `gate_up`: `[rows, 2 width]`, `out`: `[rows, width]`
///
/// # Panics
/// If the lengths disagree.
pub fn gate(gate_up: &[f32], activation: Activation, width: usize, out: &mut [f32]) {
    rows::gate(Isa::best(), gate_up, activation, width, out);
}

#[cfg(test)]
mod tests;

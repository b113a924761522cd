//! The decoder: token embedding, layers of attention and gated feed-forward around a residual stream, a final norm and
//! an output head.

mod matrix;
mod weights;

use burn::{
    module::{Module, Param},
    tensor::{DType, Int, Tensor},
};
use stir_core::HookPoint;

pub(crate) use self::matrix::Matrix;
pub use self::weights::NamedTensor;
use crate::{
    DecoderConfig,
    attention::Dense,
    compute::{Compute, Norm, in_f32, in_type, softcap},
    config::Activation,
    hooks::{Hooks, NoHooks},
};

/// The weights of a decoder-only language model; see [`DecoderConfig`] for its options.
///
/// A pass only borrows the weights: the state of a sequence is a value that the caller owns.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocab_size, hidden_size]`
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocab_size, hidden_size]`; `None` when the embedding serves.
    head: Option<Projection>,
    #[module(skip)]
    config: DecoderConfig,
    /// The type of the tensors, and of keys and values.
    #[module(skip)]
    dtype: DType,
}

#[derive(Module, Debug)]
struct Layer {
    /// The norm of what attention reads from the stream.
    attention_norm: Option<Norm>,
    /// Query, key and value projections one above another, `[(n_heads + 2 n_kv_heads) head_dim, hidden_size]`.
    qkv: Projection,
    /// The norms of the queries and of the keys, as wide as a head or as all heads.
    qk_norms: Option<[Norm; 2]>,
    output: Projection,
    /// The norm of what the feed-forward block reads from the stream.
    feed_forward_norm: Option<Norm>,
    /// Gate and up projections one above the other, `[2 intermediate_size, hidden_size]`.
    gate_up: Projection,
    down: Projection,
    /// The norm of what attention adds to the stream.
    attention_out_norm: Option<Norm>,
    /// The norm of what the feed-forward block adds to the stream.
    feed_forward_out_norm: Option<Norm>,
}

/// `x weight^T + bias`, as PyTorch has it: the products of a few rows read each row of the weight once, in order.
#[derive(Module, Debug)]
struct Projection {
    /// `[out, in]`
    weight: Matrix,
    /// `[out]`
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    /// # Shapes
    /// - `x`: `[rows, in]`
    /// - output: `[rows, out]`
    fn forward(&self, x: Tensor<2>, compute: &impl Compute) -> Tensor<2> {
        compute.linear(x, &self.weight, self.bias.as_ref().map(Param::val))
    }
}

impl Decoder {
    /// Returns the options.
    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Returns whether some weights are kept in block formats.
    #[cfg(feature = "flex")]
    pub(crate) fn is_packed(&self) -> bool {
        let of = |layer: &Layer| [&layer.qkv, &layer.output, &layer.gate_up, &layer.down].map(|p| p.weight.is_packed());
        self.embedding.is_packed() || self.layers.iter().any(|layer| of(layer).contains(&true))
    }

    /// Returns the type of the weights and of what is computed.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the logits at every position of sequences of equal length, without a cache; differentiable.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, length]`
    /// - output: `[batch, length, vocab_size]`
    pub fn forward_dense(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = tokens.dims();
        let mut compute = Dense::new(&self.config, batch, length, self.dtype(), &tokens.device());
        let stream = self.stream(tokens.reshape([batch * length]), &mut compute, &mut NoHooks);
        let logits = self.logits(stream, &compute);
        let [_, vocab_size] = logits.dims();
        logits.reshape([batch, length, vocab_size])
    }

    /// Returns the residual stream after the last layer.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`
    /// - output: `[tokens, hidden_size]`, of as many tokens as `compute` has at the end
    pub(crate) fn stream(
        &self,
        tokens: Tensor<1, Int>,
        compute: &mut impl Compute,
        hooks: &mut impl Hooks,
    ) -> Tensor<2> {
        let x = in_type(self.embedding.rows(tokens), compute.stream_type(self.dtype()));
        let mut x = scaled(x, self.config.embedding_scale);
        let scale = self.config.residual_scale;
        for (i, layer) in self.layers.iter().enumerate() {
            x = hooks.at(HookPoint::ResidPre(i), x);
            x = x.clone() + scaled(layer.attend(i, x, compute), scale);
            x = x.clone() + scaled(layer.feed_forward(x, self.config.activation, compute), scale);
            x = compute.leave_layer(i, x);
            x = hooks.at(HookPoint::ResidPost(i), x);
        }
        x
    }

    /// # Shapes
    /// - `stream`: `[rows, hidden_size]`, as [`stream`](Self::stream) returns it
    /// - output: `[rows, vocab_size]`
    pub(crate) fn logits(&self, stream: Tensor<2>, compute: &impl Compute) -> Tensor<2> {
        let x = compute.norm(&self.norm, stream);
        let head = self.head.as_ref().map_or(&self.embedding, |head| &head.weight);
        let logits = scaled(in_f32(compute.linear(x, head, None)), self.config.logit_scale);
        softcap(logits, self.config.logit_softcap)
    }
}

impl Layer {
    fn attend(&self, index: usize, x: Tensor<2>, compute: &mut impl Compute) -> Tensor<2> {
        let qkv = self.qkv.forward(normed(&self.attention_norm, x, compute), compute);
        let attended = compute.attend(index, qkv, self.qk_norms.as_ref());
        normed(&self.attention_out_norm, self.output.forward(attended, compute), compute)
    }

    fn feed_forward(&self, x: Tensor<2>, activation: Activation, compute: &impl Compute) -> Tensor<2> {
        let gate_up = self.gate_up.forward(normed(&self.feed_forward_norm, x, compute), compute);
        let out = self.down.forward(compute.gate(gate_up, activation), compute);
        normed(&self.feed_forward_out_norm, out, compute)
    }
}

/// Returns the normed rows, or the rows where there is no norm.
fn normed(norm: &Option<Norm>, x: Tensor<2>, compute: &impl Compute) -> Tensor<2> {
    match norm {
        Some(norm) => compute.norm(norm, x),
        None => x,
    }
}

fn scaled(x: Tensor<2>, factor: f64) -> Tensor<2> {
    if factor == 1.0 { x } else { x * factor as f32 }
}

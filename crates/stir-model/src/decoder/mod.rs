//! The decoder: token embedding, layers of attention and gated feed-forward around a residual stream, a final norm and
//! an output head.

mod weights;

use burn::{
    module::{Module, Param},
    tensor::{DType, Int, Tensor},
};
use stir_core::HookPoint;

pub use self::weights::NamedTensor;
use crate::{
    DecoderConfig,
    alike::Alike,
    attention::{Dense, indices},
    cache::{Batch, Extension},
    compute::{Angles, Compute, Heads, Norm, in_f32, in_type, softcap},
    config::{Activation, Rope},
    hooks::{AtHooks, NoHooks},
};

/// The weights of a decoder-only language model; see [`DecoderConfig`] for its options.
///
/// The weights are only ever borrowed: the state of a sequence is a value its owner passes in.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocab_size, hidden_size]`
    embedding: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: Norm,
    /// `[vocab_size, hidden_size]`; `None` when the embedding serves.
    head: Option<Projection>,
    #[module(skip)]
    config: DecoderConfig,
}

#[derive(Module, Debug)]
struct Layer {
    attention_norm: Norm,
    /// Query, key and value projections one above another, `[(n_heads + 2 n_kv_heads) head_dim, hidden_size]`.
    qkv: Projection,
    /// Of every head of the queries and of the keys.
    qk_norms: Option<[Norm; 2]>,
    output: Projection,
    feed_forward_norm: Norm,
    /// Gate and up projections one above the other, `[2 intermediate_size, hidden_size]`.
    gate_up: Projection,
    down: Projection,
    /// Of what attention and feed-forward add to the stream.
    out_norms: Option<[Norm; 2]>,
}

/// `x weight^T + bias`, as PyTorch has it: the products of a few rows read each row of the weight once, in order.
#[derive(Module, Debug)]
struct Projection {
    /// `[out, in]`
    weight: Param<Tensor<2>>,
    /// `[out]`
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    /// # Shapes
    /// - `x`: `[rows, in]`
    /// - output: `[rows, out]`
    fn forward(&self, x: Tensor<2>, compute: &impl Compute) -> Tensor<2> {
        compute.linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

impl Decoder {
    /// The options.
    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The type of the weights and of what is computed.
    pub(crate) fn dtype(&self) -> DType {
        self.embedding.val().dtype()
    }

    /// Logits at every position of sequences of equal length, without a cache; differentiable.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, length]`
    /// - output: `[batch, length, vocab_size]`
    pub fn forward_dense(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = tokens.dims();
        let device = tokens.device();
        let positions: Vec<usize> = (0..batch).flat_map(|_| 0..length).collect();
        let mut compute = Dense::new(&self.config, batch, length, self.dtype(), &device);
        let positions = Positions { first: positions, later: None };
        let stream = self.stream(tokens.reshape([batch * length]), positions, &mut compute, &mut NoHooks);
        let logits = self.logits(stream, &compute);
        let [_, vocab_size] = logits.dims();
        logits.reshape([batch, length, vocab_size])
    }

    /// The residual stream after the last layer, for tokens at the given absolute positions.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`
    /// - output: `[tokens, hidden_size]`, of as many tokens as there are later on
    pub(crate) fn stream<C: Compute>(
        &self,
        tokens: Tensor<1, Int>,
        positions: Positions,
        compute: &mut C,
        hooks: &mut impl AtHooks,
    ) -> Tensor<2> {
        let rotations = |compute: &C, positions: &[usize]| {
            let turning = |rope: &Rope| compute.rotation(Angles::new(positions, rope));
            (turning(&self.config.rope), self.config.local_rope.as_ref().map(turning))
        };
        let (mut of_all, mut of_windowed) = rotations(compute, &positions.first);
        let mut x = in_type(self.embedding.val().select(0, tokens), compute.stream_type(self.dtype()));
        if self.config.embedding_scale != 1.0 {
            x = x * self.config.embedding_scale as f32;
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let windowed = of_windowed.as_ref().filter(|_| self.config.windows[i].is_some());
            let rotation = windowed.unwrap_or(&of_all);
            let heads = Heads { config: &self.config, norms: layer.qk_norms.as_ref(), rotation };
            x = hooks.at(HookPoint::ResidPre(i), x);
            x = x.clone() + layer.attend(i, x, &heads, compute);
            x = x.clone() + layer.feed_forward(x, self.config.activation, compute);
            if let Some(later) = positions.later.as_ref().filter(|later| later.layers == i + 1) {
                let from = indices(&later.from, &x.device());
                x = x.select(0, from);
                compute.widen();
                (of_all, of_windowed) = rotations(compute, &later.positions);
            }
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
        softcap(in_f32(compute.linear(x, head.val(), None)), self.config.logit_softcap)
    }
}

impl Layer {
    fn attend<C: Compute>(
        &self,
        index: usize,
        x: Tensor<2>,
        heads: &Heads<'_, C::Rotation>,
        compute: &mut C,
    ) -> Tensor<2> {
        let qkv = self.qkv.forward(compute.norm(&self.attention_norm, x), compute);
        let attended = compute.attend(index, qkv, heads);
        let out = self.output.forward(attended, compute);
        match &self.out_norms {
            Some([norm, _]) => compute.norm(norm, out),
            None => out,
        }
    }

    fn feed_forward(&self, x: Tensor<2>, activation: Activation, compute: &impl Compute) -> Tensor<2> {
        let gate_up = self.gate_up.forward(compute.norm(&self.feed_forward_norm, x), compute);
        let out = self.down.forward(compute.gate(gate_up, activation), compute);
        match &self.out_norms {
            Some([_, norm]) => compute.norm(norm, out),
            None => out,
        }
    }
}

/// The absolute positions of the tokens that a pass computes.
pub(crate) struct Positions {
    first: Vec<usize>,
    later: Option<Later>,
}

/// More tokens, which begin to differ only after some layers.
struct Later {
    layers: usize,
    positions: Vec<usize>,
    /// Of each, the one of the first tokens that it is like.
    from: Vec<usize>,
}

impl Positions {
    /// Those of a batch, of which rows may be alike.
    pub(crate) fn of(batch: &Batch<'_>, alike: Option<&Alike>) -> Self {
        let later = alike.map(|alike| Later {
            layers: alike.layers(),
            positions: batch.rows().iter().flat_map(Extension::positions).collect(),
            from: (0..batch.len()).flat_map(|row| batch.tokens(row)).collect(),
        });
        Self { first: batch.computed().flat_map(Extension::positions).collect(), later }
    }
}

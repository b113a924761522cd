//! Qwen2: embedding, decoder layers, final norm, output head. One sequence at a time, `[tokens, hidden_size]`.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{Embedding, Linear, RmsNorm, VarBuilder, embedding, linear, linear_no_bias, ops, rms_norm, rotary_emb};
use stir_core::HookPoint;
use stir_model::DecoderConfig;

use crate::KvCache;

/// The weights. They are only read: what belongs to one sequence is in its [`KvCache`].
#[derive(Debug)]
pub struct Decoder {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    /// Cosine and sine of every position's angles, `[max_context, head_dim / 2]`.
    rope: (Tensor, Tensor),
}

impl Decoder {
    pub fn load(config: &DecoderConfig, weights: VarBuilder) -> Result<Self> {
        let model = weights.pp("model");
        let embedding = embedding(config.vocab_size, config.hidden_size, model.pp("embed_tokens"))?;
        let layers = (0..config.n_layers).map(|i| Layer::load(config, model.pp(format!("layers.{i}"))));
        let head = match config.tie_embeddings {
            true => Linear::new(embedding.embeddings().clone(), None),
            false => linear_no_bias(config.hidden_size, config.vocab_size, weights.pp("lm_head"))?,
        };
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            norm: rms_norm(config.hidden_size, config.rms_norm_eps, model.pp("norm"))?,
            rope: angles(config)?,
            embedding,
            head,
        })
    }

    /// Appends `tokens` to the sequence in `cache`. `hook` sees the residual stream, `[tokens, hidden_size]`, on its way
    /// into each layer and out of it, and what it returns goes on: this is where vectors are added and states are read.
    /// Returns the stream at the last token, `[1, hidden_size]`.
    pub fn forward(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        mut hook: impl FnMut(HookPoint, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (past, new) = (cache.len, tokens.len());
        let rope = (self.rope.0.narrow(0, past, new)?, self.rope.1.narrow(0, past, new)?);
        let mask = causal_mask(past, new)?;
        let mut stream = self.embedding.forward(&Tensor::new(tokens, &Device::Cpu)?)?;
        for (i, layer) in self.layers.iter().enumerate() {
            stream = hook(HookPoint::ResidPre(i), stream)?;
            stream = layer.forward(&stream, &rope, &mask, |keys, values| cache.append(i, keys, values))?;
            stream = hook(HookPoint::ResidPost(i), stream)?;
        }
        cache.len += new;
        stream.narrow(0, new - 1, 1)
    }

    /// The logits, `[vocab_size]`, that follow from the last stream of a position, `[1, hidden_size]`.
    pub fn logits(&self, stream: &Tensor) -> Result<Vec<f32>> {
        self.head.forward(&self.norm.forward(stream)?)?.squeeze(0)?.to_vec1()
    }
}

#[derive(Debug)]
struct Layer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Layer {
    fn load(config: &DecoderConfig, weights: VarBuilder) -> Result<Self> {
        let (hidden, inner, head_dim) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (heads, kv_heads) = (config.n_heads, config.n_kv_heads);
        let (attention, mlp) = (weights.pp("self_attn"), weights.pp("mlp"));
        Ok(Self {
            attention_norm: rms_norm(hidden, config.rms_norm_eps, weights.pp("input_layernorm"))?,
            query: linear(hidden, heads * head_dim, attention.pp("q_proj"))?,
            key: linear(hidden, kv_heads * head_dim, attention.pp("k_proj"))?,
            value: linear(hidden, kv_heads * head_dim, attention.pp("v_proj"))?,
            output: linear_no_bias(heads * head_dim, hidden, attention.pp("o_proj"))?,
            mlp_norm: rms_norm(hidden, config.rms_norm_eps, weights.pp("post_attention_layernorm"))?,
            gate: linear_no_bias(hidden, inner, mlp.pp("gate_proj"))?,
            up: linear_no_bias(hidden, inner, mlp.pp("up_proj"))?,
            down: linear_no_bias(inner, hidden, mlp.pp("down_proj"))?,
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// `cached` takes the new keys and values, `[1, kv_heads, tokens, head_dim]`, and returns all there are.
    fn forward(
        &self,
        stream: &Tensor,
        (cos, sin): &(Tensor, Tensor),
        mask: &Tensor,
        cached: impl FnOnce(Tensor, Tensor) -> Result<(Tensor, Tensor)>,
    ) -> Result<Tensor> {
        let normed = self.attention_norm.forward(stream)?;
        let query = rotary_emb::rope(&self.split(self.query.forward(&normed)?)?, cos, sin)?;
        let key = rotary_emb::rope(&self.split(self.key.forward(&normed)?)?, cos, sin)?;
        let (keys, values) = cached(key, self.split(self.value.forward(&normed)?)?)?;
        let stream = (stream + self.output.forward(&self.attend(&query, &keys, &values, mask)?)?)?;

        let normed = self.mlp_norm.forward(&stream)?;
        let inner = (ops::silu(&self.gate.forward(&normed)?)? * self.up.forward(&normed)?)?;
        &stream + self.down.forward(&inner)?
    }

    /// `[tokens, heads * head_dim]` to `[1, heads, tokens, head_dim]`.
    fn split(&self, x: Tensor) -> Result<Tensor> {
        x.reshape((1, x.dim(0)?, (), self.head_dim))?.transpose(1, 2)?.contiguous()
    }

    /// Attention of every query over all keys that `mask` lets it see. The query heads that share a key head lie side by
    /// side, so that they are the rows of one product.
    fn attend(&self, query: &Tensor, keys: &Tensor, values: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (tokens, seen) = (query.dim(2)?, keys.dim(2)?);
        let rows = (self.kv_heads, self.heads / self.kv_heads * tokens, self.head_dim);
        let scores = query.reshape(rows)?.matmul(&keys.squeeze(0)?.t()?)?;
        let scores = (scores.reshape((self.heads, tokens, seen))? / (self.head_dim as f64).sqrt())?;
        let weights = ops::softmax_last_dim(&scores.broadcast_add(mask)?)?;
        let read = weights.reshape((self.kv_heads, (), seen))?.matmul(&values.squeeze(0)?)?;
        read.reshape((self.heads, tokens, self.head_dim))?.transpose(0, 1)?.reshape((tokens, ()))
    }
}

/// Zero where a token sees a position, its own and those before it; else minus infinity. `[new, past + new]`.
fn causal_mask(past: usize, new: usize) -> Result<Tensor> {
    let sees = |token: usize, position: usize| if position <= past + token { 0.0 } else { f32::NEG_INFINITY };
    let mask: Vec<f32> = (0..new).flat_map(|token| (0..past + new).map(move |p| sees(token, p))).collect();
    Tensor::from_vec(mask, (new, past + new), &Device::Cpu)
}

fn angles(config: &DecoderConfig) -> Result<(Tensor, Tensor)> {
    let (width, theta) = (config.head_dim, config.rope.theta as f32);
    let frequencies: Vec<f32> = (0..width).step_by(2).map(|i| 1.0 / theta.powf(i as f32 / width as f32)).collect();
    let positions = Tensor::arange(0, config.max_context as u32, &Device::Cpu)?.to_dtype(DType::F32)?;
    let angles = positions.unsqueeze(1)?.broadcast_mul(&Tensor::new(frequencies, &Device::Cpu)?.unsqueeze(0)?)?;
    Ok((angles.cos()?, angles.sin()?))
}

//! The decoder: token embedding, layers of attention and gated feed-forward around a residual stream, a final norm and
//! an output head.

use burn::{
    module::{Module, Param},
    nn::{Linear, RmsNorm},
    tensor::{Device, Int, Tensor, TensorData, activation::silu},
};
use stir_core::{HookPoint, SampleRng};

use crate::{
    Checkpoint, DecoderConfig, ModelError, RopeFrequencies,
    attention::{Attend, Dense},
    hooks::Hooks,
};

/// The weights of a decoder-only language model; see [`DecoderConfig`] for its options.
///
/// The weights are only ever borrowed: the state of a sequence is a value its owner passes in.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocab_size, hidden_size]`
    embedding: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// `[hidden_size, vocab_size]`; `None` when the embedding serves.
    head: Option<Linear>,
    n_heads: usize,
    n_kv_heads: usize,
    /// `[head_dim / 2]`: radians per position.
    frequencies: Vec<f32>,
}

/// A weight by its name in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name, as Hugging Face has it.
    pub name: String,
    /// Shape, as PyTorch has it.
    pub shape: Vec<usize>,
    /// Values, row by row.
    pub values: Vec<f32>,
}

impl NamedTensor {
    fn new<const D: usize>(name: &str, tensor: Tensor<D>) -> Result<Self, ModelError> {
        Ok(Self { name: name.to_owned(), shape: tensor.dims().to_vec(), values: read(tensor)? })
    }
}

#[derive(Module, Debug)]
struct Layer {
    attention_norm: RmsNorm,
    /// Query, key and value projections side by side, `[hidden_size, (n_heads + 2 n_kv_heads) head_dim]`.
    qkv: Linear,
    output: Linear,
    feed_forward_norm: RmsNorm,
    /// Gate and up projections side by side, `[hidden_size, 2 intermediate_size]`.
    gate_up: Linear,
    down: Linear,
}

impl Decoder {
    /// The decoder of `config` with the weights of `checkpoint`.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen, of a type that is not read, or holds NaN or infinity.
    pub fn load(config: &DecoderConfig, checkpoint: &mut Checkpoint, device: &Device) -> Result<Self, ModelError> {
        Self::build(config, &mut |name, shape| checkpoint.take(name, shape), device)
    }

    /// The decoder of `config` with random weights: normal with deviation 0.02, that of the projections back into the
    /// stream divided by `sqrt(2 n_layers)`; norms 1, biases 0.
    pub fn random(config: &DecoderConfig, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let mut rng = SampleRng::new(seed, 0);
        let back = 0.02 / (2.0 * config.n_layers as f64).sqrt();
        let mut source = |name: &str, shape: &[usize]| {
            let mut fill =
                |deviation: f64| (0..shape.iter().product()).map(|_| (rng.normal() * deviation) as f32).collect();
            Ok(match name {
                _ if name.ends_with("norm.weight") => vec![1.0; shape[0]],
                _ if name.ends_with("bias") => vec![0.0; shape[0]],
                _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => fill(back),
                _ => fill(0.02),
            })
        };
        Self::build(config, &mut source, device)
    }

    fn build(config: &DecoderConfig, source: &mut Source<'_>, device: &Device) -> Result<Self, ModelError> {
        let (hidden, inner, width) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (q, kv) = (config.n_heads * width, config.n_kv_heads * width);
        let mut tensors = Tensors { source, device };
        let embedding = tensors.matrix("model.embed_tokens.weight", [config.vocab_size, hidden])?;
        let layers = (0..config.n_layers)
            .map(|i| {
                let prefix = format!("model.layers.{i}");
                let name = |part: &str| format!("{prefix}.{part}");
                let projections = ["q_proj", "k_proj", "v_proj"].map(|p| name(&format!("self_attn.{p}")));
                Ok(Layer {
                    attention_norm: tensors.norm(&name("input_layernorm"), config)?,
                    qkv: tensors.linear(
                        hidden,
                        &[(&projections[0], q), (&projections[1], kv), (&projections[2], kv)],
                        config.qkv_bias,
                    )?,
                    output: tensors.linear(q, &[(&name("self_attn.o_proj"), hidden)], false)?,
                    feed_forward_norm: tensors.norm(&name("post_attention_layernorm"), config)?,
                    gate_up: tensors.linear(
                        hidden,
                        &[(&name("mlp.gate_proj"), inner), (&name("mlp.up_proj"), inner)],
                        false,
                    )?,
                    down: tensors.linear(inner, &[(&name("mlp.down_proj"), hidden)], false)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let head = match config.tie_embeddings {
            true => None,
            false => Some(tensors.linear(hidden, &[("lm_head", config.vocab_size)], false)?),
        };
        Ok(Self {
            embedding: Param::from_tensor(embedding),
            layers,
            norm: tensors.norm("model.norm", config)?,
            head,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            frequencies: rope_frequencies(config),
        })
    }

    /// The weights under their Hugging Face names, as PyTorch stores them (`[out, in]`).
    ///
    /// # Errors
    /// When the device cannot return them.
    pub fn tensors(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let mut all = vec![NamedTensor::new("model.embed_tokens.weight", self.embedding.val())?];
        let (q, kv) = (self.n_heads * self.head_dim(), self.n_kv_heads * self.head_dim());
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{i}.{part}");
            let mut split = |linear: &Linear, parts: &[(&str, usize)]| -> Result<(), ModelError> {
                let mut start = 0;
                for (part, out) in parts {
                    let weight = linear.weight.val().narrow(1, start, *out).transpose();
                    all.push(NamedTensor::new(&name(&format!("{part}.weight")), weight)?);
                    if let Some(bias) = &linear.bias {
                        let bias = bias.val().narrow(0, start, *out);
                        all.push(NamedTensor::new(&name(&format!("{part}.bias")), bias)?);
                    }
                    start += out;
                }
                Ok(())
            };
            let [inner, hidden] = layer.down.weight.dims();
            split(&layer.qkv, &[("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)])?;
            split(&layer.output, &[("self_attn.o_proj", hidden)])?;
            split(&layer.gate_up, &[("mlp.gate_proj", inner), ("mlp.up_proj", inner)])?;
            split(&layer.down, &[("mlp.down_proj", hidden)])?;
            all.push(NamedTensor::new(&name("input_layernorm.weight"), layer.attention_norm.gamma.val())?);
            all.push(NamedTensor::new(&name("post_attention_layernorm.weight"), layer.feed_forward_norm.gamma.val())?);
        }
        all.push(NamedTensor::new("model.norm.weight", self.norm.gamma.val())?);
        if let Some(head) = &self.head {
            all.push(NamedTensor::new("lm_head.weight", head.weight.val().transpose())?);
        }
        Ok(all)
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
        let mut attend = Dense::new(batch, length, &device);
        let stream = self.stream(tokens.reshape([batch * length]), &positions, &mut attend, &mut Hooks::idle());
        let logits = self.logits(stream);
        let [_, vocab_size] = logits.dims();
        logits.reshape([batch, length, vocab_size])
    }

    /// The residual stream after the last layer, for tokens at the given absolute positions.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`
    /// - output: `[tokens, hidden_size]`
    pub(crate) fn stream(
        &self,
        tokens: Tensor<1, Int>,
        positions: &[usize],
        attend: &mut impl Attend,
        hooks: &mut Hooks,
    ) -> Tensor<2> {
        let rope = Rope::new(positions, &self.frequencies, &tokens.device());
        let mut x = self.embedding.val().select(0, tokens);
        for (i, layer) in self.layers.iter().enumerate() {
            x = hooks.at(HookPoint::ResidPre(i), x);
            x = x.clone() + layer.attend(i, x, self, &rope, attend);
            x = x.clone() + layer.feed_forward(x);
            x = hooks.at(HookPoint::ResidPost(i), x);
        }
        x
    }

    /// # Shapes
    /// - `stream`: `[rows, hidden_size]`, as [`stream`](Self::stream) returns it
    /// - output: `[rows, vocab_size]`
    pub(crate) fn logits(&self, stream: Tensor<2>) -> Tensor<2> {
        let x = self.norm.forward(stream);
        match &self.head {
            Some(head) => head.forward(x),
            None => x.matmul(self.embedding.val().transpose()),
        }
    }

    fn head_dim(&self) -> usize {
        2 * self.frequencies.len()
    }
}

impl Layer {
    fn attend(
        &self,
        index: usize,
        x: Tensor<2>,
        decoder: &Decoder,
        rope: &Rope,
        attend: &mut impl Attend,
    ) -> Tensor<2> {
        let qkv = self.qkv.forward(self.attention_norm.forward(x));
        let [tokens, columns] = qkv.dims();
        let (heads, kv_heads) = (decoder.n_heads, decoder.n_kv_heads);
        let all = heads + 2 * kv_heads;
        let qkv = qkv.reshape([tokens, all, columns / all]);
        // Queries and keys are rotated in one piece.
        let qk = rope.rotate(qkv.clone().narrow(1, 0, heads + kv_heads));
        let v = qkv.narrow(1, heads + kv_heads, kv_heads);
        let k = qk.clone().narrow(1, heads, kv_heads);
        self.output.forward(attend.attend(index, qk.narrow(1, 0, heads), k, v))
    }

    fn feed_forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate_up = self.gate_up.forward(self.feed_forward_norm.forward(x));
        let [_, columns] = gate_up.dims();
        let gate = gate_up.clone().narrow(1, 0, columns / 2);
        self.down.forward(silu(gate) * gate_up.narrow(1, columns / 2, columns / 2))
    }
}

/// Rotary position embedding in the rotate-half layout of Hugging Face checkpoints: element `i` turns with element
/// `i + head_dim / 2`.
struct Rope {
    /// `[tokens, 1, head_dim]`, both halves equal.
    cos: Tensor<3>,
    /// `[tokens, 1, head_dim]`, the first half negated.
    sin: Tensor<3>,
}

impl Rope {
    fn new(positions: &[usize], frequencies: &[f32], device: &Device) -> Self {
        let head_dim = 2 * frequencies.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for &position in positions {
            let angles = frequencies.iter().map(|f| position as f32 * f);
            let (s, c): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
            cos.extend(c.iter().chain(&c));
            sin.extend(s.iter().map(|s| -s).chain(s.iter().copied()));
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, [positions.len(), 1, head_dim]), device);
        Self { cos: tensor(cos), sin: tensor(sin) }
    }

    /// # Shapes
    /// - both: `[tokens, heads, head_dim]`
    fn rotate(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, _, width] = x.dims();
        let (first, second) = (x.clone().narrow(2, 0, width / 2), x.clone().narrow(2, width / 2, width / 2));
        x * self.cos.clone() + Tensor::cat(vec![second, first], 2) * self.sin.clone()
    }
}

/// `theta^(-2i / head_dim)`, in f32 throughout as the published implementation computes them.
fn rope_frequencies(config: &DecoderConfig) -> Vec<f32> {
    let exponent = |i: usize| (2 * i) as f32 / config.head_dim as f32;
    let exact = (0..config.head_dim / 2).map(|i| 1.0 / (config.rope_theta as f32).powf(exponent(i)));
    match config.rope_frequencies {
        RopeFrequencies::F32 => exact.collect(),
        RopeFrequencies::Bf16 => exact.map(|f| half::bf16::from_f32(f).to_f32()).collect(),
    }
}

/// Where weights come from: a name and the shape PyTorch stores it in.
type Source<'s> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>, ModelError> + 's;

struct Tensors<'a, 's> {
    source: &'a mut Source<'s>,
    device: &'a Device,
}

impl Tensors<'_, '_> {
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, ModelError> {
        Ok(Tensor::from_data(TensorData::new((self.source)(name, &shape)?, shape), self.device))
    }

    fn norm(&mut self, name: &str, config: &DecoderConfig) -> Result<RmsNorm, ModelError> {
        let values = (self.source)(&format!("{name}.weight"), &[config.hidden_size])?;
        let gamma = Tensor::from_data(TensorData::new(values, [config.hidden_size]), self.device);
        Ok(RmsNorm { gamma: Param::from_tensor(gamma), epsilon: config.rms_norm_eps })
    }

    /// Projections of one input side by side. PyTorch stores `[out, in]`; `[in, out]` is faster to multiply by.
    fn linear(&mut self, input: usize, parts: &[(&str, usize)], bias: bool) -> Result<Linear, ModelError> {
        let columns: usize = parts.iter().map(|(_, out)| out).sum();
        let mut weight = vec![0.0; input * columns];
        let mut biases = Vec::with_capacity(columns);
        let mut start = 0;
        for (name, out) in parts {
            let stored = (self.source)(&format!("{name}.weight"), &[*out, input])?;
            for (o, row) in stored.chunks_exact(input).enumerate() {
                for (i, &x) in row.iter().enumerate() {
                    weight[i * columns + start + o] = x;
                }
            }
            if bias {
                biases.extend((self.source)(&format!("{name}.bias"), &[*out])?);
            }
            start += out;
        }
        let weight = Tensor::from_data(TensorData::new(weight, [input, columns]), self.device);
        let bias = bias.then(|| Param::from_tensor(Tensor::from_data(TensorData::new(biases, [columns]), self.device)));
        Ok(Linear { weight: Param::from_tensor(weight), bias })
    }
}

/// The values of a tensor, row by row.
///
/// Backends on cubecl copy lazily, so the bytes are taken at once: an in-place operation after `to_data` would show in
/// what is read later.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(|source| ModelError::Device(crate::DeviceError::Read(source)))
}

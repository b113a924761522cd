//! The decoder: token embedding, layers of attention and gated feed-forward around a residual stream, a final norm and
//! an output head.

use burn::{
    module::{Module, Param},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use half::{bf16, f16};
use stir_core::{HookPoint, SampleRng};

use crate::{
    ComputeType, DecoderConfig, ModelError,
    alike::Alike,
    attention::{Dense, indices},
    cache::{Batch, Extension},
    checkpoint::{Reader, Weight},
    compute::{Angles, Compute, Heads, Norm, in_f32, in_type, softcap},
    config::{Activation, Rope},
    hooks::{AtHooks, NoHooks},
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

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

/// Which tensors of a checkpoint make up a layer: names behind the layer's prefix and, of projections, output widths.
struct Names {
    qkv: Vec<(&'static str, usize)>,
    output: [(&'static str, usize); 1],
    gate_up: Vec<(&'static str, usize)>,
    down: [(&'static str, usize); 1],
    attention_norm: &'static str,
    feed_forward_norm: &'static str,
    qk_norms: Option<[&'static str; 2]>,
    out_norms: Option<[&'static str; 2]>,
}

impl Names {
    fn new(config: &DecoderConfig) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        // What the plain families call the norm before the feed-forward block is the one after attention in the others.
        let (feed_forward_norm, out_norms) = match config.sandwich_norms {
            false => ("post_attention_layernorm", None),
            true => ("pre_feedforward_layernorm", Some(["post_attention_layernorm", "post_feedforward_layernorm"])),
        };
        let (qkv, gate_up) = match config.fused_projections {
            false => (
                vec![("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)],
                vec![("mlp.gate_proj", inner), ("mlp.up_proj", inner)],
            ),
            true => (vec![("self_attn.qkv_proj", q + 2 * kv)], vec![("mlp.gate_up_proj", 2 * inner)]),
        };
        Self {
            qkv,
            output: [("self_attn.o_proj", hidden)],
            gate_up,
            down: [("mlp.down_proj", hidden)],
            attention_norm: "input_layernorm",
            feed_forward_norm,
            qk_norms: config.qk_norm.then_some(["self_attn.q_norm", "self_attn.k_norm"]),
            out_norms,
        }
    }
}

impl Decoder {
    /// The decoder of `config` with the weights of a checkpoint, kept and computed with as `compute` says.
    pub(crate) fn load(
        config: &DecoderConfig,
        reader: &mut Reader<'_>,
        compute: ComputeType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let decoder = match compute {
            ComputeType::F32 => Self::build::<f32>(config, reader, device),
            ComputeType::Bf16 => Self::build::<bf16>(config, reader, device),
            ComputeType::F16 => Self::build::<f16>(config, reader, device),
        }?;
        if config.tie_embeddings {
            reader.take_copy(HEAD, EMBEDDING)?;
        }
        Ok(decoder)
    }

    /// The decoder of `config` with random weights: normal with deviation 0.02, that of the projections back into the
    /// stream divided by `sqrt(2 n_layers)`; norms neutral, biases 0.
    ///
    /// # Errors
    /// [`ModelError::Options`] for options that contradict each other.
    pub fn random(config: &DecoderConfig, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let back = 0.02 / (2.0 * config.n_layers as f64).sqrt();
        let neutral = if config.norm_offset { 0.0 } else { 1.0 };
        Self::build::<f32>(config, &mut Random { rng: SampleRng::new(seed, 0), back, neutral }, device)
    }

    fn build<T: Weight>(config: &DecoderConfig, source: &mut impl Source, device: &Device) -> Result<Self, ModelError> {
        let (hidden, width, names) = (config.hidden_size, config.head_dim, Names::new(config));
        config.validate()?;
        let mut tensors = Tensors { source, config, device };
        let embedding = tensors.stored::<T, 2>(EMBEDDING, [config.vocab_size, hidden])?;
        // The largest tensors come first, while there is room for what is read beside what is kept.
        let head = match config.tie_embeddings {
            true => None,
            false => Some(tensors.linear::<T>("", hidden, &[("lm_head", config.vocab_size)], false)?),
        };
        let layers = (0..config.n_layers)
            .map(|i| {
                let layer = format!("model.layers.{i}.");
                let mut norm = |name: &str, width| tensors.norm(&format!("{layer}{name}"), width);
                let mut pair = |names: Option<[&str; 2]>, width| -> Result<_, ModelError> {
                    let Some([first, second]) = names else { return Ok(None) };
                    Ok(Some([norm(first, width)?, norm(second, width)?]))
                };
                let (qk_norms, out_norms) = (pair(names.qk_norms, width)?, pair(names.out_norms, hidden)?);
                let attention_norm = norm(names.attention_norm, hidden)?;
                let feed_forward_norm = norm(names.feed_forward_norm, hidden)?;
                let mut linear = |input, parts: &[_], bias| tensors.linear::<T>(&layer, input, parts, bias);
                Ok(Layer {
                    attention_norm,
                    qkv: linear(hidden, &names.qkv, config.qkv_bias)?,
                    qk_norms,
                    output: linear(config.n_heads * width, &names.output, config.output_bias)?,
                    feed_forward_norm,
                    gate_up: linear(hidden, &names.gate_up, config.mlp_bias)?,
                    down: linear(config.intermediate_size, &names.down, config.mlp_bias)?,
                    out_norms,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let norm = tensors.norm("model.norm", hidden)?;
        Ok(Self { embedding: Param::from_tensor(embedding), layers, norm, head, config: config.clone() })
    }

    /// The weights under their Hugging Face names, as PyTorch stores them (`[out, in]`).
    ///
    /// # Errors
    /// When the device cannot return them.
    pub fn tensors(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let names = Names::new(&self.config);
        let offset = if self.config.norm_offset { 1.0 } else { 0.0 };
        let norm = |name: &str, norm: &Norm| NamedTensor::new(&format!("{name}.weight"), norm.gamma.val() - offset);
        let mut all = vec![NamedTensor::new(EMBEDDING, self.embedding.val())?];
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{i}.{part}");
            let mut split = |linear: &Projection, parts: &[(&str, usize)]| -> Result<(), ModelError> {
                let mut start = 0;
                for (part, out) in parts {
                    let weight = linear.weight.val().narrow(0, start, *out);
                    all.push(NamedTensor::new(&name(&format!("{part}.weight")), weight)?);
                    if let Some(bias) = &linear.bias {
                        let bias = bias.val().narrow(0, start, *out);
                        all.push(NamedTensor::new(&name(&format!("{part}.bias")), bias)?);
                    }
                    start += out;
                }
                Ok(())
            };
            split(&layer.qkv, &names.qkv)?;
            split(&layer.output, &names.output)?;
            split(&layer.gate_up, &names.gate_up)?;
            split(&layer.down, &names.down)?;
            all.push(norm(&name(names.attention_norm), &layer.attention_norm)?);
            all.push(norm(&name(names.feed_forward_norm), &layer.feed_forward_norm)?);
            let pairs = [(names.qk_norms, &layer.qk_norms), (names.out_norms, &layer.out_norms)];
            for (names, norms) in pairs.into_iter().filter_map(|(names, norms)| names.zip(norms.as_ref())) {
                for (part, weights) in names.iter().zip(norms) {
                    all.push(norm(&name(part), weights)?);
                }
            }
        }
        all.push(norm("model.norm", &self.norm)?);
        if let Some(head) = &self.head {
            all.push(NamedTensor::new(HEAD, head.weight.val())?);
        }
        Ok(all)
    }

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

/// Where weights come from.
trait Source {
    /// Whether the tensor `name` is there and PyTorch stores it in the given shape; asked before room is made for it,
    /// as a configuration may ask for any size.
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError>;

    /// Puts the tensor `name`, which PyTorch stores in the given shape, into its place.
    fn fill<T: Weight>(&mut self, name: &str, shape: &[usize], place: &mut [T]) -> Result<(), ModelError>;
}

impl Source for Reader<'_> {
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError> {
        Reader::check(self, name, shape)
    }

    fn fill<T: Weight>(&mut self, name: &str, shape: &[usize], place: &mut [T]) -> Result<(), ModelError> {
        self.take(name, shape, place)
    }
}

struct Random {
    rng: SampleRng,
    /// Deviation of the projections back into the stream.
    back: f64,
    /// Weight of a norm that changes nothing.
    neutral: f32,
}

impl Source for Random {
    fn check(&self, _name: &str, _shape: &[usize]) -> Result<(), ModelError> {
        Ok(())
    }

    fn fill<T: Weight>(&mut self, name: &str, _shape: &[usize], place: &mut [T]) -> Result<(), ModelError> {
        let mut draw = |deviation: f64| (self.rng.normal() * deviation) as f32;
        let mut value = || match name {
            _ if name.ends_with("norm.weight") => self.neutral,
            _ if name.ends_with("bias") => 0.0,
            _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => draw(self.back),
            _ => draw(0.02),
        };
        place.iter_mut().for_each(|x| *x = T::from_f32(value()));
        Ok(())
    }
}

struct Tensors<'a, S> {
    source: &'a mut S,
    config: &'a DecoderConfig,
    device: &'a Device,
}

impl<S: Source> Tensors<'_, S> {
    /// A tensor as it is stored.
    fn stored<T: Weight, const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, ModelError> {
        self.source.check(name, &shape)?;
        let mut values = T::zeros(shape.iter().product());
        self.source.fill(name, &shape, &mut values)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), (self.device, T::dtype())))
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, ModelError> {
        let mut gamma = self.stored::<f32, 1>(&format!("{name}.weight"), [width])?;
        if self.config.norm_offset {
            gamma = gamma + 1.0;
        }
        Ok(Norm { gamma: Param::from_tensor(gamma), epsilon: self.config.rms_norm_eps })
    }

    /// Projections of one input, one above another.
    fn linear<T: Weight>(
        &mut self,
        prefix: &str,
        input: usize,
        parts: &[(&str, usize)],
        bias: bool,
    ) -> Result<Projection, ModelError> {
        let out: usize = parts.iter().map(|(_, out)| out).sum();
        for (name, out) in parts {
            self.source.check(&format!("{prefix}{name}.weight"), &[*out, input])?;
        }
        let mut matrix = T::zeros(out * input);
        let mut biases = Vec::new();
        let mut left = &mut matrix[..];
        for (name, out) in parts {
            let (place, rest) = left.split_at_mut(out * input);
            self.source.fill(&format!("{prefix}{name}.weight"), &[*out, input], place)?;
            if bias {
                biases.push(self.stored::<T, 1>(&format!("{prefix}{name}.bias"), [*out])?);
            }
            left = rest;
        }
        let weight = Tensor::from_data(TensorData::new(matrix, [out, input]), (self.device, T::dtype()));
        let bias = bias.then(|| Param::from_tensor(Tensor::cat(biases, 0)));
        Ok(Projection { weight: Param::from_tensor(weight), bias })
    }
}

/// The values of a tensor, row by row.
///
/// Backends on cubecl copy lazily, so the bytes are taken at once: an in-place operation after `to_data` would show in
/// what is read later.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(|source| ModelError::Device(crate::DeviceError::Read(source)))
}

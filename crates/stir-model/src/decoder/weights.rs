//! The decoder's weights: their names in a checkpoint, random ones, loading, and export.

use std::path::Path;

use burn::{
    module::Param,
    tensor::{Device, Element, Tensor, TensorData},
};
use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use stir_core::SampleRng;
use stir_kernels::before_line;
#[cfg(feature = "flex")]
use stir_kernels::{Format, LINE};

use super::{Decoder, Layer, Matrix, Projection};
#[cfg(feature = "flex")]
use crate::cpu::Native;
use crate::{
    ComputeType, DecoderConfig, ModelError, QkNorm, SafetensorsError,
    checkpoint::{Reader, Weight},
    compute::{Norm, read},
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The values of a weight, with its name in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The tensor's name, as Hugging Face has it.
    pub name: String,
    /// The tensor's shape, as PyTorch has it.
    pub shape: Vec<usize>,
    /// The tensor's values, row by row.
    pub values: Vec<f32>,
}

impl NamedTensor {
    fn new<const D: usize>(name: &str, tensor: Tensor<D>) -> Result<Self, ModelError> {
        Ok(Self { name: name.to_owned(), shape: tensor.dims().to_vec(), values: read(tensor)? })
    }
}

/// The tensors of a checkpoint that make up a layer: names after the layer's prefix, and the output sizes of
/// projections.
struct Names {
    qkv: Vec<(&'static str, usize)>,
    output: [(&'static str, usize); 1],
    gate_up: Vec<(&'static str, usize)>,
    down: [(&'static str, usize); 1],
    attention_norm: Option<&'static str>,
    feed_forward_norm: Option<&'static str>,
    qk_norms: Option<[(&'static str, usize); 2]>,
    attention_out_norm: Option<&'static str>,
    feed_forward_out_norm: Option<&'static str>,
}

impl Names {
    fn new(config: &DecoderConfig) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        // The plain families name the norm before the feed-forward block as the others name the one after attention.
        let feed_forward_norm = match config.output_norms {
            false => "post_attention_layernorm",
            true => "pre_feedforward_layernorm",
        };
        let qk_norms = config.qk_norm.map(|over| match over {
            QkNorm::Head => [("self_attn.q_norm", config.head_dim), ("self_attn.k_norm", config.head_dim)],
            QkNorm::Projection => [("self_attn.q_norm", q), ("self_attn.k_norm", kv)],
        });
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
            attention_norm: config.input_norms.then_some("input_layernorm"),
            feed_forward_norm: config.input_norms.then_some(feed_forward_norm),
            qk_norms,
            attention_out_norm: config.output_norms.then_some("post_attention_layernorm"),
            feed_forward_out_norm: config.output_norms.then_some("post_feedforward_layernorm"),
        }
    }
}

impl Decoder {
    /// Returns the decoder of `config` with the weights of a checkpoint, kept and computed with as `compute` says.
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

    /// Makes a decoder with random weights: normal with standard deviation 0.02, for projections back into the stream
    /// divided by `sqrt(2 n_layers)`; norms are neutral and biases 0.
    ///
    /// # Errors
    /// [`ModelError::Options`] for options that contradict each other.
    pub fn random(config: &DecoderConfig, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let back = 0.02 / (2.0 * config.n_layers as f64).sqrt();
        let neutral = if config.norm_offset { 0.0 } else { 1.0 };
        Self::build::<f32>(config, &mut Random { rng: SampleRng::new(seed, 0), back, neutral }, device)
    }

    fn build<T: Weight + Element>(
        config: &DecoderConfig,
        source: &mut impl Source,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (hidden, width, names) = (config.hidden_size, config.head_dim, Names::new(config));
        config.validate()?;
        let mut tensors = Tensors { source, config, device };
        let embedding = tensors.matrix::<T>("", hidden, &[("model.embed_tokens", config.vocab_size)])?;
        // The largest tensors come first, while there is still memory for reading them.
        let head = match config.tie_embeddings {
            true => None,
            false => Some(tensors.linear::<T>("", hidden, &[("lm_head", config.vocab_size)], false)?),
        };
        let layers = (0..config.n_layers)
            .map(|i| {
                let layer = format!("model.layers.{i}.");
                let mut norm = |name: &str, width| tensors.norm(&format!("{layer}{name}"), width);
                let qk_norms = match names.qk_norms {
                    Some([(q, q_width), (k, k_width)]) => Some([norm(q, q_width)?, norm(k, k_width)?]),
                    None => None,
                };
                let mut norm = |name: Option<&str>| name.map(|name| norm(name, hidden)).transpose();
                let (attention_norm, feed_forward_norm) = (norm(names.attention_norm)?, norm(names.feed_forward_norm)?);
                let attention_out_norm = norm(names.attention_out_norm)?;
                let feed_forward_out_norm = norm(names.feed_forward_out_norm)?;
                let mut linear = |input, parts: &[_], bias| tensors.linear::<T>(&layer, input, parts, bias);
                Ok(Layer {
                    attention_norm,
                    qkv: linear(hidden, &names.qkv, config.qkv_bias)?,
                    qk_norms,
                    output: linear(config.n_heads * width, &names.output, config.output_bias)?,
                    feed_forward_norm,
                    gate_up: linear(hidden, &names.gate_up, config.mlp_bias)?,
                    down: linear(config.intermediate_size, &names.down, config.mlp_bias)?,
                    attention_out_norm,
                    feed_forward_out_norm,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let norm = tensors.norm("model.norm", hidden)?;
        Ok(Self { embedding, layers, norm, head, config: config.clone(), dtype: T::dtype() })
    }

    /// Returns the weights under their Hugging Face names, as PyTorch stores them (`[out, in]`).
    ///
    /// # Errors
    /// [`ModelError::Device`] if the device cannot return them.
    pub fn tensors(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let names = Names::new(&self.config);
        let offset = if self.config.norm_offset { 1.0 } else { 0.0 };
        let norm = |name: &str, norm: &Norm| NamedTensor::new(&format!("{name}.weight"), norm.gamma.val() - offset);
        let mut all = vec![NamedTensor::new(EMBEDDING, self.embedding.tensor())?];
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{i}.{part}");
            let mut split = |linear: &Projection, parts: &[(&str, usize)]| -> Result<(), ModelError> {
                let mut start = 0;
                for (part, out) in parts {
                    let weight = linear.weight.tensor().narrow(0, start, *out);
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
            let qk_names = names.qk_norms.into_iter().flatten().map(|(part, _)| part);
            let qk_norms = qk_names.zip(layer.qk_norms.iter().flatten());
            let norms = [
                (names.attention_norm, &layer.attention_norm),
                (names.feed_forward_norm, &layer.feed_forward_norm),
                (names.attention_out_norm, &layer.attention_out_norm),
                (names.feed_forward_out_norm, &layer.feed_forward_out_norm),
            ];
            let norms = norms.into_iter().filter_map(|(part, weights)| part.zip(weights.as_ref()));
            for (part, weights) in norms.chain(qk_norms) {
                all.push(norm(&name(part), weights)?);
            }
        }
        all.push(norm("model.norm", &self.norm)?);
        if let Some(head) = &self.head {
            all.push(NamedTensor::new(HEAD, head.weight.tensor())?);
        }
        Ok(all)
    }

    /// Writes the model as a Hugging Face folder: `model.safetensors` and `config.json`, from which
    /// [`DecoderConfig::from_hf`] reads the options of this decoder, each in one step.
    ///
    /// # Errors
    /// The device cannot return the weights, or a file cannot be written.
    pub fn save(&self, dir: &Path, config: &serde_json::Value) -> Result<(), ModelError> {
        let tensors = self.tensors()?;
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|tensor| tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let path = dir.join("model.safetensors");
        let broken = |source| ModelError::Safetensors { path: path.clone(), source: SafetensorsError(source) };
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|(tensor, data)| Ok((&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), data)?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(broken)?;
        let weights = safetensors::serialize(views, None).map_err(broken)?;
        write(&path, &weights)?;
        write(&dir.join("config.json"), format!("{config:#}\n").as_bytes())
    }
}

/// A source of weights.
trait Source {
    /// Checks that the tensor `name` is there, in the given shape as PyTorch stores it. Called before memory is
    /// allocated, as a configuration may demand any size.
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError>;

    /// Puts the tensor `name`, in the given shape as PyTorch stores it, into its place.
    fn fill<T: Weight>(&mut self, name: &str, shape: &[usize], place: &mut [T]) -> Result<(), ModelError>;

    /// Returns the format in which the matrix `name` is stored if it is to be kept so where it can be.
    #[cfg(feature = "flex")]
    fn keeps(&self, _name: &str) -> Option<Format> {
        None
    }

    /// Returns the matrix `name`, which is kept in the blocks in which it is stored.
    #[cfg(feature = "flex")]
    fn pack(&mut self, name: &str, shape: &[usize]) -> Result<stir_kernels::Packed, ModelError>;
}

impl Source for Reader<'_> {
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError> {
        Reader::check(self, name, shape)
    }

    fn fill<T: Weight>(&mut self, name: &str, shape: &[usize], place: &mut [T]) -> Result<(), ModelError> {
        self.take(name, shape, place)
    }

    #[cfg(feature = "flex")]
    fn keeps(&self, name: &str) -> Option<Format> {
        Reader::keeps(self, name)
    }

    #[cfg(feature = "flex")]
    fn pack(&mut self, name: &str, shape: &[usize]) -> Result<stir_kernels::Packed, ModelError> {
        self.take_packed(name, shape)
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

    #[cfg(feature = "flex")]
    fn pack(&mut self, _name: &str, _shape: &[usize]) -> Result<stir_kernels::Packed, ModelError> {
        unreachable!("random weights are not packed")
    }
}

struct Tensors<'a, S> {
    source: &'a mut S,
    config: &'a DecoderConfig,
    device: &'a Device,
}

impl<S: Source> Tensors<'_, S> {
    /// A tensor as it is stored.
    fn stored<T: Weight + Element, const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, ModelError> {
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

    /// Matrices with one input, one above another, as they are stored if they are to be kept so and go together:
    /// packed, or in 16 bits where the others are in 32, which are multiplied alike. Otherwise a tensor of `T`.
    fn matrix<T: Weight + Element>(
        &mut self,
        prefix: &str,
        input: usize,
        parts: &[(&str, usize)],
    ) -> Result<Matrix, ModelError> {
        let parts: Vec<(String, usize)> =
            parts.iter().map(|(name, out)| (format!("{prefix}{name}.weight"), *out)).collect();
        for (name, out) in &parts {
            self.source.check(name, &[*out, input])?;
        }
        #[cfg(feature = "flex")]
        {
            let kept: Vec<_> = parts.iter().map(|(name, _)| self.source.keeps(name)).collect();
            if kept.iter().all(|format| format.is_some_and(|format| format.is_packed())) {
                let packed = parts.iter().map(|(name, out)| self.source.pack(name, &[*out, input]));
                return Ok(packed.collect::<Result<Vec<_>, _>>()?.into());
            }
            let all = |format| T::COMPUTE == ComputeType::F32 && kept.iter().all(|kept| *kept == Some(format));
            if all(Format::Bf16) {
                return self.tensor::<bf16>(input, &parts);
            }
            if all(Format::F16) {
                return self.tensor::<f16>(input, &parts);
            }
        }
        self.tensor::<T>(input, &parts)
    }

    /// Matrices with one input, one above another.
    fn tensor<T: Weight + Element>(&mut self, input: usize, parts: &[(String, usize)]) -> Result<Matrix, ModelError> {
        let out: usize = parts.iter().map(|(_, out)| out).sum();
        // Our kernels load a register from one cache line, not from parts of two, where the weights begin with one.
        #[cfg(feature = "flex")]
        let more = if Native::runs_on(self.device) { LINE / size_of::<T>() - 1 } else { 0 };
        #[cfg(not(feature = "flex"))]
        let more = 0;
        let mut memory = T::zeros(out * input + more);
        let start = more.min(before_line(&memory));
        let mut left = &mut memory[start..start + out * input];
        for (name, out) in parts {
            let (place, rest) = left.split_at_mut(out * input);
            self.source.fill(name, &[*out, input], place)?;
            left = rest;
        }
        let len = memory.len();
        let mut tensor = Tensor::<1>::from_data(TensorData::new(memory, [len]), (self.device, T::dtype()));
        if more > 0 {
            tensor = tensor.narrow(0, start, out * input);
        }
        Ok(tensor.reshape([out, input]).into())
    }

    /// Projections of one input, one above another.
    fn linear<T: Weight + Element>(
        &mut self,
        prefix: &str,
        input: usize,
        parts: &[(&str, usize)],
        bias: bool,
    ) -> Result<Projection, ModelError> {
        let weight = self.matrix::<T>(prefix, input, parts)?;
        let mut biases = Vec::new();
        for (name, out) in parts.iter().filter(|_| bias) {
            biases.push(self.stored::<T, 1>(&format!("{prefix}{name}.bias"), [*out])?);
        }
        let bias = bias.then(|| Param::from_tensor(Tensor::cat(biases, 0)));
        Ok(Projection { weight, bias })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    stir_files::write_atomically(path, bytes).map_err(ModelError::io(path))
}

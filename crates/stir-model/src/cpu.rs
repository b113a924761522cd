//! The decoder's operations on the CPU: the kernels of `stir-kernels` on the memory of burn's tensors.
//!
//! A pass of one or a few tokens is bound by how fast the weights can be read, and these kernels read each weight once,
//! in the type it is kept in, whatever the number of rows. Everything between the weights is f32.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use half::{bf16, f16};
use stir_core::Session;
use stir_kernels::{Activations, AttentionShape, Element, Heads, Packed, Sequence, SpanView, linear, linear_bf16};

use crate::{
    DecoderConfig,
    batch::Batch,
    cache::Tail,
    compute::{Angles, Compute, Norm, Rotations, in_f32, indices},
    config::Activation,
    decoder::Matrix,
};

/// Rows of different lengths, each over its own cache, on the CPU. The batch's tokens lie one row after another.
pub(crate) struct Native<'c> {
    config: &'c DecoderConfig,
    batch: Batch<'c>,
    rotations: Rotations<Angles>,
    activations: Activations,
    /// True if weights in bf16 are multiplied with activations in bf16.
    in_bf16: bool,
}

impl<'c> Native<'c> {
    /// Returns whether these kernels run on `device`. They know no gradients, so a model in training does without.
    pub(crate) fn runs_on(device: &Device) -> bool {
        // Equality is of the hardware.
        *device == Device::flex() && !device.is_autodiff()
    }

    /// Returns whether weights computed with in bf16 are multiplied with activations in bf16.
    pub(crate) fn multiplies_bf16(activations: Activations) -> bool {
        activations != Activations::Exact && stir_kernels::has_bf16()
    }

    pub(crate) fn new(config: &'c DecoderConfig, batch: Batch<'c>, activations: Activations) -> Self {
        let rotations = Rotations::new(config, &batch.positions(), |angles| angles);
        let in_bf16 = batch.dtype() == Some(DType::BF16) && Self::multiplies_bf16(activations);
        Self { config, batch, rotations, activations, in_bf16 }
    }

    /// Turns queries and keys, writes keys and values to the caches, and attends.
    fn attend_in<T: FlexElement>(&mut self, layer: usize, qkv: &mut [f32], norms: Option<&[Norm; 2]>) -> Vec<f32> {
        let DecoderConfig { n_heads, n_kv_heads, head_dim, .. } = *self.config;
        let stride = (n_heads + 2 * n_kv_heads) * head_dim;
        let tokens = qkv.len() / stride;
        self.prepare(layer, qkv, stride, norms);
        for (cache, own) in self.batch.all_mut() {
            let rows = &qkv[own.start * stride..own.end * stride];
            for (which, Tail { tensor, len, capacity }) in cache.tail(layer).into_iter().flatten().enumerate() {
                tensor.inplace(|tensor| {
                    let mut tensor = primitive(tensor);
                    let kept = T::all_mut(&mut tensor);
                    for (token, row) in rows.chunks_exact(stride).enumerate() {
                        let heads = row[(n_heads + which * n_kv_heads) * head_dim..].chunks_exact(head_dim);
                        for (head, values) in heads.take(n_kv_heads).enumerate() {
                            let place = &mut kept[(head * capacity + len + token) * head_dim..][..head_dim];
                            place.iter_mut().zip(values).for_each(|(place, &x)| *place = T::from_f32(x));
                        }
                    }
                    Tensor::from_primitive::<Flex>(tensor)
                });
            }
        }
        let held: Vec<Vec<[FlexTensor; 2]>> = self
            .batch
            .leaders()
            .map(|(row, _)| row.cache.spans().iter().map(|span| span.layer(layer).map(primitive)).collect())
            .collect();
        let sequences: Vec<Sequence<'_, T>> = self
            .batch
            .leaders()
            .zip(&held)
            .map(|((row, tokens), held)| {
                let cache = &*row.cache;
                let last = cache.spans().len().saturating_sub(1);
                let spans = cache.spans().iter().zip(held).enumerate().map(|(i, (span, [keys, values]))| SpanView {
                    keys: T::all(keys),
                    values: T::all(values),
                    capacity: span.capacity(),
                    len: span.len + if i == last { tokens.len() } else { 0 },
                });
                Sequence { spans: spans.collect(), tokens, position: cache.len() }
            })
            .collect();
        let shape = AttentionShape {
            n_heads,
            n_kv_heads,
            head_dim,
            window: self.config.windows[layer],
            softcap: self.config.attention_softcap.map(|bound| bound as f32),
        };
        let mut out = vec![0.0; tokens * n_heads * head_dim];
        stir_kernels::attend(shape, qkv, stride, &sequences, &mut out);
        out
    }

    /// Multiplies with the parts of a packed matrix.
    fn linear_packed(&self, x: Tensor<2>, parts: &[Packed], bias: Option<Tensor<1>>) -> Tensor<2> {
        let (rows, n) = (x.dims()[0], parts.iter().map(|part| part.shape()[0]).sum());
        let (x, bias) = (primitive(x), bias.map(|bias| primitive(in_f32(bias))));
        let mut out = vec![0.0; rows * n];
        let parts: Vec<&Packed> = parts.iter().collect();
        stir_kernels::linear_packed(values(&x), &parts, bias.as_ref().map(values), &mut out, self.activations);
        tensor(out, [rows, n])
    }

    /// Norms and turns queries and keys, and scales the queries.
    fn prepare(&self, layer: usize, qkv: &mut [f32], stride: usize, norms: Option<&[Norm; 2]>) {
        let DecoderConfig { n_heads, n_kv_heads, head_dim, rms_norm_eps, attention_scale, .. } = *self.config;
        let norms = norms.map(|norms| norms.each_ref().map(|norm| primitive(norm.gamma.val())));
        let (cos, sin, rotary_dim) = match self.rotations.of(self.config, layer) {
            Some(Angles { cos, sin, rotary_dim }) => (&cos[..], &sin[..], *rotary_dim),
            None => (&[][..], &[][..], 0),
        };
        let heads = Heads {
            n_heads,
            n_kv_heads,
            head_dim,
            norms: norms.as_ref().map(|norms| norms.each_ref().map(values::<f32>)),
            epsilon: rms_norm_eps as f32,
            cos,
            sin,
            rotary_dim,
            scale: attention_scale as f32,
        };
        stir_kernels::prepare_heads(qkv, stride, &heads);
    }
}

impl Compute for Native<'_> {
    fn stream_type(&self, _weights: DType) -> DType {
        DType::F32
    }

    fn norm(&self, norm: &Norm, x: Tensor<2>) -> Tensor<2> {
        let (shape, x, gamma) = (x.dims(), primitive(x), primitive(norm.gamma.val()));
        let mut out = vec![0.0; shape[0] * shape[1]];
        stir_kernels::norm(values(&x), values(&gamma), norm.epsilon as f32, &mut out);
        tensor(out, shape)
    }

    fn linear(&self, x: Tensor<2>, weight: &Matrix, bias: Option<Tensor<1>>) -> Tensor<2> {
        if weight.is_packed() {
            return self.linear_packed(x, weight.packed(), bias);
        }
        let weight = weight.tensor();
        let ([rows, k], [n, _]) = (x.dims(), weight.dims());
        let (x, weight, bias) = (primitive(x), primitive(weight), bias.map(|bias| primitive(in_f32(bias))));
        let mut out = vec![0.0; rows * n];
        let (x, bias, y) = (values(&x), bias.as_ref().map(values), &mut out);
        match weight.dtype() {
            DType::BF16 if self.in_bf16 => linear_bf16(x, values(&weight), bias, y, k),
            DType::BF16 => linear(x, values::<bf16>(&weight), bias, y, k),
            DType::F16 => linear(x, values::<f16>(&weight), bias, y, k),
            _ => linear(x, values::<f32>(&weight), bias, y, k),
        }
        tensor(out, [rows, n])
    }

    fn gate(&self, gate_up: Tensor<2>, activation: Activation) -> Tensor<2> {
        let [rows, columns] = gate_up.dims();
        let (gate_up, width) = (primitive(gate_up), columns / 2);
        let mut out = vec![0.0; rows * width];
        stir_kernels::gate(values(&gate_up), activation, width, &mut out);
        tensor(out, [rows, width])
    }

    fn attend(&mut self, layer: usize, qkv: Tensor<2>, norms: Option<&[Norm; 2]>) -> Tensor<2> {
        let [tokens, _] = qkv.dims();
        let mut qkv = primitive(qkv);
        // The memory is not shared, so nothing is copied.
        let qkv = f32::all_mut(&mut qkv);
        let out = match self.batch.dtype() {
            Some(DType::BF16) => self.attend_in::<bf16>(layer, qkv, norms),
            Some(DType::F16) => self.attend_in::<f16>(layer, qkv, norms),
            _ => self.attend_in::<f32>(layer, qkv, norms),
        };
        tensor(out, [tokens, self.config.n_heads * self.config.head_dim])
    }

    fn leave_layer(&mut self, layer: usize, stream: Tensor<2>) -> Tensor<2> {
        let Some(from) = self.batch.fan_out(layer) else { return stream };
        self.rotations = Rotations::new(self.config, &self.batch.positions(), |angles| angles);
        let from = indices(&from, &stream.device());
        stream.select(0, from)
    }

    fn finish(self) {
        self.batch.finish();
    }
}

/// A type of elements that tensors hold.
trait FlexElement: Element {
    /// Returns all elements in the tensor's memory.
    fn all(tensor: &FlexTensor) -> &[Self];
    /// Returns the same elements, to be written to; they are copied first if the memory is shared.
    fn all_mut(tensor: &mut FlexTensor) -> &mut [Self];
    /// Returns the tensor's elements row by row, if they lie in memory like that.
    fn in_order(tensor: &FlexTensor) -> Option<&[Self]>;
}

macro_rules! flex_element {
    ($($type:ty)+) => {$(
        impl FlexElement for $type {
            fn all(tensor: &FlexTensor) -> &[Self] {
                tensor.storage()
            }

            fn all_mut(tensor: &mut FlexTensor) -> &mut [Self] {
                tensor.storage_mut()
            }

            fn in_order(tensor: &FlexTensor) -> Option<&[Self]> {
                tensor.as_slice()
            }
        }
    )+};
}
flex_element!(f32 bf16 f16);

/// Returns some rows of a matrix, in f32.
///
/// # Shapes
/// - `rows`: `[rows]`
/// - output: `[rows, width]`
pub(crate) fn rows(matrix: Tensor<2>, rows: Tensor<1, Int>) -> Tensor<2> {
    fn gather<T: FlexElement>(matrix: &FlexTensor, rows: &[usize], width: usize) -> Vec<f32> {
        let values = values::<T>(matrix);
        rows.iter().flat_map(|row| values[row * width..][..width].iter().map(|x| x.to_f32())).collect()
    }
    let (width, matrix, rows) = (matrix.dims()[1], primitive(matrix), numbers(rows));
    let gathered = match matrix.dtype() {
        DType::BF16 => gather::<bf16>(&matrix, &rows, width),
        DType::F16 => gather::<f16>(&matrix, &rows, width),
        _ => gather::<f32>(&matrix, &rows, width),
    };
    tensor(gathered, [rows.len(), width])
}

/// Returns the numbers of a tensor.
pub(crate) fn numbers(tensor: Tensor<1, Int>) -> Vec<usize> {
    tensor.into_data().iter::<i64>().map(|number| number as usize).collect()
}

/// Returns the memory of a tensor, row by row.
fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match tensor.try_into_primitive::<Flex>() {
        Ok(tensor) if tensor.is_contiguous() => tensor,
        Ok(tensor) => tensor.to_contiguous(),
        Err(_) => unreachable!("the tensors of a pass on this device are on this device"),
    }
}

/// Returns the elements of a tensor, row by row.
fn values<T: FlexElement>(tensor: &FlexTensor) -> &[T] {
    match T::in_order(tensor) {
        Some(values) => values,
        None => unreachable!("these tensors are of one piece and of the type asked for"),
    }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

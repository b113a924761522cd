//! The operations of a forward pass.

use burn::{
    module::{Module, Param},
    tensor::{DType, Device, Int, Tensor, TensorData, activation::silu},
};

use crate::{
    DecoderConfig, DeviceError, ModelError, ReadError,
    config::{Activation, Rope},
    decoder::Matrix,
};

/// The operations of one pass of the decoder. The default ones are those of burn, which every device has and which can
/// be differentiated; an implementation may have faster ones.
pub(crate) trait Compute {
    /// Computes attention of the new tokens to what they see of their sequences, these tokens included. `norms` are
    /// those of the queries and of the keys, in models that have them, as wide as a head or as all heads.
    ///
    /// # Shapes
    /// - `qkv`: `[tokens, (n_heads + 2 n_kv_heads) head_dim]`, as projected
    /// - output: `[tokens, n_heads * head_dim]`
    fn attend(&mut self, layer: usize, qkv: Tensor<2>, norms: Option<&[Norm; 2]>) -> Tensor<2>;

    /// Returns the type of the residual stream where the weights are of type `weights`.
    fn stream_type(&self, weights: DType) -> DType {
        weights
    }

    /// # Shapes
    /// - both: `[rows, width]`
    fn norm(&self, norm: &Norm, x: Tensor<2>) -> Tensor<2> {
        norm.forward(x)
    }

    /// Computes `x weight^T + bias`.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]`, `weight`: `[out, in]`, `bias`: `[out]`
    /// - output: `[rows, out]`
    fn linear(&self, x: Tensor<2>, weight: &Matrix, bias: Option<Tensor<1>>) -> Tensor<2> {
        let weight = in_type(weight.tensor(), x.dtype());
        let product = x.matmul(weight.transpose());
        match bias {
            Some(bias) => product + bias.unsqueeze(),
            None => product,
        }
    }

    /// Returns the activated first half of every row times its second half.
    ///
    /// # Shapes
    /// - `gate_up`: `[rows, 2 width]`
    /// - output: `[rows, width]`
    fn gate(&self, gate_up: Tensor<2>, activation: Activation) -> Tensor<2> {
        let [_, columns] = gate_up.dims();
        let gate = gate_up.clone().narrow(1, 0, columns / 2);
        let gate = match activation {
            Activation::Silu => silu(gate),
            Activation::GeluTanh => gelu_tanh(gate),
        };
        gate * gate_up.narrow(1, columns / 2, columns / 2)
    }

    /// Returns the stream as it leaves a layer. Rows that were computed as one so far are copied where they begin to
    /// differ.
    ///
    /// # Shapes
    /// - `stream`: `[tokens, hidden_size]`
    /// - output: `[tokens, hidden_size]`, of as many tokens as the next layer computes
    fn leave_layer(&mut self, _layer: usize, stream: Tensor<2>) -> Tensor<2> {
        stream
    }

    /// Makes the positions written part of their caches.
    fn finish(self);
}

/// Returns the normed and rotated queries and keys, and values, of a layer's projection: `[tokens, heads, head_dim]`
/// each. Without a rotation nothing is turned.
///
/// # Shapes
/// - `qkv`: `[tokens, (n_heads + 2 n_kv_heads) head_dim]`
pub(crate) fn split_heads(
    config: &DecoderConfig,
    qkv: Tensor<2>,
    norms: Option<&[Norm; 2]>,
    rotation: Option<&Rotation>,
) -> [Tensor<3>; 3] {
    let (tokens, heads, kv_heads) = (qkv.dims()[0], config.n_heads, config.n_kv_heads);
    let qkv = qkv.reshape([tokens, heads + 2 * kv_heads, config.head_dim]);
    let v = qkv.clone().narrow(1, heads + kv_heads, kv_heads);
    let mut qk = qkv.narrow(1, 0, heads + kv_heads);
    if let Some([q_norm, k_norm]) = norms {
        let (q, k) = (qk.clone().narrow(1, 0, heads), qk.narrow(1, heads, kv_heads));
        qk = Tensor::cat(vec![norm_heads(q, q_norm), norm_heads(k, k_norm)], 1);
    }
    // Queries and keys are rotated in one piece.
    if let Some(rotation) = rotation {
        qk = rotation.turn(qk);
    }
    [qk.clone().narrow(1, 0, heads), qk.narrow(1, heads, kv_heads), v]
}

/// Norms every head by itself, or those of a token at once, as wide as the norm is.
///
/// # Shapes
/// - both: `[tokens, heads, head_dim]`
fn norm_heads(x: Tensor<3>, norm: &Norm) -> Tensor<3> {
    let ([tokens, heads, head_dim], [width]) = (x.dims(), norm.gamma.dims());
    let parts = heads * head_dim / width;
    norm.forward(x.reshape([tokens, parts, width])).reshape([tokens, heads, head_dim])
}

/// Root mean square norm. Computed in f32 from beginning to end, with a weight kept in f32.
#[derive(Module, Debug)]
pub(crate) struct Norm {
    /// The factors of the normed values, `[width]`.
    pub(crate) gamma: Param<Tensor<1>>,
    pub(crate) epsilon: f64,
}

impl Norm {
    /// # Shapes
    /// - both: `[.., width]`
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (dtype, x) = (x.dtype(), in_f32(x));
        let rms = (x.clone().square().mean_dim(D - 1) + self.epsilon).sqrt();
        in_type((x / rms) * self.gamma.val().unsqueeze(), dtype)
    }
}

/// Computes `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, without the general power that burn's takes the
/// cube by.
fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube * 0.044_715) * std::f32::consts::FRAC_2_PI.sqrt();
    x * 0.5 * (inner.tanh() + 1.0)
}

/// The angles by which the heads of every token are turned (rotary position embedding), in the rotate-half layout of
/// Hugging Face checkpoints: element `i` turns with element `i + rotary_dim / 2`.
pub(crate) struct Angles {
    /// The number of leading elements of a head that are turned.
    pub(crate) rotary_dim: usize,
    /// `[tokens, rotary_dim / 2]`
    pub(crate) cos: Vec<f32>,
    /// `[tokens, rotary_dim / 2]`
    pub(crate) sin: Vec<f32>,
}

impl Angles {
    fn new(positions: &[usize], rope: &Rope) -> Self {
        let (radians, factor) = (rope.radians(), rope.attention_factor());
        let angles = positions.iter().flat_map(|&position| radians.iter().map(move |f| position as f32 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos() * factor, angle.sin() * factor)).unzip();
        Self { rotary_dim: rope.rotary_dim, cos, sin }
    }
}

/// The rotary embeddings of the tokens of a pass, as one kind of computation turns by them.
pub(crate) struct Rotations<R> {
    all: R,
    /// The rotation in layers with a window, in models where it differs.
    windowed: Option<R>,
}

impl<R> Rotations<R> {
    /// Returns the rotations of tokens at the given absolute positions; `turning` brings them into the form used.
    pub(crate) fn new(config: &DecoderConfig, positions: &[usize], turning: impl Fn(Angles) -> R) -> Self {
        let rotation = |rope: &Rope| turning(Angles::new(positions, rope));
        Self { all: rotation(&config.rope), windowed: config.local_rope.as_ref().map(rotation) }
    }

    /// Returns the rotation in a layer; `None` where nothing is turned.
    pub(crate) fn of(&self, config: &DecoderConfig, layer: usize) -> Option<&R> {
        let windowed = self.windowed.as_ref().filter(|_| config.windows[layer].is_some());
        config.rotary_layers[layer].then(|| windowed.unwrap_or(&self.all))
    }
}

/// [`Angles`] on the device.
pub(crate) struct Rotation {
    /// `[tokens, 1, rotary_dim]`, both halves equal.
    cos: Tensor<3>,
    /// `[tokens, 1, rotary_dim]`, the first half negated.
    sin: Tensor<3>,
}

impl Rotation {
    pub(crate) fn new(angles: &Angles, dtype: DType, device: &Device) -> Self {
        let half = angles.rotary_dim / 2;
        let shape = [angles.cos.len() / half.max(1), 1, angles.rotary_dim];
        let tensor = |values: &[f32], sign: f32| {
            let halves = values.chunks_exact(half.max(1));
            let values: Vec<f32> =
                halves.flat_map(|v| v.iter().map(move |x| sign * x).chain(v.iter().copied())).collect();
            Tensor::from_data(TensorData::new(values, shape), (device, dtype))
        };
        Self { cos: tensor(&angles.cos, 1.0), sin: tensor(&angles.sin, -1.0) }
    }

    /// # Shapes
    /// - both: `[tokens, heads, head_dim]`
    fn turn(&self, x: Tensor<3>) -> Tensor<3> {
        let ([_, _, rotary_dim], [_, _, head_dim]) = (self.cos.dims(), x.dims());
        let part = |start, length| x.clone().narrow(2, start, length);
        let swapped = Tensor::cat(vec![part(rotary_dim / 2, rotary_dim / 2), part(0, rotary_dim / 2)], 2);
        let turned = part(0, rotary_dim) * self.cos.clone() + swapped * self.sin.clone();
        match head_dim - rotary_dim {
            0 => turned,
            rest => Tensor::cat(vec![turned, part(rotary_dim, rest)], 2),
        }
    }
}

/// Computes `bound * tanh(x / bound)`, or `x` without a bound.
pub(crate) fn softcap<const D: usize>(x: Tensor<D>, bound: Option<f64>) -> Tensor<D> {
    match bound {
        Some(bound) => (x / bound as f32).tanh() * bound as f32,
        None => x,
    }
}

/// Returns the tensor in full precision.
pub(crate) fn in_f32<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    in_type(x, DType::F32)
}

/// Returns the tensor in another type.
pub(crate) fn in_type<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}

/// Returns the values of a tensor, row by row.
///
/// Backends on cubecl copy lazily, so the bytes are taken at once: an in-place operation after `to_data` would show in
/// what is read later.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(|source| ModelError::Device(DeviceError::Read(ReadError(source))))
}

/// Returns a list of indices on the device.
pub(crate) fn indices(list: &[usize], device: &Device) -> Tensor<1, Int> {
    let list: Vec<i64> = list.iter().map(|&i| i as i64).collect();
    let count = list.len();
    Tensor::from_data(TensorData::new(list, [count]), device)
}

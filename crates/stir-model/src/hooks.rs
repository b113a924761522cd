use std::collections::BTreeMap;

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use stir_core::HookPoint;

use crate::{
    ModelError,
    compute::{indices, read},
    shared_rows::layers_before,
};

/// The work that is done at the hook points of a pass.
pub(crate) trait Hooks {
    /// Returns the stream as it continues from `point`.
    ///
    /// # Shapes
    /// - both: `[tokens, hidden_size]`
    fn at(&mut self, point: HookPoint, stream: Tensor<2>) -> Tensor<2>;

    /// Returns the number of layers below the first point at which something happens.
    fn layers_before(&self) -> usize;
}

/// No hook points, and no check whether there is something to do.
pub(crate) struct NoHooks;

impl Hooks for NoHooks {
    fn at(&mut self, _point: HookPoint, stream: Tensor<2>) -> Tensor<2> {
        stream
    }

    fn layers_before(&self) -> usize {
        usize::MAX
    }
}

/// The additions to the residual stream and the captures from it in one pass, by hook point.
///
/// A point without either returns its input untouched.
pub(crate) struct HookRecorder {
    additions: BTreeMap<HookPoint, (Vec<usize>, Vec<f32>)>,
    captures: BTreeMap<HookPoint, Vec<usize>>,
    captured: BTreeMap<HookPoint, Tensor<2>>,
    device: Device,
}

/// Captured rows of the stream at one point.
pub(crate) struct Captured {
    tokens: Vec<usize>,
    values: Vec<f32>,
}

impl HookRecorder {
    pub(crate) fn new(device: &Device) -> Self {
        let (additions, captures, captured) = Default::default();
        Self { additions, captures, captured, device: device.clone() }
    }

    /// Adds `scale * vector` to the stream of the batch's token `token`.
    pub(crate) fn add(&mut self, point: HookPoint, token: usize, vector: &[f32], scale: f32) {
        let (tokens, values) = self.additions.entry(point).or_default();
        tokens.push(token);
        values.extend(vector.iter().map(|x| scale * x));
    }

    /// Reads the stream of the batch's token `token`.
    pub(crate) fn capture(&mut self, point: HookPoint, token: usize) {
        self.captures.entry(point).or_default().push(token);
    }

    /// Returns the captured rows, copied to the host.
    pub(crate) fn collect(self) -> Result<BTreeMap<HookPoint, Captured>, ModelError> {
        let Self { mut captures, captured, .. } = self;
        captured
            .into_iter()
            .map(|(point, tensor)| {
                let tokens = captures.remove(&point).unwrap_or_default();
                Ok((point, Captured { tokens, values: read(tensor)? }))
            })
            .collect()
    }
}

impl Hooks for HookRecorder {
    /// Additions first, then captures.
    fn at(&mut self, point: HookPoint, mut stream: Tensor<2>) -> Tensor<2> {
        if let Some((tokens, values)) = self.additions.remove(&point) {
            let [_, hidden_size] = stream.dims();
            let values = TensorData::new(values, [tokens.len(), hidden_size]);
            let values = Tensor::from_data(values, (&self.device, stream.dtype()));
            let at: Tensor<1, Int> = indices(&tokens, &self.device);
            stream = stream.select_assign(0, at, values, IndexingUpdateOp::Add);
        }
        if let Some(tokens) = self.captures.get(&point) {
            self.captured.insert(point, stream.clone().select(0, indices(tokens, &self.device)));
        }
        stream
    }

    fn layers_before(&self) -> usize {
        let points = self.additions.keys().chain(self.captures.keys());
        points.map(|&point| layers_before(point)).min().unwrap_or(usize::MAX)
    }
}

impl Captured {
    /// Returns the stream of `token`, `[hidden_size]`.
    pub(crate) fn of(&self, token: usize) -> Option<&[f32]> {
        let hidden_size = self.values.len() / self.tokens.len();
        let slot = self.tokens.iter().position(|&t| t == token)?;
        self.values.get(slot * hidden_size..(slot + 1) * hidden_size)
    }

    /// Returns every captured row, in the order asked for.
    pub(crate) fn into_values(self) -> Vec<f32> {
        self.values
    }
}

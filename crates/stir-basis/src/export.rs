use std::path::Path;

use safetensors::{Dtype, SafeTensorError, serialize, tensor::TensorView};

use crate::{
    Entry, Evidence, Library,
    codec::{FileError, malformed, replace},
};

impl Library {
    /// Writes the entries, in selection order, as safetensors for use elsewhere.
    ///
    /// # Shapes
    /// With `n` entries: `keys [n, hidden_size]` f32, `vectors [n, hidden_size]` f32 (zeros where the action is to
    /// stay), `quality [n]` f64, `point [n]` i64 (control point), `layer [n]` i64, `kind [n]` i64 (0 wrong,
    /// 1 right). Where the library has them also `evidence [n, 7]` f64, the fields of [`Evidence`] in their order, NaN for
    /// entries that were not tried; `means [g, hidden_size]` f32 with `mean_point`, `mean_layer` and `mean_count`, `[g]`
    /// i64; `heads [h, hidden_size]` f32 with `head_bias [h]` f32 and `head_layer [h]` i64.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file cannot be written, [`FileError::Malformed`] when it cannot be laid out.
    pub fn export_safetensors(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let bytes = self.layout().map_err(|fault| malformed(path, fault))?;
        replace(path, &bytes)
    }

    fn layout(&self) -> Result<Vec<u8>, SafeTensorError> {
        let (entries, means, heads) = (self.entries(), self.means(), self.heads());
        let width = self.fingerprint().hidden_size;
        let zeros = vec![0.0; width];
        let mut tensors = vec![
            floats("keys", width, entries.iter().map(|entry| &entry.key[..])),
            floats("vectors", width, entries.iter().map(|entry| entry.vector().unwrap_or(&zeros))),
            Tensor(
                "quality",
                Dtype::F64,
                vec![entries.len()],
                bytes(entries.iter().map(|entry| entry.quality.to_le_bytes())),
            ),
            integers("point", entries.iter().map(|entry| entry.m as u64)),
            integers("layer", entries.iter().map(|entry| entry.layer as u64)),
            integers("kind", entries.iter().map(|entry| u64::from(entry.vector().is_none()))),
        ];
        if entries.iter().any(|entry| entry.evidence.is_some()) {
            let row = |entry: &Entry| entry.evidence.map_or([f64::NAN; 7], numbers);
            let data = bytes(entries.iter().flat_map(row).map(f64::to_le_bytes));
            tensors.push(Tensor("evidence", Dtype::F64, vec![entries.len(), 7], data));
        }
        if !means.is_empty() {
            tensors.push(floats("means", width, means.iter().map(|mean| &mean.mean[..])));
            tensors.push(integers("mean_point", means.iter().map(|mean| mean.m as u64)));
            tensors.push(integers("mean_layer", means.iter().map(|mean| mean.layer as u64)));
            tensors.push(integers("mean_count", means.iter().map(|mean| mean.count)));
        }
        if !heads.is_empty() {
            tensors.push(floats("heads", width, heads.iter().map(|head| &head.weights[..])));
            let bias = bytes(heads.iter().map(|head| head.bias.to_le_bytes()));
            tensors.push(Tensor("head_bias", Dtype::F32, vec![heads.len()], bias));
            tensors.push(integers("head_layer", heads.iter().map(|head| head.layer as u64)));
        }
        let views = tensors.iter().map(|Tensor(name, dtype, shape, data)| {
            Ok::<_, SafeTensorError>((*name, TensorView::new(*dtype, shape.clone(), data)?))
        });
        serialize(views.collect::<Result<Vec<_>, _>>()?, None)
    }
}

struct Tensor(&'static str, Dtype, Vec<usize>, Vec<u8>);

/// Returns `[rows, width]`.
fn floats<'a>(name: &'static str, width: usize, rows: impl ExactSizeIterator<Item = &'a [f32]>) -> Tensor {
    Tensor(name, Dtype::F32, vec![rows.len(), width], bytes(rows.flatten().map(|x| x.to_le_bytes())))
}

fn integers(name: &'static str, column: impl ExactSizeIterator<Item = u64>) -> Tensor {
    Tensor(name, Dtype::I64, vec![column.len()], bytes(column.map(u64::to_le_bytes)))
}

fn bytes<const N: usize>(numbers: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.flatten().collect()
}

fn numbers(evidence: Evidence) -> [f64; 7] {
    let Evidence { strength, trials, with_right, without_right, uplift, error, lower } = evidence;
    [strength, trials as f64, with_right as f64, without_right as f64, uplift, error, lower]
}

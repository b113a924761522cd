use std::path::Path;

use safetensors::{Dtype, SafeTensorError, serialize, tensor::TensorView};

use crate::{
    Entry, Library,
    codec::{FileError, malformed, replace},
};

impl Library {
    /// Writes the entries, in selection order, as safetensors for use elsewhere.
    ///
    /// # Shapes
    /// With `n` entries: `keys [n, hidden_size]` f32, `vectors [n, hidden_size]` f32 (zeros where the action is to
    /// stay), `quality [n]` f64, `point [n]` i64 (control point, from 1), `layer [n]` i64, `kind [n]` i64 (0 wrong,
    /// 1 right).
    ///
    /// # Errors
    /// [`FileError::Io`] when the file cannot be written, [`FileError::Malformed`] when it cannot be laid out.
    pub fn export_safetensors(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let bytes = self.layout().map_err(|fault| malformed(path, fault))?;
        replace(path, &bytes)
    }

    fn layout(&self) -> Result<Vec<u8>, SafeTensorError> {
        let (entries, width) = (self.entries(), self.fingerprint().hidden_size);
        let zeros = vec![0.0; width];
        let rows = |row: &dyn Fn(&Entry) -> Vec<u8>| entries.iter().flat_map(row).collect::<Vec<u8>>();
        let floats = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let integer = |x: usize| (x as i64).to_le_bytes().to_vec();

        let keys = rows(&|entry| floats(&entry.key));
        let vectors = rows(&|entry| floats(entry.vector().unwrap_or(&zeros)));
        let quality = rows(&|entry| entry.quality.to_le_bytes().to_vec());
        let point = rows(&|entry| integer(entry.m));
        let layer = rows(&|entry| integer(entry.layer));
        let kind = rows(&|entry| integer(usize::from(entry.vector().is_none())));

        let (column, matrix) = (vec![entries.len()], vec![entries.len(), width]);
        let tensors = [
            ("keys", TensorView::new(Dtype::F32, matrix.clone(), &keys)?),
            ("vectors", TensorView::new(Dtype::F32, matrix, &vectors)?),
            ("quality", TensorView::new(Dtype::F64, column.clone(), &quality)?),
            ("point", TensorView::new(Dtype::I64, column.clone(), &point)?),
            ("layer", TensorView::new(Dtype::I64, column.clone(), &layer)?),
            ("kind", TensorView::new(Dtype::I64, column, &kind)?),
        ];
        serialize(tensors, None)
    }
}

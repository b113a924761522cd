//! States as safetensors.
//!
//! With `n` rows: `states [n, hidden_size]` f32, and `problem`, `sample`, `m`, `token`, `length`, `right` (0 or 1), each
//! `[n]` i64.

use std::{fs::File, io::Read, path::Path};

use safetensors::{Dtype, SafeTensorError, SafeTensors, serialize, tensor::TensorView};

use crate::{
    Boundary, DiagnosisError, States,
    error::{FileFault, FormatError},
    states::fault,
};

/// The columns, in the order in which a row is made of them.
const COLUMNS: [&str; 6] = ["problem", "sample", "m", "token", "length", "right"];

impl States {
    /// Reads states from safetensors: `states [n, hidden_size]` f32, and `problem`, `sample`, `m`, `token`, `length` and
    /// `right` (0 or 1), each `[n]` i64, and nothing else.
    ///
    /// # Errors
    /// [`DiagnosisError::File`] with the path and what is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DiagnosisError> {
        let path = path.as_ref();
        let read = || -> Result<Self, FileFault> {
            let bytes = read_file(path)?;
            from_bytes(&bytes)
        };
        read().map_err(|source| DiagnosisError::File { path: path.to_owned(), source })
    }

    /// Writes what [`load`](Self::load) reads, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`DiagnosisError::File`] with the path and what is wrong.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DiagnosisError> {
        let path = path.as_ref();
        let written = to_bytes(self)
            .map_err(|error| FileFault::Format(FormatError(error)))
            .and_then(|bytes| stir_files::write_atomically(path, bytes).map_err(FileFault::Io));
        written.map_err(|source| DiagnosisError::File { path: path.to_owned(), source })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FileFault> {
    // Opening a pipe would wait for a writer.
    if !path.metadata().map_err(FileFault::Io)?.is_file() {
        return Err(FileFault::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(FileFault::Io)?;
    Ok(bytes)
}

fn from_bytes(bytes: &[u8]) -> Result<States, FileFault> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| FileFault::Format(FormatError(error)))?;
    if let Some(stranger) = file.names().into_iter().find(|name| *name != "states" && !COLUMNS.contains(name)) {
        return Err(mismatch(stranger, "there".to_owned(), "absent"));
    }
    let states = tensor(&file, "states", Dtype::F32, "F32 [n, hidden_size]")?;
    let &[rows, hidden_size] = states.shape() else {
        return Err(mismatch("states", described(&states), "F32 [n, hidden_size]"));
    };
    let mut columns = Vec::with_capacity(COLUMNS.len());
    for name in COLUMNS {
        let expected = format!("I64 [{rows}]");
        let column = tensor(&file, name, Dtype::I64, &expected)?;
        if column.shape() != [rows] {
            return Err(mismatch(name, described(&column), &expected));
        }
        columns.push(column.data().as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect::<Vec<_>>());
    }
    let content = |error| FileFault::Content(Box::new(error));
    let boundaries = (0..rows).map(|row| boundary(row, &columns)).collect::<Result<_, _>>().map_err(content)?;
    let values = states.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    States::new(hidden_size, boundaries, values).map_err(content)
}

fn tensor<'f>(file: &SafeTensors<'f>, name: &str, dtype: Dtype, expected: &str) -> Result<TensorView<'f>, FileFault> {
    let tensor = file.tensor(name).map_err(|_| mismatch(name, "missing".to_owned(), expected))?;
    if tensor.dtype() == dtype { Ok(tensor) } else { Err(mismatch(name, described(&tensor), expected)) }
}

fn described(tensor: &TensorView<'_>) -> String {
    format!("{:?} {:?}", tensor.dtype(), tensor.shape())
}

fn mismatch(name: &str, found: String, expected: &str) -> FileFault {
    FileFault::Tensor { name: name.to_owned(), found, expected: expected.to_owned() }
}

fn boundary(row: usize, columns: &[Vec<i64>]) -> Result<Boundary, DiagnosisError> {
    let mut values = [0; COLUMNS.len()];
    for ((value, name), column) in values.iter_mut().zip(COLUMNS).zip(columns) {
        *value = usize::try_from(column[row]).map_err(|_| fault(row, name, column[row], ">= 0"))?;
    }
    let [problem, sample, m, token, length, right] = values;
    if right > 1 {
        return Err(fault(row, "right", right, "0 or 1"));
    }
    Ok(Boundary { problem, sample, m, token, length, right: right == 1 })
}

fn to_bytes(states: &States) -> Result<Vec<u8>, SafeTensorError> {
    let rows = states.boundaries().len();
    let column = |field: fn(&Boundary) -> usize| -> Vec<u8> {
        states.boundaries().iter().flat_map(|b| (field(b) as i64).to_le_bytes()).collect()
    };
    let columns = [
        column(|b| b.problem),
        column(|b| b.sample),
        column(|b| b.m),
        column(|b| b.token),
        column(|b| b.length),
        column(|b| usize::from(b.right)),
    ];
    let values: Vec<u8> = states.values().iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut tensors = vec![("states", TensorView::new(Dtype::F32, vec![rows, states.hidden_size()], &values)?)];
    for (name, bytes) in COLUMNS.into_iter().zip(&columns) {
        tensors.push((name, TensorView::new(Dtype::I64, vec![rows], bytes)?));
    }
    serialize(tensors, None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn states() -> States {
        let at = |sample, m| Boundary { problem: 7, sample, m, token: 5 * m, length: 40, right: sample == 1 };
        let rows = vec![at(1, 1), at(0, 1), at(1, 2)];
        States::new(2, rows, vec![1.0, -0.0, 3.5, f32::MAX, 1e-40, -2.0]).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states.safetensors");
        states().save(&path).unwrap();
        assert_eq!(States::load(&path).unwrap(), states());
        let again = folder.path().join("again.safetensors");
        States::load(&path).unwrap().save(&again).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(again).unwrap());
    }

    fn fault_of(change: impl Fn(&mut Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)>)) -> String {
        let bytes = to_bytes(&states()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<_> = ["states"]
            .into_iter()
            .chain(COLUMNS)
            .map(|name| (name, file.tensor(name).unwrap()))
            .map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()))
            .collect();
        change(&mut tensors);
        let views = tensors.iter().map(|(n, d, s, b)| (*n, TensorView::new(*d, s.clone(), b).unwrap()));
        from_bytes(&serialize(views, None).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn damage_is_named() {
        let said = fault_of(|t| t.retain(|t| t.0 != "token"));
        assert_eq!(said, "tensor token is missing, must be I64 [3]");
        assert_eq!(fault_of(|t| t[0].2 = vec![6]), "tensor states is F32 [6], must be F32 [n, hidden_size]");
        assert_eq!(
            fault_of(|t| (t[1].1, t[1].2) = (Dtype::F64, vec![3])),
            "tensor problem is F64 [3], must be I64 [3]"
        );
        let said = fault_of(|t| {
            t[3].3.truncate(16);
            t[3].2 = vec![2];
        });
        assert_eq!(said, "tensor m is I64 [2], must be I64 [3]");
        assert_eq!(fault_of(|t| t[6].3[0] = 2), "row 0: right is 2, must be 0 or 1");
        assert_eq!(fault_of(|t| t[4].3[15] = 0xff), "row 1: token is -72057594037927931, must be >= 0");
        assert_eq!(
            fault_of(|t| t[0].3[4..8].copy_from_slice(&f32::NAN.to_le_bytes())),
            "row 0: states is NaN, must be finite"
        );
        assert_eq!(
            fault_of(|t| t.push(("extra", Dtype::U8, vec![0], vec![]))),
            "tensor extra is there, must be absent"
        );
        assert!(matches!(from_bytes(b"not safetensors at all"), Err(FileFault::Format(_))));
        let folder = tempfile::tempdir().unwrap();
        let error = States::load(folder.path()).unwrap_err();
        assert!(matches!(error, DiagnosisError::File { source: FileFault::NotAFile, .. }));
    }
}

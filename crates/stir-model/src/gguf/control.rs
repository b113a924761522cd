//! Control vectors: the GGUF files in which llama.cpp and repeng keep steering vectors.

use std::{collections::BTreeMap, path::Path};

use stir_kernels::Format;

use super::{
    GgufError,
    files::PartFile,
    metadata::Metadata,
    writer::{File, Text, U32},
};
use crate::ModelError;

const ARCHITECTURE: &str = "general.architecture";
const CONTROL_VECTOR: &str = "controlvector";
const MODEL_HINT: &str = "controlvector.model_hint";
const LAYER_COUNT: &str = "controlvector.layer_count";
const NAME: &str = "direction.";

/// Vectors to add to the outputs of some layers at every position, as llama.cpp (`--control-vector`) and repeng keep them.
///
/// The tensor `direction.k` of a file is added to the output of decoder layer `k`, counted from 0: it belongs to
/// `HookPoint::ResidPost(k)`. There is none for the first layer, since llama.cpp does not steer there.
///
/// ```
/// use std::collections::BTreeMap;
/// use stir_model::gguf::ControlVectors;
///
/// let vectors = ControlVectors::new("qwen2", BTreeMap::from([(14, vec![0.5, -0.5]), (15, vec![0.0, 1.0])]))?;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("calm.gguf");
/// vectors.save(&path)?;
/// assert_eq!(ControlVectors::open(&path)?, vectors);
///
/// assert!(ControlVectors::new("qwen2", BTreeMap::from([(0, vec![0.5, -0.5])])).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ControlVectors {
    model_hint: String,
    directions: BTreeMap<usize, Vec<f32>>,
}

impl ControlVectors {
    /// Creates control vectors for a model of the family `model_hint`, which is empty where nobody knows. `directions` has
    /// a vector, `[hidden_size]`, for each layer to be steered.
    ///
    /// # Errors
    /// [`GgufError::NoDirections`] without vectors, [`GgufError::FirstLayer`] where there is one for layer 0,
    /// [`GgufError::DirectionShape`] where their lengths differ or are 0, [`GgufError::NotFinite`] for NaN and infinity.
    pub fn new(model_hint: impl Into<String>, directions: BTreeMap<usize, Vec<f32>>) -> Result<Self, GgufError> {
        let width = directions.values().next().ok_or(GgufError::NoDirections)?.len();
        for (&layer, vector) in &directions {
            let name = || name(layer);
            if layer == 0 {
                return Err(GgufError::FirstLayer);
            }
            if vector.len() != width || width == 0 {
                return Err(GgufError::DirectionShape { name: name(), found: vec![vector.len()], width: width.max(1) });
            }
            if let Some((index, &value)) = vector.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                return Err(GgufError::NotFinite { name: name(), index, value });
            }
        }
        Ok(Self { model_hint: model_hint.into(), directions })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError::Gguf`] for a file that breaks the format, and for what [`new`](Self::new) refuses, a tensor that is
    /// no `direction.k`, or one of another shape; [`ModelError::Config`] where the file holds something else than control
    /// vectors; [`ModelError::TensorType`] for another type than F32; [`ModelError::Io`] where it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::read(&PartFile::open(path.as_ref())?)
    }

    pub(super) fn read(file: &PartFile) -> Result<Self, ModelError> {
        let broken = |source| ModelError::Gguf { path: file.path.clone(), source };
        let metadata = Metadata::of(file);
        if metadata.text(ARCHITECTURE)? != Some(CONTROL_VECTOR) {
            return Err(metadata.refuse(ARCHITECTURE, CONTROL_VECTOR));
        }
        let model_hint = metadata.text(MODEL_HINT)?.unwrap_or_default();
        let mut directions = BTreeMap::new();
        for tensor in &file.header.tensors {
            let unknown = || broken(GgufError::NoDirection { name: tensor.name.clone() });
            let layer = layer(&tensor.name).ok_or_else(unknown)?;
            if tensor.format != Format::F32 {
                let (path, name, found) = (file.path.clone(), tensor.name.clone(), tensor.format.name().to_owned());
                return Err(ModelError::TensorType { path, name, found, supported: "F32" });
            }
            let [width] = tensor.shape[..] else {
                let (name, found) = (tensor.name.clone(), tensor.shape.clone());
                let width = tensor.shape.last().copied().unwrap_or(1);
                return Err(broken(GgufError::DirectionShape { name, found, width }));
            };
            let mut vector = Vec::with_capacity(width);
            vector.extend(file.map[tensor.data.clone()].as_chunks().0.iter().copied().map(f32::from_le_bytes));
            directions.insert(layer, vector);
        }
        Self::new(model_hint, directions).map_err(broken)
    }

    /// Writes a file, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`ModelError::Io`] where it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        let mut file = File::default();
        file.set(ARCHITECTURE, Text(CONTROL_VECTOR));
        file.set(MODEL_HINT, Text(&self.model_hint));
        file.set(LAYER_COUNT, U32(self.directions.len() as u32));
        self.directions.iter().for_each(|(&layer, vector)| file.add(&name(layer), vector));
        stir_files::write_atomically(path, file.bytes()).map_err(ModelError::io(path))
    }

    /// Returns the family of the model that the vectors were made for, as whoever made them spells it: `qwen2`. It may be
    /// empty, and nothing says that it is right.
    pub fn model_hint(&self) -> &str {
        &self.model_hint
    }

    /// Returns the vectors by the decoder layer to whose output they are added, from 0, `[hidden_size]` each; at least one.
    pub fn directions(&self) -> &BTreeMap<usize, Vec<f32>> {
        &self.directions
    }
}

fn name(layer: usize) -> String {
    format!("{NAME}{layer}")
}

/// Returns the layer of a tensor; `None` for another name than that which [`name`] gives the layer, so that no two tensors
/// are of the same one.
fn layer(tensor: &str) -> Option<usize> {
    let layer = tensor.strip_prefix(NAME)?.parse().ok()?;
    (name(layer) == tensor).then_some(layer)
}

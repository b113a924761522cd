//! Experiments on models in folders: [`LmBackend`].
//!
//! ```no_run
//! use std::path::Path;
//! use stir::{
//!     eval::experiment::{Experiment, Runner},
//!     experiment::LmBackend,
//! };
//!
//! let experiment = Experiment::parse(&std::fs::read_to_string("experiment.toml")?)?;
//! let outcome = Runner::new(&experiment, &LmBackend::default())?.run(Path::new("runs"))?;
//! println!("{} runs", outcome.runs.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stir_eval::{
    experiment::Backend,
    questions::{ProblemSource, QuestionError, Questions},
};
use stir_model::{
    Activations, ComputeType, DecoderConfig, DeviceError, DeviceSpec, Lm, LoadOptions, Message, ModelError,
};

/// A model of an experiment: `source` in its file.
///
/// ```
/// use stir::experiment::ModelSource;
/// let source: ModelSource = serde_json::from_str(r#"{"folder": "models/qwen", "compute": "bf16"}"#)?;
/// assert_eq!(source.compute.to_string(), "bf16");
/// assert!(serde_json::from_str::<ModelSource>(r#"{"device": "cudaa"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSource {
    /// The Hugging Face folder or GGUF file of the model; `None` for the default of the backend.
    pub folder: Option<PathBuf>,
    /// The device that computes.
    pub device: DeviceSpec,
    /// The type to compute in.
    pub compute: ComputeType,
    /// What the quantised weights of a GGUF file are multiplied with on the CPU.
    #[serde(skip_serializing_if = "is_default")]
    pub activations: Activations,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Loads the models of an experiment from Hugging Face folders.
#[derive(Debug, Clone, Default)]
pub struct LmBackend {
    default_folder: Option<PathBuf>,
}

/// A model cannot be loaded, or its problems cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LmBackendError {
    /// The source names no folder, and the backend has no default.
    #[error("the source of the model names no folder")]
    NoFolder,
    /// The device cannot be used.
    #[error("cannot use the device {device}")]
    Device {
        /// The device.
        device: String,
        /// The reason.
        source: DeviceError,
    },
    /// The model cannot be loaded.
    #[error("cannot load the model in {}", folder.display())]
    Model {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: ModelError,
    },
    /// The problems cannot be asked.
    #[error(transparent)]
    Questions(#[from] QuestionError<ModelError>),
}

impl LmBackend {
    /// Returns a backend that loads the model in `folder` where an experiment names none.
    pub fn with_default_folder(folder: impl Into<PathBuf>) -> Self {
        Self { default_folder: Some(folder.into()) }
    }

    fn folder<'s>(&'s self, source: &'s ModelSource) -> Result<&'s PathBuf, LmBackendError> {
        source.folder.as_ref().or(self.default_folder.as_ref()).ok_or(LmBackendError::NoFolder)
    }
}

impl ModelSource {
    fn device_error(&self, source: DeviceError) -> LmBackendError {
        LmBackendError::Device { device: self.device.to_string(), source }
    }
}

impl Backend for LmBackend {
    type Source = ModelSource;
    type Engine = Lm;
    type Error = LmBackendError;

    fn check(&self, source: &ModelSource) -> Result<(), LmBackendError> {
        let folder = self.folder(source)?;
        source.device.open().map_err(|error| source.device_error(error))?;
        let config = DecoderConfig::open(folder);
        config.map(drop).map_err(|source| LmBackendError::Model { folder: folder.clone(), source })
    }

    fn load(&self, source: &ModelSource) -> Result<Lm, LmBackendError> {
        let folder = self.folder(source)?;
        let device = source.device.open().map_err(|error| source.device_error(error))?;
        let &ModelSource { compute, activations, .. } = source;
        let options = LoadOptions { compute, activations, ..LoadOptions::default() };
        let lm = Lm::load_with(folder, &device, options, |_| ());
        lm.map_err(|source| LmBackendError::Model { folder: folder.clone(), source })
    }

    fn questions(&self, lm: &Lm, source: &ProblemSource) -> Result<Questions, LmBackendError> {
        Ok(source.questions(&|system, user| self.render(lm, system, user))?)
    }

    fn render(&self, lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
        let messages: Vec<Message> = system.map(Message::system).into_iter().chain([Message::user(user)]).collect();
        lm.chat_template()?.render(&messages)
    }
}

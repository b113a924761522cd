//! The model that a command uses, and the device it computes on.

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    core::{Fingerprint, FingerprintMismatch, LayerSpec, ModelShape, Request},
    induction::InductionError,
    model::{Activations, ComputeType, DecoderConfig, DeviceSpec, Lm, LoadOptions, Message, ModelError, ModelFiles},
    rollout::sampled_by,
};

use crate::{embedded, progress::Progress};

/// The model, the device it computes on, and the seed of everything drawn.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// GGUF file or Hugging Face folder of the model; in a build with the feature hub also its name there, ORG/NAME,
    /// ORG/NAME@REVISION or ORG/NAME:Q4_K_M for a GGUF file [default: the small model that comes with the program]
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// Device to compute on: cpu, cuda, wgpu, vulkan or metal, with :N for the N-th
    #[arg(long, default_value_t = DeviceSpec::default())]
    pub(crate) device: DeviceSpec,
    /// Type to compute in, whatever the files hold: f32, bf16 or f16
    #[arg(long, default_value_t = ComputeType::default())]
    pub(crate) compute: ComputeType,
    /// What the quantised weights of a GGUF file are multiplied with on the CPU: int8 (fast) or exact
    #[arg(long, default_value_t = Activations::default())]
    pub(crate) activations: Activations,
    /// Seed of everything drawn at random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl ModelArgs {
    /// Returns what reports call the model: the name of its folder.
    pub(crate) fn name(&self) -> String {
        let name = |dir: &PathBuf| dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
        self.model.as_ref().map_or_else(|| embedded::NAME.to_owned(), name)
    }

    /// Checks that the device is there and, where it is no name on the hub, the model.
    pub(crate) fn check(&self) -> Result<()> {
        self.device.open().into_diagnostic()?;
        match &self.model {
            Some(dir) if dir.exists() || cfg!(not(feature = "hub")) => {
                let path = folder(dir)?;
                // Loading the model says again what is to be said of the file.
                let quiet = tracing::subscriber::NoSubscriber::default();
                tracing::subscriber::with_default(quiet, || DecoderConfig::open(&path)).map(drop).into_diagnostic()
            }
            _ => Ok(()),
        }
    }

    /// Opens the device, and the files of the model. No weights are read: what else is wrong with a command is told
    /// before that, which may take minutes.
    pub(crate) fn open(&self) -> Result<OpenModel<'_>> {
        self.device.open().into_diagnostic()?;
        let path = match &self.model {
            Some(named) => folder(named)?,
            None => embedded::folder()?,
        };
        let files = ModelFiles::open(&path).into_diagnostic().wrap_err_with(|| cannot_load(&path))?;
        Ok(OpenModel { args: self, files })
    }
}

fn cannot_load(path: &Path) -> String {
    format!("cannot load the model in {}", path.display())
}

/// A model whose weights are not read yet.
pub(crate) struct OpenModel<'a> {
    pub args: &'a ModelArgs,
    pub files: ModelFiles,
}

impl OpenModel<'_> {
    pub(crate) fn shape(&self) -> ModelShape {
        self.files.config.shape()
    }

    /// Renders the model's prompt for a system and a user message.
    pub(crate) fn render(&self, system: Option<&str>, user: &str) -> Result<String, ModelError> {
        self.files.chat_template()?.render(&messages(system, user))
    }

    /// Checks that the model has the layers.
    pub(crate) fn check_layers(&self, layers: &[LayerSpec]) -> Result<()> {
        layers.iter().try_for_each(|layer| layer.resolve(self.shape().n_layers).map(drop)).into_diagnostic()
    }

    /// Checks the settings of a request; its prompt may be missing.
    pub(crate) fn check_request(&self, request: &Request) -> Result<()> {
        Request { prompt: vec![0], ..request.clone() }.check(self.shape()).into_diagnostic()
    }

    /// Checks that the model has the architecture and the sizes of the one that `mined` is of. Whether it is that one,
    /// its weights tell.
    pub(crate) fn check_sizes(&self, mined: &Fingerprint) -> Result<(), FingerprintMismatch> {
        let ModelShape { n_layers, hidden_size, vocab_size, .. } = self.shape();
        let architecture = self.files.config.architecture.clone();
        mined.check(&Fingerprint { architecture, n_layers, hidden_size, vocab_size, ..mined.clone() })
    }

    /// Checks that the rollouts that were made under `settings` are of a model of these sizes, where they name one.
    pub(crate) fn check_rollouts(&self, settings: Option<&str>) -> Result<()> {
        let Some(sampled_by) = settings.and_then(sampled_by) else { return Ok(()) };
        self.check_sizes(&sampled_by).map_err(InductionError::<ModelError>::Fingerprint).into_diagnostic()
    }

    /// Loads the weights.
    pub(crate) fn load(self) -> Result<Lm> {
        let Self { args, files } = self;
        let (path, device) = (files.path.clone(), args.device.open().into_diagnostic()?);
        let options = LoadOptions { compute: args.compute, activations: args.activations, ..LoadOptions::default() };
        let shown = Progress::new(0, "load, MiB");
        let loaded = Lm::from_files(files, &device, options, |progress| {
            shown.set_total(progress.total.div_ceil(1 << 20));
            shown.set_done(progress.bytes.div_ceil(1 << 20));
        });
        loaded.into_diagnostic().wrap_err_with(|| cannot_load(&path))
    }
}

/// Returns the folder or file called `named`, brought from the hub where there is none of that name here.
#[cfg(feature = "hub")]
pub(crate) fn folder(named: &Path) -> Result<PathBuf> {
    use stir::model::hub::{Options, Progress as Fetched, model};
    let Some(name) = named.to_str().filter(|_| !named.exists()) else { return Ok(named.to_owned()) };
    let options = Options::from_env().into_diagnostic()?;
    let shown = Progress::new(0, "fetch, MiB");
    let path = model(name, &options, |progress| {
        if let Fetched::File { name, done, total } = progress {
            shown.set_note(name.to_owned());
            shown.set_total(total.unwrap_or(done) >> 20);
            shown.set_done(done >> 20);
        }
        std::ops::ControlFlow::Continue(())
    });
    path.into_diagnostic().wrap_err_with(|| format!("there is no file or folder {name}, and the hub did not bring it"))
}

#[cfg(not(feature = "hub"))]
pub(crate) fn folder(named: &Path) -> Result<PathBuf> {
    miette::ensure!(
        named.exists(),
        help = "built with --features hub, this program looks for it on the Hugging Face hub",
        "there is no file or folder {}",
        named.display()
    );
    Ok(named.to_owned())
}

/// Renders the model's prompt for a system and a user message.
pub(crate) fn render(lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
    lm.chat_template()?.render(&messages(system, user))
}

fn messages(system: Option<&str>, user: &str) -> Vec<Message> {
    system.map(Message::system).into_iter().chain([Message::user(user)]).collect()
}

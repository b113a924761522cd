//! The model that a command uses, and the device it computes on.

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use stir::model::{Activations, ComputeType, DecoderConfig, DeviceSpec, Lm, LoadOptions, Message, ModelError};

use crate::{embedded, progress::Progress};

/// The model, the device it computes on, and the seed of everything drawn.
#[derive(clap::Args, Debug)]
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

    /// Loads the model on its device.
    pub(crate) fn load(&self) -> Result<Lm> {
        self.load_with(|_| ())
    }

    /// Loads the model on its device, with options changed from those of its folder.
    pub(crate) fn load_with(&self, change: impl FnOnce(&mut DecoderConfig)) -> Result<Lm> {
        let device = self.device.open().into_diagnostic()?;
        let dir = match &self.model {
            Some(named) => folder(named)?,
            None => embedded::folder()?,
        };
        let load = || {
            let mut config = DecoderConfig::open(&dir)?;
            change(&mut config);
            let options = LoadOptions {
                compute: self.compute,
                config: Some(config),
                activations: self.activations,
                ..LoadOptions::default()
            };
            let shown = Progress::new(0, "load, MiB");
            Lm::load_with(&dir, &device, options, |progress| {
                shown.set_total(progress.total.div_ceil(1 << 20));
                shown.set_done(progress.bytes.div_ceil(1 << 20));
            })
        };
        load().into_diagnostic().wrap_err_with(|| format!("cannot load the model in {}", dir.display()))
    }
}

/// Returns the folder or file called `named`, brought from the hub where there is none of that name here.
#[cfg(feature = "hub")]
fn folder(named: &Path) -> Result<PathBuf> {
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
fn folder(named: &Path) -> Result<PathBuf> {
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
    let messages: Vec<Message> = system.map(Message::system).into_iter().chain([Message::user(user)]).collect();
    lm.chat_template()?.render(&messages)
}

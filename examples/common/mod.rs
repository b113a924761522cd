//! What the examples share: flags, loading, and errors that name file and line.
#![allow(dead_code, reason = "each example uses a part")]

pub(crate) mod answers;
pub(crate) mod lab;
pub(crate) mod present;
pub(crate) mod tasks;
pub(crate) mod word_problems;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic, MietteHandlerOpts, Result, WrapErr};
use serde::de::DeserializeOwned;
use serde_json::Value;
use stir::{
    core::{Delimiter, Sampling},
    model::{ComputeType, DecoderConfig, DeviceSpec, Lm, LoadOptions, Message, ModelError},
};

/// The model that comes with the sources.
const DEFAULT_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/assets/tiny");

/// Which model, where it runs, and the seed of everything drawn.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// Hugging Face folder of the model; with the feature hub also its name there, ORG/NAME or ORG/NAME@REVISION
    #[arg(long, value_name = "DIR", default_value = DEFAULT_MODEL)]
    pub model: PathBuf,
    /// Device to compute on: flex (the CPU), cuda, wgpu, vulkan or metal, with :N for the N-th
    #[arg(long, default_value = "flex")]
    pub device: DeviceSpec,
    /// Type to compute in: f32, bf16 or f16, whatever the files hold
    #[arg(long, default_value = "f32")]
    pub compute: ComputeType,
    /// Seed of everything drawn at random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl ModelArgs {
    /// What reports call the model: the name of its folder.
    pub fn name(&self) -> String {
        self.model.file_name().unwrap_or(self.model.as_os_str()).to_string_lossy().into_owned()
    }

    /// The model on its device.
    pub fn load(&self) -> Result<Lm> {
        self.load_with(|_| ())
    }

    /// The model on its device, with options changed from those of its folder.
    pub fn load_with(&self, change: impl FnOnce(&mut DecoderConfig)) -> Result<Lm> {
        let device = self.device.open().into_diagnostic()?;
        let dir = self.folder()?;
        let load = || {
            let mut config = DecoderConfig::from_file(&dir.join("config.json"))?;
            change(&mut config);
            let options = LoadOptions { compute: self.compute, config: Some(config) };
            let bar = self::progress(0, "loading");
            let lm = Lm::load_with(&dir, &device, options, |progress| {
                bar.set_length(progress.total >> 20);
                bar.set_position(progress.bytes >> 20);
            });
            bar.finish_and_clear();
            lm
        };
        load().into_diagnostic().wrap_err_with(|| format!("cannot load the model in {}", dir.display()))
    }

    /// The folder that `--model` names, brought from the hub where there is none of that name here.
    #[cfg(feature = "hub")]
    fn folder(&self) -> Result<PathBuf> {
        use stir::model::hub::{Options, Progress, snapshot};
        let Some(name) = self.model.to_str().filter(|_| !self.model.exists()) else { return Ok(self.model.clone()) };
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let options = Options { revision: revision.to_owned(), ..Options::from_env().into_diagnostic()? };
        let bar = progress(0, "fetching");
        let dir = snapshot(id, &options, |progress| {
            if let Progress::File { name, done, total } = progress {
                bar.set_message(name.to_owned());
                bar.set_length(total.unwrap_or(done) >> 20);
                bar.set_position(done >> 20);
            }
            std::ops::ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        dir.into_diagnostic().wrap_err_with(|| format!("there is no folder {name}, and the hub did not bring it"))
    }

    #[cfg(not(feature = "hub"))]
    fn folder(&self) -> Result<PathBuf> {
        miette::ensure!(
            self.model.exists(),
            help = "built with --features hub, this program looks for it on the Hugging Face hub",
            "there is no folder {}",
            self.model.display()
        );
        Ok(self.model.clone())
    }
}

/// How tokens are drawn and where an answer ends. `SAMPLED` says whether tokens are drawn at random, with the published
/// settings, when nothing else is asked for.
#[derive(clap::Args)]
pub struct SamplingArgs<const SAMPLED: bool> {
    /// Divisor of the logits; 0 for greedy decoding
    #[arg(long, default_value = if SAMPLED { "0.7" } else { "0" })]
    temperature: f32,
    /// Mass of the nucleus
    #[arg(long, default_value = if SAMPLED { "0.95" } else { "1" })]
    top_p: f32,
    /// How many of the likeliest tokens may be drawn; 0 for all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Least probability of a token that may be drawn, as a share of the likeliest one's
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Divisor of the logits of tokens that were there before; 1 for none
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// A text that ends an answer, as is or with \n, \r, \t, \\; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    pub stop: Vec<String>,
}

impl<const SAMPLED: bool> SamplingArgs<SAMPLED> {
    /// How a token is drawn.
    pub fn sampling(&self) -> Sampling {
        let &Self { temperature, top_p, top_k, min_p, repetition_penalty, .. } = self;
        Sampling { temperature, top_p, top_k, min_p, repetition_penalty }
    }
}

/// The command line. Errors are shown from now on with all their causes, one line each, so that paths stay whole.
pub fn start<A: Parser>() -> Result<A> {
    miette::set_hook(Box::new(|_| Box::new(MietteHandlerOpts::new().wrap_lines(false).build()))).into_diagnostic()?;
    Ok(A::parse())
}

/// A progress bar with an estimate of the time left.
pub fn progress(total: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} eta {eta} {msg}");
    let bar = ProgressBar::new(total).with_prefix(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The model's prompt for a system and a user message.
pub fn render(lm: &Lm, system: Option<&str>, user: &str) -> Result<String, ModelError> {
    let messages: Vec<Message> = system.map(Message::system).into_iter().chain([Message::user(user)]).collect();
    lm.chat_template()?.render(&messages)
}

/// The lines of a JSONL file; blank ones are skipped.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(i, line)| {
        serde_json::from_str(line).into_diagnostic().wrap_err_with(|| format!("{}, line {}", path.display(), i + 1))
    };
    lines.map(parse).collect()
}

/// A text as typed: `\n`, `\r`, `\t` and `\\` stand for what they stand for elsewhere.
pub fn unescaped(typed: &str) -> Result<String, String> {
    let (mut text, mut chars) = (String::new(), typed.chars());
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('\\') => '\\',
                other => return Err(format!("unknown escape \\{}", other.map_or_else(String::new, String::from))),
            },
            char => char,
        });
    }
    Ok(text)
}

/// A segment delimiter as typed, with the escapes of [`unescaped`].
pub fn delimiter(typed: &str) -> Result<Delimiter, String> {
    Delimiter::new(unescaped(typed)?).ok_or_else(|| "it is empty".to_owned())
}

/// The value of a serde enum of plain names.
pub fn named<T: DeserializeOwned>(name: String) -> Result<T, serde_json::Error> {
    serde_json::from_value(Value::String(name))
}

/// Puts `bytes` where `path` says in one step: whoever reads sees all of them or what was there before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stir::eval::answers::write_atomically(path, bytes).into_diagnostic()
}

/// `path` with `suffix` at its end.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

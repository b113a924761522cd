mod pass;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use burn::tensor::{DType, Device};
use stir_core::{Engine, Fingerprint, HookPoint, ModelShape, Output, Row, Text, TokenId, Vocab};
use stir_kernels::Activations;
use tracing::field;

pub use self::pass::Inspection;
#[cfg(feature = "flex")]
use crate::cpu::Native;
use crate::{
    ChatTemplate, ComputeType, Decoder, DecoderConfig, GenerationDefaults, KvCache, LoadProgress, Message, ModelError,
    ModelFiles, Tokenizer, checkpoint::Reader, device, fingerprint,
};

/// A language model with its tokenizer and chat template: an [`Engine`] on a burn device.
///
/// ```no_run
/// use stir_model::{DeviceSpec, Lm};
/// use stir_core::{Engine, GenerateOptions, Request, Text, generate};
///
/// let lm = Lm::load("path/to/a/hugging-face/folder", &DeviceSpec::CPU.open()?)?;
/// let prompt = lm.encode_prompt(&lm.chat_prompt("What is 2 + 3?")?)?;
/// let answers = generate(&lm, &[Request::new(prompt)], GenerateOptions::default())?;
/// println!("{}", answers[0][0].text(lm.vocab()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lm {
    dir: PathBuf,
    decoder: Decoder,
    tokenizer: Option<Tokenizer>,
    chat: Option<ChatTemplate>,
    generation: GenerationDefaults,
    vocab: Vocab,
    fingerprint: Fingerprint,
    device: Device,
    chunk: usize,
    /// True if passes use this crate's own kernels.
    #[cfg(feature = "flex")]
    kernels: bool,
    /// What packed weights, and those computed with in bf16, are multiplied with.
    #[cfg(feature = "flex")]
    activations: Activations,
}

/// The options of loading a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The type to compute in.
    pub compute: ComputeType,
    /// The decoder options that replace those of the folder's `config.json`, or of the GGUF file.
    pub config: Option<DecoderConfig>,
    /// What the quantised weights of a GGUF file are multiplied with on the CPU. Weights computed with in bf16 are
    /// multiplied with activations in bf16, unless this is [`Activations::Exact`] or the processor cannot (AVX-512 BF16).
    pub activations: Activations,
    /// True to turn all weights into the type to compute in when they are loaded. This happens in any case on other
    /// devices than the CPU.
    pub dequantise: bool,
}

/// The largest number of a row's tokens that are encoded in one pass, unless [`Lm::with_prefill_chunk`] sets another.
const CHUNK: usize = 512;

impl Lm {
    /// Loads a model and computes in f32: a GGUF file, or a Hugging Face folder with `config.json`,
    /// `model.safetensors` or its shards, and, if present, `tokenizer.json`, `generation_config.json` and the chat
    /// template.
    ///
    /// On the CPU the quantised weights of a GGUF file are kept, and multiplied, as they are stored.
    ///
    /// # Errors
    /// A file is missing or broken, or says something that this implementation does not support. Every tensor of the
    /// checkpoint must belong to the model and be finite.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        Self::load_with(dir, device, LoadOptions::default(), |_| ())
    }

    /// Loads a model with options; `progress` is called after every few megabytes.
    ///
    /// ```no_run
    /// use stir_model::{ComputeType, DeviceSpec, LoadOptions, Lm};
    /// let options = LoadOptions { compute: ComputeType::Bf16, ..LoadOptions::default() };
    /// let lm = Lm::load_with("path/to/a/folder", &DeviceSpec::CPU.open()?, options, |progress| {
    ///     eprintln!("{} of {} bytes", progress.bytes, progress.total);
    /// })?;
    /// # Ok::<(), stir_model::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`load`](Self::load).
    pub fn load_with(
        dir: impl AsRef<Path>,
        device: &Device,
        options: LoadOptions,
        progress: impl FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let files = ModelFiles::open_with(dir.as_ref(), options.config.clone())?;
        Self::from_files(files, device, options, progress)
    }

    /// Loads the weights of opened `files`, as [`load_with`](Self::load_with) does: what is wrong with a prompt, a layer
    /// or a setting can be told before.
    ///
    /// ```no_run
    /// use stir_model::{DeviceSpec, LoadOptions, Lm, ModelFiles};
    /// let files = ModelFiles::open("path/to/a/model.gguf")?;
    /// println!("{} layers", files.config.n_layers);
    /// let lm = Lm::from_files(files, &DeviceSpec::CPU.open()?, LoadOptions::default(), |_| ())?;
    /// # Ok::<(), stir_model::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`load`](Self::load).
    pub fn from_files(
        files: ModelFiles,
        device: &Device,
        options: LoadOptions,
        mut progress: impl FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let start = Instant::now();
        let span = tracing::info_span!(
            "load",
            model = %files.path.display(),
            compute = %options.compute,
            files = field::Empty,
            bytes = field::Empty,
            seconds = field::Empty,
        )
        .entered();
        let vocab = files.vocab();
        let ModelFiles { path, config, tokenizer, chat_template: chat, generation, checkpoint } = files;
        let config = options.config.unwrap_or(config);
        let (files, bytes) = checkpoint.size();
        span.record("files", files).record("bytes", bytes);
        let reader = Reader::new(checkpoint, &mut progress);
        #[cfg(feature = "flex")]
        let reader = reader.keeping(!options.dequantise && Native::runs_on(device));
        let mut reader = reader;
        let decoder = Decoder::load(&config, &mut reader, options.compute, device)?;
        let weights = reader.finish(&config.digest())?;
        let fingerprint = fingerprint::of_parts(&config, tokenizer.as_ref().map(|t| t.digest().to_owned()), weights);
        let lm = Self {
            dir: path,
            decoder,
            tokenizer,
            chat,
            generation,
            vocab,
            fingerprint,
            device: device.clone(),
            chunk: CHUNK,
            #[cfg(feature = "flex")]
            kernels: Native::runs_on(device),
            #[cfg(feature = "flex")]
            activations: options.activations,
        };
        if lm.tokenizer.is_none() {
            tracing::warn!("no tokenizer: the model takes and gives token ids only");
        }
        if lm.vocab.eos().is_empty() {
            tracing::warn!("no file names a token that ends a sequence: answers end at their length limit");
        }
        span.record("seconds", start.elapsed().as_secs_f64());
        tracing::info!(weights = %lm.fingerprint.weights, "the model is loaded");
        Ok(lm)
    }

    /// Loads the model that the Hugging Face hub knows as `name`, downloading what the cache lacks: `OWNER/NAME` and,
    /// where wanted, `@REVISION` and `:TAG`, the quantisation of a GGUF file (see [`stir_hub::model`]).
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use stir_model::{DeviceSpec, Lm, hub::Options};
    /// let device = DeviceSpec::CPU.open()?;
    /// let lm = Lm::from_hub("Qwen/Qwen2.5-1.5B-Instruct", &Options::from_env()?, &device, |progress| {
    ///     eprintln!("{progress:?}");
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), stir_model::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::Hub`] if it cannot be downloaded or `progress` cancels; otherwise the errors of
    /// [`load`](Self::load).
    #[cfg(feature = "hub")]
    pub fn from_hub(
        name: &str,
        options: &stir_hub::Options,
        device: &Device,
        progress: impl FnMut(stir_hub::Progress<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<Self, ModelError> {
        Self::load(stir_hub::model(name, options, progress)?, device)
    }

    /// Encodes at most `tokens` (at least 1) of a row in one pass; longer rows take several. The memory for attention
    /// scores is proportional to this times the length of the row, so it bounds what a long prompt needs.
    pub fn with_prefill_chunk(mut self, tokens: usize) -> Self {
        self.chunk = tokens.max(1);
        self
    }

    /// Computes with burn's operations even on the CPU, where this crate has its own kernels. This is slower and
    /// gives the same numbers except for rounding: a reference to compare with.
    pub fn without_kernels(mut self) -> Self {
        #[cfg(feature = "flex")]
        {
            self.kernels = false;
        }
        self
    }

    /// Returns the weights, for training.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// Returns the options of the decoder.
    pub fn config(&self) -> &DecoderConfig {
        self.decoder.config()
    }

    /// Returns the type that the model is computed in.
    pub fn compute(&self) -> ComputeType {
        match self.decoder.dtype() {
            DType::BF16 => ComputeType::Bf16,
            DType::F16 => ComputeType::F16,
            _ => ComputeType::F32,
        }
    }

    /// Returns the number of bytes of keys and values that a sequence of `positions` takes, prompt and answer together.
    /// A session keeps nothing else; forks share what they have in common. A pass takes more while it runs, mostly
    /// attention scores: 4 bytes for each query head, new token and visible position of a row.
    pub fn session_bytes(&self, positions: usize) -> usize {
        self.session().bytes_for(positions)
    }

    /// Returns the prompt that asks the model `question` as a user would, through its chat template.
    /// [`opens_reasoning`](crate::opens_reasoning) tells whether the answer to it starts inside the model's reasoning.
    ///
    /// # Errors
    /// [`ModelError::NoChatTemplate`] without one; [`ModelError::ChatTemplate`] if it refuses the message.
    pub fn chat_prompt(&self, question: &str) -> Result<String, ModelError> {
        self.chat_template()?.render(&[Message::user(question)])
    }

    /// Returns the model's chat template, for whole conversations and options.
    ///
    /// # Errors
    /// [`ModelError::NoChatTemplate`] without one.
    pub fn chat_template(&self) -> Result<&ChatTemplate, ModelError> {
        self.chat.as_ref().ok_or_else(|| ModelError::NoChatTemplate { path: self.dir.clone() })
    }

    /// Returns the sampling settings that the model's authors recommend.
    pub fn generation_defaults(&self) -> &GenerationDefaults {
        &self.generation
    }

    fn tokenizer(&self) -> Result<&Tokenizer, ModelError> {
        let sentencepiece = || self.dir.join("tokenizer.model").exists();
        let missing = || ModelError::NoTokenizer { path: self.dir.clone(), sentencepiece: sentencepiece() };
        self.tokenizer.as_ref().ok_or_else(missing)
    }
}

impl Engine for Lm {
    type Session = KvCache;
    type Error = ModelError;

    fn shape(&self) -> ModelShape {
        self.config().shape()
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn computation(&self) -> String {
        #[cfg(feature = "flex")]
        if self.kernels {
            if self.decoder.is_packed() {
                return format!("{}, {} activations", self.compute(), self.activations);
            }
            if self.compute() == ComputeType::Bf16 && Native::multiplies_bf16(self.activations) {
                return "bf16, bf16 activations".to_owned();
            }
        }
        self.compute().to_string()
    }

    fn device(&self) -> String {
        device::name_of(&self.device)
    }

    fn session(&self) -> KvCache {
        KvCache::new(self.config(), self.decoder.dtype(), &self.device)
    }

    fn forward(&self, rows: &mut [Row<'_, KvCache>]) -> Result<Vec<Output>, ModelError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.check(rows)?;
        let rows = &mut rows.iter_mut().map(|row| self.encode_head(row)).collect::<Result<Vec<_>, _>>()?;
        let ends: Vec<usize> = rows
            .iter()
            .scan(0, |end, row| {
                *end += row.tokens.len();
                Some(*end)
            })
            .collect();
        let asked: Vec<(usize, HookPoint)> = rows
            .iter()
            .zip(&ends)
            .flat_map(|(row, end)| row.capture.iter().map(move |&point| (end.saturating_sub(1), point)))
            .collect();
        let logits_at: Vec<usize> =
            rows.iter().zip(&ends).filter(|(row, _)| row.logits).map(|(_, end)| end.saturating_sub(1)).collect();
        let (logits, captured) =
            self.run(rows, |hooks| asked.iter().for_each(|&(token, point)| hooks.capture(point, token)), &logits_at)?;
        let mut logits = logits.chunks_exact(self.config().vocab_size);
        let outputs = rows.iter().zip(&ends).map(|(row, end)| Output {
            logits: if row.logits { logits.next().unwrap_or_default().to_vec() } else { Vec::new() },
            captures: row
                .capture
                .iter()
                .map(|point| captured.get(point).and_then(|c| c.of(end - 1)).unwrap_or_default().to_vec())
                .collect(),
        });
        Ok(outputs.collect())
    }
}

impl Text for Lm {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer()?.encode(text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer()?.encode_prompt(text)
    }
}

// A model serves several threads, and a session may move between them.
const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Lm>();
    send_and_sync::<KvCache>();
};

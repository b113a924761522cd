use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use stir_core::{Addition, Engine, Fingerprint, HookPoint, ModelShape, Output, Row, Session, Text, TokenId, Vocab};

use crate::{
    ChatTemplate, Checkpoint, ComputeType, Decoder, DecoderConfig, GenerationDefaults, KvCache, LoadProgress, Message,
    ModelError, RowError, Tokenizer,
    attention::Cached,
    batch::Batch,
    cache::Extension,
    checkpoint::Reader,
    compute::{Compute, indices, read},
    device, fingerprint,
    hooks::{Captured, HookRecorder, Hooks, NoHooks},
    shared_rows::{SharedRows, layers_before},
};

#[cfg(feature = "flex")]
use crate::cpu::Native;

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
    /// Whether passes use the kernels of this crate.
    #[cfg(feature = "flex")]
    kernels: bool,
}

/// How a model is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The type to compute in.
    pub compute: ComputeType,
    /// Options in place of those that the folder's `config.json` gives.
    pub config: Option<DecoderConfig>,
}

/// Tokens of a row that are encoded in one pass, unless [`Lm::with_prefill_chunk`] says otherwise.
const CHUNK: usize = 512;

/// Everything at every position of one sequence; see [`Lm::inspect`].
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// `[length, vocab_size]`, row by row.
    pub logits: Vec<f32>,
    /// `[length, hidden_size]` after each decoder layer, row by row.
    pub resid_post: Vec<Vec<f32>>,
}

impl Lm {
    /// The model in a Hugging Face folder: `config.json`, `model.safetensors` or its shards, and, when there,
    /// `tokenizer.json`, `generation_config.json` and the chat template. Computes in f32.
    ///
    /// # Errors
    /// When a file is missing, broken, or says something this implementation does not obey; every tensor of the
    /// checkpoint is accounted for and must be finite.
    pub fn load(dir: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        Self::load_with(dir, device, LoadOptions::default(), |_| ())
    }

    /// As [`load`](Self::load), in another way than by default; `progress` is called after every few megabytes.
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
    /// As [`load`](Self::load).
    pub fn load_with(
        dir: impl AsRef<Path>,
        device: &Device,
        options: LoadOptions,
        mut progress: impl FnMut(LoadProgress),
    ) -> Result<Self, ModelError> {
        let dir = dir.as_ref();
        let config = match options.config {
            Some(config) => config,
            None => DecoderConfig::from_file(&dir.join("config.json"))?,
        };
        let mut reader = Reader::new(Checkpoint::open(dir)?, &mut progress);
        let decoder = Decoder::load(&config, &mut reader, options.compute, device)?;
        let weights = reader.finish(&config.digest())?;
        let tokenizer_path = dir.join("tokenizer.json");
        let tokenizer = tokenizer_path.exists().then(|| Tokenizer::from_file(&tokenizer_path)).transpose()?;
        if let Some(tokens) = tokenizer.as_ref().map(Tokenizer::size).filter(|&tokens| tokens > config.vocab_size) {
            let vocab_size = config.vocab_size;
            return Err(ModelError::VocabularySize { path: tokenizer_path, tokens, vocab_size });
        }
        let generation = GenerationDefaults::from_dir(dir, tokenizer.as_ref(), config.vocab_size)?;
        let eos = generation.end_tokens.clone();
        let vocab = tokenizer.as_ref().map_or_else(|| Vocab::new([], eos.clone()), |t| t.vocab(eos.clone()));
        let fingerprint = fingerprint::of_parts(&config, tokenizer.as_ref().map(|t| t.digest().to_owned()), weights);
        Ok(Self {
            dir: dir.to_owned(),
            decoder,
            tokenizer,
            chat: ChatTemplate::from_dir(dir)?,
            generation,
            vocab,
            fingerprint,
            device: device.clone(),
            chunk: CHUNK,
            #[cfg(feature = "flex")]
            kernels: Native::runs_on(device),
        })
    }

    /// The model that the Hugging Face hub knows as `id`, brought to the cache where it is not there yet.
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
    /// [`ModelError::Hub`] when it cannot be brought or `progress` breaks off; otherwise as [`load`](Self::load).
    #[cfg(feature = "hub")]
    pub fn from_hub(
        id: &str,
        options: &stir_hub::Options,
        device: &Device,
        progress: impl FnMut(stir_hub::Progress<'_>) -> std::ops::ControlFlow<()>,
    ) -> Result<Self, ModelError> {
        Self::load(stir_hub::snapshot(id, options, progress)?, device)
    }

    /// Encodes at most `tokens` (at least 1) of a row in one pass; longer rows take several. Attention scores take
    /// memory in proportion to this times the length of the row, so it bounds what a long prompt needs.
    pub fn with_prefill_chunk(mut self, tokens: usize) -> Self {
        self.chunk = tokens.max(1);
        self
    }

    /// Computes in the operations of burn also where this crate has kernels of its own, which is on the CPU. Slower, and
    /// the same but for rounding: something to compare with.
    pub fn without_kernels(mut self) -> Self {
        #[cfg(feature = "flex")]
        {
            self.kernels = false;
        }
        self
    }

    /// The model's options.
    pub fn config(&self) -> &DecoderConfig {
        self.decoder.config()
    }

    /// The type this model is computed in.
    pub fn compute(&self) -> ComputeType {
        match self.decoder.dtype() {
            DType::BF16 => ComputeType::Bf16,
            DType::F16 => ComputeType::F16,
            _ => ComputeType::F32,
        }
    }

    /// Bytes of keys and values that a sequence takes when it holds `positions`, prompt and answer together. It is all
    /// that a session keeps; forks share what they have in common. A pass takes more while it runs, mostly attention
    /// scores: 4 bytes for each query head, new token and visible position of a row.
    pub fn session_bytes(&self, positions: usize) -> usize {
        self.session().bytes_for(positions)
    }

    /// The prompt text that puts `question` to the model as a user would, through its chat template. Whether the
    /// answer starts amid the model's reasoning is what [`opens_reasoning`](crate::opens_reasoning) says of it.
    ///
    /// # Errors
    /// [`ModelError::NoChatTemplate`] without one; otherwise when the template refuses the message.
    pub fn chat_prompt(&self, question: &str) -> Result<String, ModelError> {
        self.chat_template()?.render(&[Message::user(question)])
    }

    /// The model's chat template, for whole conversations and options.
    ///
    /// # Errors
    /// [`ModelError::NoChatTemplate`] without one.
    pub fn chat_template(&self) -> Result<&ChatTemplate, ModelError> {
        self.chat.as_ref().ok_or_else(|| ModelError::NoChatTemplate { path: self.dir.clone() })
    }

    /// How the model's makers would have it sample.
    pub fn generation_defaults(&self) -> &GenerationDefaults {
        &self.generation
    }

    fn tokenizer(&self) -> Result<&Tokenizer, ModelError> {
        let sentencepiece = || self.dir.join("tokenizer.model").exists();
        let missing = || ModelError::NoTokenizer { path: self.dir.clone(), sentencepiece: sentencepiece() };
        self.tokenizer.as_ref().ok_or_else(missing)
    }

    /// Logits and the residual stream after every layer, at every position of `tokens`.
    ///
    /// Each of `additions` is made at its position, as in a forward pass of the engine. All of it is one pass, whatever
    /// the prefill chunk.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    pub fn inspect(&self, tokens: &[TokenId], additions: Vec<Addition<'_>>) -> Result<Inspection, ModelError> {
        let mut session = self.session();
        let points: Vec<HookPoint> = (0..self.config().n_layers).map(HookPoint::ResidPost).collect();
        let mut rows = [Row { session: &mut session, tokens, additions, capture: &[], logits: true }];
        self.check(&rows)?;
        let everywhere: Vec<usize> = (0..tokens.len()).collect();
        let (logits, mut captured) = self.run(
            &mut rows,
            |hooks| {
                for (&point, &token) in
                    points.iter().flat_map(|point| everywhere.iter().map(move |token| (point, token)))
                {
                    hooks.capture(point, token);
                }
            },
            &everywhere,
        )?;
        let resid_post =
            points.iter().map(|point| captured.remove(point).map(Captured::into_values).unwrap_or_default());
        Ok(Inspection { resid_post: resid_post.collect(), logits })
    }

    /// One pass over `rows`, which have been checked; returns the logits at the batch's tokens `logits_at` and what was
    /// captured.
    fn run<'r>(
        &self,
        rows: &'r mut [Row<'_, KvCache>],
        capture: impl FnOnce(&mut HookRecorder),
        logits_at: &[usize],
    ) -> Result<(Vec<f32>, BTreeMap<HookPoint, Captured>), ModelError> {
        let mut first = 0;
        let mut hooks = HookRecorder::new(&self.device);
        for row in rows.iter() {
            for addition in &row.additions {
                let token = first + addition.position - row.session.len();
                hooks.add(addition.point, token, addition.vector, addition.scale);
            }
            first += row.tokens.len();
        }
        capture(&mut hooks);
        let extension = |row: &'r mut Row<'_, KvCache>| {
            let untouched = row.additions.iter().map(|addition| layers_before(addition.point)).min();
            Extension { cache: &mut *row.session, tokens: row.tokens, untouched: untouched.unwrap_or(usize::MAX) }
        };
        let rows = rows.iter_mut().map(extension).collect();
        let logits = self.pass(rows, logits_at, &mut hooks)?;
        Ok((logits, hooks.collect()?))
    }

    /// The pass of one row through a decoder that has no hook points, for the bench of what they cost where they are
    /// not used.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    #[doc(hidden)]
    pub fn forward_without_hooks(&self, session: &mut KvCache, tokens: &[TokenId]) -> Result<Vec<f32>, ModelError> {
        self.check(&[Row { session, tokens, additions: Vec::new(), capture: &[], logits: true }])?;
        let row = Extension { cache: session, tokens, untouched: usize::MAX };
        self.pass(vec![row], &[tokens.len() - 1], &mut NoHooks)
    }

    /// Appends tokens to sequences; returns the logits at those of the batch that `logits_at` lists.
    fn pass(
        &self,
        rows: Vec<Extension<'_>>,
        logits_at: &[usize],
        hooks: &mut impl Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        // On a CPU rows are what a pass costs, and none is computed twice.
        #[cfg(feature = "flex")]
        let is_shared = self.kernels;
        #[cfg(not(feature = "flex"))]
        let is_shared = false;
        let layers = hooks.layers_before().min(self.config().n_layers);
        let shared = if is_shared { SharedRows::find(&rows, layers) } else { None };
        let batch = Batch::new(rows, shared);
        let tokens: Vec<i64> = batch.leaders().flat_map(|(row, _)| row.tokens.iter().copied().map(i64::from)).collect();
        let count = tokens.len();
        let tokens = Tensor::from_data(TensorData::new(tokens, [count]), &self.device);
        #[cfg(feature = "flex")]
        if self.kernels {
            return self.compute_with(Native::new(self.config(), batch), tokens, logits_at, hooks);
        }
        let compute = Cached::new(self.config(), batch, self.decoder.dtype(), &self.device);
        self.compute_with(compute, tokens, logits_at, hooks)
    }

    fn compute_with(
        &self,
        mut compute: impl Compute,
        tokens: Tensor<1, Int>,
        logits_at: &[usize],
        hooks: &mut impl Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        let mut stream = self.decoder.stream(tokens, &mut compute, hooks);
        if logits_at.len() < stream.dims()[0] {
            stream = stream.select(0, indices(logits_at, &self.device));
        }
        let logits = if logits_at.is_empty() { Vec::new() } else { read(self.decoder.logits(stream, &compute))? };
        compute.finish();
        Ok(logits)
    }

    /// Encodes all but the last chunk of a row; what is left of it.
    fn encode_head<'r>(&self, row: &'r mut Row<'_, KvCache>) -> Result<Row<'r, KvCache>, ModelError> {
        let (head, last) = row.tokens.split_at((row.tokens.len() - 1) / self.chunk * self.chunk);
        let within = |start: usize, tokens: &[TokenId]| -> Vec<Addition<'r>> {
            let positions = start..start + tokens.len();
            row.additions.iter().filter(|addition| positions.contains(&addition.position)).copied().collect()
        };
        for tokens in head.chunks(self.chunk) {
            let additions = within(row.session.len(), tokens);
            let chunk = Row { session: &mut *row.session, tokens, additions, capture: &[], logits: false };
            self.run(&mut [chunk], |_| (), &[])?;
        }
        let additions = within(row.session.len(), last);
        Ok(Row { session: &mut *row.session, tokens: last, additions, capture: row.capture, logits: row.logits })
    }

    fn check(&self, rows: &[Row<'_, KvCache>]) -> Result<(), ModelError> {
        let refused = |(row, source)| ModelError::Row { row, source };
        rows.iter()
            .enumerate()
            .try_for_each(|(i, row)| self.check_row(row).map_err(|source| (i, source)))
            .map_err(refused)
    }

    fn check_row(&self, row: &Row<'_, KvCache>) -> Result<(), RowError> {
        let ModelShape { n_layers, hidden_size, vocab_size, max_context } = self.shape();
        let (start, end) = (row.session.len(), row.session.len() + row.tokens.len());
        if row.tokens.is_empty() {
            return Err(RowError::Empty);
        }
        if end > max_context {
            return Err(RowError::Context { positions: end, max_context });
        }
        if let Some(&token) = row.tokens.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(RowError::Token { token, vocab_size });
        }
        let points = row.capture.iter().copied().chain(row.additions.iter().map(|a| a.point));
        if let Some(point) = points.into_iter().find(|point| point.layer() >= n_layers) {
            return Err(RowError::HookPoint { point, n_layers });
        }
        for addition in &row.additions {
            if addition.vector.len() != hidden_size {
                return Err(RowError::Width { found: addition.vector.len(), hidden_size });
            }
            if !(start..end).contains(&addition.position) {
                return Err(RowError::Position { position: addition.position, start, end });
            }
        }
        Ok(())
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

/// A model is shared between threads and serves from any of them.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn sent<T: Send>() {}
    shared::<Lm>();
    shared::<KvCache>();
    sent::<stir_core::Generator<std::sync::Arc<Lm>>>();
};

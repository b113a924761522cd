//! The contract: what decoding, the closed loop and mining ask of an engine, and no more.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors};
use candle_nn::VarBuilder;
use stir_core::{Engine, Fingerprint, HookPoint, ModelShape, Output, Row, Session, TokenId, Vocab};

use crate::{
    decoder::{Config, Decoder},
    fingerprint, text,
};

/// Qwen2 on the CPU in f32.
#[derive(Debug)]
pub struct CandleEngine {
    config: Config,
    decoder: Decoder,
    tokenizer: Option<tokenizers::Tokenizer>,
    vocab: Vocab,
    fingerprint: Fingerprint,
}

/// The past of one sequence: for each layer the keys and values, `[1, kv_heads, positions, head_dim]`.
///
/// candle never writes to a tensor that exists, so a fork is a copy of handles. A rewind lowers `len` and leaves the
/// tensors alone; what is behind `len` is cut off when something is appended.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(crate) len: usize,
    layers: Vec<Option<(Tensor, Tensor)>>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A row breaks the contract.
    #[error("row {row} {what}")]
    Row {
        /// Its place in the batch.
        row: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A model folder asks for what is not implemented here.
    #[error("{field} in {} is not supported here", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// A model without `tokenizer.json` reads no text.
    #[error("the model has no tokenizer")]
    NoTokenizer,
    /// The tokenizer cannot be read, or refuses a text.
    #[error("the tokenizer failed")]
    Tokenizer(#[source] tokenizers::Error),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{} is not what it should be", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// candle failed.
    #[error("candle failed")]
    Candle(#[from] candle_core::Error),
}

impl CandleEngine {
    /// The Qwen2 model in a Hugging Face folder: `config.json`, `model*.safetensors` and, where they are there,
    /// `tokenizer.json` and `generation_config.json`. Other models are refused.
    pub fn load(dir: &Path) -> Result<Self, EngineError> {
        let config = Config::from_file(&dir.join("config.json"))?;
        let weights = read_weights(dir)?;
        let tokenizer = text::read_tokenizer(dir)?;
        let vocab = text::vocab(tokenizer.as_ref(), text::end_tokens(dir)?);
        let fingerprint = fingerprint::of(dir, &config)?;
        let decoder = Decoder::load(&config, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
        Ok(Self { config, decoder, tokenizer, vocab, fingerprint })
    }

    /// Refuses what the contract says must be refused, before anything is computed.
    fn check(&self, row: &Row<'_, KvCache>) -> Result<(), &'static str> {
        let shape = self.shape();
        let new = row.session.len..row.session.len + row.tokens.len();
        let points = || row.capture.iter().copied().chain(row.additions.iter().map(|addition| addition.point));
        if row.tokens.is_empty() {
            Err("holds no token")
        } else if new.end > shape.max_context {
            Err("needs more positions than the context holds")
        } else if row.tokens.iter().any(|&token| token as usize >= shape.vocab_size) {
            Err("holds a token outside the vocabulary")
        } else if points().any(|point| point.layer() >= shape.n_layers) {
            Err("names a layer that the model does not have")
        } else if row.additions.iter().any(|addition| addition.vector.len() != shape.hidden_size) {
            Err("adds a vector of another size than the residual stream")
        } else if row.additions.iter().any(|addition| !new.contains(&addition.position)) {
            Err("adds a vector outside its tokens")
        } else {
            Ok(())
        }
    }

    fn run(&self, row: &mut Row<'_, KvCache>) -> candle_core::Result<Output> {
        let mut output = Output { captures: vec![Vec::new(); row.capture.len()], ..Output::default() };
        let (start, last) = (row.session.len, row.tokens.len() - 1);
        let (additions, capture) = (&row.additions, row.capture);
        // At every point additions come first, then captures: a captured state holds what was added there.
        let hook = |point: HookPoint, mut stream: Tensor| {
            for addition in additions.iter().filter(|addition| addition.point == point) {
                stream = add(&stream, addition.position - start, addition.vector, addition.scale)?;
            }
            for (slot, _) in capture.iter().enumerate().filter(|(_, wanted)| **wanted == point) {
                output.captures[slot] = stream.get(last)?.to_vec1()?;
            }
            Ok(stream)
        };
        let stream = self.decoder.forward(row.tokens, row.session, hook)?;
        if row.logits {
            output.logits = self.decoder.logits(&stream)?;
        }
        Ok(output)
    }
}

/// `stream[at] += scale * vector`, in a new tensor.
fn add(stream: &Tensor, at: usize, vector: &[f32], scale: f32) -> candle_core::Result<Tensor> {
    let impulse: Vec<f32> = vector.iter().map(|x| scale * x).collect();
    let steered = (stream.narrow(0, at, 1)? + Tensor::new(impulse, &Device::Cpu)?.unsqueeze(0)?)?;
    stream.slice_assign(&[at..at + 1, 0..vector.len()], &steered)
}

impl Engine for CandleEngine {
    type Session = KvCache;
    type Error = EngineError;

    fn shape(&self) -> ModelShape {
        ModelShape {
            n_layers: self.config.num_hidden_layers,
            hidden_size: self.config.hidden_size,
            vocab_size: self.config.vocab_size,
            max_context: self.config.max_position_embeddings,
        }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        text::encode(self.tokenizer.as_ref().ok_or(EngineError::NoTokenizer)?, text)
    }

    /// Qwen2 puts nothing in front of a sequence.
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        self.encode(text)
    }

    fn session(&self) -> KvCache {
        KvCache { len: 0, layers: vec![None; self.config.num_hidden_layers] }
    }

    /// Row after row. A faster engine would pad the rows and compute them together; the results would be the same.
    fn forward(&self, rows: &mut [Row<'_, KvCache>]) -> Result<Vec<Output>, EngineError> {
        for (i, row) in rows.iter().enumerate() {
            self.check(row).map_err(|what| EngineError::Row { row: i, what })?;
        }
        Ok(rows.iter_mut().map(|row| self.run(row)).collect::<Result<_, _>>()?)
    }
}

impl Session for KvCache {
    fn len(&self) -> usize {
        self.len
    }

    fn fork(&self) -> Self {
        self.clone()
    }

    fn rewind(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl KvCache {
    /// Appends to a layer's past of `len` positions and returns the whole; `len` itself grows once all layers are done.
    pub(crate) fn append(&mut self, layer: usize, keys: Tensor, values: Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let whole = match &self.layers[layer] {
            Some((past_keys, past_values)) if self.len > 0 => (
                Tensor::cat(&[&past_keys.narrow(2, 0, self.len)?, &keys], 2)?,
                Tensor::cat(&[&past_values.narrow(2, 0, self.len)?, &values], 2)?,
            ),
            _ => (keys, values),
        };
        self.layers[layer] = Some(whole.clone());
        Ok(whole)
    }
}

/// The tensors of all weight files of a folder, by name.
fn read_weights(dir: &Path) -> Result<HashMap<String, Tensor>, EngineError> {
    let mut weights = HashMap::new();
    for path in weight_files(dir)? {
        weights.extend(safetensors::load(path, &Device::Cpu)?);
    }
    Ok(weights)
}

/// `model.safetensors`, or the files that a large model is cut into.
pub(crate) fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let unreadable = |source| EngineError::File { path: dir.to_owned(), source };
    let files = fs::read_dir(dir).and_then(|files| files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>, _>>());
    let is_weights = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("model") && name.ends_with(".safetensors")
    };
    Ok(files.map_err(unreadable)?.into_iter().filter(is_weights).collect())
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    fs::read(path).map_err(|source| EngineError::File { path: path.to_owned(), source })
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, EngineError> {
    serde_json::from_slice(&read(path)?).map_err(|source| EngineError::Json { path: path.to_owned(), source })
}

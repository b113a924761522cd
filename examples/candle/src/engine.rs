//! The contract: what decoding, the closed loop and mining ask of an engine, and no more.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use stir_core::{Engine, Fingerprint, HookPoint, ModelShape, Output, Row, Session, Text, TokenId, Vocab};
use stir_model::{
    Checkpoint, DecoderConfig, GenerationDefaults, ModelError, RopeScaling, Tokenizer, fingerprint_of_folder,
};

use crate::decoder::Decoder;

/// Qwen2 on the CPU in f32.
#[derive(Debug)]
pub struct CandleEngine {
    shape: ModelShape,
    decoder: Decoder,
    tokenizer: Option<Tokenizer>,
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
    /// Another architecture than this one.
    #[error("the decoder here is a plain qwen2, and the model is a {architecture} or has options of its own")]
    Architecture {
        /// The model's family.
        architecture: String,
    },
    /// A model without `tokenizer.json` reads no text.
    #[error("the model has no tokenizer")]
    NoTokenizer,
    /// A file of the model cannot be used, or the tokenizer refuses a text.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl CandleEngine {
    /// The Qwen2 model in a Hugging Face folder. What lies in the folder `stir_model` reads, which without its default
    /// features computes nothing and does not depend on burn; the forward pass is ours.
    ///
    /// # Errors
    /// When a file is missing or broken, or the model is not a Qwen2 with full attention and plain rotary embedding.
    pub fn load(dir: &Path) -> Result<Self, EngineError> {
        let config = DecoderConfig::from_file(&dir.join("config.json"))?;
        let plain = config.windows.iter().all(Option::is_none) && config.rope.scaling == RopeScaling::None;
        if config.architecture != "qwen2" || !plain {
            return Err(EngineError::Architecture { architecture: config.architecture });
        }
        let weights = VarBuilder::from_tensors(read_weights(dir)?, DType::F32, &Device::Cpu);
        let path = dir.join("tokenizer.json");
        let tokenizer = path.exists().then(|| Tokenizer::from_file(&path)).transpose()?;
        let ends = GenerationDefaults::from_dir(dir, tokenizer.as_ref(), config.vocab_size)?.end_tokens;
        Ok(Self {
            shape: config.shape(),
            decoder: Decoder::load(&config, weights)?,
            vocab: tokenizer.as_ref().map_or_else(|| Vocab::new([], ends.clone()), |t| t.vocab(ends.clone())),
            tokenizer,
            fingerprint: fingerprint_of_folder(dir)?,
        })
    }

    /// Refuses what the contract says must be refused, before anything is computed.
    fn check(&self, row: &Row<'_, KvCache>) -> Result<(), &'static str> {
        let shape = self.shape;
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
        self.shape
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn device(&self) -> String {
        "cpu".into()
    }

    fn session(&self) -> KvCache {
        KvCache { len: 0, layers: vec![None; self.shape.n_layers] }
    }

    /// Row after row. A faster engine would pad the rows and compute them together; the results would be the same.
    fn forward(&self, rows: &mut [Row<'_, KvCache>]) -> Result<Vec<Output>, EngineError> {
        for (i, row) in rows.iter().enumerate() {
            self.check(row).map_err(|what| EngineError::Row { row: i, what })?;
        }
        Ok(rows.iter_mut().map(|row| self.run(row)).collect::<Result<_, _>>()?)
    }
}

/// Text is a contract of its own: an engine whose users hand in tokens can leave it out.
impl Text for CandleEngine {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        Ok(self.tokenizer.as_ref().ok_or(EngineError::NoTokenizer)?.encode(text)?)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        Ok(self.tokenizer.as_ref().ok_or(EngineError::NoTokenizer)?.encode_prompt(text)?)
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
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: Tensor,
        values: Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
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

/// The tensors of a model folder by their names, in f32.
fn read_weights(dir: &Path) -> Result<HashMap<String, Tensor>, EngineError> {
    let checkpoint = Checkpoint::open(dir)?;
    let read = |name: &str| {
        let (values, shape) = checkpoint.floats(name)?;
        Ok((name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    checkpoint.tensors().map(|tensor| read(tensor.name)).collect()
}

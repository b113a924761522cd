use std::path::{Path, PathBuf};

use stir_core::{Fingerprint, Vocab};

use crate::{
    ChatTemplate, Checkpoint, DecoderConfig, GenerationDefaults, ModelError, Tokenizer,
    fingerprint::{of_parts, weights_of},
    gguf,
};

/// What the files of a model say, of a Hugging Face folder or a GGUF file: everything but the weights, which are not
/// read. `Lm::from_files` loads them.
///
/// ```no_run
/// let files = stir_model::ModelFiles::open("path/to/a/model.gguf")?;
/// println!("{} layers, a context of {}", files.config.n_layers, files.config.max_context);
/// # Ok::<(), stir_model::ModelError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ModelFiles {
    /// The folder or file.
    pub path: PathBuf,
    /// The options of the decoder.
    pub config: DecoderConfig,
    /// The tokenizer, if there is one.
    pub tokenizer: Option<Tokenizer>,
    /// The chat template, if there is one.
    pub chat_template: Option<ChatTemplate>,
    /// The tokens that end a sequence, and the sampling settings that the authors recommend.
    pub generation: GenerationDefaults,
    /// The tensors.
    pub checkpoint: Checkpoint,
}

impl ModelFiles {
    /// Opens a GGUF file or a Hugging Face folder. Takes milliseconds, most of them for the tokenizer.
    ///
    /// # Errors
    /// A file is missing or broken, or says something that this implementation does not support.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::open_with(path.as_ref(), None)
    }

    /// Opens a model; `config` replaces what its files say about the decoder.
    pub(crate) fn open_with(path: &Path, config: Option<DecoderConfig>) -> Result<Self, ModelError> {
        if gguf::is_gguf(path) {
            let model = gguf::Model::open(path)?;
            let gguf::Model { tokenizer, chat_template, generation, checkpoint, .. } = model;
            let config = config.unwrap_or(model.config);
            return Ok(Self { path: path.to_owned(), config, tokenizer, chat_template, generation, checkpoint });
        }
        let config = config.map_or_else(|| DecoderConfig::open(path), Ok)?;
        let checkpoint = Checkpoint::open(path)?;
        let tokenizer_path = path.join("tokenizer.json");
        let tokenizer = tokenizer_path.exists().then(|| Tokenizer::from_file(&tokenizer_path)).transpose()?;
        if let Some(tokens) = tokenizer.as_ref().map(Tokenizer::size).filter(|&tokens| tokens > config.vocab_size) {
            let vocab_size = config.vocab_size;
            return Err(ModelError::VocabularySize { path: tokenizer_path, tokens, vocab_size });
        }
        let generation = GenerationDefaults::from_dir(path, tokenizer.as_ref(), config.vocab_size)?;
        let chat_template = ChatTemplate::from_dir(path)?;
        Ok(Self { path: path.to_owned(), config, tokenizer, chat_template, generation, checkpoint })
    }

    /// Returns the fingerprint of the model: what `Lm::load` gives it. Reads every byte of the weights.
    pub fn fingerprint(&self) -> Fingerprint {
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| tokenizer.digest().to_owned());
        of_parts(&self.config, tokenizer, weights_of(&self.config, self.checkpoint.tensors()))
    }

    /// Returns the model's chat template.
    ///
    /// # Errors
    /// [`ModelError::NoChatTemplate`] without one.
    pub fn chat_template(&self) -> Result<&ChatTemplate, ModelError> {
        self.chat_template.as_ref().ok_or_else(|| ModelError::NoChatTemplate { path: self.path.clone() })
    }

    /// Returns the tokens of the model.
    pub fn vocab(&self) -> Vocab {
        let eos = self.generation.end_tokens.clone();
        self.tokenizer.as_ref().map_or_else(|| Vocab::new([], eos.clone()), |tokenizer| tokenizer.vocab(eos.clone()))
    }
}

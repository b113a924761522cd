//! The tokens of a model whose weights are not loaded.

use miette::{Result, miette};
use stir::{
    core::{ModelShape, TokenId, Vocab},
    model::{ModelError, ModelFiles, Tokenizer},
    rollout::Tokens,
};

/// What the files of a model say of its tokens.
pub(crate) struct FileTokens {
    shape: ModelShape,
    vocab: Vocab,
    tokenizer: Tokenizer,
}

impl FileTokens {
    /// Takes them from the files of a model.
    pub(crate) fn new(files: ModelFiles) -> Result<Self> {
        let (shape, vocab) = (files.config.shape(), files.vocab());
        let missing = || miette!("the model in {} has no tokenizer that can be read", files.path.display());
        Ok(Self { shape, vocab, tokenizer: files.tokenizer.ok_or_else(missing)? })
    }
}

impl Tokens for FileTokens {
    type Error = ModelError;

    fn shape(&self) -> ModelShape {
        self.shape
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn tokenizer(&self) -> String {
        self.tokenizer.digest().to_owned()
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer.encode(text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer.encode_prompt(text)
    }
}

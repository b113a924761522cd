use std::path::{Path, PathBuf};

use serde_json::Value;
use stir_core::{TokenId, Vocab};
use tokenizers::{Encoding, PostProcessor, Token};

use crate::{
    ModelError, TokenizerError, fingerprint::tokenizer_digest, pieces::Pieces, tokenizer_config::TokenizerConfig,
};

/// Tables of tokens are as long as the largest id says. Vocabularies have up to 300,000 tokens.
const MAX_TOKENS: usize = 1 << 22;

/// A tokenizer: a Hugging Face `tokenizer.json`, or that of a GGUF file.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    digest: String,
    /// One past the largest token id.
    size: usize,
    pieces: Pieces,
    /// The tokens in front of every sequence.
    prefix: Vec<TokenId>,
}

impl Tokenizer {
    /// Reads the tokenizer in `path`, and from a `tokenizer_config.json` next to it how sequences start.
    ///
    /// # Errors
    /// A file cannot be read, is not a tokenizer, has a decoder that does not give every token its own bytes,
    /// starts sequences with a token that it does not have, or has ids of 2^22 and more.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(ModelError::io(path))?;
        ModelError::refuse_pointer(path, &bytes)?;
        let json: Value = serde_json::from_slice(&bytes).map_err(ModelError::json(path))?;
        let refused = |source| ModelError::Tokenizer { path: path.to_owned(), source: TokenizerError(source) };
        let mut inner = parse(&bytes).map_err(refused)?;
        // Some files still hold the truncation or the padding of the batch they were saved after.
        if inner.get_truncation().is_some() || inner.get_padding().is_some() {
            tracing::warn!(tokenizer = %path.display(), "truncation and padding in the file are ignored");
        }
        inner.with_truncation(None).map_err(refused)?.with_padding(None);
        let config = TokenizerConfig::from_dir(path.parent().unwrap_or(Path::new("")))?;
        Self::of_parts(path, inner, &json["decoder"], &config, tokenizer_digest(&bytes))
    }

    /// Returns the tokenizer `inner`, whose `decoder` this is and whose sequences start as `config` says.
    pub(crate) fn of_parts(
        path: &Path,
        inner: tokenizers::Tokenizer,
        decoder: &Value,
        config: &TokenizerConfig,
        digest: String,
    ) -> Result<Self, ModelError> {
        let pieces =
            Pieces::of_decoder(decoder).map_err(|step| ModelError::config(path, "decoder", step, Pieces::SUPPORTED))?;
        let prefix = prefix(&inner, config, path)?;
        let size = inner.get_vocab(true).into_values().max().map_or(0, |last| last as usize + 1);
        if size > MAX_TOKENS {
            return Err(ModelError::config(path, "largest token id", &(size - 1).into(), "token ids below 4194304"));
        }
        Ok(Self { path: path.to_owned(), inner, digest, size, pieces, prefix })
    }

    /// Returns the tokens of `text`. Special tokens written out in it are recognised; none is added.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] if the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|source| ModelError::Tokenizer { path: self.path.clone(), source: TokenizerError(source) })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the tokens of a whole prompt, with [`prefix`](Self::prefix) in front unless `text` already spells it
    /// out, as most rendered chat templates do.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        let tokens = self.encode(text)?;
        if tokens.starts_with(&self.prefix) { Ok(tokens) } else { Ok([self.prefix.as_slice(), &tokens].concat()) }
    }

    /// Returns the tokens in front of every sequence: those that the post-processor puts there. If
    /// `tokenizer_config.json` has `add_bos_token`, it decides whether the `bos_token` is among them.
    pub fn prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// Returns the id of a token by its text.
    pub fn id(&self, token: &str) -> Option<TokenId> {
        self.inner.token_to_id(token)
    }

    /// One past the largest token id.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the digest of the file, or of what a GGUF file says about its tokenizer, as
    /// [`Fingerprint::tokenizer`](stir_core::Fingerprint::tokenizer) has it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the bytes that each token adds to the text, with `eos`, the ids that end a sequence.
    ///
    /// The bytes of a sequence, joined, are the text that the tokenizer's own decoder gives without special tokens,
    /// with two exceptions. Decoders of the sentencepiece kind drop one space in front of a text; a generated text
    /// follows a prompt, so here the space is kept. And they replace each byte token that forms no UTF-8 by U+FFFD.
    pub fn vocab(&self, eos: Vec<TokenId>) -> Vocab {
        let added = self.inner.get_added_vocabulary();
        let bytes: Vec<Vec<u8>> = (0..self.size as TokenId)
            .map(|id| match self.inner.id_to_token(id) {
                Some(piece) if !added.is_special_token(&piece) => self.pieces.bytes(piece),
                _ => Vec::new(),
            })
            .collect();
        Vocab::new(bytes.iter().map(Vec::as_slice), eos).with_special(self.special())
    }

    /// Returns the special tokens and their texts.
    pub(crate) fn special(&self) -> impl Iterator<Item = (TokenId, String)> {
        let tokens = self.inner.get_added_tokens_decoder().into_iter();
        tokens.filter(|(_, token)| token.special).map(|(id, token)| (id, token.content))
    }
}

/// Reads a `tokenizer.json`. What tokenizers does not expect makes it panic, such as merges that are shorter than the prefix
/// of what continues a word.
fn parse(bytes: &[u8]) -> Result<tokenizers::Tokenizer, tokenizers::Error> {
    let parsed = std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes));
    parsed.unwrap_or_else(|_| Err("the crate tokenizers panicked".into()))
}

/// Returns the tokens in front of every sequence.
fn prefix(
    tokenizer: &tokenizers::Tokenizer,
    config: &TokenizerConfig,
    path: &Path,
) -> Result<Vec<TokenId>, ModelError> {
    // The post-processor is shown a sequence of one token that no vocabulary has; what comes before it is the prefix.
    // An empty text would not tell what is put in front from what is put behind.
    const MARK: TokenId = TokenId::MAX;
    let mut prefix = match tokenizer.get_post_processor() {
        None => Vec::new(),
        Some(processor) => {
            let sequence = Encoding::from_tokens(vec![Token::new(MARK, "mark".into(), (0, 4))], 0);
            let processed = processor
                .process(sequence, None, true)
                .map_err(|source| ModelError::Tokenizer { path: path.to_owned(), source: TokenizerError(source) })?;
            processed.get_ids().iter().copied().take_while(|&id| id != MARK).collect()
        }
    };
    let bos = config.tokens.get("bos_token");
    let bos_id = bos.and_then(|bos| tokenizer.token_to_id(bos));
    match (config.add_bos_token, bos, bos_id) {
        (Some(true), Some(_), Some(id)) if prefix.first() != Some(&id) => prefix.insert(0, id),
        (Some(true), Some(bos), None) => {
            let bos = Value::from(bos.as_str());
            return Err(ModelError::config(&config.path, "bos_token", &bos, "a token of the tokenizer"));
        }
        (Some(false), _, Some(id)) => prefix.retain(|&token| token != id),
        _ => {}
    }
    Ok(prefix)
}

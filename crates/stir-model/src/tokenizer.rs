use std::path::{Path, PathBuf};

use serde_json::Value;
use stir_core::{TokenId, Vocab};

use crate::ModelError;

/// A Hugging Face `tokenizer.json`.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    digest: String,
    byte_level: bool,
}

impl Tokenizer {
    /// The tokenizer in `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(ModelError::io(path))?;
        let json: Value =
            serde_json::from_slice(&bytes).map_err(|source| ModelError::Json { path: path.to_owned(), source })?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|source| ModelError::Tokenizer { path: path.to_owned(), source })?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let byte_level = json["decoder"].to_string().contains("\"ByteLevel\"");
        Ok(Self { path: path.to_owned(), inner, digest, byte_level })
    }

    /// The tokens of `text`. Special tokens written out in it are recognised; none is added.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|source| ModelError::Tokenizer { path: self.path.clone(), source })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The id of a token by its text.
    pub fn id(&self, token: &str) -> Option<TokenId> {
        self.inner.token_to_id(token)
    }

    /// The digest of the file, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What each token adds to the text, with the ids that end a sequence.
    pub fn vocab(&self, eos: Vec<TokenId>) -> Vocab {
        let added = self.inner.get_added_tokens_decoder();
        let count = self.inner.get_vocab(true).into_values().max().map_or(0, |last| last + 1);
        let bytes: Vec<Vec<u8>> = (0..count)
            .map(|id| match (added.get(&id), self.inner.id_to_token(id)) {
                (Some(token), _) if token.special => Vec::new(),
                (Some(token), _) => token.content.as_bytes().to_vec(),
                (None, Some(piece)) if self.byte_level => piece.chars().flat_map(byte_level).collect(),
                (None, Some(piece)) => metaspace(&piece),
                (None, None) => Vec::new(),
            })
            .collect();
        Vocab::new(bytes.iter().map(Vec::as_slice), eos)
    }
}

/// The byte that a character of a byte-level vocabulary stands for. Printable characters stand for themselves; the other
/// bytes, in order, for the characters from U+0100 on.
fn byte_level(c: char) -> Vec<u8> {
    let own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff if own(code as u8) => vec![code as u8],
        code => match (0..=u8::MAX).filter(|&b| !own(b)).nth((code.wrapping_sub(0x100)) as usize) {
            Some(byte) => vec![byte],
            None => c.to_string().into_bytes(),
        },
    }
}

/// The bytes of a sentencepiece token: `▁` is a space, `<0xNN>` a byte.
fn metaspace(piece: &str) -> Vec<u8> {
    let byte = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        Some(byte) => vec![byte],
        None => piece.replace('▁', " ").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_level_characters_cover_every_byte_once() {
        let mut bytes: Vec<u8> = ('\u{0}'..='\u{143}')
            .flat_map(|c| match byte_level(c).as_slice() {
                [byte]
                    if u32::from(c) >= 0x100 || u32::from(c) == u32::from(*byte) && *byte > b' ' && *byte != 0x7f =>
                {
                    Some(*byte)
                }
                _ => None,
            })
            .collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 256);
        assert_eq!(byte_level('Ġ'), b" ");
        assert_eq!(byte_level('Ċ'), b"\n");
        assert_eq!(metaspace("▁the"), b" the");
        assert_eq!(metaspace("<0x0A>"), b"\n");
    }
}

//! Text to tokens and back, through the `tokenizer.json` of the model.

use std::path::Path;

use serde_json::Value;
use stir_core::{TokenId, Vocab};
use tokenizers::Tokenizer;

use crate::engine::{EngineError, read, read_json};

/// The tokenizer of a model folder, where there is one. It must be byte-level BPE, as all of Qwen2's are.
pub fn read_tokenizer(dir: &Path) -> Result<Option<Tokenizer>, EngineError> {
    let path = dir.join("tokenizer.json");
    if !path.exists() {
        return Ok(None);
    }
    if read_json::<Value>(&path)?["decoder"]["type"] != "ByteLevel" {
        return Err(EngineError::Unsupported { path, field: "decoder" });
    }
    let mut tokenizer = Tokenizer::from_bytes(read(&path)?).map_err(EngineError::Tokenizer)?;
    // Some files still hold the cut or the padding of the batch they were saved after.
    tokenizer.with_truncation(None).map_err(EngineError::Tokenizer)?.with_padding(None);
    Ok(Some(tokenizer))
}

/// Special tokens written out in `text` are recognised, none is added.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<TokenId>, EngineError> {
    Ok(tokenizer.encode_fast(text, false).map_err(EngineError::Tokenizer)?.get_ids().to_vec())
}

/// The tokens that end a sequence.
pub fn end_tokens(dir: &Path) -> Result<Vec<TokenId>, EngineError> {
    for path in ["generation_config.json", "config.json"].map(|name| dir.join(name)) {
        let field = if path.exists() { read_json::<Value>(&path)?["eos_token_id"].take() } else { Value::Null };
        let ids = if field.is_u64() { vec![field] } else { field.as_array().cloned().unwrap_or_default() };
        if !ids.is_empty() {
            return serde_json::from_value(ids.into()).map_err(|source| EngineError::Json { path, source });
        }
    }
    Ok(Vec::new())
}

/// What each token adds to the text, in bytes: the controller looks for the ends of segments in them. Special tokens add
/// nothing. A model without a tokenizer has tokens all the same, but no text.
pub fn vocab(tokenizer: Option<&Tokenizer>, end_tokens: Vec<TokenId>) -> Vocab {
    let Some(tokenizer) = tokenizer else { return Vocab::new([], end_tokens) };
    let special = tokenizer.get_added_vocabulary();
    let size = tokenizer.get_vocab(true).into_values().max().map_or(0, |last| last + 1);
    let bytes: Vec<Vec<u8>> = (0..size)
        .map(|id| match tokenizer.id_to_token(id) {
            Some(piece) if !special.is_special_token(&piece) => bytes_of(&piece),
            _ => Vec::new(),
        })
        .collect();
    Vocab::new(bytes.iter().map(Vec::as_slice), end_tokens)
}

/// The bytes of an entry of a byte-level vocabulary, in which every character stands for a byte. An entry with any other
/// character (an added token with a space in it, say) is plain text.
fn bytes_of(piece: &str) -> Vec<u8> {
    piece.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| piece.as_bytes().to_vec())
}

/// Printable characters stand for themselves; the other bytes, in order, for the characters from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => Some(code as u8).filter(printable),
        code => (0..=u8::MAX).filter(|byte| !printable(byte)).nth(code as usize - 0x100),
    }
}

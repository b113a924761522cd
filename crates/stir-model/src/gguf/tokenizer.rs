//! The tokenizer that the metadata describes, as `tokenizers` has it.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use stir_core::TokenId;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper,
    models::bpe::{BPE, Merges},
};

use super::{
    metadata::Metadata,
    pretokenizer::{self, Pretokenizer, byte_level},
    sentencepiece,
};
use crate::{
    ChatTemplate, GenerationDefaults, ModelError, Tokenizer, TokenizerError, generation::turn_end,
    tokenizer_config::TokenizerConfig,
};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
const TEMPLATE: &str = "tokenizer.chat_template";

/// Special tokens: their keys, the names templates know them under, and the ids that sentencepiece gives them.
const SPECIAL: [(&str, &str, Option<TokenId>); 4] = [
    ("tokenizer.ggml.bos_token_id", "bos_token", Some(1)),
    ("tokenizer.ggml.eos_token_id", "eos_token", Some(2)),
    ("tokenizer.ggml.unknown_token_id", "unk_token", Some(0)),
    ("tokenizer.ggml.padding_token_id", "pad_token", None),
];
/// The tokens that end a sequence, a turn, or a message.
const ENDS: [&str; 3] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a text, or one of its bytes.
    Text,
    /// Recognised as a whole, and no part of an answer's text.
    Control,
    /// Recognised as a whole, and part of the text.
    Word,
    /// An embedding without a token.
    Unused,
}

/// The vocabulary of a file.
struct Vocabulary<'a> {
    metadata: Metadata<'a>,
    tokens: Vec<(&'a str, Kind)>,
    sentencepiece: bool,
}

/// Reads what concerns text: the tokenizer, the chat template and the tokens that end a sequence.
///
/// # Errors
/// [`ModelError::Config`] for a key whose value is not supported; the errors of the tokenizer and of the template.
pub(super) fn text(
    metadata: Metadata<'_>,
    vocab_size: usize,
) -> Result<(Option<Tokenizer>, Option<ChatTemplate>, GenerationDefaults), ModelError> {
    let sentencepiece = match metadata.text(MODEL)? {
        None | Some("no_vocab" | "none") => return Ok((None, None, GenerationDefaults::default())),
        Some("gpt2") => false,
        Some("llama") => true,
        Some(_) => return Err(metadata.refuse(MODEL, "gpt2 or llama")),
    };
    let vocabulary = Vocabulary::read(metadata, sentencepiece)?;
    let (config, tokenizer) = vocabulary.tokenizer()?;
    if tokenizer.size() > vocab_size {
        let (path, tokens) = (metadata.path.to_owned(), tokenizer.size());
        return Err(ModelError::VocabularySize { path, tokens, vocab_size });
    }
    let mut generation = GenerationDefaults::default();
    for key in ENDS {
        if let Some(id) = vocabulary.id(key)?.or(vocabulary.default_id(key)) {
            if id as usize >= vocab_size {
                return Err(metadata.refuse(key, "a token of the model"));
            }
            if !generation.end_tokens.contains(&id) {
                generation.end_tokens.push(id);
            }
        }
    }
    let template = metadata.text(TEMPLATE)?;
    let template = template.map(|text| ChatTemplate::parse(metadata.path, text, config.tokens)).transpose()?;
    let turn_end = template.as_ref().and_then(|template| turn_end(template, &tokenizer));
    if let Some(id) = turn_end.filter(|id| !generation.end_tokens.contains(id)) {
        generation.end_tokens.push(id);
    }
    Ok((Some(tokenizer), template, generation))
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: Metadata<'a>, sentencepiece: bool) -> Result<Self, ModelError> {
        let texts = metadata.texts(TOKENS)?.ok_or_else(|| metadata.refuse(TOKENS, "a list of texts"))?;
        let mut tokens: Vec<(&str, Kind)> = texts.map(|text| (text, Kind::Text)).collect();
        if let Some(types) = metadata.numbers(TYPES)? {
            if metadata.list(TYPES)?.is_some_and(|types| types.count != tokens.len()) {
                return Err(metadata.refuse(TYPES, "a type for each token"));
            }
            for (token, value) in tokens.iter_mut().zip(types) {
                token.1 = match value.as_u64() {
                    // 0 is undefined, 6 a byte: both are found as any text is.
                    Some(0 | 1 | 6) => Kind::Text,
                    Some(2 | 3) => Kind::Control,
                    Some(4) => Kind::Word,
                    Some(5) => Kind::Unused,
                    _ => return Err(element(metadata, TYPES, value.to_string(), "types from 0 to 6")),
                };
            }
        }
        let mut seen = HashSet::new();
        // Some files fill up the vocabulary with empty texts.
        for (text, kind) in tokens.iter_mut().filter(|(_, kind)| *kind != Kind::Unused) {
            if text.is_empty() {
                *kind = Kind::Unused;
            } else if !seen.insert(*text) {
                return Err(element(metadata, TOKENS, format!("{text:?} twice"), "every token once"));
            }
        }
        Ok(Self { metadata, tokens, sentencepiece })
    }

    /// Returns the tokens that are in use, by their ids.
    fn used(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        let used = self.tokens.iter().enumerate().filter(|(_, (_, kind))| *kind != Kind::Unused);
        used.map(|(id, &(text, kind))| (id, text, kind))
    }

    /// Returns the token of `key`; `None` if there is none, which some files write as -1.
    fn id(&self, key: &str) -> Result<Option<TokenId>, ModelError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|id| TokenId::try_from(id).ok()) {
            Some(TokenId::MAX) => Ok(None),
            Some(id) if (id as usize) < self.tokens.len() => Ok(Some(id)),
            _ => Err(self.metadata.refuse(key, "a token of the vocabulary")),
        }
    }

    /// Returns the token that `key` means in a file without that key.
    fn default_id(&self, key: &str) -> Option<TokenId> {
        let (.., default) = SPECIAL.iter().find(|(other, ..)| *other == key)?;
        let absent = self.sentencepiece && self.metadata.get(key).is_none();
        default.filter(|&id| absent && (id as usize) < self.tokens.len())
    }

    fn tokenizer(&self) -> Result<(TokenizerConfig, Tokenizer), ModelError> {
        let (metadata, path) = (self.metadata, self.metadata.path);
        let mut special = BTreeMap::new();
        for (key, name, _) in SPECIAL {
            let id = self.id(key)?.or(self.default_id(key));
            id.map(|id| special.insert(name, self.tokens[id as usize].0.to_owned()));
        }
        let (model, steps) =
            if self.sentencepiece { self.sentencepiece(special.get("unk_token"))? } else { self.byte_level()? };
        let add_bos = metadata.flag(ADD_BOS)?;
        if add_bos == Some(true) && !special.contains_key("bos_token") {
            return Err(metadata.refuse(ADD_BOS, "false in a file without a BOS token"));
        }
        let config = TokenizerConfig {
            tokens: special,
            add_bos_token: Some(add_bos.unwrap_or(steps.add_bos)),
            chat_template: Json::Null,
            path: path.to_owned(),
        };
        let refused = refused(path);
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_normalizer(part::<NormalizerWrapper>(path, steps.normalizer)?).map_err(&refused)?;
        inner.with_pre_tokenizer(part::<PreTokenizerWrapper>(path, steps.pretokenizer)?);
        inner.with_decoder(part::<DecoderWrapper>(path, Some(steps.decoder.clone()))?);
        let added = self
            .used()
            .filter(|(.., kind)| *kind != Kind::Text)
            .map(|(_, text, kind)| AddedToken::from(text.to_owned(), kind == Kind::Control).normalized(false));
        inner.add_tokens(added).map_err(&refused)?;
        let tokenizer = Tokenizer::of_parts(path, inner, &steps.decoder, &config, self.digest())?;
        Ok((config, tokenizer))
    }

    /// Returns a tokenizer in which every character encodes a byte.
    fn byte_level(&self) -> Result<(BPE, Steps), ModelError> {
        let metadata = self.metadata;
        let way = metadata.text(PRE)?.and_then(Pretokenizer::named);
        let way = way.ok_or_else(|| metadata.refuse(PRE, pretokenizer::SUPPORTED))?;
        let known: HashSet<&str> = self.used().map(|(_, text, _)| text).collect();
        let pairs = metadata.texts(MERGES)?.ok_or_else(|| metadata.refuse(MERGES, "a list of texts"))?;
        let mut joined = String::new();
        let merges = pairs.map(|pair| {
            let unknown = || element(metadata, MERGES, format!("{pair:?}"), "two tokens that make a third");
            // The first part may be a space.
            let space = pair.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
            let (left, right) =
                space.and_then(|at| Some((pair.get(..at)?, pair.get(at + 1..)?))).ok_or_else(unknown)?;
            joined.clear();
            joined.extend([left, right]);
            let all = [left, right, &joined].iter().all(|text| known.contains(*text));
            if all { Ok((left.to_owned(), right.to_owned())) } else { Err(unknown()) }
        });
        let merges = merges.collect::<Result<Merges, _>>()?;
        let steps = Steps {
            normalizer: way.normalizer,
            pretokenizer: Some(way.steps),
            decoder: byte_level(true),
            add_bos: way.add_bos,
        };
        let model = self.bpe(merges).ignore_merges(way.ignore_merges).build();
        Ok((model.map_err(refused(metadata.path))?, steps))
    }

    /// Returns a tokenizer with `▁` for a space and bytes for what has no token.
    fn sentencepiece(&self, unknown: Option<&String>) -> Result<(BPE, Steps), ModelError> {
        let metadata = self.metadata;
        let scores = metadata.numbers(SCORES)?;
        let counted = metadata.list(SCORES)?.is_some_and(|scores| scores.count == self.tokens.len());
        let scores = scores.filter(|_| counted).ok_or_else(|| metadata.refuse(SCORES, "a number for each token"))?;
        let mut texts = Vec::new();
        for (id, (&(text, kind), score)) in self.tokens.iter().zip(scores).enumerate() {
            let Some(score) = score.as_f64().filter(|score| !score.is_nan()) else {
                return Err(element(metadata, SCORES, score.to_string(), "numbers"));
            };
            if kind == Kind::Text {
                if text.len() > sentencepiece::LONGEST {
                    let value = format!("a text of {} bytes", text.len());
                    return Err(element(metadata, TOKENS, value, "tokens of at most 512 bytes"));
                }
                texts.push((id, text, score as f32));
            }
        }
        let merges = sentencepiece::merges(&texts)
            .ok_or_else(|| element(metadata, TOKENS, "pairs that make a token".into(), "at most 8 for each token"))?;
        let mut model = self.bpe(merges).byte_fallback(true).fuse_unk(true);
        if let Some(unknown) = unknown {
            model = model.unk_token(unknown.clone());
        }
        let prefix = metadata.flag(ADD_SPACE)?.unwrap_or(true);
        let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let spaces = replace(" ", "▁");
        let normalizer = match prefix {
            true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}),
            false => spaces,
        };
        let decoders = json!([replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]);
        let steps = Steps {
            normalizer: Some(normalizer),
            pretokenizer: None,
            decoder: json!({"type": "Sequence", "decoders": decoders}),
            add_bos: true,
        };
        Ok((model.build().map_err(refused(metadata.path))?, steps))
    }

    fn bpe(&self, merges: Merges) -> tokenizers::models::bpe::BpeBuilder {
        let vocabulary: tokenizers::models::bpe::Vocab =
            self.used().map(|(id, text, _)| (text.to_owned(), id as TokenId)).collect();
        BPE::builder().vocab_and_merges(vocabulary, merges)
    }

    /// Returns the digest of what the tokenizer follows from, for a [`Fingerprint`](stir_core::Fingerprint).
    fn digest(&self) -> String {
        let keys = [MODEL, PRE, TOKENS, TYPES, SCORES, MERGES, ADD_BOS, ADD_SPACE];
        let mut hasher = blake3::Hasher::new();
        for key in keys.into_iter().chain(SPECIAL.map(|(key, ..)| key)) {
            let Some(value) = self.metadata.get(key) else { continue };
            hasher.update(format!("{key}\0{value}\0").as_bytes());
            if let Some(list) = value.as_list() {
                hasher.update_rayon(&self.metadata.file[list.bytes.clone()]);
            }
        }
        format!("gguf:{}", hasher.finalize().to_hex())
    }
}

/// The steps around the model of a tokenizer, in the terms of `tokenizer.json`.
struct Steps {
    normalizer: Option<Json>,
    pretokenizer: Option<Json>,
    decoder: Json,
    /// True if sequences start with the BOS token where the file does not say.
    add_bos: bool,
}

/// Returns the error that refuses an element of the list `key`.
fn element(metadata: Metadata<'_>, key: &str, value: String, supported: &'static str) -> ModelError {
    ModelError::Config { path: metadata.path.to_owned(), field: key.to_owned(), value, supported }
}

/// Returns a step of a tokenizer.
fn part<T: DeserializeOwned>(path: &Path, json: Option<Json>) -> Result<Option<T>, ModelError> {
    json.map(serde_json::from_value).transpose().map_err(ModelError::json(path))
}

fn refused(path: &Path) -> impl Fn(tokenizers::Error) -> ModelError + '_ {
    |source| ModelError::Tokenizer { path: path.to_owned(), source: TokenizerError(source) }
}

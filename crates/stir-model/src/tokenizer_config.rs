use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::ModelError;

/// The settings of a model folder's tokenizer that are not in `tokenizer.json`.
#[derive(Debug)]
pub(crate) struct TokenizerConfig {
    /// Special tokens by the names templates know them under (`bos_token`, `eos_token`, ...).
    pub(crate) tokens: BTreeMap<&'static str, String>,
    /// True if a sequence starts with the `bos_token`; most files do not say.
    pub(crate) add_bos_token: Option<bool>,
    /// The value of `chat_template`.
    pub(crate) chat_template: Value,
    /// `tokenizer_config.json`, for errors.
    pub(crate) path: PathBuf,
}

const TOKENS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl TokenizerConfig {
    /// Reads `tokenizer_config.json` and, for special tokens it does not name, `special_tokens_map.json`. Either may be
    /// missing.
    pub(crate) fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("tokenizer_config.json");
        let map_path = dir.join("special_tokens_map.json");
        let (config, map) = (read_json(&path)?.unwrap_or_default(), read_json(&map_path)?.unwrap_or_default());
        let mut tokens = BTreeMap::new();
        for name in TOKENS {
            let token = match token(&path, name, &config[name])? {
                None => token(&map_path, name, &map[name])?,
                found => found,
            };
            token.into_iter().for_each(|token| drop(tokens.insert(name, token)));
        }
        let add_bos_token = match &config["add_bos_token"] {
            Value::Null => None,
            Value::Bool(add) => Some(*add),
            other => return Err(ModelError::config(&path, "add_bos_token", other, "true or false")),
        };
        Ok(Self { tokens, add_bos_token, chat_template: config["chat_template"].clone(), path })
    }
}

/// Returns a special token is a string, or an object with its text as `content`.
fn token(path: &Path, name: &str, value: &Value) -> Result<Option<String>, ModelError> {
    match (value, &value["content"]) {
        (Value::Null, _) => Ok(None),
        (Value::String(token), _) | (_, Value::String(token)) => Ok(Some(token.clone())),
        _ => Err(ModelError::config(path, name, value, "a string, or an object with a string content")),
    }
}

/// Returns the text of a file that may be missing.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, ModelError> {
    match std::fs::read_to_string(path) {
        Ok(text) => ModelError::refuse_pointer(path, text.as_bytes()).map(|()| Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ModelError::io(path)(error)),
    }
}

/// Returns the JSON of a file that may be missing.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, ModelError> {
    let parse = |text: String| serde_json::from_str(&text);
    let json = read_optional(path)?.map(parse).transpose();
    json.map_err(ModelError::json(path))
}

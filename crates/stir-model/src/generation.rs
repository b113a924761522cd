use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use stir_core::{Sampling, TokenId};

use crate::{
    ChatOptions, ChatTemplate, Message, ModelError, Tokenizer,
    tokenizer_config::{TokenizerConfig, read_json},
};

/// The sampling settings that a model's authors recommend, and the tokens that end a sequence:
/// `generation_config.json`, or the end tokens that a GGUF file names.
///
/// These are the numbers of the file. Nothing in this crate applies them: the caller decides how to sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerationDefaults {
    /// The tokens that end a sequence: `eos_token_id` of `generation_config.json` and of `config.json`, the `eos_token`
    /// of the tokenizer, and the special token that the chat template puts after what the assistant says. Fine-tuned
    /// models often name the one that they end with in one of these places only. Of a GGUF file those that it says end a
    /// sequence, a turn or a message.
    pub end_tokens: Vec<TokenId>,
    /// `true` to sample, `false` to decode greedily.
    pub do_sample: Option<bool>,
    /// The divisor of the logits.
    pub temperature: Option<f64>,
    /// The probability mass of the nucleus.
    pub top_p: Option<f64>,
    /// The number of likeliest tokens that may be drawn.
    pub top_k: Option<u64>,
    /// The least probability of a token that may be drawn, relative to the likeliest token's.
    pub min_p: Option<f64>,
    /// The divisor of positive logits, and factor of negative ones, of tokens that have occurred.
    pub repetition_penalty: Option<f64>,
}

impl GenerationDefaults {
    /// Returns the settings for drawing tokens, with the defaults of transformers: greedy decoding unless `do_sample`
    /// is set, the 50 likeliest tokens unless `top_k` is given, and everything else off unless the file names it.
    ///
    /// ```
    /// use stir_model::GenerationDefaults;
    /// let mut made = GenerationDefaults { temperature: Some(0.6), top_k: Some(20), ..GenerationDefaults::default() };
    /// assert_eq!(made.sampling().temperature, 0.0);
    /// made.do_sample = Some(true);
    /// assert_eq!((made.sampling().temperature, made.sampling().top_k), (0.6, 20));
    /// ```
    pub fn sampling(&self) -> Sampling {
        let repetition_penalty = self.repetition_penalty.unwrap_or(1.0) as f32;
        if self.do_sample != Some(true) {
            return Sampling { repetition_penalty, ..Sampling::GREEDY };
        }
        Sampling {
            temperature: self.temperature.unwrap_or(1.0) as f32,
            top_p: self.top_p.unwrap_or(1.0) as f32,
            top_k: self.top_k.map_or(50, |k| usize::try_from(k).unwrap_or(usize::MAX)),
            min_p: self.min_p.unwrap_or(0.0) as f32,
            repetition_penalty,
        }
    }

    /// Reads the files of a model folder, any of which may be missing. `vocab_size` is the model's.
    ///
    /// # Errors
    /// A file cannot be read, the chat template does not parse, or a field has an impossible value; the error names file,
    /// field and value.
    pub fn from_dir(dir: &Path, tokenizer: Option<&Tokenizer>, vocab_size: usize) -> Result<Self, ModelError> {
        let path = dir.join("generation_config.json");
        let json = read_json(&path)?.unwrap_or_default();
        let number = |field: &str| match &json[field] {
            Value::Null => Ok(None),
            value => value.as_f64().map(Some).ok_or_else(|| ModelError::config(&path, field, value, "a number")),
        };
        Ok(Self {
            end_tokens: end_tokens(dir, (&path, &json), tokenizer, vocab_size)?,
            do_sample: match &json["do_sample"] {
                Value::Null => None,
                Value::Bool(sample) => Some(*sample),
                value => return Err(ModelError::config(&path, "do_sample", value, "true or false")),
            },
            temperature: number("temperature")?,
            top_p: number("top_p")?,
            top_k: match &json["top_k"] {
                Value::Null => None,
                value => {
                    Some(value.as_u64().ok_or_else(|| ModelError::config(&path, "top_k", value, "a whole number"))?)
                }
            },
            min_p: number("min_p")?,
            repetition_penalty: number("repetition_penalty")?,
        })
    }
}

/// Returns the end tokens that any file of the folder names, each once; `generation` is the path and content of one.
fn end_tokens(
    dir: &Path,
    generation: (&Path, &Value),
    tokenizer: Option<&Tokenizer>,
    vocab_size: usize,
) -> Result<Vec<TokenId>, ModelError> {
    let in_file = |path: &Path, json: &Value| -> Result<Vec<TokenId>, ModelError> {
        let token = |value: &Value| match value.as_u64().map(TokenId::try_from) {
            Some(Ok(id)) if (id as usize) < vocab_size => Ok(id),
            _ => Err(ModelError::config(path, "eos_token_id", value, "a token of the model, or a list of them")),
        };
        match &json["eos_token_id"] {
            Value::Null => Ok(Vec::new()),
            Value::Array(ids) => ids.iter().map(token).collect(),
            id => Ok(vec![token(id)?]),
        }
    };
    let path = dir.join("config.json");
    let mut ids = in_file(generation.0, generation.1)?;
    ids.extend(in_file(&path, &read_json(&path)?.unwrap_or_default())?);
    if let Some(tokenizer) = tokenizer {
        let eos = TokenizerConfig::from_dir(dir)?.tokens.remove("eos_token");
        ids.extend(eos.and_then(|eos| tokenizer.id(&eos)));
        ids.extend(ChatTemplate::read(dir)?.and_then(|(template, _)| turn_end(&template, tokenizer)));
    }
    let mut seen = BTreeSet::new();
    ids.retain(|&id| (id as usize) < vocab_size && seen.insert(id));
    Ok(ids)
}

/// Returns the special token that follows what the assistant says, but for white space.
pub(crate) fn turn_end(template: &ChatTemplate, tokenizer: &Tokenizer) -> Option<TokenId> {
    const SAID: &str = "Fine";
    let options = ChatOptions { add_generation_prompt: false, ..ChatOptions::default() };
    let turns = [Message::user("Hello"), Message::assistant(SAID)];
    // A template may refuse this conversation; it then does not tell.
    let text = template.render_with(&turns, &options).ok()?;
    let after = text.rsplit_once(SAID)?.1.trim_start();
    let ends = tokenizer.special().filter(|(_, token)| !token.is_empty() && after.starts_with(token.as_str()));
    ends.max_by_key(|(_, token)| token.len()).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(files: &[(&str, &str)]) -> Result<GenerationDefaults, ModelError> {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
        GenerationDefaults::from_dir(dir.path(), None, 100)
    }

    #[test]
    fn numbers_are_read_as_they_stand() {
        let text = r#"{"bos_token_id": 1, "do_sample": true, "eos_token_id": [7, 9], "repetition_penalty": 1.05,
            "temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": null}"#;
        let read = defaults(&[("generation_config.json", text), ("config.json", r#"{"eos_token_id": 9}"#)]).unwrap();
        let expected = GenerationDefaults {
            end_tokens: vec![7, 9],
            do_sample: Some(true),
            temperature: Some(0.7),
            top_p: Some(0.8),
            top_k: Some(20),
            min_p: None,
            repetition_penalty: Some(1.05),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn end_tokens_of_all_files_count() {
        let config = ("config.json", r#"{"eos_token_id": 3}"#);
        assert!(defaults(&[]).unwrap().end_tokens.is_empty());
        assert_eq!(defaults(&[config]).unwrap().end_tokens, [3]);
        for silent in ["{}", r#"{"eos_token_id": null}"#, r#"{"eos_token_id": []}"#] {
            assert_eq!(defaults(&[config, ("generation_config.json", silent)]).unwrap().end_tokens, [3]);
        }
        let both = defaults(&[config, ("generation_config.json", r#"{"eos_token_id": [5, 5]}"#)]).unwrap();
        assert_eq!(both.end_tokens, [5, 3]);
    }

    #[test]
    fn what_is_not_a_value_of_its_field_is_named() {
        let cases = [
            ("eos_token_id", "\"</s>\""),
            ("eos_token_id", "-1"),
            ("eos_token_id", "2.5"),
            ("eos_token_id", "100"),
            ("eos_token_id", "4294967301"),
            ("eos_token_id", "true"),
            ("do_sample", "1"),
            ("temperature", "\"hot\""),
            ("top_k", "-1"),
            ("top_k", "1.5"),
            ("min_p", "[]"),
        ];
        for (name, value) in cases {
            for text in [format!("{{\"{name}\": {value}}}"), format!("{{\"{name}\": [5, {value}]}}")] {
                let error = defaults(&[("generation_config.json", &text)]).unwrap_err();
                let ModelError::Config { path, field, .. } = &error else { panic!("{error:?}") };
                assert!(path.ends_with("generation_config.json") && field == name, "{error}");
            }
            let single = defaults(&[("generation_config.json", &format!("{{\"{name}\": {value}}}"))]).unwrap_err();
            assert!(single.to_string().contains(value), "{single}");
        }
        let error = defaults(&[("config.json", r#"{"eos_token_id": "x"}"#)]).unwrap_err();
        assert!(error.to_string().contains("config.json: eos_token_id is \"x\""), "{error}");
        assert!(matches!(defaults(&[("generation_config.json", "{")]), Err(ModelError::Json { .. })));
    }
}

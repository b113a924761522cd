//! The settings beside an output: what keeps two runs from being mixed in one file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;
use stir_core::{Engine, Fingerprint, TokenId};

use crate::{RolloutConfig, RolloutError, Prompt, jsonl::io_error};

#[derive(Serialize)]
struct Settings<'a> {
    config: &'a RolloutConfig,
    model: &'a Fingerprint,
    computation: String,
    /// Rounding differs between devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    /// They belong to a model's folder and not to its weights, so the fingerprint does not tell.
    end_tokens: Vec<TokenId>,
    /// Digest of every task, in order.
    tasks: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<String>,
}

/// The settings as JSON text. The size of the batch is left out: it may change between the parts of a run.
pub(crate) fn describe(
    config: &RolloutConfig,
    engine: &impl Engine,
    device: Option<&str>,
    tasks: &[Prompt],
    judge: Option<String>,
) -> Result<String, RolloutError> {
    let mut digest = blake3::Hasher::new();
    for task in tasks {
        digest.update(&serde_json::to_vec(task)?).update(b"\n");
    }
    let (model, computation) = (engine.fingerprint(), engine.computation());
    let mut end_tokens = engine.vocab().eos().to_vec();
    end_tokens.sort_unstable();
    let tasks = digest.finalize().to_hex().to_string();
    let settings = Settings { config, model, computation, device, end_tokens, tasks, judge };
    let text = serde_json::to_string(&settings)?;
    // Back from the text, so that numbers are what a reader of the file would see.
    let mut settings: Value = serde_json::from_str(&text)?;
    if let Some(config) = settings.get_mut("config").and_then(Value::as_object_mut) {
        config.remove("max_batch");
    }
    Ok(serde_json::to_string_pretty(&settings)?)
}

/// Where the settings of `out` stand: `out` with `.settings.json` at its end.
pub(crate) fn beside(out: &Path) -> PathBuf {
    with_suffix(out, ".settings.json")
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Compares the settings `now` (JSON text) with those the output was begun under.
pub(crate) fn check(path: &Path, now: &str, records: usize) -> Result<(), RolloutError> {
    let then = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RolloutError::NoSettings { path: path.to_owned(), records });
        }
        read => read.map_err(io_error("read", path))?,
    };
    let parse = |text| {
        serde_json::from_str::<Value>(text)
            .map_err(|source| RolloutError::BrokenSettings { path: path.to_owned(), source })
    };
    match difference(Some(&parse(&then)?), Some(&parse(now)?), String::new()) {
        None => Ok(()),
        Some((field, expected, found)) => Err(RolloutError::Settings { path: path.to_owned(), field, expected, found }),
    }
}

/// Puts `content` where `path` says in one step: whoever reads sees all of it or what was there before.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), RolloutError> {
    let part = with_suffix(path, ".part");
    let mut file = File::create(&part).map_err(io_error("create", &part))?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &part))?;
    fs::rename(&part, path).map_err(io_error("replace", path))
}

/// The first place, in order of name, at which two JSON values differ.
fn difference(expected: Option<&Value>, found: Option<&Value>, at: String) -> Option<(String, String, String)> {
    if let (Some(Value::Object(expected)), Some(Value::Object(found))) = (expected, found) {
        let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        let keys: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        return keys.into_iter().find_map(|key| difference(expected.get(key), found.get(key), join(key)));
    }
    let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    (expected != found).then(|| (at, show(expected), show(found)))
}

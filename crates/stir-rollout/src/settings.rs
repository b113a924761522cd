//! The settings next to an output: they keep two runs from being mixed in one file.

use serde::Serialize;
use stir_core::{Engine, Fingerprint, TokenId};
use stir_files::{Settings, json_line};

use crate::{Prompt, RolloutConfig, RolloutError};

#[derive(Serialize)]
struct Run<'a> {
    config: &'a RolloutConfig,
    /// Without the quantisation, which the digest of the weights covers: runs that earlier versions began resume.
    model: Fingerprint,
    computation: String,
    /// Rounding differs between devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    /// They belong to a model's folder and not to its weights, so the fingerprint does not tell.
    end_tokens: Vec<TokenId>,
    /// The digest of every prompt, in order.
    tasks: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<String>,
}

/// Returns the settings of a run. The size of the batch is left out: it may change between the parts of a run.
pub(crate) fn describe(
    config: &RolloutConfig,
    engine: &impl Engine,
    device: Option<&str>,
    prompts: &[Prompt],
    judge: Option<String>,
) -> Result<Settings, RolloutError> {
    let mut digest = blake3::Hasher::new();
    for prompt in prompts {
        digest.update(&json_line(prompt)?);
    }
    let (model, computation) = (engine.fingerprint().without_quantisation(), engine.computation());
    let mut end_tokens = engine.vocab().eos().to_vec();
    end_tokens.sort_unstable();
    let tasks = digest.finalize().to_hex().to_string();
    let run = Run { config, model, computation, device, end_tokens, tasks, judge };
    Ok(Settings::new(&run)?.without(&["config", "max_batch"]).indented())
}

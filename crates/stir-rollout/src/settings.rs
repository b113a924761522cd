//! The settings next to an output: they keep two runs from being mixed in one file.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use stir_core::{Engine, Fingerprint, TokenId};
use stir_files::{Settings, Shard, json_line};

use crate::{Prompt, RolloutConfig, RolloutError};

#[derive(Serialize)]
struct Run<'a, S> {
    config: &'a RolloutConfig,
    #[serde(flatten)]
    sampler: Option<S>,
    /// The digest of every prompt, in order.
    tasks: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a str>,
}

/// The model that samples.
#[derive(Serialize)]
pub(crate) struct Sampler {
    model: Fingerprint,
    computation: String,
    /// Rounding differs between devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// They belong to a model's folder and not to its weights, so the fingerprint does not tell.
    end_tokens: Vec<TokenId>,
}

impl Sampler {
    /// Describes `engine` as the settings of `out` do, if there are any: those of earlier versions do not name the
    /// quantisation, and their runs resume.
    pub(crate) fn new(engine: &impl Engine, out: &Path) -> Self {
        let begun = fs::read_to_string(Settings::path(out)).ok().and_then(|settings| sampled_by(&settings));
        let model = match begun {
            Some(begun) if begun.quantisation().is_none() => engine.fingerprint().without_quantisation(),
            _ => engine.fingerprint().clone(),
        };
        let mut end_tokens = engine.vocab().eos().to_vec();
        end_tokens.sort_unstable();
        let device = Some(engine.device()).filter(|device| !device.is_empty());
        Self { model, computation: engine.computation(), device, end_tokens }
    }
}

/// Returns the model that sampled rollouts, as the settings next to them (JSON text) name it. `None` if they do not, as
/// those of other programs.
///
/// ```
/// let model = r#"{"architecture": "qwen2", "n_layers": 28, "hidden_size": 1536, "vocab_size": 151936,
///     "tokenizer": "a1", "weights": "BF16:b2"}"#;
/// let model = stir_rollout::sampled_by(&format!(r#"{{"model": {model}, "computation": "f32"}}"#));
/// assert!(model.is_some_and(|model| model.quantisation() == Some("BF16")));
/// assert_eq!(stir_rollout::sampled_by(r#"{"model": "qwen2"}"#), None);
/// ```
pub fn sampled_by(settings: &str) -> Option<Fingerprint> {
    #[derive(Deserialize)]
    struct Named {
        model: Fingerprint,
    }
    serde_json::from_str(settings).ok().map(|Named { model }| model)
}

/// Checks, before there is a model, that a run can begin `out` or resume it: that the file can be written, that no other
/// run has it, and that it was not begun under another `config`, for other prompts, with another judge or as another part
/// ([`Rollouts::shard`](crate::Rollouts::shard)). [`Rollouts::run`](crate::Rollouts::run) compares the rest.
///
/// # Errors
/// [`RolloutError::File`] with what is in the way.
pub fn check_output(
    config: &RolloutConfig,
    prompts: &[Prompt],
    judge_name: Option<&str>,
    shard: Option<Shard>,
    out: impl AsRef<Path>,
) -> Result<(), RolloutError> {
    Ok(describe(config, None::<Sampler>, prompts, judge_name, shard)?.check_output(out)?)
}

/// Returns the settings of a run, without `sampler` those that are known before there is a model. The size of the batch
/// is left out: it may change between the parts of a run.
pub(crate) fn describe(
    config: &RolloutConfig,
    sampler: Option<impl Serialize>,
    prompts: &[Prompt],
    judge: Option<&str>,
    shard: Option<Shard>,
) -> Result<Settings, RolloutError> {
    let mut digest = blake3::Hasher::new();
    for prompt in prompts {
        digest.update(&json_line(prompt)?);
    }
    let tasks = digest.finalize().to_hex().to_string();
    let run = Run { config, sampler, tasks, judge };
    Ok(Settings::new(&run)?.without(&["config", "max_batch"]).indented().of_shard(shard))
}

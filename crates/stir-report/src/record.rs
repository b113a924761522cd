use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stir_controller::Step;
use stir_core::{Finish, TokenId};
use stir_grade::Judged;

/// One answer to one problem with its costs: a line of an answers file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The id of the problem, the same in every run.
    pub id: String,
    /// The whole prompt, including the chat template.
    pub prompt: String,
    /// The gold answer.
    pub gold: String,
    /// The generated text.
    pub text: String,
    /// The tokens of the generated text.
    pub token_ids: Vec<TokenId>,
    /// The answer found in the text, with its grade.
    pub judged: Judged,
    /// The number of tokens of the answer itself (committed tokens).
    pub tokens: usize,
    /// The number of tokens of probes at control points. (Tokens of an unsteered probe that became the start of its
    /// segment are also counted in `tokens`.)
    pub probe_tokens: usize,
    /// The number of other tokens that were generated for this answer and are not part of it: samples of a vote, stages
    /// of prompting, trial answers.
    pub other_tokens: usize,
    /// The number of forward passes that the answer took part in.
    pub forward_passes: usize,
    /// The reason why generation ended.
    pub finish: Finish,
    /// The decisions segment by segment, if the method steers.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The byte offsets in `text` at which the segments of `steps` end, ascending.
    #[serde(default)]
    pub segment_ends: Vec<usize>,
    /// The wall time in seconds from the start of the run to the end of this answer, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Record {
    /// Returns the number of all tokens that were generated for this answer.
    pub fn spent(&self) -> usize {
        // A file may say anything.
        self.tokens.saturating_add(self.probe_tokens).saturating_add(self.other_tokens)
    }
}

/// The settings that distinguish the runs of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of the model.
    pub model: String,
    /// The name of the task that was answered.
    pub task: String,
    /// The name of the method.
    pub method: String,
    /// The name of the task that the library was mined from, if the method uses a library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mined_from: Option<String>,
    /// The seed of all randomness.
    pub seed: u64,
    /// All other settings that the experiment varies or fixes, by name (`k_scale`, `layer`, `budget`, ..).
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// The answers of one method, with one choice of settings, to the problems of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The settings of the run.
    pub settings: Settings,
    /// One answer per problem, in the order of the problems.
    pub records: Vec<Record>,
    /// The wall time of the whole run in seconds.
    pub seconds: f64,
}

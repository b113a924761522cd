use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stir_controller::Step;
use stir_core::{Finish, TokenId};

use crate::Judged;

/// One answer to one problem, with all that it took: a line of an answers file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The problem, the same in every run.
    pub id: String,
    /// The whole prompt, chat template and all.
    pub prompt: String,
    /// The right answer.
    pub gold: String,
    /// What was generated.
    pub text: String,
    /// The tokens of that.
    pub token_ids: Vec<TokenId>,
    /// What the text answers, and whether it is right.
    pub judged: Judged,
    /// Tokens of the answer itself (committed).
    pub tokens: usize,
    /// Tokens of probes at control points, thrown away. (Those of an unsteered probe that became the start of its segment
    /// count here and there.)
    pub probe_tokens: usize,
    /// All other tokens that were generated for this answer and are not in it: samples that a vote was taken of, stages
    /// of prompting, answers tried on the way.
    pub other_tokens: usize,
    /// Forward passes the answer took part in.
    pub forward_passes: usize,
    /// How the text ended.
    pub finish: Finish,
    /// Segment by segment, where the method steers.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Where in `text` each of `steps` ends, in bytes; ascending.
    #[serde(default)]
    pub segment_ends: Vec<usize>,
    /// Wall time from the start of the run to the end of this answer, where measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Record {
    /// All tokens that were generated for this answer.
    pub fn spent(&self) -> usize {
        self.tokens + self.probe_tokens + self.other_tokens
    }
}

/// What tells one run of an experiment from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the model.
    pub model: String,
    /// Name of the task that was answered.
    pub task: String,
    /// Name of the method.
    pub method: String,
    /// Name of the task that the library was mined from, where the method uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mined_from: Option<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Every other setting that the experiment varies or fixes, by name (`k_scale`, `layer`, `budget`, ..).
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// The answers of one method under one setting to the problems of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What was run.
    pub settings: Settings,
    /// One answer a problem, in the order of the problems.
    pub records: Vec<Record>,
    /// Wall time of the whole run, in seconds.
    pub seconds: f64,
}

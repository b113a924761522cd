use serde::{Deserialize, Serialize};
use stir_core::{Generated, Vocab};

use crate::{Decision, Scored};

/// A segment of a steered generation, with what was decided before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The number of the segment, from 1; it follows control point `segment - 1`.
    pub segment: usize,
    /// The library entry whose vector was added at its start.
    pub chosen: Option<usize>,
    /// The decoder layer whose output it was added to.
    pub layer: Option<usize>,
    /// The score of what was chosen.
    pub score: f64,
    /// The score of doing nothing.
    pub null_score: f64,
    /// The scale of the impulse; 0 when nothing was added.
    pub scale: f32,
    /// The number of tokens of the segment, with the one that ended it.
    pub tokens: usize,
    /// The entries retrieved, nearest first.
    pub retrieved: Vec<Retrieved>,
    /// The candidates with their numbers, best advantage first.
    pub candidates: Vec<Scored>,
}

/// An entry near the state at a control point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieved {
    /// Its index in the library.
    pub entry: usize,
    /// The cosine of the angle between the state and its key.
    pub similarity: f32,
}

impl Step {
    /// Returns the step of a segment of which no token is generated yet.
    pub fn new(segment: usize, decision: &Decision) -> Self {
        Self {
            segment,
            chosen: decision.commit.as_ref().and_then(|commit| commit.entry),
            layer: decision.commit.as_ref().map(|commit| commit.layer),
            score: decision.score,
            null_score: decision.null_score,
            scale: decision.commit.as_ref().map_or(0.0, |commit| commit.scale),
            tokens: 0,
            retrieved: decision
                .retrieved
                .iter()
                .map(|hit| Retrieved { entry: hit.entry, similarity: hit.similarity })
                .collect(),
            candidates: decision.candidates.clone(),
        }
    }

    /// Returns whether something was added at its start.
    pub fn steered(&self) -> bool {
        self.scale != 0.0
    }

    /// Returns the numbers of the candidate that was chosen.
    pub fn winner(&self) -> Option<&Scored> {
        self.candidates.iter().find(|candidate| Some(candidate.entry) == self.chosen)
    }
}

/// The place of a token in a steered generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The number of the segment, from 1.
    pub segment: usize,
    /// The scale of the impulse at its start; 0 when nothing was added.
    pub scale: f32,
    /// The step that was decided just before the token, where it is the first after a control point. Its `tokens` count
    /// those so far.
    pub step: Option<Step>,
}

impl Place {
    /// Returns the place of token `index` of the `len` that the `steps` are made of; `at_prompt` says whether the first
    /// of them was decided.
    pub(crate) fn of(steps: &[Step], len: usize, index: usize, at_prompt: bool) -> Self {
        // From the end, where new tokens are.
        let mut start = len;
        for (before, step) in steps.iter().enumerate().rev() {
            start -= step.tokens.min(start);
            if index >= start {
                let decided = index == start && (before > 0 || at_prompt);
                return Self { segment: step.segment, scale: step.scale, step: decided.then(|| step.clone()) };
            }
        }
        Self { segment: 1, scale: 0.0, step: None }
    }

    /// Returns whether the token's segment began with an impulse.
    pub fn steered(&self) -> bool {
        self.scale != 0.0
    }
}

/// A finished steered generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// The answer. Its forward passes include those that read states, probed and followed.
    pub generated: Generated,
    /// The number of tokens generated in probes; they do not count against the budget.
    pub probe_tokens: usize,
    /// The number of states, and of candidates' scores or impulses, left out because they were not finite.
    pub non_finite: usize,
    /// The segments in order, with what was decided before each.
    pub steps: Vec<Step>,
}

impl Steered {
    /// Returns the answer's text: that of its tokens, up to the stop string.
    pub fn text(&self, vocab: &Vocab) -> String {
        self.generated.text(vocab)
    }
}

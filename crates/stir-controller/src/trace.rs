use serde::Serialize;
use stir_core::{Finish, TokenId};

use crate::{Decision, Scored};

/// One segment of a steered generation: what was decided before it, and how long it became.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The segment, from 1; it follows control point `segment - 1`.
    pub segment: usize,
    /// The library entry whose vector was added at its start.
    pub chosen: Option<usize>,
    /// Score of what was chosen.
    pub score: f64,
    /// Score of doing nothing.
    pub null_score: f64,
    /// Scale of the impulse; 0 when nothing was added.
    pub scale: f32,
    /// Tokens of the segment, with the one that ended it.
    pub tokens: usize,
    /// Entries retrieved, nearest first.
    pub retrieved: Vec<Retrieved>,
    /// Candidates with their numbers, best advantage first.
    pub candidates: Vec<Scored>,
}

/// An entry near the state at a control point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Retrieved {
    /// Its index in the library.
    pub entry: usize,
    /// Cosine of the state and its key.
    pub similarity: f32,
}

impl Step {
    /// The start of a segment.
    pub(crate) fn new(segment: usize, decision: &Decision<'_>) -> Self {
        Self {
            segment,
            chosen: decision.commit.as_ref().and_then(|commit| commit.entry),
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
}

/// A finished steered generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Steered {
    /// New tokens, with the one that ended the sequence.
    pub tokens: Vec<TokenId>,
    /// The model's log-probability of each, as it was generated.
    pub log_probs: Vec<f32>,
    /// How the sequence ended.
    pub finish: Finish,
    /// Tokens generated in probes; they do not count against the budget.
    pub probe_tokens: usize,
    /// Forward passes the sequence took part in.
    pub forward_passes: usize,
    /// States, and candidates' scores or impulses, left out because they were not finite.
    pub non_finite: usize,
    /// Segment by segment.
    pub steps: Vec<Step>,
}

impl Steered {
    /// The start of a sequence.
    pub(crate) fn new() -> Self {
        Self {
            tokens: Vec::new(),
            log_probs: Vec::new(),
            finish: Finish::Length,
            probe_tokens: 0,
            forward_passes: 0,
            non_finite: 0,
            steps: vec![Step::new(1, &Decision::default())],
        }
    }
}

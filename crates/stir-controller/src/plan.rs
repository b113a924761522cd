use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use stir_basis::Hit;

/// The residual stream after one decoder layer, at one token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerState {
    /// The decoder layer, 0-based.
    pub layer: usize,
    /// The residual stream after it, `[hidden_size]`.
    pub values: Vec<f32>,
}

/// A control point of a sequence, and what was read there: the input of [`Controller::plan`](crate::Controller::plan).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControlState {
    /// The number of the sequence. It matters only to the variants that draw at random.
    pub sequence: u64,
    /// The control point: the number of delimiters in the generated text so far; 0 is the end of the prompt.
    pub m: usize,
    /// For every layer of [`Controller::layers`](crate::Controller::layers), the state at the token that ended the
    /// segment.
    pub states: Vec<LayerState>,
}

/// The outcome of [`Controller::plan`](crate::Controller::plan).
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// Nothing is to be probed, and this is what to do.
    Decided(Decision),
    /// The candidates of this plan are to be probed, and [`Controller::decide`](crate::Controller::decide) then says
    /// what to do.
    Probe(Plan),
}

/// The candidates at a control point; [`Controller::decide`](crate::Controller::decide) consumes it with their scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) sequence: u64,
    pub(crate) m: usize,
    pub(crate) retrieved: Vec<Hit>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) null_advantage: f64,
    /// Uniform in [0, 1), for the variant that draws.
    pub(crate) draw: f64,
    pub(crate) non_finite: usize,
}

impl Plan {
    /// Returns the vectors to probe, best advantage first; at least one.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// A retrieved vector that may be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The index of its entry in the library.
    pub entry: usize,
    /// The decoder layer to whose output it is added.
    pub layer: usize,
    /// The cosine of the angle between the state and the entry's key.
    pub similarity: f32,
    /// The advantage `A`: similarity times quality.
    pub advantage: f64,
    /// The vector, `[hidden_size]`.
    pub vector: Arc<[f32]>,
    /// The length of the vector over that of the stream it is added to.
    pub relative_length: f64,
    /// The scale at which a probe adds it: 1, unless [`Strength`](crate::Strength) says otherwise.
    pub probe_scale: f32,
}

/// The results of probing: numbers whose difference is the gain of a candidate, NaN where a probe has no result.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProbeScores {
    /// The score of the probe without a vector.
    pub null: f64,
    /// The score of the probe with each candidate of the plan, in the plan's order.
    pub candidates: Vec<f64>,
}

/// A decision about the next segment, with its reasons. The default is to add nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// The impulse to add, or none.
    pub commit: Option<Commit>,
    /// The score of what was chosen: the candidate's, or that of doing nothing.
    pub score: f64,
    /// The score of doing nothing.
    pub null_score: f64,
    /// The entries retrieved, nearest first.
    pub retrieved: Vec<Hit>,
    /// Every candidate with its score, best advantage first.
    pub candidates: Vec<Scored>,
    /// The number of states, and of candidates' scores or impulses, that were left out because they were not finite.
    pub non_finite: usize,
}

/// An impulse: `stream(resid_post.layer, boundary token) += scale * vector`, and where
/// [`Placement`](crate::Placement) says so at the tokens after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The index of its entry in the library; `None` for a vector that is not an entry.
    pub entry: Option<usize>,
    /// The decoder layer to whose output it is added.
    pub layer: usize,
    /// The vector, `[hidden_size]`.
    pub vector: Arc<[f32]>,
    /// The factor of the vector: `k_scale` times the score, unless [`Strength`](crate::Strength) says otherwise.
    pub scale: f32,
}

/// The numbers of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// The index of its entry in the library.
    pub entry: usize,
    /// The score `S`.
    #[serde(deserialize_with = "number")]
    pub score: f64,
    /// The advantage `A`.
    pub advantage: f64,
    /// The cosine of the angle between the state and its key.
    pub similarity: f32,
    /// The gain `P - P_null` in what [`Probe`](crate::Probe) measures; 0 where nothing was probed, NaN where a probe has
    /// no score.
    #[serde(deserialize_with = "number")]
    pub gain: f64,
}

/// Reads a number that JSON writes as null where it is not finite.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

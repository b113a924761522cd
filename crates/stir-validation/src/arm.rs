use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stir_basis::norm;
use stir_controller::Commit;
use stir_core::{Engine, ModelShape, TokenId};

use crate::ValidationError;

/// What is done at a start.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name in records' settings and errors.
    pub name: String,
    /// The impulse at the boundary token; `None` to leave the model alone.
    pub impulse: Option<Impulse>,
}

/// A vector to be added to the stream at a boundary token.
#[derive(Debug, Clone, PartialEq)]
pub struct Impulse {
    /// The decoder layer to whose output it is added.
    pub layer: usize,
    /// Its direction, `[hidden_size]`, of any length.
    pub vector: Arc<[f32]>,
    /// The length of what is added over that of the stream there.
    pub strength: f64,
}

impl Impulse {
    /// Returns what to add where the stream is `state`, `[hidden_size]`. A vector of length 0 stays one.
    pub fn at(&self, state: &[f32]) -> Commit {
        let length = norm(&self.vector);
        let scale = if length > 0.0 { (self.strength * norm(state) / length) as f32 } else { 0.0 };
        Commit { entry: None, layer: self.layer, vector: self.vector.clone(), scale }
    }
}

impl Arm {
    /// Returns the arm that adds nothing.
    pub fn plain() -> Self {
        Self { name: "plain".into(), impulse: None }
    }

    pub(crate) fn check<E: Engine>(&self, engine: &E) -> Result<(), ValidationError<E::Error>> {
        let Some(Impulse { layer, vector, strength }) = &self.impulse else { return Ok(()) };
        let (ModelShape { n_layers, hidden_size, .. }, arm) = (engine.shape(), self.name.clone());
        stir_core::SettingError::not_negative("strength", *strength)?;
        if *layer >= n_layers {
            return Err(ValidationError::Layer { arm, layer: *layer, n_layers });
        }
        if vector.len() != hidden_size || vector.iter().any(|x| !x.is_finite()) {
            return Err(ValidationError::Vector { arm, found: vector.len(), expected: hidden_size });
        }
        Ok(())
    }
}

/// One continuation: a start, an arm and the number of the sample. Sample `r` of a start draws the same random numbers
/// under every arm, so that arms differ in what they add and in nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    /// The place of the start.
    pub start: usize,
    /// The place of the arm.
    pub arm: usize,
    /// The number of the sample, from 0.
    pub sample: usize,
}

/// A judged continuation: a line of the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The place of the start.
    pub start: usize,
    /// The place of the arm.
    pub arm: usize,
    /// The number of the sample.
    pub sample: usize,
    /// True if the judge found the whole answer right. An answer at which the model breaks down is wrong.
    pub right: bool,
    /// The number of tokens of the first segment, in which an impulse lives.
    pub segment: usize,
    /// The new tokens, with the one that ended the answer.
    pub token_ids: Vec<TokenId>,
}

impl Outcome {
    /// Returns the job that it is the outcome of.
    pub fn job(&self) -> Job {
        Job { start: self.start, arm: self.arm, sample: self.sample }
    }
}

use serde::{Deserialize, Serialize};

use crate::{LayerMeasures, RolloutMeasures, Verdict};

/// What is known about whether a model can be steered by its own rollouts; as JSON, the file of `stir diagnose`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// What the rollouts say; `None` where only states were looked at.
    pub rollouts: Option<RolloutMeasures>,
    /// What the states say, layer by layer.
    pub layers: Vec<LayerMeasures>,
    /// What follows.
    pub verdict: Verdict,
}

impl Diagnosis {
    /// Concludes from what was measured.
    pub fn new(rollouts: Option<RolloutMeasures>, layers: Vec<LayerMeasures>) -> Self {
        let verdict = Verdict::new(rollouts.as_ref(), &layers);
        Self { rollouts, layers, verdict }
    }
}

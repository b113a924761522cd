use serde::{Deserialize, Serialize};
use stir_core::{Delimiter, Fingerprint};

use crate::{DiagnosisConfig, LayerMeasures, RolloutMeasures, Verdict};

/// What is known about whether a model can be steered by its own rollouts; as JSON, the file of `stir diagnose`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// The model and the settings; `None` where they are not known.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// What the rollouts say; `None` where only states were looked at.
    pub rollouts: Option<RolloutMeasures>,
    /// What the states say, layer by layer.
    pub layers: Vec<LayerMeasures>,
    /// What follows.
    pub verdict: Verdict,
}

/// The model that was diagnosed, and under which settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The model.
    pub model: Fingerprint,
    /// The settings of the measures.
    pub config: DiagnosisConfig,
    /// The text that ends a segment.
    pub delimiter: Delimiter,
    /// The number of control points of a rollout that were looked at.
    pub max_control_points: usize,
}

impl Diagnosis {
    /// Concludes from what was measured.
    pub fn new(rollouts: Option<RolloutMeasures>, layers: Vec<LayerMeasures>) -> Self {
        let verdict = Verdict::new(rollouts.as_ref(), &layers);
        Self { origin: None, rollouts, layers, verdict }
    }

    /// Returns the diagnosis with the model and the settings that it is of.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }
}

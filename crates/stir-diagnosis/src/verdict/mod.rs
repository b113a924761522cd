//! What follows from the numbers, in words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{LayerMeasures, RolloutMeasures};

mod replays;
mod rules;

/// Whether the vectors that would be mined can be expected to help, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The conclusion: that of the layer that fares best.
    pub outlook: Outlook,
    /// The reasons, those about all layers first.
    pub reasons: Vec<Reason>,
}

/// A conclusion, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outlook {
    /// There is too little to tell.
    Unknown,
    /// Something speaks against steering with vectors mined in the published way.
    NotAsMined,
    /// Nothing forbids it, but something is to be heeded.
    WithCare,
    /// Nothing that was measured speaks against it.
    Good,
}

/// One thing that the numbers say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The layer; `None` for a reason about all of them.
    pub layer: Option<usize>,
    /// What it is about.
    pub topic: Topic,
    /// What it means.
    pub weight: Weight,
    /// The reason in words, with its numbers and what can be done.
    pub text: String,
}

/// What a reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Topic {
    /// The number of problems that can be learned from.
    Problems,
    /// The share of such problems.
    MixedShare,
    /// Whether right answers are shorter.
    Length,
    /// Whether deltas are more than noise.
    Reliability,
    /// Whether the mean over problems is.
    Pooling,
    /// Whether the states tell right from wrong.
    Signal,
    /// Whether they tell more than how far the answer is.
    Progress,
    /// Whether the nearest keys tell right from wrong.
    Retrieval,
    /// Whether a mean that all states share hides their differences.
    SharedMean,
    /// Whether qualities tell pairs apart.
    Quality,
    /// How strong impulses are.
    Strength,
    /// What replaying from wrong rollouts did.
    Rescue,
    /// What replaying from right rollouts did.
    Harm,
}

/// What a reason means for steering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Weight {
    /// It could not be told.
    Unknown,
    /// It speaks against it.
    Against,
    /// It is to be heeded.
    Caution,
    /// It speaks for it.
    For,
}

impl Verdict {
    pub(crate) fn new(rollouts: Option<&RolloutMeasures>, layers: &[LayerMeasures]) -> Self {
        let mut reasons: Vec<Reason> = rollouts.map(rules::of_rollouts).unwrap_or_default();
        let common = outlook(&reasons);
        let mut best = None;
        for measures in layers {
            let own = rules::of_layer(measures);
            best = best.max(Some(outlook(&own)));
            reasons.extend(own);
        }
        Self { outlook: best.map_or(Outlook::Unknown, |best| best.min(common)), reasons }
    }
}

/// The worst that any reason allows.
fn outlook(reasons: &[Reason]) -> Outlook {
    let allowed = |reason: &Reason| match reason.weight {
        Weight::Unknown => Outlook::Unknown,
        Weight::Against => Outlook::NotAsMined,
        Weight::Caution => Outlook::WithCare,
        Weight::For => Outlook::Good,
    };
    reasons.iter().map(allowed).min().unwrap_or(Outlook::Good)
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "There is too little to tell whether steering would help.",
            Self::NotAsMined => {
                "Vectors mined from these rollouts in the published way should not be expected to help."
            }
            Self::WithCare => "Steering may help, if what is said below is heeded.",
            Self::Good => "Nothing that was measured speaks against steering.",
        })
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Against => "against",
            Self::Caution => "caution",
            Self::For => "for",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "{}, layer {layer}: {}", self.weight, self.text),
            None => write!(f, "{}: {}", self.weight, self.text),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outlook)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n- {reason}"))
    }
}

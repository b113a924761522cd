//! Flags of the methods that STIR is compared with.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use stir::eval::method::{ConstantVector, Deer, SelfConsistency, StaticAt};

use super::ControllerArgs;
use crate::typed::{escaped, named, unescaped};

/// The settings of the method `self_consistency`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct SelfConsistencyArgs {
    /// Samples of an answer by self_consistency
    #[arg(long, alias = "votes", value_name = "N", default_value_t = SelfConsistency::default().samples)]
    self_consistency_samples: usize,
}

impl SelfConsistencyArgs {
    /// Returns `own` with what the flags say in its place.
    pub(crate) fn over(&self, own: SelfConsistency) -> SelfConsistency {
        SelfConsistency { samples: self.self_consistency_samples, ..own }
    }
}

/// The settings of the method `constant_vector`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct ConstantVectorArgs {
    /// The place where constant_vector adds its vector: every boundary of segments or at every token
    #[arg(long, default_value = "boundary",
        value_parser = PossibleValuesParser::new(["boundary", "token"]).try_map(named::<StaticAt>))]
    constant_vector_at: StaticAt,
    /// Factor of that vector [default: that of --k-scale]
    #[arg(long, value_name = "X")]
    constant_vector_scale: Option<f64>,
    /// Add that vector only where the cosine of the angle between it and the stream is below this [default: everywhere]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    constant_vector_gate_below: Option<f64>,
    /// The settings of a preset, in the place of all flags.
    #[arg(skip)]
    pub(crate) preset: Option<ConstantVector>,
}

impl ConstantVectorArgs {
    /// Returns `at` (that of the flags where it is `None`) with the scale of the flags, which is `k_scale` by default, and
    /// what else `steering` says.
    pub(crate) fn config(&self, at: Option<StaticAt>, steering: &ControllerArgs) -> ConstantVector {
        if let Some(preset) = &self.preset {
            return ConstantVector { at: at.unwrap_or(preset.at), ..preset.clone() };
        }
        ConstantVector {
            at: at.unwrap_or(self.constant_vector_at),
            scale: self.constant_vector_scale.unwrap_or(steering.k_scale),
            gate_below: self.constant_vector_gate_below,
            allow_requantised: steering.allow_requantised,
        }
    }
}

/// The settings of the method `deer`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Baselines")]
pub(crate) struct DeerArgs {
    /// Text after which deer tries an answer, as is or with \n, \r, \t, \\
    #[arg(long, value_name = "TEXT", default_value = escaped(&Deer::default().transition), value_parser = unescaped,
        allow_hyphen_values = true)]
    deer_transition: String,
    /// Keep that text in the answer before a trial
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = Deer::default().keep_transition)]
    deer_keep_transition: bool,
    /// Text that deer asks for an answer with [default: that of the task]
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_elicit: Option<String>,
    /// Text that ends a trial of deer [default: that of the task]
    #[arg(long, value_name = "TEXT", value_parser = unescaped, allow_hyphen_values = true)]
    deer_close: Option<String>,
    /// Most tokens of a trial
    #[arg(long, alias = "deer-tokens", value_name = "N", default_value_t = Deer::default().trial_tokens)]
    deer_trial_tokens: usize,
    /// Most trials of an answer
    #[arg(long, alias = "deer-trials", value_name = "N", default_value_t = Deer::default().max_trials)]
    deer_max_trials: usize,
    /// Mean probability of a trial's tokens from which on thinking ends
    #[arg(long, value_name = "P", default_value_t = Deer::default().threshold)]
    deer_threshold: f64,
}

impl DeerArgs {
    /// Returns `own` with what the flags say in its place; a task elicits its answers with `elicit` and `close`.
    pub(crate) fn over(&self, own: Deer, [elicit, close]: &[String; 2]) -> Deer {
        Deer {
            transition: self.deer_transition.clone(),
            keep_transition: self.deer_keep_transition,
            elicit: self.deer_elicit.as_ref().unwrap_or(elicit).clone(),
            close: self.deer_close.as_ref().unwrap_or(close).clone(),
            trial_tokens: self.deer_trial_tokens,
            max_trials: self.deer_max_trials,
            threshold: self.deer_threshold,
            ..own
        }
    }
}

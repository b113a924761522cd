//! Flags of the settings of the library. A flag has the name of its field, and its default is that of the field.

mod answers;
mod baselines;
mod mining;
#[cfg(test)]
mod tests;

pub(crate) use answers::{AnswerArgs, ControllerArgs, SamplingArgs};
pub(crate) use baselines::{ConstantVectorArgs, DeerArgs, SelfConsistencyArgs};
pub(crate) use mining::{BasisArgs, BoundaryArgs, ForkArgs, InductionArgs, RolloutArgs, layers};

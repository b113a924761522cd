use serde::{Deserialize, Serialize};

/// Choices that answers do not make themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether the order of a list without brackets counts: `1, 2` and `2, 1`. Tuples are ordered and sets are not,
    /// with or without this.
    pub ordered_lists: bool,
    /// Whether what only one of two answers says counts: a unit, a percent or degree sign, a modulus, or the name of
    /// `x = 5`. Answers that are the same without it are then [`Verdict::Unclear`].
    pub complete: bool,
}

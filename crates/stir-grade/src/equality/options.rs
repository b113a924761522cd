use serde::{Deserialize, Serialize};

/// The options of a comparison that the answers do not determine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// True if the order of a list without brackets counts, as in `1, 2` and `2, 1`. Tuples are always ordered, and sets
    /// never are.
    pub ordered_lists: bool,
    /// True if an answer must be as complete as the other one: answers that are the same except for a unit, a percent or
    /// degree sign, a modulus, or the name in `x = 5` are then [`Verdict::Unclear`](crate::Verdict::Unclear).
    pub complete: bool,
}

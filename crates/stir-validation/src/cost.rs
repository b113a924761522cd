use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What continuations cost, in tokens that went through the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The number of continuations.
    pub continuations: usize,
    /// The number of tokens generated. What follows a first segment that several continuations of a start have in common
    /// is generated once.
    pub generated: usize,
    /// The number of tokens encoded besides: prompts and answers up to the boundaries, once for all continuations of a
    /// start and for what starts that follow each other have in common; and steered segments, once more, where what
    /// follows sees them as encoded without the impulse.
    pub encoded: usize,
}

impl Cost {
    /// Returns the sum of both kinds of tokens.
    pub fn tokens(&self) -> usize {
        self.generated + self.encoded
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.continuations += other.continuations;
        self.generated += other.generated;
        self.encoded += other.encoded;
    }
}

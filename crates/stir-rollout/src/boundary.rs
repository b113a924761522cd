/// A segment boundary of a rollout, where a state can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Boundary {
    /// The problem, numbered as its owner likes.
    pub problem: usize,
    /// The sample of the problem, from 0.
    pub sample: usize,
    /// The control point, from 1. One token that completes several delimiters is one boundary, with its first `m`.
    pub m: usize,
    /// The index of the boundary token in the answer; below `length`.
    pub token: usize,
    /// The number of tokens of the answer.
    pub length: usize,
    /// True if the answer is right.
    pub right: bool,
}

impl Boundary {
    /// Returns the number of tokens that follow up to the end of the answer, at least 1: the boundary token counts.
    pub fn remaining(&self) -> usize {
        self.length.saturating_sub(self.token).max(1)
    }
}

/// Two greedy continuations from a boundary of a rollout, without and with an intervention there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// The problem, numbered as its owner likes.
    pub problem: usize,
    /// The sample of the problem, from 0.
    pub sample: usize,
    /// The control point.
    pub m: usize,
    /// True if the rollout itself is right: then an intervention has something to harm, otherwise something to rescue.
    pub right: bool,
    /// True if the plain continuation is right.
    pub plain: bool,
    /// True if the steered continuation is right.
    pub steered: bool,
}

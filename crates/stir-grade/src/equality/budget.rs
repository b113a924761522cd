use super::why::Why;

/// Longest answer that is read, in bytes. Longer ones are only compared letter by letter.
pub(super) const MAX_BYTES: usize = 16_384;
/// Most parts (nodes of the tree) an answer may have.
pub(super) const MAX_NODES: usize = 4_096;
/// Deepest nesting, in levels of brackets, arguments and exponents. It bounds every recursion.
pub(super) const MAX_DEPTH: usize = 48;
/// Longest integer that is computed with, in bits.
pub(super) const MAX_BITS: u64 = 16_384;
/// Most terms of a polynomial.
pub(super) const MAX_TERMS: usize = 600;
/// Steps of work a comparison may take, about 50 ns each.
pub(super) const MAX_WORK: u64 = 150_000;

/// What is left of the work one comparison may take.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: MAX_WORK }
    }

    /// Takes `steps` from the budget.
    ///
    /// # Errors
    ///
    /// [`Why::TooMuchWork`] when fewer are left; nothing is after that.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Why> {
        if steps > self.left {
            self.left = 0;
            return Err(Why::TooMuchWork);
        }
        self.left -= steps;
        Ok(())
    }

    /// What multiplying or dividing integers of these sizes costs; refuses results that are too long.
    pub(super) fn multiply(&mut self, a: u64, b: u64) -> Result<(), Why> {
        if a + b > MAX_BITS {
            return Err(Why::TooManyBits);
        }
        self.spend(1 + ((a * b) >> 15))
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        MAX_WORK - self.left
    }
}

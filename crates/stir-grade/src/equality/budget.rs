use super::{
    limits::{MAX_BITS, MAX_WORK},
    why::Why,
};

/// The work that one comparison may still take.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: MAX_WORK }
    }

    /// Takes `steps` from the budget.
    ///
    /// # Errors
    ///
    /// [`Why::TooMuchWork`] when fewer are left; nothing is after that.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Why> {
        if steps > self.left {
            self.left = 0;
            return Err(Why::TooMuchWork);
        }
        self.left -= steps;
        Ok(())
    }

    /// Charges for multiplying or dividing integers of these sizes; refuses results that are too long.
    pub(crate) fn multiply(&mut self, a: u64, b: u64) -> Result<(), Why> {
        if a + b > MAX_BITS {
            return Err(Why::TooManyBits);
        }
        self.spend(1 + ((a * b) >> 15))
    }

    #[cfg(test)]
    pub(crate) fn spent(&self) -> u64 {
        MAX_WORK - self.left
    }
}

//! What is tried again, how often, and after which pause.

use std::time::Duration;

use crate::{HubError, Options, background::Alive};

const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A pause is cut into such pieces, so that cancelling does not wait for its end.
const PIECE: Duration = Duration::from_millis(100);

/// Why a request failed, and whether to try again.
#[derive(Debug)]
pub(crate) enum Failure {
    Final(HubError),
    Transient { error: HubError, wait: Option<Duration> },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// The number of further tries, and the waiting time before each.
pub(crate) struct Retry<'a> {
    options: &'a Options,
    tried: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, tried: 0 }
    }

    /// Forgets the tries so far: the last one has brought something.
    pub(crate) fn reset(&mut self) {
        self.tried = 0;
    }

    /// Repeats `attempt` until it succeeds, fails for good, or no try is left; `alive` is asked while waiting.
    pub(crate) fn run<T>(
        options: &'a Options,
        alive: Alive<'_>,
        mut attempt: impl FnMut(Alive<'_>) -> Result<T, Failure>,
    ) -> Result<T, HubError> {
        let mut retry = Self::new(options);
        loop {
            match attempt(alive) {
                Ok(value) => return Ok(value),
                Err(failure) => retry.pause(failure, alive)?,
            }
        }
    }

    /// Waits before the next try, or returns the error if there is none.
    pub(crate) fn pause(&mut self, failure: Failure, alive: Alive<'_>) -> Result<(), HubError> {
        let (error, wait) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { error, .. } if self.tried >= self.options.retries => return Err(error),
            Failure::Transient { error, wait } => (error, wait),
        };
        if wait.is_some_and(|wait| wait > LONGEST_PAUSE) {
            return Err(error);
        }
        let backoff = self.options.backoff.saturating_mul(1 << self.tried.min(4));
        self.tried += 1;
        let mut left = wait.unwrap_or(backoff);
        tracing::warn!(%error, tried = self.tried, seconds = left.as_secs_f64(), "a request failed and is tried again");
        while !left.is_zero() {
            if alive().is_break() {
                return Err(HubError::Cancelled);
            }
            std::thread::sleep(left.min(PIECE));
            left = left.saturating_sub(PIECE);
        }
        Ok(())
    }
}

//! The network's own threads.

use std::{
    future::Future,
    ops::ControlFlow,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use crate::HubError;

/// The pause between two questions whether to go on.
const LOOK: Duration = Duration::from_millis(100);
/// What waits for sockets is mostly idle; Xet also unpacks chunks here.
const THREADS: usize = 4;

/// Is asked about ten times a second whether to go on.
pub(crate) type Alive<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// A runtime of our own, on other threads than the caller's. Blocking on a runtime from inside one panics; waiting for
/// a channel does not, so a call works wherever it is made.
#[derive(Debug)]
pub(crate) struct Background(Option<Runtime>);

impl Background {
    pub(crate) fn new() -> Result<Self, HubError> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|source| HubError::Client { source: Box::new(source) })
    }

    /// Waits for a future that runs there. Breaking drops it.
    pub(crate) fn wait<F>(&self, future: F, alive: Alive<'_>) -> Result<F::Output, HubError>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let stopped = || HubError::Client { source: "the network's threads have stopped".into() };
        let (sender, receiver) = sync_channel(1);
        let runtime = self.0.as_ref().ok_or_else(stopped)?;
        let task = runtime.spawn(async move { drop(sender.send(future.await)) });
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(output) => return Ok(output),
                Err(RecvTimeoutError::Timeout) if alive().is_break() => {
                    task.abort();
                    return Err(HubError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(stopped()),
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Without waiting for what was cancelled, which also may not be done inside another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

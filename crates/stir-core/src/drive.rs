use std::{collections::BTreeMap, ops::ControlFlow};

use crate::{Engine, Output, RequestError, Row, SamplingError, Vocab};

/// One sequence being generated: a state machine that says which rows it needs next and learns what they gave.
pub trait Lane<S> {
    /// What is left when the sequence is finished.
    type Done;

    /// Pushes the rows this lane needs in the next forward pass. None where it is finished without another: it then
    /// absorbs no outputs and returns its result.
    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>);

    /// Takes the outputs of those rows, in the order pushed. `Some` when the lane is finished.
    ///
    /// # Errors
    /// When a row of logits describes no distribution.
    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<Self::Done>, SamplingError>;
}

/// Runs lanes through an engine, up to `width` at a time, until all are finished.
///
/// This is the only decoding loop. Every pass carries the rows of all running lanes, whatever stage each is at, and a
/// finished lane's place goes to the next waiting one (continuous batching). `done` receives the lane's place in
/// `lanes` and its result as soon as it finishes; `Break` stops the loop and drops the lanes still running.
///
/// # Errors
/// The first error of `lanes`, of the engine, or of a lane.
pub fn drive<E, L>(
    engine: &E,
    lanes: impl IntoIterator<Item = Result<L, DriveError<E::Error>>>,
    width: usize,
    mut done: impl FnMut(usize, L::Done) -> ControlFlow<()>,
) -> Result<(), DriveError<E::Error>>
where
    E: Engine,
    L: Lane<E::Session>,
{
    let mut waiting = lanes.into_iter().enumerate().fuse();
    let mut running: Vec<(usize, L)> = Vec::new();
    loop {
        while running.len() < width.max(1) {
            let Some((index, lane)) = waiting.next() else { break };
            running.push((index, lane?));
        }
        if running.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        let counts: Vec<usize> = running
            .iter_mut()
            .map(|(_, lane)| {
                let before = rows.len();
                lane.rows(&mut rows);
                rows.len() - before
            })
            .collect();
        let outputs = if rows.is_empty() { Ok(Vec::new()) } else { engine.forward(&mut rows) };
        let mut outputs = outputs.map_err(DriveError::Engine)?.into_iter();
        drop(rows);

        let mut still = Vec::with_capacity(running.len());
        for ((index, mut lane), count) in running.drain(..).zip(counts) {
            let own = outputs.by_ref().take(count).collect();
            match lane.absorb(engine.vocab(), own).map_err(|source| DriveError::Sampling { lane: index, source })? {
                None => still.push((index, lane)),
                Some(result) => {
                    if done(index, result).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        running = still;
    }
}

/// As [`drive`], with the results of all lanes in the order of the lanes.
///
/// # Errors
/// As [`drive`].
pub fn drive_all<E, L>(
    engine: &E,
    lanes: impl IntoIterator<Item = Result<L, DriveError<E::Error>>>,
    width: usize,
) -> Result<Vec<L::Done>, DriveError<E::Error>>
where
    E: Engine,
    L: Lane<E::Session>,
{
    let mut results = BTreeMap::new();
    drive(engine, lanes, width, |index, result| {
        results.insert(index, result);
        ControlFlow::Continue(())
    })?;
    Ok(results.into_values().collect())
}

/// Why a run of lanes stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E: std::error::Error + 'static> {
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] E),
    /// A lane could not be started.
    #[error("a sequence could not be started")]
    Request(#[from] RequestError),
    /// One of a batch of requests cannot be served, and none was begun.
    #[error("request {request} of the batch")]
    Refused {
        /// Its place among those given, from 0.
        request: usize,
        /// What is wrong with it.
        #[source]
        source: RequestError,
    },
    /// A model computed logits that describe no distribution.
    #[error("sequence {lane}")]
    Sampling {
        /// Place of the lane among those given.
        lane: usize,
        /// What was wrong with the row.
        #[source]
        source: SamplingError,
    },
}

use std::sync::Arc;

use stir_controller::LayerState;
use stir_core::{Engine, HookPoint, Row, Session, TokenId, prefill};

use crate::{Observer, Phase, Progress, Start, ValidationError};

/// Reads the residual stream after `layers` at every start, and hands the states of each to `found` with its place.
/// Returns the number of tokens encoded.
///
/// A prompt is encoded once for all starts with it that follow each other, and an answer once up to its last start, up to
/// `max_batch` of them side by side; that needs the starts of an answer to follow each other, each further on.
///
/// # Errors
/// [`ValidationError::Engine`], and [`ValidationError::Stopped`] where the observer ends it.
pub fn read_states<E: Engine>(
    engine: &E,
    starts: &[Start],
    layers: &[usize],
    max_batch: usize,
    mut found: impl FnMut(usize, Vec<LayerState>),
    observer: &mut Observer<'_>,
) -> Result<usize, ValidationError<E::Error>> {
    let points: Vec<HookPoint> = layers.iter().copied().map(HookPoint::ResidPost).collect();
    let (mut encoded, mut first, mut done) = (0, 0, 0);
    for problem in starts.chunk_by(|a, b| Arc::ptr_eq(&a.prompt, &b.prompt) || a.prompt == b.prompt) {
        let prompt = &problem[0].prompt;
        let head = prefill(engine, prompt).map_err(ValidationError::Engine)?;
        encoded += head.len();
        let rollouts: Vec<&[Start]> = problem.chunk_by(|a, b| a.len < b.len && a.answer == b.answer).collect();
        for some in rollouts.chunks(max_batch.max(1)) {
            let mut walks = Vec::with_capacity(some.len());
            for rollout in some {
                let tokens = rollout.last().map(Start::prefix).unwrap_or_default();
                walks.push(Walk { session: head.fork(), tokens, starts: rollout, read: 0, first });
                first += rollout.len();
            }
            while walks.iter().any(Walk::has_more) {
                let mut running: Vec<&mut Walk<'_, E::Session>> = walks.iter_mut().filter(|w| w.has_more()).collect();
                let mut rows: Vec<Row<'_, E::Session>> = running.iter_mut().map(|walk| walk.row(&points)).collect();
                encoded += rows.iter().map(|row| row.tokens.len()).sum::<usize>();
                let outputs = engine.forward(&mut rows).map_err(ValidationError::Engine)?;
                drop(rows);
                for (walk, output) in running.into_iter().zip(outputs) {
                    let states = layers.iter().zip(output.captures);
                    let states = states.map(|(&layer, values)| LayerState { layer, values }).collect();
                    found(walk.first + walk.read, states);
                    walk.read += 1;
                    done += 1;
                }
                let progress = Progress { phase: Phase::States, done, asked: starts.len(), tokens: encoded };
                if observer(progress).is_break() {
                    return Err(ValidationError::Stopped);
                }
            }
        }
    }
    Ok(encoded)
}

/// One answer on its way through the model, from start to start.
struct Walk<'s, S> {
    session: S,
    tokens: Vec<TokenId>,
    starts: &'s [Start],
    read: usize,
    /// The place of the first of its starts among all.
    first: usize,
}

impl<S: Session> Walk<'_, S> {
    fn has_more(&self) -> bool {
        self.read < self.starts.len()
    }

    /// Returns the row that ends at the next start.
    fn row<'a>(&'a mut self, points: &'a [HookPoint]) -> Row<'a, S> {
        let end = self.starts.get(self.read).map_or(self.tokens.len(), Start::prefix_len);
        let tokens = &self.tokens[self.session.len()..end];
        Row { session: &mut self.session, tokens, additions: Vec::new(), capture: points, logits: false }
    }
}

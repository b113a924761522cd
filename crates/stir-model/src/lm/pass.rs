//! One forward pass, from rows that a caller asks for to the decoder and back.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};
use stir_core::{Addition, Engine, HookPoint, Row, Session, TokenId};

use super::Lm;
#[cfg(feature = "flex")]
use crate::cpu::Native;
use crate::{
    KvCache, ModelError, RowError,
    attention::Cached,
    batch::Batch,
    cache::Extension,
    compute::{Compute, indices, read},
    hooks::{Captured, HookRecorder, Hooks, NoHooks},
    shared_rows::{SharedRows, layers_before},
};

/// The logits and the residual stream at every position of one sequence; see [`Lm::inspect`].
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The logits, `[length, vocab_size]`, row by row.
    pub logits: Vec<f32>,
    /// For each decoder layer the stream after it, `[length, hidden_size]`, row by row.
    pub resid_post: Vec<Vec<f32>>,
}

impl Lm {
    /// Returns the logits and the residual stream after every layer, at every position of `tokens`.
    ///
    /// Each of `additions` is made at its position, as in a forward pass of the engine. Everything is computed in one
    /// pass, whatever the prefill chunk.
    ///
    /// # Errors
    /// The errors of [`Engine::forward`].
    pub fn inspect(&self, tokens: &[TokenId], additions: Vec<Addition<'_>>) -> Result<Inspection, ModelError> {
        let mut session = self.session();
        let points: Vec<HookPoint> = (0..self.config().n_layers).map(HookPoint::ResidPost).collect();
        let mut rows = [Row { session: &mut session, tokens, additions, capture: &[], logits: true }];
        self.check(&rows)?;
        let everywhere: Vec<usize> = (0..tokens.len()).collect();
        let (logits, mut captured) = self.run(
            &mut rows,
            |hooks| {
                for (&point, &token) in
                    points.iter().flat_map(|point| everywhere.iter().map(move |token| (point, token)))
                {
                    hooks.capture(point, token);
                }
            },
            &everywhere,
        )?;
        let resid_post =
            points.iter().map(|point| captured.remove(point).map(Captured::into_values).unwrap_or_default());
        Ok(Inspection { resid_post: resid_post.collect(), logits })
    }

    /// Runs one pass over `rows`, which have been checked. Returns the logits at the batch's tokens `logits_at` and
    /// what was captured.
    pub(super) fn run<'r>(
        &self,
        rows: &'r mut [Row<'_, KvCache>],
        capture: impl FnOnce(&mut HookRecorder),
        logits_at: &[usize],
    ) -> Result<(Vec<f32>, BTreeMap<HookPoint, Captured>), ModelError> {
        let mut first = 0;
        let mut hooks = HookRecorder::new(&self.device);
        for row in rows.iter() {
            for addition in &row.additions {
                let token = first + addition.position - row.session.len();
                hooks.add(addition.point, token, addition.vector, addition.scale);
            }
            first += row.tokens.len();
        }
        capture(&mut hooks);
        let extension = |row: &'r mut Row<'_, KvCache>| {
            let untouched = row.additions.iter().map(|addition| layers_before(addition.point)).min();
            Extension { cache: &mut *row.session, tokens: row.tokens, untouched: untouched.unwrap_or(usize::MAX) }
        };
        let rows = rows.iter_mut().map(extension).collect();
        let logits = self.pass(rows, logits_at, &mut hooks)?;
        Ok((logits, hooks.collect()?))
    }

    /// Runs one row through a decoder without hook points, for a benchmark of what unused hook points cost.
    ///
    /// # Errors
    /// The errors of [`Engine::forward`].
    #[doc(hidden)]
    pub fn forward_without_hooks(&self, session: &mut KvCache, tokens: &[TokenId]) -> Result<Vec<f32>, ModelError> {
        self.check(&[Row { session, tokens, additions: Vec::new(), capture: &[], logits: true }])?;
        let row = Extension { cache: session, tokens, untouched: usize::MAX };
        self.pass(vec![row], &[tokens.len() - 1], &mut NoHooks)
    }

    /// Appends tokens to sequences. Returns the logits at the batch's tokens `logits_at`.
    fn pass(
        &self,
        rows: Vec<Extension<'_>>,
        logits_at: &[usize],
        hooks: &mut impl Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        // On a CPU the cost of a pass grows with its rows: none is computed twice.
        #[cfg(feature = "flex")]
        let is_shared = self.kernels;
        #[cfg(not(feature = "flex"))]
        let is_shared = false;
        let layers = hooks.layers_before().min(self.config().n_layers);
        let shared = if is_shared { SharedRows::find(&rows, layers) } else { None };
        let batch = Batch::new(rows, shared);
        let tokens: Vec<i64> = batch.leaders().flat_map(|(row, _)| row.tokens.iter().copied().map(i64::from)).collect();
        let count = tokens.len();
        let tokens = Tensor::from_data(TensorData::new(tokens, [count]), &self.device);
        #[cfg(feature = "flex")]
        if self.kernels {
            return self.compute_with(Native::new(self.config(), batch, self.activations), tokens, logits_at, hooks);
        }
        let compute = Cached::new(self.config(), batch, self.decoder.dtype(), &self.device);
        self.compute_with(compute, tokens, logits_at, hooks)
    }

    fn compute_with(
        &self,
        mut compute: impl Compute,
        tokens: Tensor<1, Int>,
        logits_at: &[usize],
        hooks: &mut impl Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        let mut stream = self.decoder.stream(tokens, &mut compute, hooks);
        if logits_at.len() < stream.dims()[0] {
            stream = stream.select(0, indices(logits_at, &self.device));
        }
        let logits = if logits_at.is_empty() { Vec::new() } else { read(self.decoder.logits(stream, &compute))? };
        compute.finish();
        Ok(logits)
    }

    /// Encodes all but the last chunk of a row. Returns the rest of the row.
    pub(super) fn encode_head<'r>(&self, row: &'r mut Row<'_, KvCache>) -> Result<Row<'r, KvCache>, ModelError> {
        let (head, last) = row.tokens.split_at((row.tokens.len() - 1) / self.chunk * self.chunk);
        let prefill = || tracing::debug_span!("prefill", tokens = row.tokens.len(), past = row.session.len()).entered();
        let _span = (!head.is_empty()).then(prefill);
        let within = |start: usize, tokens: &[TokenId]| -> Vec<Addition<'r>> {
            let positions = start..start + tokens.len();
            row.additions.iter().filter(|addition| positions.contains(&addition.position)).copied().collect()
        };
        for tokens in head.chunks(self.chunk) {
            let additions = within(row.session.len(), tokens);
            let chunk = Row { session: &mut *row.session, tokens, additions, capture: &[], logits: false };
            self.run(&mut [chunk], |_| (), &[])?;
        }
        let additions = within(row.session.len(), last);
        Ok(Row { session: &mut *row.session, tokens: last, additions, capture: row.capture, logits: row.logits })
    }

    pub(super) fn check(&self, rows: &[Row<'_, KvCache>]) -> Result<(), ModelError> {
        let refused = |(row, source)| ModelError::Row { row, source };
        rows.iter()
            .enumerate()
            .try_for_each(|(i, row)| self.check_row(row).map_err(|source| (i, source)))
            .map_err(refused)
    }

    fn check_row(&self, row: &Row<'_, KvCache>) -> Result<(), RowError> {
        RowError::check(self.shape(), row.session.len(), row.tokens, row.capture, &row.additions)
    }
}

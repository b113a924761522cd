use stir_core::{Output, TokenId, Vocab};

use crate::ProbeBranch;

/// The probes at a control point: one without an impulse, and one for each candidate.
#[derive(Debug)]
pub(crate) struct Probes<S> {
    pub(crate) null: Probe<S>,
    pub(crate) candidates: Vec<Probe<S>>,
    /// What the pass of the boundary token returned.
    pub(crate) after_boundary: Output,
}

/// One of them, on an engine.
#[derive(Debug)]
pub(crate) struct Probe<S> {
    pub(crate) branch: ProbeBranch,
    pub(crate) session: S,
    /// The token to encode next, if any.
    pub(crate) pending: Vec<TokenId>,
}

impl<S> Probes<S> {
    /// Returns the probes, in the order of their rows.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Probe<S>> {
        std::iter::once(&mut self.null).chain(&mut self.candidates)
    }

    /// Returns the number of probes that sit this pass out: the unsteered one has its first token already, and waits
    /// for the others to have one.
    pub(crate) fn waiting(&self) -> usize {
        usize::from(!self.candidates.iter().all(Probe::has_begun))
    }
}

impl<S> Probe<S> {
    /// Returns whether its first token is known, or it gets none.
    fn has_begun(&self) -> bool {
        !self.branch.choices().is_empty() || !self.branch.is_running()
    }

    /// Takes the logits of a pass and the state that it captured, if any.
    pub(crate) fn push(&mut self, vocab: &Vocab, logits: &[f32], state: Option<&Vec<f32>>) {
        if let Some(state) = state {
            self.branch.read(state);
        }
        self.branch.push(logits, vocab);
        self.pending = self.branch.choices().last().map(|choice| choice.token).into_iter().collect();
    }
}

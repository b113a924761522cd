use std::collections::BTreeMap;

use stir_core::{Delimiter, TokenId, Vocab, control_points};

use crate::{Fork, Rollout, RolloutError};

/// A judged continuation of a boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The number of the sample.
    pub k: usize,
    /// The tokens after the boundary, with the one that ended the sequence.
    pub tokens: Vec<TokenId>,
    /// True if the whole answer is right.
    pub correct: bool,
}

/// A boundary with its continuations: a node of the tree that [`Forks`](crate::Forks) grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkNode {
    /// The number of the parent and that of its continuation which reached this boundary; `None` for the end of the
    /// prompt.
    pub parent: Option<(usize, usize)>,
    /// The control point; 0 for the end of the prompt.
    pub m: usize,
    /// The tokens of the answer up to the boundary.
    pub prefix: Vec<TokenId>,
    /// The continuations, by rising `k`.
    pub continuations: Vec<Continuation>,
}

impl ForkNode {
    /// Returns the number of right continuations.
    pub fn right(&self) -> usize {
        self.continuations.iter().filter(|continuation| continuation.correct).count()
    }

    /// Returns whether there are right and wrong continuations: the value of the boundary is undecided.
    pub fn is_mixed(&self) -> bool {
        (1..self.continuations.len()).contains(&self.right())
    }

    /// Returns the estimate of the probability that a continuation is right, `(right + 1) / (n + 2)`: the posterior mean
    /// under a uniform prior (Laplace's rule of succession). The share of right ones itself would lie too far from one
    /// half where drawing stopped after a first half without disagreement; a posterior does not depend on such a rule.
    ///
    /// ```
    /// use stir_rollout::{Continuation, ForkNode};
    /// let continuation = |k| Continuation { k, tokens: vec![], correct: k > 0 };
    /// let continuations = (0..4).map(continuation).collect();
    /// let node = ForkNode { parent: None, m: 0, prefix: vec![], continuations };
    /// assert_eq!(node.value(), 4.0 / 6.0);
    /// assert!((node.value_variance() - 4.0 / 6.0 * 2.0 / 6.0 / 7.0).abs() < 1e-12);
    /// ```
    pub fn value(&self) -> f64 {
        (self.right() + 1) as f64 / (self.continuations.len() + 2) as f64
    }

    /// Returns the variance of [`value`](Self::value): that of the posterior, `value (1 - value) / (n + 3)`.
    pub fn value_variance(&self) -> f64 {
        self.value() * (1.0 - self.value()) / (self.continuations.len() + 3) as f64
    }

    /// Returns the number of tokens of the answer up to the end of the next segment in `continuation`, and the control
    /// point that it is. `None` without such an end, or when nothing follows it.
    pub fn next_boundary(
        &self,
        continuation: &Continuation,
        vocab: &Vocab,
        delimiter: &Delimiter,
    ) -> Option<(usize, usize)> {
        // Counted from the start of the answer: a delimiter may begin within the token of this boundary.
        let answer = self.answer(continuation);
        let points = control_points(vocab, delimiter, &answer);
        let next = points.iter().find(|point| point.token >= self.prefix.len())?;
        (next.token + 1 < answer.len()).then_some((next.token + 1, next.m))
    }

    /// Returns the tokens of the whole answer that ends with `continuation`.
    pub fn answer(&self, continuation: &Continuation) -> Vec<TokenId> {
        [&self.prefix[..], &continuation.tokens].concat()
    }

    /// Returns the end of the prompt as a boundary: its continuations are `rollouts`, with the tokens that `tokens` gives
    /// of them. Rollouts without any are left out.
    pub(crate) fn root(rollouts: &[Rollout], tokens: impl Fn(&Rollout) -> Option<Vec<TokenId>>) -> Self {
        let usable = rollouts.iter().filter_map(|rollout| {
            let Rollout { k, correct, .. } = *rollout;
            Some(Continuation { k, tokens: tokens(rollout)?, correct })
        });
        let mut continuations: Vec<Continuation> = usable.collect();
        continuations.sort_by_key(|continuation| continuation.k);
        Self { parent: None, m: 0, prefix: Vec::new(), continuations }
    }
}

/// Puts the tree of one problem together: its boundaries by number, the first of which is the end of the prompt.
/// `tokens` returns the tokens of a rollout; rollouts for which there are none are left out.
///
/// The keys are the numbers of the boundaries: those of an interrupted run may have gaps.
///
/// # Errors
/// [`RolloutError::NotOfTree`] for the first continuation that does not fit: one of another problem, of a boundary that
/// other continuations of it describe otherwise, or whose parent has a higher number or another text.
pub fn fork_tree(
    rollouts: &[Rollout],
    forks: &[Fork],
    tokens: impl Fn(&Rollout) -> Option<Vec<TokenId>>,
) -> Result<BTreeMap<usize, ForkNode>, RolloutError> {
    let mut nodes = BTreeMap::from([(0, ForkNode::root(rollouts, tokens))]);
    let mut sorted: Vec<&Fork> = forks.iter().collect();
    sorted.sort_by_key(|fork| (fork.node, fork.k));
    for fork in sorted {
        let Fork { id, node, k, .. } = fork;
        let misfit = || RolloutError::NotOfTree { id: id.clone(), node: *node, k: *k };
        let reached = |nodes: &BTreeMap<usize, ForkNode>| {
            let parent = nodes.get(&fork.parent)?;
            let via = parent.continuations.iter().find(|continuation| continuation.k == fork.via)?;
            let is_longer = fork.prefix.len() > parent.prefix.len();
            (is_longer && parent.answer(via).starts_with(&fork.prefix)).then_some(())
        };
        if rollouts.first().is_some_and(|rollout| rollout.id != *id) || fork.parent >= *node {
            return Err(misfit());
        }
        if !nodes.contains_key(node) {
            reached(&nodes).ok_or_else(misfit)?;
            let (parent, m, prefix) = (Some((fork.parent, fork.via)), fork.m, fork.prefix.clone());
            nodes.insert(*node, ForkNode { parent, m, prefix, continuations: Vec::new() });
        }
        let known = nodes.get_mut(node).ok_or_else(misfit)?;
        if (known.parent, known.m, &known.prefix) != (Some((fork.parent, fork.via)), fork.m, &fork.prefix) {
            return Err(misfit());
        }
        let Fork { token_ids, correct, .. } = fork;
        known.continuations.push(Continuation { k: *k, tokens: token_ids.clone(), correct: *correct });
    }
    Ok(nodes)
}

//! Comparisons of what good and bad continuations of one boundary do in their next segment.

use std::collections::{BTreeMap, HashMap};

use stir_core::{Text, control_points};
use stir_rollout::{Continuation, Fork, ForkNode, Rollout, RolloutError, fork_tree};

use crate::{
    InductionConfig, Skipped,
    contrast::Member,
    problem::{Boundary, Comparison, Reading},
};

/// What rounding may leave of two sides of the same value.
const ROUNDING: f64 = 1e-12;

/// A boundary whose continuations are read.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) tree: ForkNode,
    /// The continuations that reach the end of another segment: the place among all, and the boundary there.
    pub(crate) next: Vec<(usize, Boundary)>,
    /// The place of its comparison among those of the problem.
    pub(crate) comparison: Option<usize>,
}

/// The boundaries of a problem with right and wrong continuations, by number, and their comparisons.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: BTreeMap<usize, Node>,
    pub(crate) comparisons: Vec<Comparison>,
}

/// The number of the walk that reads the boundary `node`; those of its continuations follow.
///
/// Walks of one problem are numbered by boundary, each with as many as it has continuations.
pub(crate) fn walks(nodes: &BTreeMap<usize, Node>) -> HashMap<usize, usize> {
    let mut first = 0;
    let numbered = nodes.iter().map(|(&node, Node { tree, .. })| {
        let walk = first;
        first += 1 + tree.continuations.len();
        (node, walk)
    });
    numbered.collect()
}

/// Returns the comparisons of a problem. `members` are the rollouts that can be used.
///
/// # Errors
/// [`RolloutError::NotOfTree`] for forks that do not fit the rollouts or the delimiter.
pub(crate) fn plan<E: Text>(
    engine: &E,
    config: &InductionConfig,
    rollouts: &[Rollout],
    members: &[Member],
    forks: &[Fork],
    prompt_tokens: usize,
    skipped: &mut Skipped,
) -> Result<Plan, RolloutError> {
    let (vocab, shape) = (engine.vocab(), engine.shape());
    let of_rollout = |rollout: &Rollout| {
        let member = members.iter().find(|member| member.k == rollout.k)?;
        Some(member.tokens.clone())
    };
    let mut tree = fork_tree(rollouts, forks, of_rollout)?;
    for (number, node) in &tree {
        let ends = control_points(vocab, &config.delimiter, &node.prefix).last().map(|point| point.token + 1);
        if ends.unwrap_or(0) != node.prefix.len() {
            let (id, k) = (rollouts.first().map(|rollout| rollout.id.clone()).unwrap_or_default(), 0);
            return Err(RolloutError::NotOfTree { id, node: *number, k });
        }
    }
    for node in tree.values_mut() {
        let before = node.prefix.len();
        node.continuations.retain(|Continuation { tokens, .. }| {
            let outside = tokens.iter().any(|&token| token as usize >= shape.vocab_size);
            let too_long = prompt_tokens + before + tokens.len() > shape.max_context;
            skipped.outside_vocabulary += usize::from(outside);
            skipped.too_long += usize::from(!outside && too_long);
            !outside && !too_long
        });
    }
    let values: HashMap<Vec<u32>, (f64, f64)> = tree
        .values()
        .filter(|node| node.m > 0)
        .map(|node| (node.prefix.clone(), (node.value(), node.value_variance())))
        .collect();
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    for (number, tree) in tree.into_iter().filter(|(_, node)| node.is_mixed() && node.m <= config.max_control_points) {
        let reached = tree.continuations.iter().enumerate().filter_map(|(place, continuation)| {
            let (end, m) = tree.next_boundary(continuation, vocab, &config.delimiter)?;
            let length = tree.prefix.len() + continuation.tokens.len();
            Some((place, Boundary { m, token: end - 1, length }))
        });
        let next = reached.collect();
        nodes.insert(number, Node { tree, next, comparison: None });
    }
    let walks = walks(&nodes);
    let mut comparisons = Vec::new();
    for (number, node) in &mut nodes {
        if let Some(comparison) = compare(node, walks[number], &values, config, skipped) {
            node.comparison = Some(comparisons.len());
            comparisons.push(comparison);
        }
    }
    Ok(Plan { nodes, comparisons })
}

/// Returns the comparison of a boundary; `walk` is the number of the walk that reads it.
fn compare(
    node: &Node,
    walk: usize,
    values: &HashMap<Vec<u32>, (f64, f64)>,
    config: &InductionConfig,
    skipped: &mut Skipped,
) -> Option<Comparison> {
    let side = |correct: bool| -> Vec<&(usize, Boundary)> {
        node.next.iter().filter(|(place, _)| node.tree.continuations[*place].correct == correct).collect()
    };
    let (right, wrong) = (side(true), side(false));
    if right.len() < config.min_correct || wrong.len() < config.min_incorrect {
        skipped.too_few += 1;
        return None;
    }
    // Per sampled boundary: how much more of the right continuations than of the wrong ones reach it.
    let mut weights: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
    for (side, sign) in [(&right, 1.0), (&wrong, -1.0)] {
        let prefixes = side.iter().map(|(place, boundary)| {
            let mut prefix = node.tree.answer(&node.tree.continuations[*place]);
            prefix.truncate(boundary.token + 1);
            prefix
        });
        let valued: Vec<Vec<u32>> = prefixes.filter(|prefix| values.contains_key(prefix)).collect();
        if valued.is_empty() {
            skipped.unvalued += 1;
            return None;
        }
        let share = sign / valued.len() as f64;
        valued.into_iter().for_each(|prefix| *weights.entry(prefix).or_default() += share);
    }
    let terms = || weights.iter().filter_map(|(prefix, weight)| Some((weight, values.get(prefix)?)));
    let quality: f64 = terms().map(|(weight, (value, _))| weight * value).sum();
    let variance: f64 = terms().map(|(weight, (_, variance))| weight * weight * variance).sum();
    if !(quality > ROUNDING && quality.is_finite()) {
        skipped.no_gain += 1;
        return None;
    }
    let reading =
        |&&(place, boundary): &&(usize, Boundary)| Reading { walk: walk + 1 + place, at: boundary.token, boundary };
    Some(Comparison {
        m: node.tree.m,
        quality,
        quality_error: Some(variance.sqrt()),
        context: Some(node.context(walk)),
        plus: right.iter().map(reading).collect(),
        minus: wrong.iter().map(reading).collect(),
    })
}

impl Node {
    /// Returns the reading of the boundary itself.
    pub(crate) fn context(&self, walk: usize) -> Reading {
        let token = self.tree.prefix.len().saturating_sub(1);
        Reading { walk, at: token, boundary: Boundary { m: self.tree.m, token, length: self.tree.prefix.len() } }
    }
}

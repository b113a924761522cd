use std::{cmp::Ordering, ops::Range};

use stir_core::Vocab;

use super::{Continuation, ForkConfig, ForkNode};

/// Decides which boundaries of a problem are sampled, and how often. It depends on nothing but the settings and the
/// continuations so far, so that a run which is resumed decides the same.
///
/// The tree grows level by level, each in two waves: every new boundary gets the first half of its continuations, then
/// those with right and wrong ones the second half. The next level are the boundaries that continuations of undecided
/// ones reach. Whatever the budget does not hold in full is left out; the most undecided come first.
#[derive(Debug)]
pub(crate) struct Planner<'c> {
    config: &'c ForkConfig,
    /// The number of continuations that may still be drawn.
    left: usize,
    nodes: Vec<ForkNode>,
    /// The nodes that were added last.
    level: Range<usize>,
    /// True if the first halves of that level are drawn, and not yet the second.
    half: bool,
    max_context: usize,
}

impl<'c> Planner<'c> {
    /// Begins a tree. The model's context has room for `max_context` tokens after the prompt.
    pub(crate) fn new(config: &'c ForkConfig, root: ForkNode, max_context: usize) -> Self {
        Self { config, left: config.per_problem, nodes: vec![root], level: 0..1, half: false, max_context }
    }

    pub(crate) fn node(&self, node: usize) -> &ForkNode {
        &self.nodes[node]
    }

    /// Returns the boundaries, from 1.
    pub(crate) fn sampled(&self) -> &[ForkNode] {
        &self.nodes[1..]
    }

    /// Takes a continuation of a boundary.
    pub(crate) fn add(&mut self, node: usize, continuation: Continuation) {
        let all = &mut self.nodes[node].continuations;
        all.insert(all.partition_point(|other| other.k < continuation.k), continuation);
    }

    /// Returns the continuations to be drawn next, by boundary and number, once all earlier ones have been added; none
    /// at the end.
    pub(crate) fn wave(&mut self, vocab: &Vocab) -> Vec<(usize, usize)> {
        let (first, all) = (self.config.first_half(), self.config.continuations);
        let mut wave = Vec::new();
        if self.half {
            self.half = false;
            for node in self.undecided() {
                if self.left >= all - first {
                    self.left -= all - first;
                    wave.extend((first..all).map(|k| (node, k)));
                }
            }
        }
        if wave.is_empty() {
            self.grow(vocab);
            self.half = true;
            wave.extend(self.level.clone().flat_map(|node| (0..first).map(move |k| (node, k))));
        }
        wave
    }

    /// Returns the boundaries of the last level with right and wrong continuations, most undecided first.
    fn undecided(&self) -> Vec<usize> {
        let mut mixed: Vec<usize> = self.level.clone().filter(|&node| self.nodes[node].is_mixed()).collect();
        mixed.sort_by(|&a, &b| by_distance_from_half(&self.nodes[a], &self.nodes[b]));
        mixed
    }

    /// Adds the next level.
    fn grow(&mut self, vocab: &Vocab) {
        let (first, start) = (self.config.first_half(), self.nodes.len());
        for parent in self.undecided() {
            for child in self.children(parent, vocab) {
                if self.left >= first {
                    self.left -= first;
                    self.nodes.push(child);
                }
            }
        }
        self.level = start..self.nodes.len();
    }

    /// Returns the next boundaries of right and of wrong continuations of `parent`: the first by `k` that are different.
    /// One that several continuations reach is one boundary.
    fn children(&self, parent: usize, vocab: &Vocab) -> Vec<ForkNode> {
        let node = &self.nodes[parent];
        let mut children: Vec<ForkNode> = Vec::new();
        for side in [true, false] {
            let mut room = self.config.children;
            for continuation in node.continuations.iter().filter(|continuation| continuation.correct == side) {
                let next = node.next_boundary(continuation, vocab, &self.config.delimiter);
                let Some((length, m)) = next.filter(|_| room > 0) else { continue };
                let mut prefix = node.answer(continuation);
                prefix.truncate(length);
                let is_new = children.iter().all(|child| child.prefix != prefix);
                let has_room = length < self.config.max_tokens.min(self.max_context);
                if is_new && has_room && m <= self.config.max_control_points {
                    let parent = Some((parent, continuation.k));
                    children.push(ForkNode { parent, m, prefix, continuations: Vec::new() });
                    room -= 1;
                }
            }
        }
        children
    }
}

/// Orders boundaries by the distance of their values from one half, in whole numbers, so that 1 of 4 is as far as 3.
fn by_distance_from_half(a: &ForkNode, b: &ForkNode) -> Ordering {
    let distance = |node: &ForkNode| (2 * node.right()).abs_diff(node.continuations.len());
    let weight = |node: &ForkNode| node.continuations.len() + 2;
    (distance(a) * weight(b)).cmp(&(distance(b) * weight(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab() -> Vocab {
        let texts = ["\n\n", "a", "b", "c", "d", "e", "f", "g", "h"];
        Vocab::new(texts.iter().map(|text| text.as_bytes()), [])
    }

    fn continuation(k: usize, correct: bool, tokens: &[u32]) -> Continuation {
        Continuation { k, tokens: tokens.to_vec(), correct }
    }

    fn root(continuations: Vec<Continuation>) -> ForkNode {
        ForkNode { parent: None, m: 0, prefix: vec![], continuations }
    }

    #[test]
    fn the_tree_grows_where_values_are_undecided_and_the_budget_lasts() {
        let config = ForkConfig { continuations: 4, children: 1, per_problem: 9, ..ForkConfig::default() };
        let rollouts = vec![
            continuation(0, false, &[1, 2]),    // reaches no boundary
            continuation(1, false, &[1, 0]),    // nothing follows it
            continuation(2, false, &[2, 0, 1]), // node 2
            continuation(3, true, &[3, 0, 1]),  // node 1: right ones come first
            continuation(4, true, &[4, 0, 1]),  // no more than one child a side
        ];
        let mut planner = Planner::new(&config, root(rollouts), 100);
        assert_eq!(planner.wave(&vocab()), [(1, 0), (1, 1), (2, 0), (2, 1)]);
        assert_eq!(
            (planner.node(1).parent, planner.node(1).m, &planner.node(1).prefix[..]),
            (Some((0, 3)), 1, &[3, 0][..])
        );
        assert_eq!((planner.node(2).parent, &planner.node(2).prefix[..]), (Some((0, 2)), &[2, 0][..]));
        // Node 1 is decided, node 2 is not.
        for (node, k, correct) in [(1, 0, true), (1, 1, true), (2, 1, true), (2, 0, false)] {
            planner.add(node, continuation(k, correct, &[5 + k as u32, 0, 1]));
        }
        assert_eq!(planner.wave(&vocab()), [(2, 2), (2, 3)]);
        planner.add(2, continuation(2, false, &[1]));
        planner.add(2, continuation(3, false, &[1]));
        // Three continuations are left: one child gets its half, and the other is left out.
        assert_eq!(planner.wave(&vocab()), [(3, 0), (3, 1)]);
        assert_eq!((planner.node(3).parent, planner.node(3).m), (Some((2, 1)), 2));
        assert_eq!(planner.node(3).prefix, [2, 0, 6, 0]);
        planner.add(3, continuation(0, true, &[1, 0, 1]));
        planner.add(3, continuation(1, false, &[2, 0, 1]));
        assert!(planner.wave(&vocab()).is_empty() && planner.wave(&vocab()).is_empty());
        assert_eq!(planner.sampled().len(), 3);
    }

    #[test]
    fn the_most_undecided_come_first_and_one_boundary_is_sampled_once() {
        let config = ForkConfig { continuations: 2, children: 3, per_problem: 100, ..ForkConfig::default() };
        let rollouts = vec![
            continuation(0, true, &[1, 0, 1]),
            continuation(1, false, &[1, 0, 2]), // the same boundary
            continuation(2, false, &[2, 0, 2]),
        ];
        let mut planner = Planner::new(&config, root(rollouts), 100);
        assert_eq!(planner.wave(&vocab()), [(1, 0), (2, 0)]);
        // A half of one is unanimous: with two continuations none is undecided.
        planner.add(1, continuation(0, true, &[1, 0, 1]));
        planner.add(2, continuation(0, false, &[1, 0, 1]));
        assert!(planner.wave(&vocab()).is_empty());

        let node = |right, n| root((0..n).map(|k| continuation(k, k < right, &[])).collect());
        let order = |a: (usize, usize), b: (usize, usize)| by_distance_from_half(&node(a.0, a.1), &node(b.0, b.1));
        assert_eq!(order((1, 4), (3, 4)), Ordering::Equal);
        assert_eq!(order((1, 2), (1, 4)), Ordering::Less);
        assert_eq!(order((1, 8), (1, 4)), Ordering::Greater);
    }

    #[test]
    fn neither_the_budget_of_tokens_nor_the_last_control_point_is_passed() {
        let rollouts = || vec![continuation(0, true, &[1, 0, 1, 0, 2]), continuation(1, false, &[2, 3, 0, 2])];
        for (config, max_context, nodes) in [
            (ForkConfig::default(), 100, 2),
            (ForkConfig::default(), 3, 1),
            (ForkConfig { max_tokens: 3, ..ForkConfig::default() }, 100, 1),
            (ForkConfig { max_tokens: 2, ..ForkConfig::default() }, 100, 0),
        ] {
            let mut planner = Planner::new(&config, root(rollouts()), max_context);
            planner.wave(&vocab());
            assert_eq!(planner.sampled().len(), nodes, "{config:?}");
        }
        let config = ForkConfig { max_control_points: 1, ..ForkConfig::default() };
        let mut planner = Planner::new(&config, root(rollouts()), 100);
        for (node, k) in planner.wave(&vocab()) {
            planner.add(node, continuation(k, k == 0, &[1, 0, 1]));
        }
        assert!(planner.wave(&vocab()).iter().all(|&(node, k)| node <= 2 && k >= 4));
        assert!(planner.wave(&vocab()).is_empty());
    }
}

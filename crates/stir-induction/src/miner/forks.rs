//! Problems whose continuations are compared.

use std::collections::{BTreeSet, HashMap};

use stir_core::{Session, Text, TokenId};
use stir_rollout::{Fork, Rollout, RolloutError};
use tracing::warn;

use super::{Miner, boundaries};
use crate::{
    InductionError,
    contrast::Member,
    forked,
    problem::{Problem, Reading},
    read::extend,
};

impl<E: Text, I> Miner<'_, '_, E, I>
where
    I: Iterator<Item = Result<Vec<Rollout>, RolloutError>>,
{
    /// Compares the continuations of each boundary with each other.
    pub(super) fn begin_forked(
        &mut self,
        place: usize,
        group: &[Rollout],
        members: &[Member],
        forks: &[Fork],
        prompt_tokens: &[TokenId],
    ) -> Result<(), InductionError<E::Error>> {
        let Some(Rollout { id, .. }) = group.first() else { return Ok(()) };
        let (run, skipped) = (self.run, &mut self.report.skipped);
        if prompt_tokens.is_empty() {
            warn!(id, "skipped a problem whose prompt has no token: there is no state at its end");
            skipped.unencodable_prompts += 1;
            return Ok(());
        }
        let plan = forked::plan(run.engine, &run.config, group, members, forks, prompt_tokens.len(), skipped)?;
        self.count(id, &plan.comparisons);
        let admitted = self.admit(place, plan.comparisons);
        let reads_all = self.statistics.is_some();
        let is_read = |node: &forked::Node| {
            reads_all || admitted.iter().any(|(comparison, _)| node.comparison == Some(*comparison))
        };
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for (&number, node) in plan.nodes.iter().filter(|(_, node)| is_read(node)) {
            needed.insert(number);
            let mut parent = node.tree.parent;
            while let Some((above, _)) = parent.filter(|(above, _)| needed.insert(*above)) {
                parent = plan.nodes.get(&above).and_then(|node| node.tree.parent);
            }
        }
        let mut problem = Problem { id: id.clone(), ..Problem::default() };
        let (walks, mut sessions) = (forked::walks(&plan.nodes), HashMap::<usize, E::Session>::new());
        for (number, node) in plan.nodes.iter().filter(|(number, _)| needed.contains(number)) {
            let (walk, prefix) = (walks[number], &node.tree.prefix);
            let above =
                node.tree.parent.and_then(|(parent, _)| Some((sessions.get(&parent)?, plan.nodes.get(&parent)?)));
            let (mut session, new) = match above {
                Some((session, parent)) => (session.fork(), prefix[parent.tree.prefix.len()..].to_vec()),
                // The end of the prompt, or a boundary whose parent has no continuations of both kinds that can be used.
                None => (run.engine.session(), [prompt_tokens, prefix].concat()),
            };
            let states = extend(run.engine, &mut session, &new, &run.points).map_err(InductionError::Engine)?;
            self.report.encoded_tokens += new.len();
            let context = node.context(walk);
            problem.states.insert((walk, context.at), states);
            if is_read(node) {
                self.read_continuations(&mut problem, place, node, walk, members, &session);
            }
            sessions.insert(*number, session);
        }
        problem.comparisons = admitted;
        if problem.missing > 0 {
            self.pending.insert(place, problem);
        }
        Ok(())
    }

    /// Prepares the continuations of a boundary, which `session` holds.
    fn read_continuations(
        &mut self,
        problem: &mut Problem,
        place: usize,
        node: &forked::Node,
        walk: usize,
        members: &[Member],
        session: &E::Session,
    ) {
        let is_root = node.tree.parent.is_none();
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for (k, continuation) in node.tree.continuations.iter().enumerate() {
            let mut stops = BTreeSet::new();
            let read = |at: usize, boundary| Reading { walk: walk + 1 + k, at, boundary };
            for &(_, boundary) in node.next.iter().filter(|(place, _)| *place == k) {
                let reading = read(boundary.token, boundary);
                stops.insert(reading.at);
                if continuation.correct {
                    right.push(reading)
                } else {
                    wrong.push(reading)
                }
                if !is_root {
                    problem.all.push(reading);
                }
            }
            // All boundaries of rollouts count, the first among them.
            if let Some(member) = members.iter().find(|member| is_root && member.k == continuation.k)
                && self.statistics.is_some()
            {
                for boundary in boundaries(member) {
                    stops.insert(boundary.token);
                    problem.all.push(read(boundary.token, boundary));
                }
            }
            if !stops.is_empty() {
                let answer = node.tree.answer(continuation);
                self.walk(problem, place, (walk + 1 + k, &answer), session, node.tree.prefix.len(), stops);
            }
        }
        if is_root {
            problem.starts.push(node.context(walk));
        }
        problem.sides.extend([right, wrong]);
    }
}

//! The trees of a run while they grow.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use stir_core::{Decode, Generated, Request, Row, Session, Text, TokenId, judged_text};
use tracing::{debug, warn};

use super::{
    Continuation, Fork, ForkConfig, ForkNode, ForkProgress, ForkSummary, Forks, fork_stream, output::Output,
    planner::Planner, run::Judge,
};
use crate::{Failure, FailureReason, Prompt, Rollout, RolloutError, RunError};

/// A continuation that is being drawn: the place of its problem, its boundary and its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    problem: usize,
    node: usize,
    k: usize,
}

/// The trees in progress. A problem begins when the ones before it leave room in the batch.
pub(super) struct Grower<'r, E: Text> {
    run: &'r Forks<'r, E>,
    problems: &'r [&'r [Rollout]],
    begun: usize,
    /// Trees that are not finished, by place.
    growing: Vec<Tree<'r, E::Session>>,
    output: Output,
    judge: &'r Judge<'r>,
    generated: usize,
    summary: ForkSummary<E::Error>,
}

/// The tree of one problem in progress.
struct Tree<'r, S> {
    problem: usize,
    prompt: Prompt,
    prompt_tokens: Vec<TokenId>,
    /// Holds all of the prompt but its last token.
    prompt_session: S,
    planner: Planner<'r>,
    /// What an earlier part of the run drew.
    earlier: HashMap<(usize, usize), Fork>,
    waiting: VecDeque<(usize, usize)>,
    /// Boundaries with waiting continuations whose prefix is encoded: all of it but the last token.
    sessions: HashMap<usize, S>,
    running: usize,
}

impl<'r, E: Text> Grower<'r, E> {
    pub(super) fn new(
        run: &'r Forks<'r, E>,
        problems: &'r [&'r [Rollout]],
        output: Output,
        judge: &'r Judge<'r>,
    ) -> Self {
        let summary = ForkSummary {
            problems: problems.len(),
            nodes: 0,
            decided: 0,
            continuations: 0,
            correct: 0,
            tokens: 0,
            encoded: 0,
            failures: Vec::new(),
            complete: false,
        };
        Self { run, problems, begun: 0, growing: Vec::new(), output, judge, generated: 0, summary }
    }

    pub(super) fn progress(&self) -> ForkProgress {
        ForkProgress {
            problems: self.begun - self.growing.len(),
            total: self.problems.len(),
            continuations: self.output.len(),
            tokens: self.generated,
        }
    }

    /// Returns the next continuation to be drawn, if one can be told yet.
    #[expect(clippy::type_complexity, reason = "it has one caller")]
    pub(super) fn next(&mut self) -> Result<Option<(Job, Decode<E::Session>)>, RunError<E::Error>> {
        loop {
            let waiting = self.growing.iter_mut().find_map(|tree| Some((tree.waiting.pop_front()?, tree)));
            if let Some(((node, k), tree)) = waiting {
                let problem = tree.problem;
                match tree.lane(self.run, node, k, &mut self.summary.encoded).map_err(RunError::Engine)? {
                    Ok(decode) => return Ok(Some((Job { problem, node, k }, decode))),
                    Err(reason) => self.take(Job { problem, node, k }, Err(reason))?,
                }
            } else if self.begun < self.problems.len() {
                self.begin()?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Begins the next problem.
    fn begin(&mut self) -> Result<(), RunError<E::Error>> {
        let (problem, group) = (self.begun, self.problems[self.begun]);
        self.begun += 1;
        let Some(Rollout { id, prompt, gold, .. }) = group.first() else { return Ok(()) };
        let earlier = self.output.earlier(id)?;
        let prompt = Prompt { id: id.clone(), prompt: prompt.clone(), gold: gold.clone() };
        let (engine, config) = (self.run.engine, &self.run.config);
        let prompt_tokens = match request(engine, config, &prompt) {
            Ok(tokens) => tokens,
            Err(reason) => {
                self.fail(id, reason);
                return Ok(());
            }
        };
        let mut prompt_session = engine.session();
        self.summary.encoded += extend(engine, &mut prompt_session, &prompt_tokens).map_err(RunError::Engine)?;
        let of_prompt = group.iter().filter(|rollout| rollout.prompt == prompt.prompt).cloned().collect::<Vec<_>>();
        let vocab_size = engine.shape().vocab_size;
        let root = ForkNode::root(&of_prompt, |rollout| {
            let is_known = rollout.token_ids.iter().all(|&token| (token as usize) < vocab_size);
            match rollout.token_ids.is_empty() {
                true => engine.encode(&rollout.text).ok(),
                false => is_known.then(|| rollout.token_ids.clone()),
            }
        });
        let room = engine.shape().max_context - prompt_tokens.len();
        let tree = Tree {
            problem,
            prompt,
            prompt_tokens,
            prompt_session,
            planner: Planner::new(config, root, room),
            earlier: earlier.into_iter().map(|fork| ((fork.node, fork.k), fork)).collect(),
            waiting: VecDeque::new(),
            sessions: HashMap::new(),
            running: 0,
        };
        self.growing.push(tree);
        self.plan(problem)?;
        Ok(())
    }

    /// Takes a continuation, or the reason why there is none.
    pub(super) fn take(
        &mut self,
        job: Job,
        drawn: Result<Generated, FailureReason<E::Error>>,
    ) -> Result<(), RolloutError> {
        let Job { problem, node, k } = job;
        let Some(tree) = self.growing.iter_mut().find(|tree| tree.problem == problem) else { return Ok(()) };
        tree.running -= 1;
        match drawn {
            Err(reason) => {
                let id = tree.prompt.id.clone();
                self.fail(&id, reason);
            }
            Ok(generated) => {
                self.generated += generated.tokens.len();
                let fork = tree.record(self.run.engine, node, k, &generated, self.judge);
                self.output.append(&fork)?;
                tree.planner.add(node, Continuation { k, tokens: fork.token_ids, correct: fork.correct });
            }
        }
        self.plan(problem)
    }

    /// Asks for the next continuations of a problem if all earlier ones are there, and takes those that are in the file
    /// already. Removes the tree at its end.
    fn plan(&mut self, problem: usize) -> Result<(), RolloutError> {
        let Some(place) = self.growing.iter().position(|tree| tree.problem == problem) else { return Ok(()) };
        let tree = &mut self.growing[place];
        while tree.running == 0 && tree.waiting.is_empty() {
            let wave = tree.planner.wave(self.run.engine.vocab());
            if wave.is_empty() {
                let tree = self.growing.remove(place);
                self.count(tree.planner.sampled());
                break;
            }
            tree.sessions.retain(|node, _| wave.iter().any(|(wanted, _)| wanted == node));
            for (node, k) in wave {
                let Some(fork) = tree.earlier.remove(&(node, k)) else {
                    tree.waiting.push_back((node, k));
                    continue;
                };
                if fork.prefix != tree.planner.node(node).prefix {
                    return Err(RolloutError::NotOfTree { id: fork.id, node, k });
                }
                tree.planner.add(node, Continuation { k, tokens: fork.token_ids, correct: fork.correct });
            }
        }
        Ok(())
    }

    fn count(&mut self, nodes: &[ForkNode]) {
        let ForkSummary { nodes: all, decided, continuations, correct, tokens, .. } = &mut self.summary;
        for node in nodes {
            *all += 1;
            *decided += usize::from(!node.is_mixed());
            *continuations += node.continuations.len();
            *correct += node.right();
            *tokens += node.continuations.iter().map(|continuation| continuation.tokens.len()).sum::<usize>();
        }
    }

    fn fail(&mut self, id: &str, reason: FailureReason<E::Error>) {
        warn!(id, reason = %reason, "a continuation could not be drawn");
        self.summary.failures.push(Failure { id: id.to_owned(), samples: 1, reason });
    }

    pub(super) fn finish(mut self, complete: bool) -> Result<ForkSummary<E::Error>, RolloutError> {
        for tree in mem::take(&mut self.growing) {
            self.count(tree.planner.sampled());
        }
        if complete {
            self.output.finish()?;
        }
        Ok(ForkSummary { complete, ..self.summary })
    }
}

impl<S: Session> Tree<'_, S> {
    /// Returns the lane of a continuation, or the reason why there can be none. Counts the tokens that it encodes first.
    #[expect(clippy::type_complexity, reason = "it has one caller")]
    fn lane<E: Text<Session = S>>(
        &mut self,
        run: &Forks<'_, E>,
        node: usize,
        k: usize,
        encoded: &mut usize,
    ) -> Result<Result<Decode<S>, FailureReason<E::Error>>, E::Error> {
        self.running += 1;
        let ForkNode { prefix, .. } = self.planner.node(node);
        let prompt = [&self.prompt_tokens[..], prefix].concat();
        if !self.sessions.contains_key(&node) {
            let mut session = self.prompt_session.fork();
            *encoded += extend(run.engine, &mut session, &prompt)?;
            self.sessions.insert(node, session);
        }
        let ForkConfig { max_tokens, sampling, ref stop, seed, .. } = run.config;
        let max_tokens = max_tokens - prefix.len();
        let stream = fork_stream(&self.prompt.id, prefix, k);
        let request = Request { max_tokens, sampling, stop: stop.clone(), seed, stream, ..Request::new(prompt) };
        let session = self.sessions[&node].fork();
        Ok(Decode::resume(run.engine, session, &request, 0).map_err(FailureReason::Request))
    }

    fn record(&self, engine: &impl Text, node: usize, k: usize, generated: &Generated, judge: &Judge<'_>) -> Fork {
        let ForkNode { parent, m, prefix, .. } = self.planner.node(node);
        let vocab = engine.vocab();
        let answer = generated.text_after(prefix, vocab);
        let correct = judge(&self.prompt, &judged_text(&self.prompt.prompt, &answer));
        debug!(id = self.prompt.id, node, k, tokens = generated.tokens.len(), correct, "continued");
        let (parent, via) = parent.unwrap_or_default();
        let (prefix, token_ids) = (prefix.clone(), generated.tokens.clone());
        Fork {
            id: self.prompt.id.clone(),
            node,
            k,
            parent,
            via,
            m: *m,
            prefix,
            token_ids,
            text: generated.text(vocab),
            correct,
        }
    }
}

/// Returns the tokens of a prompt that can be continued and judged, or its fault.
fn request<E: Text>(engine: &E, config: &ForkConfig, prompt: &Prompt) -> Result<Vec<TokenId>, FailureReason<E::Error>> {
    if prompt.gold.is_none() {
        return Err(FailureReason::NoGold);
    }
    let tokens = engine.encode_prompt(&prompt.prompt).map_err(FailureReason::Encode)?;
    let request = Request { max_tokens: config.max_tokens, ..Request::new(tokens) };
    request.check(engine.shape()).map_err(FailureReason::Request)?;
    Ok(request.prompt)
}

/// Extends a session to all of `tokens` but the last; returns how many those were.
fn extend<E: Text>(engine: &E, session: &mut E::Session, tokens: &[TokenId]) -> Result<usize, E::Error> {
    let rest = &tokens[session.len()..tokens.len().saturating_sub(1).max(session.len())];
    if !rest.is_empty() {
        let row = Row { session, tokens: rest, additions: Vec::new(), capture: &[], logits: false };
        engine.forward(&mut [row])?;
    }
    Ok(rest.len())
}

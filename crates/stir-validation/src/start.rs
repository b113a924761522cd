use std::{ops::RangeInclusive, sync::Arc};

use stir_core::{Delimiter, SegmentCounter, Text, TokenId};
use stir_rollout::{Prompt, Rollout};
use tracing::warn;

/// A segment boundary of a judged answer, from which the answer can be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The problem.
    pub problem: Arc<Prompt>,
    /// The number of the rollout among those of the problem.
    pub sample: usize,
    /// The control point: the number of delimiters in the answer up to here; 0 is the end of the prompt.
    pub m: usize,
    /// True if the rollout is right.
    pub right: bool,
    /// The tokens of the prompt; at least one.
    pub prompt: Arc<[TokenId]>,
    /// The tokens of the whole answer, with what came after the boundary.
    pub answer: Arc<[TokenId]>,
    /// The number of tokens of the answer up to the boundary, with the token that ends the segment.
    pub len: usize,
}

/// The boundaries of rollouts, and how many rollouts have none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Starts {
    /// The boundaries by problem, rollout and control point.
    pub starts: Vec<Start>,
    /// The number of problems that have any.
    pub problems: usize,
    /// The number of rollouts without a gold answer, or whose tokens the model does not have or cannot hold.
    pub skipped: usize,
}

impl Start {
    /// Returns the tokens that are continued: the prompt, and the answer up to the boundary.
    pub fn prefix(&self) -> Vec<TokenId> {
        [&self.prompt[..], &self.answer[..self.len.min(self.answer.len())]].concat()
    }

    /// Returns the number of tokens of the prefix.
    pub fn prefix_len(&self) -> usize {
        self.prompt.len() + self.len.min(self.answer.len())
    }

    /// Returns what names the boundary among those of all rollouts.
    pub fn name(&self) -> String {
        format!("{} sample {} m {}", self.problem.id, self.sample, self.m)
    }
}

impl Starts {
    /// Finds the boundaries of `rollouts`, problem by problem, at the control points `points`. A token that completes
    /// several delimiters is one boundary, the last of them, as it is for a controller. The end of a prompt (control
    /// point 0) is one boundary of each problem, with its first rollout; the last boundary of an answer counts only if
    /// something follows it.
    ///
    /// # Errors
    /// That of `rollouts`.
    pub fn of_rollouts<E: Text, X>(
        engine: &E,
        rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, X>>,
        delimiter: &Delimiter,
        points: RangeInclusive<usize>,
    ) -> Result<Self, X> {
        let mut found = Self::default();
        for group in rollouts {
            found.add(engine, &group?, delimiter, &points);
        }
        Ok(found)
    }

    fn add<E: Text>(&mut self, engine: &E, group: &[Rollout], delimiter: &Delimiter, points: &RangeInclusive<usize>) {
        let Some(Rollout { id, prompt, gold, .. }) = group.first() else { return };
        let problem = Arc::new(Prompt { id: id.clone(), prompt: prompt.clone(), gold: gold.clone() });
        let tokens = engine.encode_prompt(prompt).unwrap_or_default();
        if gold.is_none() || tokens.is_empty() {
            warn!(id, "skipped a problem without a gold answer or a prompt that the model can read");
            self.skipped += group.len();
            return;
        }
        let (prompt, before) = (Arc::<[TokenId]>::from(tokens), self.starts.len());
        for rollout in group {
            match answer(engine, rollout, &problem, prompt.len()) {
                None => {
                    warn!(id, k = rollout.k, "skipped a rollout that the model cannot read");
                    self.skipped += 1;
                }
                Some(answer) => {
                    let start = |m, len| Start {
                        problem: problem.clone(),
                        sample: rollout.k,
                        m,
                        right: rollout.correct,
                        prompt: prompt.clone(),
                        answer: answer.clone(),
                        len,
                    };
                    if points.contains(&0) && self.starts.len() == before {
                        self.starts.push(start(0, 0));
                    }
                    let mut counter = SegmentCounter::new(delimiter.clone());
                    for (token, &id) in answer.iter().enumerate().take(answer.len() - 1) {
                        if counter.push(engine.vocab().bytes(id)) > 0 && points.contains(&counter.count()) {
                            self.starts.push(start(counter.count(), token + 1));
                        }
                    }
                }
            }
        }
        self.problems += usize::from(self.starts.len() > before);
    }
}

/// Returns the tokens of an answer; `None` where there are none, or the model does not have or cannot hold them.
fn answer<E: Text>(engine: &E, rollout: &Rollout, problem: &Prompt, prompt: usize) -> Option<Arc<[TokenId]>> {
    let tokens = match rollout.token_ids.is_empty() {
        true => engine.encode(&rollout.text).ok()?,
        false => rollout.token_ids.clone(),
    };
    let shape = engine.shape();
    let known = tokens.iter().all(|&token| (token as usize) < shape.vocab_size);
    let fits = !tokens.is_empty() && prompt + tokens.len() <= shape.max_context;
    (known && fits && rollout.prompt == problem.prompt).then(|| tokens.into())
}

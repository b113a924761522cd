//! Rollouts as answers that a model can encode.

use std::collections::HashMap;

use stir_core::{HookPoint, Row, Text, TokenId, control_points};
use stir_rollout::{Rollout, reward};
use tracing::warn;

use crate::{InductionConfig, PositiveSource, Skipped, contrast::Member};

/// Reads the answers of problems, each counted and left out if it cannot be used.
#[derive(Debug)]
pub(crate) struct Reader<'r, E> {
    pub(crate) engine: &'r E,
    pub(crate) config: &'r InductionConfig,
    /// Gold solutions by problem.
    pub(crate) solutions: &'r HashMap<String, String>,
}

impl<E: Text> Reader<'_, E> {
    /// Returns the answers of a problem that can be used, by rising `k`; a gold solution comes last.
    pub(crate) fn members(
        &self,
        group: &[Rollout],
        prompt: &str,
        prompt_tokens: usize,
        skipped: &mut Skipped,
    ) -> Vec<Member> {
        let config = self.config;
        let mut sorted: Vec<&Rollout> = group.iter().collect();
        sorted.sort_by_key(|rollout| rollout.k);
        let mut members = Vec::new();
        for rollout in sorted {
            let Rollout { ref id, k, .. } = *rollout;
            if rollout.prompt != prompt {
                warn!(id, k, "skipped a rollout whose prompt is not that of its problem");
                skipped.other_prompts += 1;
            } else if !rollout.reward.is_finite() {
                warn!(id, k, reward = rollout.reward, "skipped a rollout whose reward is not finite");
                skipped.non_finite_rewards += 1;
            } else if let Some(tokens) = self.tokens(id, &rollout.text, &rollout.token_ids, prompt_tokens, skipped) {
                members.push(self.member(k, tokens, rollout.correct, rollout.reward));
            }
        }
        let gold = match config.positives {
            PositiveSource::Rollout => false,
            PositiveSource::Gold => {
                members.retain(|member| !member.correct);
                true
            }
            PositiveSource::RolloutOrGold => members.iter().all(|member| !member.correct),
        };
        if gold
            && let Some(Rollout { id, .. }) = group.first()
            && let Some(solution) = self.solutions.get(id)
            && let Some(tokens) = self.tokens(id, solution, &[], prompt_tokens, skipped)
        {
            let reward = reward(true, tokens.len(), config.eta, config.max_tokens);
            members.push(self.member(usize::MAX, tokens, true, reward));
        }
        members
    }

    fn member(&self, k: usize, tokens: Vec<TokenId>, correct: bool, reward: f64) -> Member {
        let points = control_points(self.engine.vocab(), &self.config.delimiter, &tokens);
        let boundaries = points.iter().take(self.config.max_control_points).map(|point| point.token).collect();
        Member { k, tokens, boundaries, correct, reward }
    }

    /// Returns the tokens of an answer: `ids` or, if there are none, those of `text`. `None` if the model cannot read
    /// them.
    fn tokens(
        &self,
        id: &str,
        text: &str,
        ids: &[TokenId],
        prompt_tokens: usize,
        skipped: &mut Skipped,
    ) -> Option<Vec<TokenId>> {
        let (engine, shape) = (self.engine, self.engine.shape());
        let tokens = if ids.is_empty() {
            let encoded = engine.encode(text).inspect_err(|error| {
                warn!(id, %error, "skipped an answer that the tokenizer refuses");
                skipped.unencodable_texts += 1;
            });
            encoded.ok()?
        } else {
            ids.to_vec()
        };
        if tokens.iter().any(|&token| token as usize >= shape.vocab_size) {
            warn!(id, "skipped an answer with a token that the model does not have");
            skipped.outside_vocabulary += 1;
            None
        } else if prompt_tokens + tokens.len() > shape.max_context {
            warn!(id, tokens = tokens.len(), "skipped an answer that the model's context does not hold");
            skipped.too_long += 1;
            None
        } else {
            Some(tokens)
        }
    }
}

/// Returns a session that holds the prompt.
pub(crate) fn encoded<E: Text>(engine: &E, tokens: &[TokenId]) -> Result<E::Session, E::Error> {
    let mut session = engine.session();
    extend(engine, &mut session, tokens, &[]).map(|_| session)
}

/// Extends a session by `tokens`; returns the states at the last of them, `[points, hidden_size]`.
pub(crate) fn extend<E: Text>(
    engine: &E,
    session: &mut E::Session,
    tokens: &[TokenId],
    points: &[HookPoint],
) -> Result<Vec<Vec<f32>>, E::Error> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let row = Row { session, tokens, additions: Vec::new(), capture: points, logits: false };
    Ok(engine.forward(&mut [row])?.pop().map(|output| output.captures).unwrap_or_default())
}

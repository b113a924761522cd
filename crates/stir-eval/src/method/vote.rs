use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stir_core::{
    Decode, Engine, Generated, Lane, Output, Request, RequestError, Row, Sampling, SamplingError, SettingError,
    TokenId, Vocab, judged_text,
};

use super::{
    context::{Judges, Question},
    error::MethodError,
    lane::{AnswerLane, LaneResult, Method},
    reply::Reply,
    settings::of,
};
use stir_grade::{Judge, Verdict};

/// The settings of self-consistency (Wang et al. 2023, "Self-consistency improves chain of thought reasoning in
/// language models"): several answers are drawn, and the majority decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfConsistency {
    /// The number of answers drawn.
    pub samples: usize,
    /// The way tokens are drawn.
    pub sampling: Sampling,
}

impl Default for SelfConsistency {
    fn default() -> Self {
        Self { samples: 8, sampling: Sampling::default() }
    }
}

impl SelfConsistency {
    pub(super) fn validate(&self) -> Result<(), MethodError> {
        SettingError::positive("samples", self.samples).map_err(of("self_consistency"))?;
        self.sampling.validate().map_err(|source| MethodError::Sampling { method: "self_consistency", source })
    }
}

/// Self-consistency on an engine.
pub(super) struct Vote<'m, E> {
    pub(super) engine: &'m E,
    pub(super) judges: &'m Judges<'m>,
    pub(super) settings: SelfConsistency,
}

impl<E: Engine> Method<E> for Vote<'_, E> {
    fn lane<'a>(&'a self, question: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        let SelfConsistency { samples, sampling } = self.settings;
        let request = Request { samples, sampling, ..request };
        request.check(self.engine.shape())?;
        let (judge, head) = ((self.judges)(question), self.engine.session());
        let mut lane = VoteLane { method: self, question, judge, head, request, running: Vec::new(), passes: 0 };
        // A prompt of one token has no head to share.
        if lane.head_tokens().is_empty() {
            lane.fan_out()?;
        }
        Ok(AnswerLane::new(lane))
    }
}

/// Samples of one prompt, side by side; the prompt is encoded once.
struct VoteLane<'a, E: Engine> {
    method: &'a Vote<'a, E>,
    question: &'a Question,
    judge: Arc<dyn Judge>,
    request: Request,
    /// All of the prompt but its last token, once the first pass is done.
    head: E::Session,
    /// By number; empty before that.
    running: Vec<Sample<E::Session>>,
    passes: usize,
}

/// One sample, in progress or finished.
enum Sample<S> {
    Running(Box<Decode<S>>),
    Finished(Generated),
}

impl<E: Engine> VoteLane<'_, E> {
    fn head_tokens(&self) -> &[TokenId] {
        self.request.prompt.split_last().map_or(&[], |(_, head)| head)
    }

    fn fan_out(&mut self) -> Result<(), RequestError> {
        let open = |k| {
            let decode = Decode::resume(self.method.engine, stir_core::Session::fork(&self.head), &self.request, k)?;
            Ok(Sample::Running(Box::new(decode)))
        };
        self.running = (0..self.request.samples).map(open).collect::<Result<_, RequestError>>()?;
        // The samples hold the prompt from now on.
        self.head = self.method.engine.session();
        Ok(())
    }

    /// Returns the reply, once every sample is there.
    fn count(&self, vocab: &Vocab) -> Option<Reply> {
        let finished = self.running.iter().map(|sample| match sample {
            Sample::Finished(generated) => Some(generated),
            Sample::Running(_) => None,
        });
        let samples: Vec<&Generated> = finished.collect::<Option<_>>()?;
        let answer = |sample: &&Generated| self.judge.extract(&judged_text(&self.question.prompt, &sample.text(vocab)));
        let answers: Vec<Option<String>> = samples.iter().map(answer).collect();
        let chosen = majority(&*self.judge, &answers);
        let all: usize = samples.iter().map(|sample| sample.tokens.len()).sum();
        let reply = Reply::generated(vocab, (*samples.get(chosen)?).clone());
        Some(Reply { other_tokens: all - reply.tokens, forward_passes: self.passes, ..reply })
    }
}

impl<E: Engine> Lane<E::Session> for VoteLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        if self.running.is_empty() {
            let tokens = self.request.prompt.split_last().map_or(&[][..], |(_, head)| head);
            let session = &mut self.head;
            rows.push(Row { session, tokens, additions: Vec::new(), capture: &[], logits: false });
        }
        for sample in &mut self.running {
            if let Sample::Running(decode) = sample {
                decode.rows(rows);
            }
        }
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.passes += 1;
        if self.running.is_empty() {
            return Ok(self.fan_out().err().map(|error| Err(error.into())));
        }
        let mut outputs = outputs.into_iter();
        for sample in &mut self.running {
            if let Sample::Running(decode) = sample
                && let Some(generated) = decode.absorb(vocab, outputs.by_ref().take(1).collect())?
            {
                // The cache of a finished sample is given back at once.
                *sample = Sample::Finished(generated);
            }
        }
        Ok(self.count(vocab).map(Ok))
    }
}

/// Returns the place of the answer that most say, under the equality of `judge`: the first of the largest group, ties
/// to the group that began earlier. Texts without an answer have no vote; where no text has one, the first is taken.
fn majority(judge: &dyn Judge, answers: &[Option<String>]) -> usize {
    // The first of each group speaks for it.
    let mut groups: Vec<(usize, &str, usize)> = Vec::new();
    for (place, answer) in answers.iter().enumerate() {
        let Some(answer) = answer else { continue };
        let same = |group: &&mut (usize, &str, usize)| judge.grade(group.1, answer).verdict == Verdict::Equal;
        match groups.iter_mut().find(same) {
            Some((_, _, votes)) => *votes += 1,
            None => groups.push((place, answer, 1)),
        }
    }
    let largest = groups.into_iter().reduce(|best, group| if group.2 > best.2 { group } else { best });
    largest.map_or(0, |(place, ..)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stir_grade::FinalNumber;

    #[test]
    fn the_largest_group_wins_and_ties_go_to_the_earliest() {
        let places = |answers: &[&str]| {
            let answers: Vec<Option<String>> =
                answers.iter().map(|a| (!a.is_empty()).then(|| (*a).to_owned())).collect();
            majority(&FinalNumber, &answers)
        };
        assert_eq!(places(&[]), 0);
        assert_eq!(places(&["", "", ""]), 0);
        assert_eq!(places(&["", "4", ""]), 1);
        assert_eq!(places(&["3", "4", "4.0", "5"]), 1);
        assert_eq!(places(&["3", "4", "$4", "3.00"]), 0);
        assert_eq!(places(&["", "5", "4", "5", "4"]), 1);
        assert_eq!(places(&["", "5", "4", "4", "5", "4.0"]), 2);
    }
}

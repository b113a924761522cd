use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stir_core::{
    Choice, Delimiter, EmptyDelimiter, Lane, Output, Request, RequestError, Row, SampleRng, Sampling, SamplingError,
    SegmentCounter, Sequence, Session, SettingError, Text, TokenId, Vocab, opens_reasoning,
};

use super::{
    context::Question,
    error::{LaneError, MethodError},
    lane::{AnswerLane, LaneResult, Method},
    reply::Reply,
    settings::of,
};

const NAME: &str = "deer";
/// The tag that closes reasoning.
const CLOSE_REASONING: &str = "</think>";

/// The settings of DEER (Yang et al. 2025, "Dynamic early exit in reasoning models"): at every transition of the
/// model's reasoning a trial answer is generated, and reasoning ends as soon as the model is confident of one.
///
/// A trial is a fork of the cache, so it costs only its own tokens. A trial above the threshold is kept: the answer
/// continues from it, and the reasoning that it cut off counts as other tokens, as does anything that follows a stop
/// string in it. `elicit` is written by the method and not generated; in a trial that is kept it is part of the answer
/// and of its budget. If the prompt opens the reasoning with a `<think>`, `elicit` is written after the tag that closes
/// it, since nothing counts as an answer before that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deer {
    /// The text that marks a transition.
    pub transition: String,
    /// True if that text stays before a trial, as a line break may; if not, the trial replaces it.
    pub keep_transition: bool,
    /// The text that asks for an answer.
    pub elicit: String,
    /// The text that ends a trial.
    pub close: String,
    /// The number of tokens of a trial at most.
    pub trial_tokens: usize,
    /// The number of trials of an answer at most; after that, reasoning continues to its own end.
    pub max_trials: usize,
    /// The lowest confidence of a trial that is kept, in [0, 1].
    pub threshold: f64,
    /// The mean that is the confidence.
    pub mean: Confidence,
}

/// The confidence in a trial: a mean of the probabilities that the model gives to its tokens, each the likeliest of its
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Confidence {
    /// The arithmetic mean, as in the authors' program by default.
    Arithmetic,
    /// The geometric mean.
    Geometric,
}

impl Default for Deer {
    fn default() -> Self {
        Self {
            transition: "Wait".into(),
            keep_transition: false,
            elicit: "\n**Final Answer**\n\\boxed{".into(),
            close: "}".into(),
            trial_tokens: 20,
            // As in the authors' program.
            max_trials: 10,
            threshold: 0.95,
            mean: Confidence::Arithmetic,
        }
    }
}

impl Deer {
    pub(super) fn validate(&self) -> Result<(), MethodError> {
        SettingError::positive("trial_tokens", self.trial_tokens).map_err(of(NAME))?;
        SettingError::positive("max_trials", self.max_trials).map_err(of(NAME))?;
        SettingError::unit("threshold", self.threshold).map_err(of(NAME))?;
        delimiter("transition", &self.transition)?;
        delimiter("close", &self.close)?;
        Ok(())
    }
}

impl Deer {
    /// Returns the text that asks for an answer within an answer to `prompt`.
    fn elicit_after(&self, prompt: &str) -> Cow<'_, str> {
        match opens_reasoning(prompt) && !self.elicit.contains(CLOSE_REASONING) {
            true => Cow::Owned(format!("\n{CLOSE_REASONING}\n{}", self.elicit)),
            false => Cow::Borrowed(&self.elicit),
        }
    }
}

fn delimiter(field: &'static str, text: &str) -> Result<Delimiter, MethodError> {
    Delimiter::new(text).ok_or(MethodError::Delimiter { method: NAME, field, source: EmptyDelimiter })
}

/// DEER on an engine.
pub(super) struct EarlyExit<'m, E> {
    engine: &'m E,
    settings: Deer,
    transition: Delimiter,
    close: Delimiter,
}

impl<'m, E: Text> EarlyExit<'m, E> {
    pub(super) fn new(engine: &'m E, settings: Deer) -> Result<Self, MethodError> {
        let (transition, close) =
            (delimiter("transition", &settings.transition)?, delimiter("close", &settings.close)?);
        Ok(Self { engine, settings, transition, close })
    }
}

impl<E: Text> Method<E> for EarlyExit<'_, E> {
    fn lane<'a>(&'a self, question: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError> {
        let elicit = match self.engine.encode(&self.settings.elicit_after(&question.prompt)) {
            Ok(elicit) => elicit,
            Err(error) => return Ok(AnswerLane::ended(Err(LaneError::Prompt(error)))),
        };
        // What follows a trial draws from its own stream.
        let after = Request { stream: request.stream.wrapping_add(1), ..request.clone() };
        Ok(AnswerLane::new(DeerLane {
            method: self,
            elicit,
            session: self.engine.session(),
            sequence: Sequence::new(self.engine, &request, 0)?,
            conclusion: Some(Sequence::new(self.engine, &after, 0)?),
            budget: request.max_tokens.min(self.engine.shape().max_context - request.prompt.len()),
            transitions: SegmentCounter::new(self.transition.clone()),
            trial: None,
            trials: 0,
            other_tokens: 0,
            passes: 0,
        }))
    }
}

struct DeerLane<'a, E: Text> {
    method: &'a EarlyExit<'a, E>,
    elicit: Vec<TokenId>,
    /// May lag behind the sequence.
    session: E::Session,
    sequence: Sequence,
    /// An empty answer to the same prompt; gone once it is the sequence, and nothing is tried any more.
    conclusion: Option<Sequence>,
    budget: usize,
    transitions: SegmentCounter,
    trial: Option<Trial<E::Session>>,
    /// Begun.
    trials: usize,
    other_tokens: usize,
    passes: usize,
}

/// An answer that is being tried.
struct Trial<S> {
    session: S,
    /// Prompt, thoughts that are kept, `elicit`, and the trial itself.
    tokens: Vec<TokenId>,
    /// The number of the answer's tokens that are kept before it.
    kept: usize,
    /// The trial itself.
    choices: Vec<Choice>,
    close: SegmentCounter,
}

impl<E: Text> Lane<E::Session> for DeerLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        let (session, tokens) = match &mut self.trial {
            Some(trial) => (&mut trial.session, &trial.tokens[..]),
            None => (&mut self.session, self.sequence.tokens()),
        };
        let tokens = &tokens[session.len()..];
        rows.push(Row { session, tokens, additions: Vec::new(), capture: &[], logits: true });
    }

    fn absorb(&mut self, vocab: &Vocab, mut outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.passes += 1;
        let logits = outputs.pop().unwrap_or_default().logits;
        match self.trial.take() {
            Some(trial) => self.try_on(vocab, trial, &logits),
            None => {
                self.sequence.draw(vocab, &logits)?;
                self.transition(vocab);
            }
        }
        Ok(self.sequence.finish().filter(|_| self.trial.is_none()).map(|_| {
            let reply = Reply::generated(vocab, self.sequence.generated());
            Ok(Reply { other_tokens: self.other_tokens, forward_passes: self.passes, ..reply })
        }))
    }
}

impl<E: Text> DeerLane<'_, E> {
    /// Begins a trial where the last token ends a transition and there is room for one.
    fn transition(&mut self, vocab: &Vocab) {
        let (settings, answer) = (&self.method.settings, self.sequence.answer());
        let spent = self.trials == settings.max_trials;
        if spent || self.conclusion.is_none() || self.sequence.finish().is_some() {
            return;
        }
        let bytes = answer.last().map_or(&[][..], |&token| vocab.bytes(token));
        // How many bytes of the token follow the last transition that it completes.
        let ends = (0..bytes.len()).filter(|&i| self.transitions.push(&bytes[i..=i]) > 0).last();
        let Some(after) = ends.map(|end| bytes.len() - 1 - end) else { return };
        let kept = match settings.keep_transition {
            true => answer.len(),
            false => token_at(vocab, answer, after + settings.transition.len()),
        };
        // At least one token must be left for the conclusion.
        if kept + self.elicit.len() + settings.trial_tokens >= self.budget {
            return;
        }
        let prompt = self.sequence.tokens().len() - answer.len();
        let kept_tokens = &self.sequence.tokens()[..prompt + kept];
        let mut session = self.session.fork();
        // Without words to ask by, the trial needs the logits after what is kept.
        session.rewind(if self.elicit.is_empty() { kept_tokens.len() - 1 } else { kept_tokens.len() });
        self.trials += 1;
        self.trial = Some(Trial {
            session,
            tokens: [kept_tokens, &self.elicit].concat(),
            kept,
            choices: Vec::new(),
            close: SegmentCounter::new(self.method.close.clone()),
        });
    }

    /// Takes one more token of the trial.
    fn try_on(&mut self, vocab: &Vocab, mut trial: Trial<E::Session>, logits: &[f32]) {
        // Greedy decoding draws nothing. A trial of broken logits is given up.
        let choice = Sampling::GREEDY.pick(logits, &[], &mut SampleRng::new(0, 0)).ok();
        let (mut ended, mut generated) = (choice.is_none(), trial.choices.len());
        if let Some(choice) = choice {
            generated += 1;
            if vocab.is_eos(choice.token) {
                ended = true;
            } else {
                trial.tokens.push(choice.token);
                trial.choices.push(choice);
                ended = trial.close.push(vocab.bytes(choice.token)) > 0
                    || trial.choices.len() == self.method.settings.trial_tokens;
            }
        }
        if !ended {
            self.trial = Some(trial);
        } else if choice.is_some() && self.convinces(&trial.choices) {
            self.other_tokens += generated - trial.choices.len();
            self.conclude(vocab, trial);
        } else {
            self.other_tokens += generated;
        }
    }

    fn convinces(&self, choices: &[Choice]) -> bool {
        let (n, log_probs) = (choices.len() as f64, choices.iter().map(|choice| f64::from(choice.log_prob)));
        let confidence = match self.method.settings.mean {
            Confidence::Arithmetic => log_probs.map(f64::exp).sum::<f64>() / n,
            Confidence::Geometric => (log_probs.sum::<f64>() / n).exp(),
        };
        // Without a token it is NaN, which is not above anything.
        confidence >= self.method.settings.threshold
    }

    /// Continues from the trial: thinking is over.
    fn conclude(&mut self, vocab: &Vocab, trial: Trial<E::Session>) {
        let Some(mut conclusion) = self.conclusion.take() else { return };
        let thoughts = self.sequence.answer().iter().zip(self.sequence.log_probs());
        let thoughts = thoughts.map(|(&token, &log_prob)| Choice { token, log_prob }).take(trial.kept);
        // Not generated, hence without a probability of its own.
        let elicit = self.elicit.iter().map(|&token| Choice { token, log_prob: 0.0 });
        let generated = trial.choices.len();
        let all = trial.kept + self.elicit.len() + generated;
        thoughts.chain(elicit).chain(trial.choices).for_each(|choice| conclusion.push(vocab, choice));
        // A stop string that is complete before the end of the trial cuts off what follows it.
        let cut_off = (all - conclusion.answer().len()).min(generated);
        self.other_tokens += self.sequence.answer().len() - trial.kept + cut_off;
        self.sequence = conclusion;
        self.session = trial.session;
        // Where the trial ended with the model's end token, all of it is encoded.
        self.session.rewind(self.sequence.tokens().len() - 1);
    }
}

/// Returns the token of `answer` that holds the byte `back` bytes before the end.
fn token_at(vocab: &Vocab, answer: &[TokenId], mut back: usize) -> usize {
    for (index, &token) in answer.iter().enumerate().rev() {
        let len = vocab.bytes(token).len();
        if len >= back {
            return index;
        }
        back -= len;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_elicited_outside_the_reasoning_of_the_prompt() {
        let deer = Deer::default();
        assert_eq!(deer.elicit_after("<bot>"), deer.elicit);
        assert_eq!(deer.elicit_after("<bot><think>\n"), format!("\n</think>\n{}", deer.elicit));
        let own = Deer { elicit: "</think>So it is ".into(), ..deer };
        assert_eq!(own.elicit_after("<bot><think>\n"), own.elicit);
    }
}

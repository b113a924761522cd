//! Ways of answering on one engine: plain decoding, the usual baselines, and STIR.
//!
//! A [`Method`] makes a lane for every question, and all lanes run in the one loop [`stir_core::drive`]: whatever stage
//! each is at, they share forward passes. A method that generates several texts for one answer (a vote, stages of
//! prompting, answers tried on the way) is a lane that holds several sequences or goes from one to the next; all that
//! it generates is counted.
//!
//! | method | what it does | committed tokens | other tokens |
//! |---|---|---|---|
//! | `plain` | decodes | all | none |
//! | `sampling` | decodes, drawing every token | all | none |
//! | `self_consistency` | draws n answers and takes what most of them say | those of the answer taken | those of the others |
//! | `self_discover` | lets the model write a plan, in three stages, and solves by it | those of the solution | those of the stages |
//! | `deer` | tries an answer at every transition and stops thinking once it is confident | thoughts, the words that ask for an answer, conclusion | trials that failed |
//! | `static_vector` | adds one vector at every boundary or token | all | none |
//! | `stir` | retrieves, probes and commits; the variants of the controller | all | none; probes are counted apart |
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc};
//! use stir_core::{Request, Sampling, toy::ToyEngine};
//! use stir_grade::{FinalNumber, Judge};
//! use stir_eval::method::{Bench, Exam, MethodConfig, Question};
//!
//! let engine = ToyEngine::new(1);
//! let ask = |user: &str| Question { prompt: user.into(), user: user.into(), ..Question::default() };
//! let questions = [Question { id: "a".into(), ..ask("one") }, Question { id: "b".into(), ..ask("two") }];
//! let judges = |_: &Question| -> Arc<dyn Judge> { Arc::new(FinalNumber) };
//! let bench = Bench { engine: &engine, judges: &judges, library: None, render: &|_, user| Ok(user.into()) };
//!
//! let config: MethodConfig = serde_json::from_str(r#"{"method": "self_consistency", "samples": 3}"#)?;
//! let method = config.build(bench)?;
//! let request = Request { max_tokens: 20, sampling: Sampling::GREEDY, ..Request::default() };
//! let exam = Exam { engine: &engine, questions: &questions, request, width: 2 };
//! let mut replies = 0;
//! exam.replies(&*method, |_| false, |_, reply| {
//!     replies += 1;
//!     assert_eq!(reply.tokens, reply.token_ids.len());
//!     assert!(reply.other_tokens > 0);
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(replies, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod decode;
mod deer;
mod discover;
mod error;
mod exam;
mod static_vector;
mod vote;

use serde::{Deserialize, Serialize};
use stir_controller::{Steered, Step};
use stir_core::{Engine, Finish, Generated, Lane, Output, Request, RequestError, Row, SamplingError, TokenId, Vocab};

pub(crate) use self::exam::computed_by;
pub use self::{
    config::{Bench, Judges, MethodConfig, Render},
    deer::{Deer, Mean},
    discover::SelfDiscover,
    error::{AnswerError, LaneError, MethodError, RunError},
    exam::Exam,
    static_vector::{At, StaticVector},
    vote::SelfConsistency,
};
use stir_grade::{AnswerForm, Judge};
use stir_report::Record;

/// What a method is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// What tells it from all others; also the source of its random stream.
    pub id: String,
    /// The whole prompt, chat template and all.
    pub prompt: String,
    /// What the system message of the prompt says, for methods that write prompts of their own.
    pub system: Option<String>,
    /// What is asked in it, for the same.
    pub user: String,
    /// The right answer.
    pub gold: String,
    /// What answers look like, where a task says it: the same question may be judged in several ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<AnswerForm>,
}

/// What a method answers, and what that took: a [`Record`] that nobody has judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The prompt of the answer, where it is not that of the question.
    pub prompt: Option<String>,
    /// The answer.
    pub text: String,
    /// The tokens of that.
    pub token_ids: Vec<TokenId>,
    /// How many those are (committed).
    pub tokens: usize,
    /// Tokens of probes at control points, thrown away. (Those of an unsteered probe that became the start of its segment
    /// count here and there.)
    pub probe_tokens: usize,
    /// All other tokens that were generated on the way.
    pub other_tokens: usize,
    /// Forward passes the answer took part in.
    pub forward_passes: usize,
    /// How the text ended.
    pub finish: Finish,
    /// Segment by segment, where the method steers.
    pub steps: Vec<Step>,
    /// Where in `text` each step ends, in bytes; ascending.
    pub segment_ends: Vec<usize>,
}

impl Reply {
    /// What plain decoding generated.
    pub fn generated(vocab: &Vocab, generated: Generated) -> Self {
        Self {
            prompt: None,
            text: generated.text(vocab),
            tokens: generated.tokens.len(),
            token_ids: generated.tokens,
            probe_tokens: 0,
            other_tokens: 0,
            forward_passes: generated.forward_passes,
            finish: generated.finish,
            steps: Vec::new(),
            segment_ends: Vec::new(),
        }
    }

    /// No answer: the prompt leaves no room for one in the model's context.
    pub fn no_room() -> Self {
        Self {
            prompt: None,
            text: String::new(),
            token_ids: Vec::new(),
            tokens: 0,
            probe_tokens: 0,
            other_tokens: 0,
            forward_passes: 0,
            finish: Finish::Length,
            steps: Vec::new(),
            segment_ends: Vec::new(),
        }
    }

    /// What steering generated.
    pub fn steered(vocab: &Vocab, steered: Steered) -> Self {
        let Steered { generated, probe_tokens, steps, .. } = steered;
        Self { probe_tokens, ..Self::generated(vocab, generated) }.with_steps(vocab, steps)
    }

    /// The record of this reply to `question`, judged.
    pub fn judged(self, question: &Question, judge: &dyn Judge) -> Record {
        Record {
            id: question.id.clone(),
            prompt: self.prompt.unwrap_or_else(|| question.prompt.clone()),
            gold: question.gold.clone(),
            judged: judge.judge(&question.gold, &self.text),
            text: self.text,
            token_ids: self.token_ids,
            tokens: self.tokens,
            probe_tokens: self.probe_tokens,
            other_tokens: self.other_tokens,
            forward_passes: self.forward_passes,
            finish: self.finish,
            steps: self.steps,
            segment_ends: self.segment_ends,
            seconds: None,
        }
    }

    /// With the steps that the tokens are made of.
    pub(crate) fn with_steps(mut self, vocab: &Vocab, steps: Vec<Step>) -> Self {
        self.segment_ends = segment_ends(vocab, &self.token_ids, &self.text, &steps);
        self.steps = steps;
        self
    }
}

/// Where in `text`, the text of `tokens`, each of `steps` ends. A step that ends within a character ends before it.
fn segment_ends(vocab: &Vocab, tokens: &[TokenId], text: &str, steps: &[Step]) -> Vec<usize> {
    let (mut token, mut end) = (0, 0);
    let ends = steps.iter().map(|step| {
        token = (token + step.tokens).min(tokens.len());
        let before = vocab.text(&tokens[..token]).len();
        // Half a character reads as one of another length: an end never goes back because of it.
        end = end.max(text.floor_char_boundary(before));
        end
    });
    ends.collect()
}

/// A way of answering: a factory of lanes.
pub trait Method<E: Engine> {
    /// A lane that answers `question`. `request` has the tokens of its prompt, the budget of the answer, the stop
    /// strings, the seed and the random stream, and how tokens are drawn where the method does not say.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be served.
    fn lane<'a>(&'a self, question: &'a Question, request: Request) -> Result<AnswerLane<'a, E>, RequestError>;
}

/// What comes of a lane: an answer, or why there can be none.
pub type LaneResult<E> = Result<Reply, LaneError<<E as Engine>::Error>>;

/// One answer under way.
pub struct AnswerLane<'a, E: Engine>(Box<dyn Lane<E::Session, Done = LaneResult<E>> + 'a>);

impl<'a, E: Engine + 'a> AnswerLane<'a, E> {
    /// An answer by a lane of any kind.
    pub fn new(lane: impl Lane<E::Session, Done = LaneResult<E>> + 'a) -> Self {
        Self(Box::new(lane))
    }

    /// An answer by a lane whose result `finish` makes a reply of.
    pub fn map<L: Lane<E::Session> + 'a>(lane: L, finish: impl Fn(&Vocab, L::Done) -> Reply + 'a) -> Self {
        Self::new(Mapped { lane, finish: move |vocab: &Vocab, done| Ok(finish(vocab, done)) })
    }

    /// A lane that ends at once.
    fn ended(result: LaneResult<E>) -> Self {
        Self::new(Ended(Some(result)))
    }
}

impl<E: Engine> Lane<E::Session> for AnswerLane<'_, E> {
    type Done = LaneResult<E>;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, E::Session>>) {
        self.0.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<LaneResult<E>>, SamplingError> {
        self.0.absorb(vocab, outputs)
    }
}

/// A lane whose result becomes another.
struct Mapped<L, F> {
    lane: L,
    finish: F,
}

impl<S, D, L: Lane<S>, F: Fn(&Vocab, L::Done) -> D> Lane<S> for Mapped<L, F> {
    type Done = D;

    fn rows<'a>(&'a mut self, rows: &mut Vec<Row<'a, S>>) {
        self.lane.rows(rows);
    }

    fn absorb(&mut self, vocab: &Vocab, outputs: Vec<Output>) -> Result<Option<D>, SamplingError> {
        Ok(self.lane.absorb(vocab, outputs)?.map(|done| (self.finish)(vocab, done)))
    }
}

struct Ended<D>(Option<D>);

impl<S, D> Lane<S> for Ended<D> {
    type Done = D;

    fn rows<'a>(&'a mut self, _: &mut Vec<Row<'a, S>>) {}

    fn absorb(&mut self, _: &Vocab, _: Vec<Output>) -> Result<Option<D>, SamplingError> {
        Ok(self.0.take())
    }
}

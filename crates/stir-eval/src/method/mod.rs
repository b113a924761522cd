//! Ways of answering on one engine: plain decoding, the usual baselines, and STIR.
//!
//! A [`Method`] makes a lane for every question, and all lanes run in one loop: whatever stage each of them has reached,
//! they share forward passes. A method that generates several texts for one answer (a vote, stages of prompting, trial
//! answers) is a lane that holds several sequences or runs one after the other; all generated tokens are counted.
//!
//! | method | description | committed tokens | other tokens |
//! |---|---|---|---|
//! | `plain` | decodes | all | none |
//! | `sampling` | decodes, drawing every token | all | none |
//! | `self_consistency` | draws n answers and takes the one that most of them agree on | those of the answer taken | those of the others |
//! | `self_discover` | lets the model write a plan in three stages, and solves by that plan | those of the solution | those of the stages |
//! | `deer` | tries an answer at every transition and stops reasoning once it is confident | reasoning, the words that ask for an answer, conclusion | failed trials |
//! | `constant_vector` | adds one vector per layer at every boundary or token, or only where the stream points away from it | all | none |
//! | `stir` | retrieves, probes and commits; its `variant` may be an ablation | all | none; probes are counted separately |
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc};
//! use stir_core::{Request, Sampling, toy::ToyEngine};
//! use stir_grade::{FinalNumber, Judge};
//! use stir_eval::method::{AnswerRun, MethodConfig, MethodContext, Question};
//!
//! let engine = ToyEngine::new(1);
//! let ask = |user: &str| Question { prompt: user.into(), user: user.into(), ..Question::default() };
//! let questions = [Question { id: "a".into(), ..ask("one") }, Question { id: "b".into(), ..ask("two") }];
//! let judges = |_: &Question| -> Arc<dyn Judge> { Arc::new(FinalNumber) };
//! let context = MethodContext { engine: &engine, judges: &judges, library: None, render: &|_, user| Ok(user.into()) };
//!
//! let config: MethodConfig = serde_json::from_str(r#"{"method": "self_consistency", "samples": 3}"#)?;
//! let method = config.build(context)?;
//! let request = Request { max_tokens: 20, sampling: Sampling::GREEDY, ..Request::default() };
//! let run = AnswerRun { engine: &engine, questions: &questions, request, max_batch: 2 };
//! let mut replies = 0;
//! run.replies(&*method, |_| false, |_, reply| {
//!     replies += 1;
//!     assert_eq!(reply.tokens, reply.token_ids.len());
//!     assert!(reply.other_tokens > 0);
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(replies, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod constant_vector;
mod context;
mod decode;
mod deer;
mod discover;
mod error;
mod lane;
mod reply;
mod run;
mod settings;
mod vote;

pub(crate) use self::run::computed_by;
pub use self::{
    config::MethodConfig,
    constant_vector::{ConstantVector, StaticAt},
    context::{Judges, MethodContext, Question, Render},
    deer::{Confidence, Deer},
    discover::SelfDiscover,
    error::{AnswerError, LaneError, MethodError},
    lane::{AnswerLane, LaneResult, Method},
    reply::Reply,
    run::{AnswerRun, known_settings},
    vote::SelfConsistency,
};

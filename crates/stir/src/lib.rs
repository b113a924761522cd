//! STIR: make a frozen language model reason better and shorter by steering its residual stream.
//!
//! At the boundaries between the steps of an answer the controller looks at the model's hidden state, retrieves similar
//! states in which the model failed before, and adds the difference to success, if a short look ahead speaks for it.
//! The vectors are mined from the model's own samples (Shi et al. 2026, arXiv 2602.04925); its weights stay as they
//! are.
//!
//! This crate re-exports the crates that do the work:
//!
//! | module | stage | in | out |
//! |---|---|---|---|
//! | [`rollout`] | 1: sample, judge, reward | problems | a JSONL file of [`Rollout`](rollout::Rollout)s |
//! | [`induction`] | 2: contrast successes with failures | rollouts, from any program | [`MinedPairs`](basis::MinedPairs) |
//! | [`basis`] | 3: select what is good and not redundant | `MinedPairs` | a [`Library`](basis::Library) |
//! | [`controller`] | 4: retrieve, probe, commit | a library, prompts | steered answers with a log of decisions |
//! | [`model`] | | a Hugging Face folder | an engine |
//! | [`validation`] | | a library, rollouts of other problems | the entries that help, with their evidence |
//! | [`serve`] | | an engine (feature `tokio`) | streams of answers for async code |
//! | [`eval`] | | tasks, a library | answers of every method |
//! | [`experiment`] | all | a TOML file that names models, tasks, methods | answers of every combination, resumable |
//! | [`grade`] | | answers | right or wrong |
//! | [`report`] | | judged answers | accuracies, intervals, paired tests |
//! | `core` | | | the types they share, the contract with an engine, the one decoding loop |
//!
//! # The whole way
//!
//! ```no_run
//! use stir::{
//!     basis::{BasisConfig, select},
//!     controller::{Controller, ControllerConfig},
//!     core::{Engine, GenerateOptions, Request, Sampling, Text},
//!     grade::FinalNumber,
//!     induction::{InductionConfig, induce},
//!     model::{DeviceSpec, Lm},
//!     rollout::{Prompt, RolloutConfig, Rollouts, read_groups},
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let lm = Lm::load("path/to/a/hugging-face/folder", &DeviceSpec::CPU.open()?)?;
//!
//!     // Stage 1: judged samples. Mining needs problems that are sometimes solved and sometimes not.
//!     let prompt = lm.chat_prompt("What is 27 + 38? Put the number after ####.")?;
//!     let prompts = [Prompt { id: "p1".into(), prompt, gold: Some("65".into()) }];
//!     let judge = |prompt: &Prompt, text: &str| FinalNumber.correct(prompt.gold.as_deref().unwrap_or_default(), text);
//!     Rollouts::new(&lm, RolloutConfig::default())?.run(&prompts, &judge, "rollouts.jsonl")?;
//!
//!     // Stages 2 and 3: contrasts, and a library of the best of them.
//!     let groups = read_groups("rollouts.jsonl")?;
//!     let (candidates, _) = induce(&lm, groups, InductionConfig::default())?;
//!     let library = select(&candidates, &BasisConfig::default())?;
//!     library.save("library.stir")?;
//!
//!     // Stage 4: steered answers.
//!     let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;
//!     let prompt = lm.encode_prompt(&lm.chat_prompt("What is 46 + 17? Put the number after ####.")?)?;
//!     let request = Request { max_tokens: 500, sampling: Sampling::GREEDY, ..Request::new(prompt) };
//!     let answers = controller.generate(&lm, &[request], GenerateOptions::default())?;
//!     println!("{}", answers[0][0].text(lm.vocab()));
//!     Ok(())
//! }
//! ```
//!
//! One problem makes a poor library; a hundred or so are a start. Every stage can be stopped and looked at: rollouts
//! are lines of JSON, mined pairs and libraries have files ([`MinedPairs::save`](basis::MinedPairs::save),
//! [`Library::load`](basis::Library::load)). A library is bound to its model: a controller refuses another one and names
//! the field that differs.
//!
//! # Tokens as they come
//!
//! A [`Request`](crate::core::Request) says what is wanted: tokens at most, how they are drawn, stop strings, how many
//! samples. [`core::stream`] and [`Controller::stream`](controller::Controller::stream) run any number of them side by
//! side and tell of every token; a flag or the callback's answer ends them.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use stir::{
//!     basis::Library,
//!     controller::{Controller, ControllerConfig},
//!     core::{Engine, Event, Flow, GenerateOptions, Request, Sampling, Text},
//!     model::{DeviceSpec, Lm},
//! };
//!
//! let lm = Lm::load("path/to/a/hugging-face/folder", &DeviceSpec::CPU.open()?)?;
//! let library = Library::load("library.stir")?;
//! let controller = Controller::new(library, lm.fingerprint(), ControllerConfig::default())?;
//! let prompt = lm.encode_prompt(&lm.chat_prompt("What is 46 + 17?")?)?;
//! let sampling = Sampling { top_k: 40, ..Sampling::default() };
//! let request = Request { sampling, stop: vec!["Question:".into()], ..Request::new(prompt) };
//!
//! static CANCEL: AtomicBool = AtomicBool::new(false); // for a signal handler to set
//! let options = GenerateOptions { cancel: Some(&CANCEL), ..GenerateOptions::default() };
//! controller.stream(&lm, &[request], options, |_, event| {
//!     match event {
//!         Event::Token(token) if token.note.steered() => print!("[{}]", token.text),
//!         Event::Token(token) => print!("{}", token.text),
//!         Event::Finished { text, answer } => println!("{text} ({:?}, {} steps)", answer.generated.finish, answer.steps.len()),
//!         Event::Failed { error, .. } => eprintln!("{error}"),
//!     }
//!     Flow::Continue
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Async
//!
//! With the feature `tokio`, [`AsyncEngine`](serve::AsyncEngine) answers any number of tasks from one thread of its own,
//! so that their answers share passes and no thread of the runtime is blocked. An answer is a
//! [`Stream`](serve::AnswerStream) of the same events; dropping it cancels the answer.
//!
//! ```no_run
//! # #[cfg(all(feature = "model", feature = "tokio"))] {
//! use std::sync::Arc;
//!
//! use stir::{
//!     controller::Controller,
//!     core::{Event, Request, Text},
//!     model::Lm,
//!     serve::{AsyncConfig, AsyncEngine},
//! };
//!
//! async fn answer(lm: Arc<Lm>, controller: Controller, question: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     // One for the whole program: clones are handles of it.
//!     let engine = AsyncEngine::new(lm.clone(), AsyncConfig::default())?;
//!     let request = Request::new(lm.encode_prompt(&lm.chat_prompt(question)?)?);
//!     let mut answer = engine.steered(&controller, request).await?;
//!     while let Some(event) = answer.next().await {
//!         if let Event::Token(token) = event? {
//!             print!("{}", token.text);
//!         }
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! `examples/async_axum.rs` streams answers over HTTP in 40 lines.
//!
//! # Steering your own loop
//!
//! The two decisions of the method are pure functions of a library and of numbers read from a model, so that any
//! program that can read a hidden state and add a vector can use them. At a segment boundary
//! [`plan`](controller::Controller::plan) says which vectors are worth probing, and
//! [`decide`](controller::Controller::decide) which to add, how strongly, or none:
//!
//! ```
//! use stir::{
//!     basis::{Action, Entry, Library},
//!     controller::{ControlState, Controller, ControllerConfig, LayerState, Planned, ProbeScores},
//! };
//!
//! let entry = |key: [f32; 3], action| Entry { layer: 16, quality: 0.8, key: key.into(), action, ..Entry::default() };
//! let library = Library::from_vectors([
//!     entry([1.0, 0.0, 0.0], Action::Steer(vec![0.0, 0.5, 0.5])), // here the model failed: this is the way out
//!     entry([0.0, 1.0, 0.0], Action::Stay),                       // here it did well: leave it alone
//! ])?;
//! let controller = Controller::unchecked(library, ControllerConfig::default())?;
//!
//! // The state after layer 16 at the first boundary of sequence 0.
//! let at = |values: [f32; 3]| ControlState {
//!     sequence: 0, m: 1, states: vec![LayerState { layer: 16, values: values.to_vec() }],
//! };
//! let Planned::Probe(plan) = controller.plan(&at([2.0, 0.1, 0.0])) else { panic!("there is something to probe") };
//! assert_eq!(plan.candidates().len(), 1);
//! // Generate a few tokens without and with each candidate's vector; their mean log-probabilities:
//! let probes = ProbeScores { null: -0.9, candidates: vec![-0.4] };
//! let commit = controller.decide(plan, &probes)?.commit.expect("the state is where the model failed");
//! assert_eq!((commit.entry, commit.layer), (Some(0), 16));
//! assert!((commit.scale - 1.648).abs() < 1e-3);
//!
//! // Near the other key the same vector is not added.
//! let Planned::Probe(plan) = controller.plan(&at([0.1, 2.0, 0.0])) else { panic!("there is something to probe") };
//! assert!(controller.decide(plan, &probes)?.commit.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A committed impulse is added once, at the boundary token: `stream += scale * vector` after decoder layer `layer`.
//! Before the next boundary is read, that segment is to be encoded again without it.
//!
//! [`Steering`](controller::Steering) keeps track of all this for one sequence: a loop tells it of every token, and it
//! says what is wanted next, the probes and their rules included. Its page holds a whole steered loop.
//!
//! The end of a segment is a matter of bytes, not of tokens, and must be the same when mining and when steering:
//!
//! ```
//! use stir::core::{Delimiter, SegmentCounter};
//!
//! let mut counter = SegmentCounter::new(Delimiter::default());
//! assert_eq!(counter.push(b"26 + 47 = 73"), 0);
//! assert_eq!(counter.push(b".\n\n"), 1); // a delimiter inside one token
//! assert_eq!(counter.push(b"So\n"), 0);
//! assert_eq!(counter.push(b"\nit is 73."), 1); // one that spans two
//! ```
//!
//! # Reading and steering a model by hand
//!
//! [`Engine::forward`](crate::core::Engine::forward) takes rows: tokens to append to a session, vectors to add, places
//! to read. Sessions fork without copying their past.
//!
//! ```no_run
//! use stir::{
//!     core::{Addition, Engine, HookPoint, Row, Session, Text},
//!     model::{DeviceSpec, Lm},
//! };
//!
//! let lm = Lm::load("path/to/a/hugging-face/folder", &DeviceSpec::CPU.open()?)?;
//! let tokens = lm.encode("One step.\n\nAnother")?;
//! let points = [HookPoint::ResidPost(3)];
//!
//! let mut plain = lm.session();
//! let row = Row { session: &mut plain, tokens: &tokens, additions: vec![], capture: &points, logits: false };
//! let state = lm.forward(&mut [row])?.remove(0).captures.remove(0);
//!
//! // The last token once more, this time with the state doubled.
//! let mut steered = plain.fork();
//! let position = tokens.len() - 1;
//! steered.rewind(position);
//! let addition = Addition { point: points[0], position, vector: &state, scale: 1.0 };
//! let (last, additions) = (&tokens[position..], vec![addition]);
//! let row = Row { session: &mut steered, tokens: last, additions, capture: &[], logits: true };
//! let logits = lm.forward(&mut [row])?.remove(0).logits;
//! assert_eq!(logits.len(), lm.shape().vocab_size);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Another inference engine takes part by implementing [`Engine`](crate::core::Engine): one forward pass, sessions that
//! fork and rewind, and the bytes of its tokens. `stir-core` has a suite that checks the contract (feature
//! `conformance`) and a small engine without tensors to test against (feature `toy`).
//!
//! # Features
//!
//! `flex` (default) computes on the CPU; `cuda`, `wgpu`, `vulkan` and `metal` add devices.
//! [`DeviceSpec`](model::DeviceSpec) chooses one at run time and says which feature is missing. `hub` adds
//! `Lm::from_hub`, models by their name on the Hugging Face hub; `remote` adds rollouts from a server, `cloud` shards in an
//! object store, `tokio` an engine for async code. `eval` (default) adds tasks, methods, experiments, reports, diagnoses and
//! validations, `clustering` (default) two selection methods. Without default features what is left is the method itself, for
//! engines of your own.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![forbid(unsafe_code)]

#[cfg(all(feature = "eval", feature = "model"))]
pub mod experiment;
pub mod guide;

pub use stir_basis as basis;
#[cfg(feature = "cloud")]
pub use stir_cloud as cloud;
pub use stir_controller as controller;
pub use stir_core as core;
#[cfg(feature = "eval")]
pub use stir_diagnosis as diagnosis;
#[cfg(feature = "eval")]
pub use stir_eval as eval;
pub use stir_files as files;
pub use stir_grade as grade;
pub use stir_induction as induction;
#[cfg(feature = "model")]
pub use stir_model as model;
#[cfg(feature = "eval")]
pub use stir_report as report;
pub use stir_rollout as rollout;
#[cfg(feature = "tokio")]
pub use stir_serve as serve;
#[cfg(feature = "eval")]
pub use stir_validation as validation;

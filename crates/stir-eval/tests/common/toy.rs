//! Helpers of the tests on the toy engine.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use stir_basis::{Action, Entry, Library, normalize};
use stir_core::{Addition, Delimiter, Engine, HookPoint, Request, Row, SampleRng, Sampling, TokenId, toy::ToyEngine};
use stir_eval::method::{AnswerRun, MethodConfig, MethodContext, Question, Reply};
use stir_grade::{Grade, Judge, Verdict};

/// The first digit or vowel of a text is what it answers.
pub struct FirstMark;

impl Judge for FirstMark {
    fn extract(&self, text: &str) -> Option<String> {
        text.chars().find(|c| "0123456789aeiou".contains(*c)).map(String::from)
    }

    fn grade(&self, gold: &str, answer: &str) -> Grade {
        let verdict = if gold == answer { Verdict::Equal } else { Verdict::Different };
        Grade { verdict, rule: "mark".into(), why: None }
    }
}

/// Judges whatever is asked.
pub fn first_mark(_: &Question) -> Arc<dyn Judge> {
    Arc::new(FirstMark)
}

/// The part of a message that the toy engine's vocabulary has: its end, which is what differs between stages.
pub fn render(system: Option<&str>, user: &str) -> String {
    let text = format!("{}{user}", system.unwrap_or_default());
    let known: Vec<char> = text.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect();
    known[known.len().saturating_sub(20)..].iter().collect()
}

pub fn questions(n: usize) -> Vec<Question> {
    let ask = |i: usize| {
        let prompt = format!("q{i}{}", "abc".repeat(i % 4));
        Question { id: format!("p{i}"), user: prompt.clone(), prompt, gold: "e".into(), ..Question::default() }
    };
    (0..n).map(ask).collect()
}

/// Entries at the first control points of two layers, with vectors that are felt.
pub fn library(engine: &ToyEngine) -> Arc<Library> {
    let mut rng = SampleRng::new(11, 0);
    let mut stream = |scale: f64| -> Vec<f32> { (0..10).map(|_| (rng.normal() * scale) as f32).collect() };
    let mut entries = Vec::new();
    for m in 1..6 {
        for layer in [0, 1] {
            for action in [Action::Steer(stream(1.5)), Action::Stay] {
                let key = normalize(&stream(1.0)).unwrap().into();
                entries.push(Entry {
                    problem: format!("m{m}"),
                    m,
                    layer,
                    quality: 0.7,
                    key,
                    action,
                    ..Entry::default()
                });
            }
        }
    }
    let delimiter = Delimiter::new("\n").unwrap();
    Arc::new(Library::from_entries(engine.fingerprint().clone(), entries).unwrap().with_delimiter(delimiter))
}

pub fn request(max_tokens: usize, seed: u64) -> Request {
    Request { max_tokens, sampling: Sampling::GREEDY, seed, ..Request::default() }
}

/// The replies of a method, in the order of the questions.
pub fn replies(
    engine: &ToyEngine,
    library: Option<&Arc<Library>>,
    config: &MethodConfig,
    questions: &[Question],
    request: Request,
    max_batch: usize,
) -> Vec<Reply> {
    let context =
        MethodContext { engine, judges: &first_mark, library, render: &|system, user| Ok(render(system, user)) };
    let method = config.build(context).unwrap();
    let mut replies = BTreeMap::new();
    let run = AnswerRun { engine, questions, request, max_batch };
    let ran = run.replies(
        &*method,
        |_| false,
        |place, reply| {
            assert!(replies.insert(place, reply).is_none());
            ControlFlow::Continue(())
        },
    );
    ran.unwrap();
    assert_eq!(replies.len(), questions.len());
    replies.into_values().collect()
}

pub fn config(json: &str) -> MethodConfig {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Logits after `tokens`, computed from nothing, with `vectors` added at the positions `at`.
pub fn logits(
    engine: &ToyEngine,
    tokens: &[TokenId],
    vectors: &[(HookPoint, Vec<f32>)],
    at: &[usize],
    scale: f32,
) -> Vec<f32> {
    let mut session = engine.session();
    let additions = at.iter().flat_map(|&position| {
        vectors.iter().map(move |(point, vector)| Addition { point: *point, position, vector, scale })
    });
    let additions = additions.collect();
    let row = Row { session: &mut session, tokens, additions, capture: &[], logits: true };
    engine.forward(&mut [row]).unwrap().remove(0).logits
}

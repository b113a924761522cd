//! A task on the toy engine that a vector can help with: an answer is right if it has a `q`, `r` or `s`.

use std::sync::atomic::{AtomicUsize, Ordering};

use stir_basis::{Action, Entry, Library};
use stir_controller::ControllerConfig;
use stir_core::{
    Engine, HookPoint, Output, Row, Sampling, Text, TokenId,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_rollout::{Prompt, Rollout, RolloutError};
use stir_validation::{ReplayConfig, ValidationConfig};

pub const LAYER: usize = 2;
pub const HIDDEN: usize = 10;

pub fn engine() -> ToyEngine {
    ToyEngine::new(6)
}

pub fn judge(_: &Prompt, text: &str) -> bool {
    text.contains(['q', 'r', 's'])
}

/// Returns the embedding of a token: adding it to the last layer makes the token likelier.
pub fn toward(engine: &ToyEngine, token: TokenId) -> Vec<f32> {
    let (mut session, points) = (engine.session(), [HookPoint::ResidPre(0)]);
    let row = Row { session: &mut session, tokens: &[token], additions: vec![], capture: &points, logits: false };
    let mut embedding = engine.forward(&mut [row]).unwrap().remove(0).captures.remove(0);
    embedding[0] -= 0.1;
    embedding
}

/// Returns problems of one rollout each, by problem. None has such a letter before its end, and each has two boundaries.
pub fn rollouts(engine: &ToyEngine, problems: usize) -> Vec<Result<Vec<Rollout>, RolloutError>> {
    let letters: Vec<char> = ('a'..='p').collect();
    let rollout = |i: usize| {
        let letter = |k: usize| letters[(i * 7 + k * 5 + i * k) % letters.len()];
        let text = format!("{}{}\n\n{}{}{}.\n\n{}q", letter(0), letter(1), letter(2), letter(3), letter(4), letter(5));
        let prompt = format!("{}{}{}", letter(6), letter(7), i % 10);
        let token_ids = engine.encode(&text).unwrap();
        let (id, gold) = (format!("p{i}"), Some("q".to_owned()));
        Ok(vec![Rollout { id, k: 0, prompt, gold, text, token_ids, correct: i.is_multiple_of(2), reward: 1.0 }])
    };
    (0..problems).map(rollout).collect()
}

pub fn entry(problem: &str, vector: Vec<f32>, nth: usize) -> Entry {
    let mut key = [0.1; HIDDEN];
    key[nth % HIDDEN] = 1.0;
    let (problem, action) = (problem.to_owned(), Action::Steer(vector));
    let norm = key.iter().map(|x| x * x).sum::<f32>().sqrt();
    let key = key.map(|x| x / norm);
    Entry { problem, m: 1, layer: LAYER, quality: 0.9, key: key.into(), action, ..Entry::default() }
}

/// Returns a library for `engine`: entries 0 to 2 help, 3 and 4 harm, 5 to 7 do nothing, 8 says to stay, and 9 is of a
/// control point that no rollout reaches.
pub fn library(engine: &ToyEngine) -> Library {
    let (q, end) = (toward(engine, engine.encode("q").unwrap()[0]), toward(engine, engine.vocab().eos()[0]));
    let vectors = [&q, &q, &q, &end, &end].map(Clone::clone).into_iter().chain(vec![vec![0.0; HIDDEN]; 3]);
    let steering = vectors.enumerate().map(|(nth, vector)| entry(&format!("p{nth}"), vector, nth));
    let stay = Entry { action: Action::Stay, ..entry("p1", vec![], 8) };
    let late = Entry { m: 5, ..entry("p4", q.clone(), 9) };
    let entries: Vec<Entry> = steering.chain([stay, late]).collect();
    Library::from_entries(engine.fingerprint().clone(), entries).unwrap()
}

pub fn controller() -> ControllerConfig {
    ControllerConfig { retrieve: 16, candidates: 16, min_similarity: -1.0, ..ControllerConfig::default() }
}

pub fn config() -> ValidationConfig {
    let sampling = Sampling { temperature: 6.0, ..Sampling::GREEDY };
    let replay = ReplayConfig { max_tokens: 12, sampling, max_batch: 7, ..ReplayConfig::default() };
    let strengths = vec![1.0, 2.0, 4.0];
    let default = ValidationConfig::default();
    ValidationConfig { strengths, starts_per_entry: 12, starts_per_look: 6, samples: 3, replay, ..default }
}

/// A toy engine that counts the tokens of every pass.
pub fn counting(
    toy: &ToyEngine,
    tokens: &AtomicUsize,
) -> Watched<impl Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> {
    Watched::new(toy.clone(), move |rows, _| {
        tokens.fetch_add(rows.iter().map(|row| row.tokens.len()).sum(), Ordering::Relaxed);
    })
}

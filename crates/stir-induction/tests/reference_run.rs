//! Selection, quality and order on the reference run (see its folder under tests/fixtures): which pairs are kept is
//! decided by rewards and boundaries alone, so an engine without a model is enough.

use std::{convert::Infallible, fs, path::PathBuf};

use serde::Deserialize;
use stir_core::{Engine, Fingerprint, ModelShape, Output, Row, Session, Text, TokenId, Vocab};
use stir_induction::{InductionConfig, induce};
use stir_rollout::{read_groups, read_rollouts, reward};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run").join(name)
}

/// Has the reference model's sizes and vocabulary; its hidden state is the position, and every prompt is one token.
struct Ruler {
    fingerprint: Fingerprint,
    vocab: Vocab,
}

#[derive(Clone)]
struct Length(usize);

impl Session for Length {
    fn len(&self) -> usize {
        self.0
    }
    fn fork(&self) -> Self {
        self.clone()
    }
    fn rewind(&mut self, len: usize) {
        self.0 = self.0.min(len);
    }
}

impl Engine for Ruler {
    type Session = Length;
    type Error = Infallible;

    fn shape(&self) -> ModelShape {
        ModelShape { n_layers: 5, hidden_size: 1, vocab_size: 408, max_context: 512 }
    }
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
    fn session(&self) -> Length {
        Length(0)
    }
    fn forward(&self, rows: &mut [Row<'_, Length>]) -> Result<Vec<Output>, Infallible> {
        let read = |row: &mut Row<'_, Length>| {
            row.session.0 += row.tokens.len();
            let state = vec![(row.session.0 - 1) as f32];
            Output { logits: vec![], captures: vec![state; row.capture.len()] }
        };
        Ok(rows.iter_mut().map(read).collect())
    }
}

impl Text for Ruler {
    fn encode(&self, _: &str) -> Result<Vec<TokenId>, Infallible> {
        Ok(vec![0])
    }
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Infallible> {
        self.encode(text)
    }
}

impl Ruler {
    fn new() -> Self {
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(fixture("model/tokenizer.json")).unwrap()).unwrap();
        let mut tokens = vec![Vec::new(); 408];
        for (token, id) in json["model"]["vocab"].as_object().unwrap() {
            tokens[id.as_u64().unwrap() as usize] = token.chars().map(byte).collect();
        }
        for special in json["added_tokens"].as_array().unwrap() {
            tokens[special["id"].as_u64().unwrap() as usize].clear();
        }
        let fingerprint = Fingerprint {
            architecture: "ruler".into(),
            n_layers: 5,
            hidden_size: 1,
            vocab_size: 408,
            tokenizer: String::new(),
            weights: String::new(),
        };
        Self { fingerprint, vocab: Vocab::new(tokens.iter().map(Vec::as_slice), [2]) }
    }
}

/// The byte behind a character of a byte-level vocabulary: printable ones are themselves, the others were given
/// the characters from U+0100 on, in order.
fn byte(c: char) -> u8 {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..0x100 => code as u8,
        code => (0..=255u8).filter(|b| !printable(b)).nth(code as usize - 0x100).unwrap(),
    }
}

#[derive(Deserialize)]
struct Expected {
    id: String,
    m: usize,
    layer: usize,
    quality: f64,
}

#[test]
fn the_vocabulary_spells_the_recorded_texts() {
    let ruler = Ruler::new();
    for rollout in read_rollouts(fixture("rollouts.jsonl")).unwrap().map(Result::unwrap) {
        assert_eq!(ruler.vocab.text(&rollout.token_ids), rollout.text);
        assert_eq!(rollout.reward, reward(rollout.correct, rollout.token_ids.len(), 0.01, 200));
    }
}

#[test]
fn the_kept_pairs_are_those_of_the_reference_in_order() {
    let expected: Vec<Expected> = serde_json::from_str(&fs::read_to_string(fixture("pairs.json")).unwrap()).unwrap();
    let ruler = Ruler::new();
    let rollouts = read_groups(fixture("rollouts.jsonl")).unwrap();
    let (candidates, report) = induce(&ruler, rollouts, InductionConfig::default()).unwrap();
    assert_eq!((report.problems, report.rollouts, report.kept), (60, 480, 128));
    assert_eq!(candidates.pairs.len(), expected.len());
    for (pair, expected) in candidates.pairs.iter().zip(&expected) {
        let found = (&pair.problem, pair.m, pair.layer);
        assert_eq!(found, (&expected.id, expected.m, expected.layer));
        assert!((pair.quality - expected.quality).abs() < 1e-6, "{found:?}");
        assert!(pair.mu_plus[0] > pair.m as f32 && pair.mu_minus[0] > pair.m as f32);
    }
}

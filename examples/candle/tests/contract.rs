//! The engine keeps the contract, and its numbers are those of Hugging Face transformers.

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use candle_engine::CandleEngine;
use stir_core::{
    Addition, Engine, GenerateOptions, HookPoint, Request, Row, Sampling, TokenId, argmax, conformance, generate,
};

/// The gap that is allowed, as a share of the largest magnitude.
const TOLERANCE: f32 = 2e-5;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn load(model: &str) -> CandleEngine {
    CandleEngine::load(&fixtures().join("models").join(model)).unwrap()
}

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn of(file: &str) -> Self {
        Self(safetensors::load(fixtures().join(file), &Device::Cpu).unwrap())
    }

    fn tokens(&self, name: &str) -> Vec<Vec<TokenId>> {
        self.0[name].to_dtype(DType::U32).unwrap().to_vec2().unwrap()
    }

    /// `[sequence][position]` to a row of numbers.
    fn floats(&self, name: &str) -> Vec<Vec<Vec<f32>>> {
        self.0[name].to_vec3().unwrap()
    }
}

/// The largest gap as a share of the largest magnitude.
fn gap(what: &str, pairs: impl Iterator<Item = (Vec<f32>, Vec<f32>)>) {
    let (mut gap, mut largest) = (0.0f32, 0.0f32);
    for (expected, found) in pairs {
        assert_eq!(expected.len(), found.len(), "{what}");
        for (expected, found) in expected.iter().zip(found) {
            assert!(found.is_finite(), "{what}");
            gap = gap.max((expected - found).abs());
            largest = largest.max(expected.abs());
        }
    }
    println!("{what}: {:.1e}", gap / largest);
    assert!(largest > 0.0 && gap <= TOLERANCE * largest, "{what}: {gap} of {largest}");
}

#[test]
fn keeps_the_contract() {
    conformance::check(&load("qwen2-tied"), 1e-5).unwrap();
    conformance::check(&load("qwen2-untied-bf16-sharded"), 1e-5).unwrap();
    // The small model of the program `stir` has a tokenizer.
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates/stir-cli/assets/tiny");
    let engine = CandleEngine::load(&dir).unwrap();
    conformance::check(&engine, 1e-5).unwrap();
    conformance::check_text(&engine).unwrap();
}

/// Token by token: every position is read, and all but the first come out of the cache.
#[test]
fn logits_and_residual_streams_equal_transformers() {
    let engine = load("qwen2-tied");
    let golden = Golden::of("models/qwen2-tied/expected.safetensors");
    let points: Vec<HookPoint> = (0..engine.shape().n_layers).map(HookPoint::ResidPost).collect();
    let read = |sequence: &Vec<TokenId>| {
        let mut session = engine.session();
        let mut read = |token: &TokenId| {
            let tokens = std::slice::from_ref(token);
            let row = Row { session: &mut session, tokens, additions: vec![], capture: &points, logits: true };
            engine.forward(&mut [row]).unwrap().remove(0)
        };
        sequence.iter().map(&mut read).collect::<Vec<_>>()
    };
    let found: Vec<_> = golden.tokens("input_ids").iter().flat_map(read).collect();
    let logits = found.iter().map(|output| output.logits.clone());
    gap("logits", golden.floats("logits").concat().into_iter().zip(logits));
    for layer in 0..points.len() {
        let name = format!("resid_post.{layer}");
        let states = found.iter().map(|output| output.captures[layer].clone());
        gap(&name, golden.floats(&name).concat().into_iter().zip(states));
    }
}

#[test]
fn logits_of_a_checkpoint_in_bf16_and_several_files_equal_transformers() {
    let engine = load("qwen2-untied-bf16-sharded");
    let golden = Golden::of("from_pretrained.safetensors");
    let pairs = golden.tokens("input_ids").into_iter().zip(golden.floats("logits")).flat_map(|(tokens, logits)| {
        let last = |end: usize| {
            let (mut session, tokens) = (engine.session(), &tokens[..end]);
            let row = Row { session: &mut session, tokens, additions: vec![], capture: &[], logits: true };
            engine.forward(&mut [row]).unwrap().remove(0).logits
        };
        logits.into_iter().zip((1..=tokens.len()).map(last)).collect::<Vec<_>>()
    });
    gap("logits", pairs);
}

#[test]
fn continuations_equal_transformers() {
    let engine = load("qwen2-tied");
    let golden = Golden::of("models/qwen2-tied/expected.safetensors");
    let (prompts, expected) = (golden.tokens("input_ids"), golden.tokens("greedy_ids"));
    let request = Request { max_tokens: expected[0].len(), sampling: Sampling::GREEDY, ..Request::default() };
    let found = generate(&engine, &request.with_prompts(&prompts), GenerateOptions::default()).unwrap().concat();
    for (expected, found) in expected.iter().zip(&found) {
        // The reference went on past the end token.
        assert_eq!(expected[..found.tokens.len()], found.tokens);
        assert!(found.tokens.len() == expected.len() || engine.vocab().is_eos(found.tokens[found.tokens.len() - 1]));
    }
}

#[test]
fn steered_continuations_equal_transformers() {
    let engine = load("qwen2-tied");
    let golden = Golden::of("models/qwen2-tied/expected.safetensors");
    let vector: Vec<f32> = golden.0["vec"].to_vec1().unwrap();
    // As `expected.json` beside the file says.
    let addition = Addition { point: HookPoint::ResidPost(2), position: 47, vector: &vector, scale: 0.8 };
    let expected = golden.tokens("steered_ids");
    let mut found = Vec::new();
    for (prompt, expected) in golden.tokens("input_ids").into_iter().zip(&expected) {
        let (mut session, mut tokens, mut additions) = (engine.session(), prompt, vec![addition]);
        for &next in expected {
            let additions = std::mem::take(&mut additions);
            let row = Row { session: &mut session, tokens: &tokens, additions, capture: &[], logits: true };
            let logits = engine.forward(&mut [row]).unwrap().remove(0).logits;
            assert_eq!(argmax(&logits).unwrap(), next as usize);
            found.push(logits);
            tokens = vec![next];
        }
    }
    gap("steered logits", golden.floats("steered_logits").concat().into_iter().zip(found));
}

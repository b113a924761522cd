//! The decoder against golden outputs of Hugging Face transformers (see `tests/fixtures/README.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use stir_core::{
    Addition, Engine, GenerateOptions, HookPoint, Request, Row, Sampling, TokenId, argmax, conformance, generate,
};
use stir_model::{Checkpoint, ComputeType, Decoder, DecoderConfig, DeviceSpec, Lm, LoadOptions, RopeFrequencies};

const BF16: &str = "qwen2-untied-bf16-sharded";
const MODELS: [&str; 15] = [
    "qwen2-tied",
    BF16,
    "qwen2-window",
    "qwen3-qknorm",
    "qwen3-bias-yarn",
    "llama-3.1-rope",
    "llama-bias",
    "mistral-window",
    "gemma2",
    "gemma3",
    "phi3",
    "phi4-longrope",
    "smollm3",
    "olmo2",
    "granite",
];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

struct Golden {
    lm: Lm,
    expected: Checkpoint,
    prompts: Vec<Vec<TokenId>>,
    steer: serde_json::Value,
}

impl Golden {
    fn load(name: &str) -> Self {
        // That golden file came from a model whose rotary frequencies had been cast to bf16 with its weights.
        let frequencies = (name == BF16).then_some(RopeFrequencies::Bf16);
        Self::of(&fixture("models").join(name), frequencies)
    }

    fn of(dir: &Path, frequencies: Option<RopeFrequencies>) -> Self {
        let expected = Checkpoint::open_file(&dir.join("expected.safetensors")).unwrap();
        let steer = serde_json::from_str(&std::fs::read_to_string(dir.join("expected.json")).unwrap()).unwrap();
        let prompts = rows(expected.integers("input_ids").unwrap());
        let mut config = DecoderConfig::from_file(&dir.join("config.json")).unwrap();
        config.rope.frequencies = frequencies.unwrap_or_default();
        let options = LoadOptions { config: Some(config), ..LoadOptions::default() };
        let lm = Lm::load_with(dir, &common::device().open().unwrap(), options, |_| ()).unwrap();
        Self { lm, expected, prompts, steer }
    }

    fn check_prefill(&self, name: &str) {
        let found: Vec<_> = self.prompts.iter().map(|ids| self.lm.inspect(ids, vec![]).unwrap()).collect();
        let logits: Vec<f32> = found.iter().flat_map(|f| f.logits.clone()).collect();
        assert_close(name, &self.expected.floats("logits").unwrap().0, &logits);
        for layer in 0..self.lm.shape().n_layers {
            let what = format!("resid_post.{layer}");
            let states: Vec<f32> = found.iter().flat_map(|f| f.resid_post[layer].clone()).collect();
            assert_close(&format!("{name} {what}"), &self.expected.floats(&what).unwrap().0, &states);
        }
    }

    fn ids(&self, name: &str) -> Vec<Vec<TokenId>> {
        rows(self.expected.integers(name).unwrap())
    }
}

fn rows((ids, shape): (Vec<i64>, Vec<usize>)) -> Vec<Vec<TokenId>> {
    ids.chunks(shape[1]).map(|row| row.iter().map(|&id| id as TokenId).collect()).collect()
}

fn assert_close(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let gap = expected.iter().zip(found).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    println!("{what}: off by {:.1e} of the largest magnitude", gap / largest);
    assert!(gap <= 2e-4 * largest, "{what}: off by {} of the largest magnitude", gap / largest);
}

#[test]
fn logits_and_residual_streams_equal_transformers() {
    for name in MODELS {
        let mut golden = Golden::load(name);
        golden.check_prefill(name);
        if common::device() == DeviceSpec::CPU {
            // The first was by kernels of our own.
            golden.lm = golden.lm.without_kernels();
            golden.check_prefill(name);
        }
    }
}

/// Every way to compute keeps the contract and gives the same numbers.
#[test]
fn kernels_equal_the_operations_of_burn_in_every_type() {
    for name in MODELS {
        for (compute, tolerance) in [(ComputeType::F32, 1e-5), (ComputeType::Bf16, 0.08), (ComputeType::F16, 0.01)] {
            let load = || {
                let options = LoadOptions { compute, ..LoadOptions::default() };
                Lm::load_with(fixture("models").join(name), &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
            };
            let (kernels, plain) = (load(), load().without_kernels());
            let prompts = Golden::load(name).prompts;
            for ids in &prompts {
                let [found, expected] = [&kernels, &plain].map(|lm| lm.inspect(ids, vec![]).unwrap());
                let largest = expected.logits.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let gap = found.logits.iter().zip(&expected.logits).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(gap <= tolerance * largest, "{name} {compute}: off by {} of the largest", gap / largest);
            }
            // Bit for bit: however a past is divided, whatever is shared, in whatever chunks a prompt comes.
            conformance::check(&kernels, 0.0).unwrap();
            conformance::check(&kernels.with_prefill_chunk(3), 0.0).unwrap();
        }
    }
}

#[test]
fn greedy_continuations_equal_transformers() {
    for name in MODELS {
        let golden = Golden::load(name);
        let expected = golden.ids("greedy_ids");
        // The reference went on past the end token; compare up to it.
        let request = Request { max_tokens: expected[0].len(), sampling: Sampling::GREEDY, ..Request::default() };
        let options = GenerateOptions { max_batch: 2, ..GenerateOptions::default() };
        let found = generate(&golden.lm, &request.with_prompts(&golden.prompts), options).unwrap().concat();
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected[..found.tokens.len()], found.tokens, "{name}");
            assert!(found.tokens.len() == expected.len() || golden.lm.vocab().is_eos(*found.tokens.last().unwrap()));
        }
    }
}

#[test]
fn steered_continuations_equal_transformers() {
    for name in MODELS {
        let golden = Golden::load(name);
        let (vector, _) = golden.expected.floats("vec").unwrap();
        let number = |field: &str| golden.steer[field].as_f64().unwrap();
        let addition = Addition {
            point: HookPoint::ResidPost(number("steer_layer") as usize),
            position: number("steer_position") as usize,
            vector: &vector,
            scale: number("steer_scale") as f32,
        };
        let (expected, (golden_logits, shape)) =
            (golden.ids("steered_ids"), golden.expected.floats("steered_logits").unwrap());
        for (row, prompt) in golden.prompts.iter().enumerate() {
            let mut session = golden.lm.session();
            let (mut tokens, mut logits) = (prompt.clone(), Vec::new());
            for (step, &next) in expected[row].iter().enumerate() {
                let additions = if step == 0 { vec![addition] } else { vec![] };
                let request = Row { session: &mut session, tokens: &tokens, additions, capture: &[], logits: true };
                let output = golden.lm.forward(&mut [request]).unwrap().remove(0);
                assert_eq!(argmax(&output.logits).unwrap() as TokenId, next, "{name}");
                tokens = vec![next];
                logits.extend(output.logits);
            }
            let size = shape[1] * shape[2];
            assert_close(name, &golden_logits[row * size..(row + 1) * size], &logits);
        }
    }
}

#[test]
fn keeps_the_engine_contract() {
    for name in MODELS {
        conformance::check(&Golden::load(name).lm, 1e-5).unwrap();
        conformance::check_text(&Golden::load(name).lm).unwrap();
        // Prompts that take several passes.
        conformance::check(&Golden::load(name).lm.with_prefill_chunk(3), 1e-5).unwrap();
        conformance::check(&Golden::load(name).lm.without_kernels(), 1e-5).unwrap();
    }
}

/// The kernels add in the same order whatever the batch, so that an answer does not depend on its neighbours.
#[test]
fn a_row_of_a_batch_gets_bit_for_bit_what_it_gets_alone() {
    for name in MODELS {
        let Golden { prompts, .. } = Golden::load(name);
        let lm = Lm::load(fixture("models").join(name), &DeviceSpec::CPU.open().unwrap()).unwrap();
        let rows: Vec<&[TokenId]> = (1..9).map(|len| &prompts[len % prompts.len()][..len]).collect();
        let mut sessions: Vec<_> = rows.iter().map(|_| lm.session()).collect();
        let mut batch: Vec<_> = sessions
            .iter_mut()
            .zip(&rows)
            .map(|(session, tokens)| Row { session, tokens, additions: vec![], capture: &[], logits: true })
            .collect();
        let together = lm.forward(&mut batch).unwrap();
        for (tokens, expected) in rows.into_iter().zip(together) {
            let mut session = lm.session();
            let row = Row { session: &mut session, tokens, additions: vec![], capture: &[], logits: true };
            assert_eq!(lm.forward(&mut [row]).unwrap()[0].logits, expected.logits, "{name} {}", tokens.len());
        }
    }
}

/// Weights that stay in 16 bits are widened while they are multiplied, which changes nothing.
#[test]
fn weights_kept_in_16_bits_compute_as_if_they_were_widened_first() {
    let [kept, widened] = [false, true].map(|dequantise| {
        let options = LoadOptions { dequantise, ..LoadOptions::default() };
        Lm::load_with(fixture("models").join(BF16), &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
    });
    for ids in Golden::load(BF16).prompts {
        for ids in [&ids[..1], &ids[..3], &ids] {
            let [kept, widened] = [&kept, &widened].map(|lm| lm.inspect(ids, vec![]).unwrap());
            assert_eq!(kept.logits, widened.logits);
            assert_eq!(kept.resid_post, widened.resid_post);
        }
    }
}

/// Random weights, computed without a cache, saved, loaded, and computed with one.
#[test]
fn what_is_saved_computes_what_it_did() {
    let device = common::device().open().unwrap();
    for name in MODELS {
        let (config, dir) = (fixture("models").join(name).join("config.json"), tempfile::tempdir().unwrap());
        let decoder = Decoder::random(&DecoderConfig::from_file(&config).unwrap(), 3, &device).unwrap();
        let json = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
        decoder.save(dir.path(), &json).unwrap();
        let ids = &Golden::load(name).prompts[0];
        let tokens: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, ids.len()]), &device);
        let expected = decoder.forward_dense(tokens).try_into_vec_as::<f32>().unwrap();
        let found = Lm::load(dir.path(), &device).unwrap().inspect(ids, vec![]).unwrap().logits;
        assert_close(name, &expected, &found);
    }
}

/// Compares with what transformers itself computes when it loads the bf16 checkpoint
/// (`tests/fixtures/from_pretrained.py`): rotary frequencies in f32, our default.
#[test]
fn a_bf16_checkpoint_loads_as_transformers_loads_it() {
    let dir = fixture("models").join(BF16);
    let lm = Lm::load(&dir, &common::device().open().unwrap()).unwrap();
    let golden = Checkpoint::open_file(&fixture("from_pretrained.safetensors")).unwrap();
    let prompts = rows(golden.integers("input_ids").unwrap());
    let logits: Vec<f32> = prompts.iter().flat_map(|ids| lm.inspect(ids, vec![]).unwrap().logits).collect();
    assert_close("logits", &golden.floats("logits").unwrap().0, &logits);
}

/// Shapes at random: `python tests/fixtures/sweep.py OUT`, then `STIR_SWEEP=OUT cargo test ... -- --ignored`.
#[test]
#[ignore = "needs the checkpoints that sweep.py makes"]
fn random_shapes_equal_transformers() {
    let root = PathBuf::from(std::env::var("STIR_SWEEP").expect("STIR_SWEEP names the folder"));
    let mut names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for dir in names.iter().filter(|dir| dir.is_dir()) {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let golden = Golden::of(dir, None);
        golden.check_prefill(name);
        let sure = golden.steer["sure_steps"].as_array().unwrap();
        let steps = golden.ids("greedy_ids");
        for ((prompt, expected), sure) in golden.prompts.iter().zip(&steps).zip(sure) {
            let sure = sure.as_u64().unwrap() as usize;
            let mut session = golden.lm.session();
            let mut tokens = prompt.clone();
            for &next in &expected[..sure] {
                let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &[], logits: true };
                let output = golden.lm.forward(&mut [row]).unwrap().remove(0);
                assert_eq!(argmax(&output.logits).unwrap() as TokenId, next, "{name}");
                tokens = vec![next];
            }
        }
        // Through a narrow window an impulse does not reach as far as the contract's laws look.
        if golden.lm.config().windows.iter().all(|window| window.is_none_or(|w| w >= 8)) {
            conformance::check(&golden.lm, 2e-4).unwrap();
        }
    }
}

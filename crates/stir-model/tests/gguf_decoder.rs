//! What models compute from GGUF files, against values recorded with transformers.

#![cfg(feature = "flex")]

use std::path::{Path, PathBuf};

use crate::common::shared;
use stir_core::{Addition, Engine, HookPoint, Text, TokenId, argmax, conformance};
use stir_model::{Activations, Checkpoint, ComputeType, DeviceSpec, Lm, LoadOptions, Message, gguf::ControlVectors};

const MODELS: [&str; 3] = ["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"];
const FOLDER: &str = "STIR_REAL_MODELS names the folder of real models";

struct Recorded {
    json: serde_json::Value,
    tensors: Checkpoint,
}

impl Recorded {
    fn of(name: &str) -> Self {
        Self::read(&shared("../fixtures/real"), name)
    }

    fn read(folder: &Path, name: &str) -> Self {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        let json = serde_json::from_str(&std::fs::read_to_string(file("json")).unwrap()).unwrap();
        Self { json, tensors: Checkpoint::open_file(&file("safetensors")).unwrap() }
    }

    fn ids(&self, name: &str) -> Vec<TokenId> {
        self.tensors.integers(name).unwrap().0.into_iter().map(|id| id as TokenId).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.tensors.floats(name).unwrap().0
    }

    fn load(&self, activations: Activations, dequantise: bool) -> Lm {
        self.load_with(LoadOptions { activations, dequantise, ..LoadOptions::default() })
    }

    fn load_with(&self, options: LoadOptions) -> Lm {
        let path = PathBuf::from(std::env::var_os("STIR_REAL_MODELS").expect(FOLDER));
        let path = path.join(self.json["gguf"].as_str().unwrap());
        Lm::load_with(path, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
    }
}

/// Returns the largest difference, relative to the largest magnitude. What was recorded may begin at a later position.
fn gap(expected: &[f32], found: &[f32]) -> f32 {
    let found = &found[found.len() - expected.len()..];
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let gaps = expected.iter().zip(found).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f32::max) / largest
}

/// Checks states, logits and greedy tokens. Returns the largest gap.
fn check(recorded: &Recorded, lm: &Lm, tolerance: f32) -> f32 {
    let mut worst = 0.0f32;
    let layers: Vec<usize> = serde_json::from_value(recorded.json["layers"].clone()).unwrap();
    for text in 0..4 {
        let ids = recorded.ids(&format!("ids.{text}"));
        let found = lm.inspect(&ids, vec![]).unwrap();
        for layer in &layers {
            let expected = recorded.floats(&format!("resid_post.{layer}.{text}"));
            worst = worst.max(gap(&expected, &found.resid_post[*layer]));
        }
        let vocab = lm.config().vocab_size;
        let logits: Vec<&[f32]> = found.logits.chunks(vocab).collect();
        let top_ids = recorded.ids(&format!("top_ids.{text}"));
        let logits = &logits[logits.len() - top_ids.len() / 64..];
        let top: Vec<f32> = top_ids.iter().enumerate().map(|(i, &id)| logits[i / 64][id as usize]).collect();
        worst = worst.max(gap(&recorded.floats(&format!("top.{text}")), &top));
        let lse = |row: &&[f32]| {
            let most = row.iter().copied().fold(f32::MIN, f32::max);
            most + row.iter().map(|x| (x - most).exp()).sum::<f32>().ln()
        };
        worst = worst.max(gap(&recorded.floats(&format!("lse.{text}")), &logits.iter().map(lse).collect::<Vec<_>>()));
        assert!(worst <= tolerance, "text {text}: {worst}");
        // The recorded tokens went on past every end token, none of which was allowed.
        let expected = recorded.ids(&format!("greedy.{text}"));
        let all = [&ids, &expected[..expected.len() - 1]].concat();
        let mut logits = lm.inspect(&all, vec![]).unwrap().logits;
        let greedy = logits[(ids.len() - 1) * vocab..].chunks_mut(vocab).map(|row| {
            lm.vocab().eos().iter().for_each(|&id| row[id as usize] = f32::NEG_INFINITY);
            argmax(row).unwrap() as TokenId
        });
        assert_eq!(greedy.collect::<Vec<_>>(), expected, "text {text}");
    }
    worst
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn exact_products_equal_transformers() {
    for name in MODELS {
        let recorded = Recorded::of(name);
        for dequantise in [false, true] {
            let worst = check(&recorded, &recorded.load(Activations::Exact, dequantise), 1e-4);
            println!("{name}, decoded when loaded {dequantise}: largest gap {worst:.1e}");
        }
    }
}

#[test]
#[ignore = "needs the folder of real models in STIR_REAL_MODELS"]
fn smollm2_equals_transformers_and_talks() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/real");
    let recorded = Recorded::read(&fixtures, "smollm2-135m");
    let lm = recorded.load(Activations::Exact, false);
    println!("largest gap {:.1e}", check(&recorded, &lm, 1e-4));
    // The type is that of all that is not packed, keys and values among it, on every way to compute.
    let compute = ComputeType::Bf16;
    let rounded =
        recorded.load_with(LoadOptions { compute, activations: Activations::Exact, ..LoadOptions::default() });
    assert_eq!(rounded.computation(), "bf16, exact activations");
    let ids = recorded.ids("ids.0");
    let [expected, found] = [&lm, &rounded].map(|lm| lm.inspect(&ids, vec![]).unwrap().logits);
    assert!((1e-5..0.05).contains(&gap(&expected, &found)));
    assert!(gap(&expected, &rounded.without_kernels().inspect(&ids, vec![]).unwrap().logits) < 0.1);
    let messages: Vec<Message> = serde_json::from_value(recorded.json["chat"]["messages"].clone()).unwrap();
    let prompt = lm.chat_template().unwrap().render(&messages).unwrap();
    assert_eq!(prompt, recorded.json["chat"]["rendered"].as_str().unwrap());
    assert_eq!(lm.encode_prompt(&prompt).unwrap(), recorded.ids("chat_ids"));
}

/// The files that `tests/fixtures/gguf_files.py` makes, against llama.cpp, which reads them too, and transformers.
#[test]
fn small_files_give_the_logits_of_llama_cpp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf");
    let recorded = Checkpoint::open_file(&folder.join("expected.safetensors")).unwrap();
    for name in ["smollm3", "olmo2", "granite"] {
        let load = || Lm::load(folder.join(format!("{name}.gguf")), &DeviceSpec::CPU.open().unwrap()).unwrap();
        let (ids, _) = recorded.integers(&format!("{name}.input_ids")).unwrap();
        let ids: Vec<TokenId> = ids.into_iter().map(|id| id as TokenId).collect();
        for (lm, by) in [(load(), "kernels"), (load().without_kernels(), "burn")] {
            let found = lm.inspect(&ids, vec![]).unwrap().logits;
            for peer in ["llama_cpp", "transformers"] {
                let gap = gap(&recorded.floats(&format!("{name}.{peer}")).unwrap().0, &found);
                println!("{name} by {by}: off by {gap:.1e} of the largest logit of {peer}");
                assert!(gap <= 2e-5, "{name} by {by}: {gap} from {peer}");
            }
            conformance::check(&lm, 1e-5).unwrap();
        }
    }
}

/// The vectors that `tests/fixtures/control_vectors.py` made, added at every position, against llama.cpp.
#[test]
fn control_vectors_do_what_they_do_in_llama_cpp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf");
    let [plain, controlled] = ["expected", "controlled"]
        .map(|name| Checkpoint::open_file(&folder.join(format!("{name}.safetensors"))).unwrap());
    let vectors = ControlVectors::open(folder.join("control.gguf")).unwrap();
    for name in ["smollm3", "olmo2", "granite"] {
        let lm = Lm::load(folder.join(format!("{name}.gguf")), &DeviceSpec::CPU.open().unwrap()).unwrap();
        let (ids, _) = plain.integers(&format!("{name}.input_ids")).unwrap();
        let ids: Vec<TokenId> = ids.into_iter().map(|id| id as TokenId).collect();
        let additions = vectors.directions().iter().flat_map(|(&layer, vector)| {
            let point = HookPoint::ResidPost(layer);
            (0..ids.len()).map(move |position| Addition { point, position, vector, scale: 1.0 })
        });
        let found = lm.inspect(&ids, additions.collect()).unwrap().logits;
        let [before, after] = [&plain, &controlled].map(|of| of.floats(&format!("{name}.llama_cpp")).unwrap().0);
        let (moved, gap) = (gap(&before, &found), gap(&after, &found));
        println!("{name}: moved by {moved:.2} of the largest logit, off by {gap:.1e}");
        assert!(moved > 0.1 && gap <= 2e-5, "{name}: {moved} {gap}");
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn packed_weights_pass_the_conformance_tests() {
    for name in MODELS {
        for activations in [Activations::Exact, Activations::Int8] {
            let lm = Recorded::of(name).load(activations, false);
            assert!(lm.computation().contains(&activations.to_string()), "{}", lm.computation());
            // Bit for bit: however a past is divided, whatever is shared.
            conformance::check(&lm, 0.0).unwrap();
        }
    }
}

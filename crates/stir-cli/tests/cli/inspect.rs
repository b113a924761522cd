//! The results of `inspect`, and the input that it refuses.

use std::{fs, path::Path};

use serde_json::Value;
use stir::model::Checkpoint;

use crate::{Folder, fixture, refuse, run, succeed};

fn assert_close(what: &str, expected: &Checkpoint, found: &Checkpoint) {
    let ((expected, shape), (found, found_shape)) = (expected.floats(what).unwrap(), found.floats(what).unwrap());
    assert_eq!(shape, found_shape, "{what}");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let gap = expected.iter().zip(&found).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(gap <= 2e-4 * largest, "{what}: off by {} of the largest magnitude", gap / largest);
}

#[test]
fn inspect_finds_what_transformers_does() {
    for name in ["qwen2-tied", "qwen2-untied-bf16-sharded", "llama-3.1-rope", "qwen3-qknorm", "mistral-window"] {
        let (dir, folder) = (fixture("models").join(name), Folder::new());
        let golden_path = dir.join("expected.safetensors").display().to_string();
        let golden = Checkpoint::open_file(Path::new(&golden_path)).unwrap();
        let common = format!("--model {} --tokens-from {golden_path}:input_ids --greedy 32", dir.display());

        let plain = folder.path("plain.safetensors");
        succeed("inspect", &format!("{common} --out {plain}"));
        let plain = Checkpoint::open_file(Path::new(&plain)).unwrap();
        assert_eq!(plain.integers("greedy_ids").unwrap(), golden.integers("greedy_ids").unwrap(), "{name}");
        // The sharded model's file was made with rotary frequencies rounded to bf16, which moves its states.
        if name != "qwen2-untied-bf16-sharded" {
            assert_close("logits", &golden, &plain);
            let layers = (0..).map(|layer| format!("resid_post.{layer}"));
            layers.take_while(|what| golden.floats(what).is_ok()).for_each(|what| assert_close(&what, &golden, &plain));
        }

        let steer: Value = serde_json::from_slice(&fs::read(dir.join("expected.json")).unwrap()).unwrap();
        let (layer, position, scale) = (&steer["steer_layer"], &steer["steer_position"], &steer["steer_scale"]);
        let edited = folder.path("edited.safetensors");
        let edit =
            format!("--edit {golden_path}:vec --edit-layer {layer} --edit-position {position} --edit-scale {scale}");
        succeed("inspect", &format!("{common} {edit} --out {edited}"));
        let edited = Checkpoint::open_file(Path::new(&edited)).unwrap();
        assert_eq!(edited.integers("greedy_ids").unwrap(), golden.integers("steered_ids").unwrap(), "{name}");
        // The edit shows in the layer it was made in, at its position and not before.
        let name = format!("resid_post.{layer}");
        let ((before, shape), (after, _)) = (plain.floats(&name).unwrap(), edited.floats(&name).unwrap());
        let from = position.as_u64().unwrap() as usize * shape[2];
        assert_eq!(before[..from], after[..from]);
        let vector = golden.floats("vec").unwrap().0;
        let scale = scale.as_f64().unwrap() as f32;
        for (i, x) in vector.iter().enumerate() {
            assert!((before[from + i] + scale * x - after[from + i]).abs() < 1e-4);
        }
    }
}

#[test]
fn inspect_refuses_what_does_not_fit() {
    let folder = Folder::new();
    let (dir, out) = (fixture("models/qwen2-tied"), folder.path("o.safetensors"));
    let golden = dir.join("expected.safetensors").display().to_string();
    let common = format!("--model {} --out {out}", dir.display());
    let ids = format!("{common} --tokens-from {golden}:input_ids");
    refuse("inspect", &format!("{common} --tokens-from {golden}:logits"), &["expected.safetensors", "logits", "I64"]);
    refuse("inspect", &format!("{common} --tokens-from {golden}:none"), &["none"]);
    refuse("inspect", &format!("{common} --tokens-from {}:a", folder.path("no-file")), &["no-file"]);
    let whole = fs::read(&golden).unwrap();
    let cut = folder.write("cut.safetensors", &whole[..whole.len() / 2]);
    refuse("inspect", &format!("{common} --tokens-from {cut}:input_ids"), &["cut.safetensors", "not a complete"]);
    refuse("inspect", &format!("{ids} --greedy 300"), &["context of 256"]);
    let edit = |vector, layer, position, scale| {
        format!("{ids} --edit {golden}:{vector} --edit-layer {layer} --edit-position {position} --edit-scale {scale}")
    };
    refuse("inspect", &edit("vec", 2, 48, "1"), &["position 48"]);
    refuse("inspect", &edit("vec", 4, 0, "1"), &["blocks.4.hook_resid_post"]);
    refuse("inspect", &edit("vec", 0, 0, "NaN"), &["vec", "NaN"]);
    refuse("inspect", &edit("logits", 0, 0, "-1"), &["logits", "[H]"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn without_tokens_inspect_says_what_the_model_is() {
    let folder = Folder::new();
    // It needs no weight to be a number: none is loaded.
    let shown = succeed("inspect", &format!("--model {}", folder.unloadable()));
    for line in [
        "architecture   qwen2",
        "layers         5 of width 128",
        "context        512 positions",
        "weights        ",
        "million in F32",
        "end tokens     2 <|im_end|>",
        "chat template  with a system turn",
        "KiB a position in f32",
        "fingerprint    weights F32:",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    let shown = succeed("inspect", &format!("--model {} --compute bf16", fixture("models/gemma2").display()));
    for line in ["architecture   gemma2", "a window of", "chat template  none", "a position in bf16"] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    assert_eq!(succeed("inspect", "").lines().next().unwrap().split_whitespace().next(), Some("model"));
    // Half of what is needed to compute something is a mistake.
    for flags in ["--tokens-from a:b", "--out o", "--greedy 3", "--rope-frequencies bf16"] {
        assert_eq!(run("inspect", flags).status.code(), Some(2), "{flags}");
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let (folder, dir) = (Folder::new(), fixture("models/qwen2-tied"));
    for name in ["config.json", "generation_config.json"] {
        fs::copy(dir.join(name), folder.0.path().join(name)).unwrap();
    }
    let mut weights = fs::read(dir.join("model.safetensors")).unwrap();
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("model.safetensors", weights);
    let golden = dir.join("expected.safetensors").display().to_string();
    let flags = format!("--model {} --tokens-from {golden}:input_ids --out {}", folder.path(""), folder.path("o"));
    refuse("inspect", &flags, &["model.safetensors", "tensor", "NaN"]);
}

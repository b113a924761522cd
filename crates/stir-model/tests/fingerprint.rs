//! A fingerprint computed from files alone is the one that the loaded model has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stir_core::Engine;
use stir_model::{Checkpoint, DecoderConfig, DeviceSpec, Lm, fingerprint, fingerprint_of};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The folders with a model, one of which has a tokenizer.
fn models() -> Vec<PathBuf> {
    let folders = fs::read_dir(fixtures().join("models")).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<PathBuf> = folders.chain([fixtures().join("reference-run/model")]).collect();
    models.sort();
    assert!(models.len() > 10);
    models
}

fn loaded(dir: &Path) -> stir_core::Fingerprint {
    Lm::load(dir, &DeviceSpec::CPU.open().unwrap()).unwrap().fingerprint().clone()
}

#[test]
fn that_of_a_folder_is_that_of_the_loaded_model() {
    for dir in models() {
        assert_eq!(fingerprint_of(&dir).unwrap(), loaded(&dir), "{}", dir.display());
    }
}

#[test]
fn that_of_a_gguf_file_is_that_of_the_loaded_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, crate::common::gguf_file::model("qwen2").bytes()).unwrap();
    let found = fingerprint_of(&path).unwrap();
    assert_eq!(found.quantisation(), Some("F32"));
    assert_eq!(found, loaded(&path));
}

#[test]
fn that_of_tensors_does_not_depend_on_their_order_or_files() {
    for dir in models() {
        let config = DecoderConfig::from_file(&dir.join("config.json")).unwrap();
        let tokenizer = fs::read(dir.join("tokenizer.json")).ok();
        let checkpoint = Checkpoint::open(&dir).unwrap();
        let mut tensors: Vec<_> = checkpoint.tensors().collect();
        tensors.reverse();
        assert_eq!(fingerprint(&config, tokenizer.as_deref(), tensors), loaded(&dir), "{}", dir.display());
    }
}

#[test]
fn a_second_copy_of_the_embedding_and_derived_tensors_count_as_loading_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let source = fixtures().join("models/qwen2-tied");
    let checkpoint = Checkpoint::open(&source).unwrap();
    let embedding = checkpoint.tensors().find(|tensor| tensor.name == "model.embed_tokens.weight").unwrap();
    let mut tensors: Vec<_> = checkpoint.tensors().collect();
    let mut head = embedding.clone();
    head.name = "lm_head.weight";
    let mut derived = tensors[0].clone();
    derived.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    tensors.extend([head, derived]);
    let views = tensors.iter().map(|tensor| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, tensor.shape.to_vec(), tensor.data);
        (tensor.name, view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).unwrap();
    fs::copy(source.join("config.json"), dir.path().join("config.json")).unwrap();
    let found = fingerprint_of(dir.path()).unwrap();
    assert_eq!(found, loaded(dir.path()));
    assert_ne!(found, loaded(&source));
}

//! The content that a checkpoint needs to be loaded, and the errors when it lacks some.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, serialize_to_file, tensor::TensorView};
use stir_core::Engine;
use stir_model::{ComputeType, DeviceSpec, Lm, LoadOptions, ModelError};
use tempfile::TempDir;

const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
}

/// The tensors of `qwen2-tied`.
fn tensors() -> Tensors {
    let bytes = fs::read(fixture("qwen2-tied").join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own =
        |(name, view): (String, TensorView<'_>)| (name, (view.dtype(), view.shape().to_vec(), view.data().into()));
    file.tensors().into_iter().map(own).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize_to_file(views, None, path).unwrap();
}

/// A folder with the configuration of `qwen2-tied`.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixture("qwen2-tied").join("config.json"), dir.path().join("config.json")).unwrap();
    dir
}

fn load_as(dir: &Path, compute: ComputeType) -> Result<Lm, ModelError> {
    let options = LoadOptions { compute, ..LoadOptions::default() };
    Lm::load_with(dir, &DeviceSpec::CPU.open().unwrap(), options, |_| ())
}

fn load(dir: &Path) -> Result<Lm, ModelError> {
    load_as(dir, ComputeType::F32)
}

/// Returns the result of loading a checkpoint with a change.
fn changed(change: impl FnOnce(&mut Tensors)) -> Result<Lm, ModelError> {
    let (dir, mut tensors) = (folder(), tensors());
    change(&mut tensors);
    write(&dir.path().join("model.safetensors"), &tensors);
    load(dir.path())
}

#[test]
fn every_tensor_is_accounted_for() {
    changed(|_| ()).unwrap();
    let error = changed(|t| drop(t.remove(NORM))).unwrap_err();
    assert!(matches!(&error, ModelError::MissingTensor { name, .. } if name == NORM), "{error}");

    let extra = |t: &mut Tensors, name: &str| drop(t.insert(name.into(), t[NORM].clone()));
    let error = changed(|t| extra(t, "model.layers.4.input_layernorm.weight")).unwrap_err();
    let expected = ["model.layers.4.input_layernorm.weight"];
    assert!(matches!(&error, ModelError::ExtraTensors { names, .. } if names == &expected), "{error}");

    let error = changed(|t| t.get_mut(NORM).unwrap().1 = vec![8, 8]).unwrap_err();
    let ModelError::TensorShape { name, expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), &expected[..], &found[..]), (NORM, &[64][..], &[8, 8][..]));

    let error = changed(|t| t.get_mut(NORM).unwrap().0 = Dtype::I32).unwrap_err();
    assert!(matches!(&error, ModelError::TensorType { name, found, .. } if name == NORM && found == "I32"), "{error}");
}

#[test]
fn what_follows_from_the_rest_may_be_stored_twice() {
    changed(|t| drop(t.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), t[NORM].clone()))).unwrap();
    // The head of a tied model is the embedding; a copy is fine, another head is not.
    changed(|t| drop(t.insert(HEAD.into(), t[EMBEDDING].clone()))).unwrap();
    let error = changed(|t| {
        let mut head = t[EMBEDDING].clone();
        head.2[0] ^= 1;
        t.insert(HEAD.into(), head);
    });
    assert!(matches!(error.unwrap_err(), ModelError::ExtraTensors { names, .. } if names == [HEAD]));
}

#[test]
fn numbers_that_are_none_are_found() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let set = |t: &mut Tensors, i: usize, x: f32| {
        t.get_mut(name).unwrap().2[4 * i..4 * i + 4].copy_from_slice(&x.to_le_bytes())
    };
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let error = changed(|t| set(t, 777, bad)).unwrap_err();
        let ModelError::NonFiniteWeight { name: found, index: 777, value, .. } = &error else { panic!("{error}") };
        assert_eq!((found.as_str(), value.is_nan()), (name, bad.is_nan()));
    }
    // Finite, but not in the type to compute in.
    let (dir, mut tensors) = (folder(), tensors());
    set(&mut tensors, 5, 1e6);
    write(&dir.path().join("model.safetensors"), &tensors);
    let error = load_as(dir.path(), ComputeType::F16).unwrap_err();
    assert!(matches!(error, ModelError::NonFiniteWeight { index: 5, value: 1e6, .. }), "{error}");
    load_as(dir.path(), ComputeType::Bf16).unwrap();
}

#[test]
fn how_weights_are_spread_over_files_does_not_matter() {
    let (dir, mut first) = (folder(), tensors());
    write(&dir.path().join("model.safetensors"), &first);
    let whole = load(dir.path()).unwrap();

    let dir = folder();
    let second = first.split_off("model.layers.2");
    let index = |a: &str, b: &str| {
        let names = first.keys().map(|n| (n.clone(), a.into())).chain(second.keys().map(|n| (n.clone(), b.into())));
        let map: serde_json::Map<String, serde_json::Value> = names.collect();
        let index = serde_json::json!({ "metadata": {}, "weight_map": map });
        fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    };
    write(&dir.path().join("a.safetensors"), &first);
    write(&dir.path().join("b.safetensors"), &second);
    index("a.safetensors", "b.safetensors");
    assert_eq!(load(dir.path()).unwrap().fingerprint(), whole.fingerprint());

    // Names that lead out of the folder are refused before anything is opened.
    for name in ["../a.safetensors", "/etc/passwd", "x/../a.safetensors", "x\\a", "..", "", "./a.safetensors", "c:a"] {
        index(name, "b.safetensors");
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(&error, ModelError::ShardName { name: found, .. } if found == name), "{name:?}: {error}");
    }
    index("a.safetensors", "gone.safetensors");
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::Io { .. }));
    let twice = second.iter().chain(first.iter().take(1)).map(|(n, t)| (n.clone(), t.clone())).collect();
    write(&dir.path().join("b.safetensors"), &twice);
    index("a.safetensors", "b.safetensors");
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::DuplicateTensor { .. }));
}

#[test]
fn a_configuration_of_any_size_is_held_against_the_files_first() {
    let dir = folder();
    write(&dir.path().join("model.safetensors"), &tensors());
    let path = dir.path().join("config.json");
    let plain: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for field in ["vocab_size", "hidden_size", "intermediate_size", "head_dim", "num_attention_heads"] {
        let mut large = plain.clone();
        large[field] = (1u64 << 31).into();
        fs::write(&path, large.to_string()).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, ModelError::TensorShape { .. } | ModelError::Config { .. }), "{field}: {error}");
    }
}

#[test]
fn files_cut_short_or_of_another_kind_are_refused() {
    let dir = folder();
    let path = dir.path().join("model.safetensors");
    assert!(matches!(load(dir.path()).unwrap_err(), ModelError::NoWeights { found: None, .. }));
    write(&path, &tensors());
    let whole = fs::read(&path).unwrap();
    for bytes in [&whole[..whole.len() - 1], &whole[..1000], &whole[..4], &b"not a checkpoint"[..], b""] {
        fs::write(&path, bytes).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, ModelError::Safetensors { .. } | ModelError::Io { .. }), "{error}");
    }
    let header = u64::MAX.to_le_bytes();
    fs::write(&path, header).unwrap();
    assert!(load(dir.path()).is_err());
}

#[test]
fn any_stored_type_goes_to_any_computed_type() {
    let plain = tensors();
    let dir = folder();
    write(&dir.path().join("model.safetensors"), &plain);
    let tokens: Vec<u32> = (0..20).collect();
    let expected = load(dir.path()).unwrap().inspect(&tokens, vec![]).unwrap().logits;
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (stored, precision) in [(Dtype::F32, 1e-6), (Dtype::BF16, 5e-2), (Dtype::F16, 5e-3)] {
        let mut tensors = plain.clone();
        for (dtype, _, data) in tensors.values_mut().filter(|_| stored != Dtype::F32) {
            let values = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            let half =
                |x: f32| if stored == Dtype::BF16 { bf16::from_f32(x).to_bits() } else { f16::from_f32(x).to_bits() };
            *data = values.flat_map(|x| half(x).to_le_bytes()).collect();
            *dtype = stored;
        }
        write(&dir.path().join("model.safetensors"), &tensors);
        for (compute, rounding) in [(ComputeType::F32, 0.0f32), (ComputeType::Bf16, 8e-2), (ComputeType::F16, 1e-2)] {
            let found = load_as(dir.path(), compute).unwrap().inspect(&tokens, vec![]).unwrap();
            let gap = expected.iter().zip(&found.logits).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest;
            assert!(gap <= precision + rounding, "{stored:?} as {compute}: {gap}");
            // What is computed in fewer bits differs: the type is obeyed.
            assert!(compute == ComputeType::F32 || gap > 1e-5, "{stored:?} as {compute}: {gap}");
        }
    }
}

#[test]
fn progress_ends_at_the_total() {
    // The second with tensors that are stored twice and not at all needed.
    let (twice, mut tensors) = (folder(), tensors());
    tensors.insert(HEAD.into(), tensors[EMBEDDING].clone());
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), tensors[NORM].clone());
    write(&twice.path().join("model.safetensors"), &tensors);
    for dir in [fixture("qwen2-untied-bf16-sharded").as_path(), twice.path()] {
        let (mut seen, device) = (Vec::new(), DeviceSpec::CPU.open().unwrap());
        Lm::load_with(dir, &device, LoadOptions::default(), |progress| seen.push(progress)).unwrap();
        assert!(seen.len() > 10 && seen.windows(2).all(|pair| pair[0].bytes < pair[1].bytes));
        let last = seen.last().unwrap();
        assert_eq!(last.bytes, last.total);
    }
}

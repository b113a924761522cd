//! Files of control vectors: what is written, what another program wrote, and what is refused.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::gguf_file::{GgufFile, Item};
use proptest::prelude::*;
use stir_model::{
    Checkpoint, Format, ModelError,
    gguf::{ControlVectors, GgufError, Part},
};

fn open_bytes(bytes: &[u8]) -> Result<ControlVectors, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.gguf");
    fs::write(&path, bytes).unwrap();
    ControlVectors::open(&path)
}

/// A good file, changed.
fn open(change: impl FnOnce(&mut GgufFile)) -> Result<ControlVectors, ModelError> {
    let mut file = GgufFile::new();
    file.set("general.architecture", "controlvector").set("controlvector.model_hint", "qwen2");
    file.floats("direction.3", &[4], &[1.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX]);
    file.floats("direction.12", &[4], &[0.0; 4]);
    change(&mut file);
    open_bytes(&file.bytes())
}

fn broken(change: impl FnOnce(&mut GgufFile)) -> GgufError {
    match open(change) {
        Err(ModelError::Gguf { path, source }) => {
            assert!(path.ends_with("v.gguf"));
            source
        }
        other => panic!("{other:?}"),
    }
}

fn bits(vectors: &ControlVectors) -> Vec<(usize, Vec<u32>)> {
    let bits = |vector: &Vec<f32>| vector.iter().map(|x| x.to_bits()).collect();
    vectors.directions().iter().map(|(&layer, vector)| (layer, bits(vector))).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_bit_for_bit(
        hint in ".{0,20}",
        (layers, rows) in (1..40usize).prop_flat_map(|width| {
            let number = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
            let row = prop::collection::vec(number, width);
            (prop::collection::btree_set(1..200usize, 1..12), prop::collection::vec(row, 12))
        }),
    ) {
        let vectors = ControlVectors::new(hint, layers.into_iter().zip(rows).collect()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.gguf");
        vectors.save(&path).unwrap();
        let read = ControlVectors::open(&path).unwrap();
        prop_assert_eq!(read.model_hint(), vectors.model_hint());
        prop_assert_eq!(bits(&read), bits(&vectors));
    }
}

/// The numbers are those that `tests/fixtures/control_vectors.py` drew.
#[test]
fn the_package_gguf_writes_what_is_read_and_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf/control.gguf");
    let vectors = ControlVectors::open(&path).unwrap();
    assert_eq!(vectors.model_hint(), "any");
    let found: Vec<(usize, usize, f32, f32)> =
        vectors.directions().iter().map(|(&layer, v)| (layer, v.len(), v[0], v[v.len() - 1])).collect();
    assert_eq!(found, [(1, 48, -1.222_497_7, -0.784_170_27), (3, 48, 0.105_596_29, 0.017_605_647)]);
    // Byte for byte, padding included: nothing that its readers look for is missing.
    let dir = tempfile::tempdir().unwrap();
    vectors.save(dir.path().join("again.gguf")).unwrap();
    assert_eq!(fs::read(dir.path().join("again.gguf")).unwrap(), fs::read(path).unwrap());
}

#[test]
fn a_file_is_read_whatever_else_its_metadata_says() {
    let vectors = open(|file| _ = file.set("controlvector.layer_count", Item::I32(-7))).unwrap();
    assert_eq!(vectors.model_hint(), "qwen2");
    assert_eq!(vectors.directions().keys().copied().collect::<Vec<_>>(), [3, 12]);
    assert_eq!(bits(&vectors)[0].1, [1.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX].map(f32::to_bits));
    // llama.cpp does not ask for the hint.
    let unnamed = open(|file| _ = file.remove("controlvector.model_hint")).unwrap();
    assert_eq!((unnamed.model_hint(), unnamed.directions()), ("", vectors.directions()));
}

#[test]
fn what_is_no_direction_is_refused_by_its_name() {
    let names = ["direction.x", "direction.", "direction.-1", "direction.+3", "direction.03", "direction.1.weight"];
    for name in names.into_iter().chain(["direction.99999999999999999999", "direction", "Direction.3", "x", ""]) {
        let error = broken(|file| name.clone_into(&mut file.find("direction.3").name));
        assert_eq!(error, GgufError::NoDirection { name: name.to_owned() });
    }
    assert_eq!(broken(|file| "direction.0".clone_into(&mut file.find("direction.3").name)), GgufError::FirstLayer);
    let duplicate = broken(|file| "direction.12".clone_into(&mut file.find("direction.3").name));
    assert_eq!(duplicate, GgufError::DuplicateTensor { name: "direction.12".to_owned() });
    assert_eq!(broken(|file| file.tensors.clear()), GgufError::NoDirections);
}

#[test]
fn vectors_of_another_shape_or_type_are_refused() {
    let shape = |name: &str, found: &[usize], width| GgufError::DirectionShape {
        name: name.to_owned(),
        found: found.to_vec(),
        width,
    };
    let narrow = broken(|file| _ = file.floats("direction.20", &[3], &[1.0; 3]));
    assert_eq!(narrow, shape("direction.20", &[3], 4));
    assert_eq!(narrow.to_string(), "the tensor direction.20 has the shape [3], expected: [4]");
    assert_eq!(broken(|file| _ = file.floats("direction.1", &[1, 4], &[1.0; 4])), shape("direction.1", &[1, 4], 4));
    for format in [Format::F16, Format::Bf16, Format::Q8_0] {
        let bytes = vec![0; format.bytes_for(32).unwrap()];
        let Err(ModelError::TensorType { path, name, found, supported }) =
            open(|file| _ = file.tensor("direction.4", &[32], format, bytes))
        else {
            panic!("{format}");
        };
        assert!(path.ends_with("v.gguf"));
        assert_eq!((name.as_str(), found.as_str(), supported), ("direction.4", format.name(), "F32"));
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = broken(|file| _ = file.floats("direction.7", &[4], &[0.0, 1.0, value, value]));
        let GgufError::NotFinite { name, index, value: found } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), index, found.to_bits()), ("direction.7", &2, value.to_bits()));
        let directions = BTreeMap::from([(7, vec![0.0, 1.0, value])]);
        assert!(matches!(ControlVectors::new("", directions), Err(GgufError::NotFinite { index: 2, .. })));
    }
}

#[test]
fn other_gguf_files_are_refused() {
    let refused = |change: &dyn Fn(&mut GgufFile)| match open(change) {
        Err(ModelError::Config { field, value, supported, .. }) => {
            assert_eq!((field.as_str(), supported), ("general.architecture", "controlvector"));
            value
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&|file| _ = file.set("general.architecture", "llama")), "\"llama\"");
    assert_eq!(refused(&|file| _ = file.remove("general.architecture")), "missing");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf/olmo2.gguf");
    assert!(matches!(ControlVectors::open(model), Err(ModelError::Config { .. })));
    let number = open(|file| _ = file.set("controlvector.model_hint", Item::U32(1)));
    assert!(matches!(number, Err(ModelError::Config { field, .. }) if field == "controlvector.model_hint"));
    // Nor are vectors a model.
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf/control.gguf");
    assert!(matches!(Checkpoint::open(&vectors), Err(ModelError::Config { .. })));
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf/control.gguf");
    let whole = fs::read(path).unwrap();
    assert!(open_bytes(&whole).is_ok());
    for length in 0..whole.len() {
        let error = open_bytes(&whole[..length]).unwrap_err();
        assert!(matches!(error, ModelError::Gguf { .. }), "{length}: {error}");
    }
    let Err(ModelError::Gguf { source, .. }) = open_bytes(&whole[..whole.len() - 1]) else { panic!() };
    let GgufError::Truncated { part, .. } = source else { panic!("{source}") };
    assert_eq!(part, Part::TensorData("direction.3".to_owned()));
}

#[test]
fn files_that_cannot_be_written_or_read_are_named() {
    let vectors = ControlVectors::new("", BTreeMap::from([(1, vec![1.0])])).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none/v.gguf");
    for error in [vectors.save(&path).unwrap_err(), ControlVectors::open(&path).unwrap_err()] {
        assert!(matches!(&error, ModelError::Io { path: named, .. } if *named == path), "{error}");
    }
    assert!(matches!(ControlVectors::open(dir.path()), Err(ModelError::Io { .. })));
}

#[test]
fn vectors_of_your_own_keep_the_same_rules() {
    let new = |directions: &[(usize, &[f32])]| {
        ControlVectors::new("", directions.iter().map(|(layer, vector)| (*layer, vector.to_vec())).collect())
    };
    assert_eq!(new(&[]), Err(GgufError::NoDirections));
    assert_eq!(new(&[(0, &[1.0])]), Err(GgufError::FirstLayer));
    assert!(matches!(new(&[(1, &[])]), Err(GgufError::DirectionShape { .. })));
    assert!(matches!(new(&[(1, &[1.0]), (2, &[])]), Err(GgufError::DirectionShape { width: 1, .. })));
}

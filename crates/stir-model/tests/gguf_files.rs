//! GGUF files that the tests write: what is refused, and what the rest means.

use std::{fs, path::Path};

use crate::common::gguf_file::{GgufFile, Item, SIZES, model, text_bytes};
use proptest::prelude::*;
use stir_model::{
    Checkpoint, DecoderConfig, Format, ModelError,
    gguf::{GgufError, Model, Part},
};

fn open_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    Model::open(&path)
}

fn open(file: &GgufFile) -> Result<Model, ModelError> {
    open_bytes(&file.bytes())
}

/// The error of a file that breaks the format.
fn broken(bytes: &[u8]) -> GgufError {
    match open_bytes(bytes) {
        Err(ModelError::Gguf { path, source }) => {
            assert!(path.ends_with("model.gguf"));
            source
        }
        other => panic!("{other:?}"),
    }
}

/// The key and the value of a model that is not supported.
fn refused(file: &GgufFile) -> (String, String) {
    match open(file) {
        Err(ModelError::Config { field, value, .. }) => (field, value),
        other => panic!("{other:?}"),
    }
}

/// The bytes of an entry of the metadata with a list, of which there is only the length.
fn list(key: &str, kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    let numbers = [9u32.to_le_bytes(), kind.to_le_bytes()].concat();
    [text_bytes(key), numbers, count.to_le_bytes().to_vec(), elements.to_vec()].concat()
}

/// A file with `tensors` and `entries` announced, and whatever follows.
fn raw(tensors: u64, entries: u64, rest: &[u8]) -> Vec<u8> {
    [b"GGUF".as_slice(), &3u32.to_le_bytes(), &tensors.to_le_bytes(), &entries.to_le_bytes(), rest].concat()
}

#[test]
fn what_is_no_gguf_file_of_a_known_version_is_refused() {
    assert_eq!(broken(b""), GgufError::Magic { found: vec![] });
    assert_eq!(broken(b"GGML...."), GgufError::Magic { found: b"GGML".to_vec() });
    let version = |version: u32| broken(&[b"GGUF".as_slice(), &version.to_le_bytes(), &[0; 16]].concat());
    assert_eq!(version(1), GgufError::Version { found: 1 });
    assert_eq!(version(4), GgufError::Version { found: 4 });
    assert_eq!(version(0), GgufError::Version { found: 0 });
    assert_eq!(version(3u32.swap_bytes()), GgufError::BigEndian { found: 0x0300_0000 });
    assert!(version(3u32.swap_bytes()).to_string().contains("big-endian"));
    for version in [2, 3] {
        assert!(open(&GgufFile { version, ..model("llama") }).is_ok());
    }
}

#[test]
fn what_stands_in_the_place_of_a_file_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 98362432\n";
    assert!(matches!(open_bytes(pointer), Err(ModelError::GitLfsPointer { .. })));
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder.gguf");
    fs::create_dir(&folder).unwrap();
    let told = Model::open(&folder).unwrap_err();
    assert!(matches!(&told, ModelError::Io { .. }), "{told}");
    // The name of a file says what it is, or its first bytes do.
    let unnamed = dir.path().join("model.bin");
    fs::write(&unnamed, model("qwen2").bytes()).unwrap();
    assert_eq!(DecoderConfig::open(&unnamed).unwrap(), Model::open(&unnamed).unwrap().config);
    // A folder of downloads is no model, but holds one.
    fs::rename(&unnamed, dir.path().join("model.Q4_K_M.gguf")).unwrap();
    fs::remove_dir(folder).unwrap();
    let told = DecoderConfig::open(dir.path()).unwrap_err().to_string();
    assert!(told.contains("only model.Q4_K_M.gguf: name that file"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let [gguf, safetensors] = ["model.gguf", "model.safetensors"].map(|name| dir.path().join(name));
    assert!(std::process::Command::new("mkfifo").args([&gguf, &safetensors]).status().unwrap().success());
    assert!(matches!(Model::open(&gguf), Err(ModelError::Io { .. })));
    assert!(matches!(Checkpoint::open(dir.path()), Err(ModelError::Io { .. })));
}

#[test]
fn numbers_that_the_file_has_no_room_for_are_refused() {
    let truncated = |part: Part, offset, needed, length| GgufError::Truncated { part, offset, needed, length };
    assert_eq!(broken(b"GGUF\x03\0"), truncated(Part::Header, 4, 4, 6));
    let count = |what, most| GgufError::Count { what, found: u64::MAX, most };
    assert_eq!(broken(&raw(0, u64::MAX, &[0; 26])), count("metadata entries", 2));
    assert_eq!(broken(&raw(u64::MAX, 0, &[0; 70])), count("tensors", 2));
    let long = [(1u64 << 40).to_le_bytes().as_slice(), &[0; 20]].concat();
    assert_eq!(broken(&raw(0, 1, &long)), truncated(Part::Key(0), 32, 1 << 40, 52));
    for (kind, size) in [(0u32, 1), (6, 4), (8, 8), (12, 8)] {
        let part = || Part::Value("k".into());
        let bytes = raw(0, 1, &list("k", kind, 1 << 40, &[0; 9]));
        assert_eq!(broken(&bytes), truncated(part(), 49, size << 40, 58), "{kind}");
        let bytes = raw(0, 1, &list("k", kind, u64::MAX, &[0; 9]));
        assert_eq!(broken(&bytes), truncated(part(), 49, u64::MAX, 58), "{kind}");
    }
    // One text of the list is too long for what is left.
    let texts = [1u64.to_le_bytes().as_slice(), b"a", &9u64.to_le_bytes(), b"b"].concat();
    assert_eq!(broken(&raw(0, 1, &list("k", 8, 2, &texts))), truncated(Part::Value("k".into()), 66, 9, 67));
}

#[test]
fn values_that_are_none_of_their_type_are_refused() {
    let entry = |kind: u32, bytes: &[u8]| [text_bytes("k"), kind.to_le_bytes().to_vec(), bytes.to_vec()].concat();
    let of = |kind, bytes: &[u8]| broken(&raw(0, 1, &entry(kind, bytes)));
    assert_eq!(of(7, &[2, 0, 0, 0]), GgufError::Flag { key: "k".into(), found: 2 });
    assert_eq!(of(13, &[0; 8]), GgufError::ValueType { key: "k".into(), found: 13 });
    assert_eq!(broken(&raw(0, 1, &list("k", 7, 2, &[1, 9]))), GgufError::Flag { key: "k".into(), found: 9 });
    assert_eq!(broken(&raw(0, 1, &list("k", 99, 0, &[]))), GgufError::ValueType { key: "k".into(), found: 99 });
    assert_eq!(broken(&raw(0, 1, &list("k", 9, 1, &[0; 16]))), GgufError::NestedArray { key: "k".into() });
    let text = [2u64.to_le_bytes().as_slice(), &[0xc3, 0x28]].concat();
    assert_eq!(of(8, &text), GgufError::Utf8 { part: Part::Value("k".into()), offset: 45 });
    assert_eq!(
        broken(&raw(0, 1, &list("k", 8, 1, &text))),
        GgufError::Utf8 { part: Part::Value("k".into()), offset: 57 }
    );
    let mut name = raw(0, 1, &entry(4, &[0; 4]));
    name[32] = 0xff;
    assert_eq!(broken(&name), GgufError::Utf8 { part: Part::Key(0), offset: 32 });
    let mut twice = model("llama");
    twice.metadata.push(("general.name".into(), "again".into()));
    assert_eq!(broken(&twice.bytes()), GgufError::DuplicateKey { key: "general.name".into() });
    for (item, found) in [(Item::U32(0), "0"), (Item::U32(48), "48"), ("32".into(), "\"32\""), (Item::I32(-32), "-32")]
    {
        let bytes = model("llama").set("general.alignment", item).bytes();
        assert_eq!(broken(&bytes), GgufError::Alignment { found: found.into() });
    }
}

#[test]
fn tensors_follow_each_other_inside_of_the_file() {
    let name = || "output_norm.weight".to_owned();
    let change = |change: &dyn Fn(&mut crate::common::gguf_file::Tensor)| {
        let mut file = model("llama");
        change(file.find("output_norm.weight"));
        broken(&file.bytes())
    };
    let start = (SIZES[6] * SIZES[1] * 4) as u64;
    // Over the one before, out of line, with a gap, and outside.
    for found in [0, start - 32, start + 1, start + 32, u64::MAX] {
        let expected = GgufError::Offset { name: name(), found, expected: start };
        assert_eq!(change(&|tensor| tensor.offset = Some(found)), expected);
    }
    assert_eq!(change(&|tensor| tensor.dims = vec![]), GgufError::Dimensions { name: name(), found: 0 });
    assert_eq!(change(&|tensor| tensor.dims = vec![1; 5]), GgufError::Dimensions { name: name(), found: 5 });
    for dims in [vec![0], vec![32, 0], vec![1 << 32, 1 << 32], vec![1 << 31, 1 << 31, 4], vec![u64::MAX]] {
        assert_eq!(change(&|tensor| tensor.dims = dims.clone()), GgufError::Shape { name: name(), dims });
    }
    for (format, spelled) in [(23, "IQ4_XS"), (39, "MXFP4"), (34, "TQ1_0"), (9, "Q8_1"), (4, "Q4_2"), (77, "unknown")] {
        let error = change(&|tensor| tensor.format = format);
        assert_eq!(error, GgufError::TensorType { name: name(), found: format });
        assert!(error.to_string().contains(spelled) && error.to_string().contains("Q4_K, Q5_K"), "{error}");
    }
    let row = GgufError::RowLength { name: name(), found: 32, format: "Q4_K", block: 256 };
    assert_eq!(change(&|tensor| tensor.format = Format::Q4K.ggml()), row);
    assert_eq!(
        change(&|tensor| tensor.name = "token_embd.weight".into()),
        GgufError::DuplicateTensor { name: "token_embd.weight".into() }
    );
    // A large tensor at the end of a short file.
    let mut file = model("llama");
    let last = file.tensors.last_mut().unwrap();
    last.dims = vec![64, 1 << 40];
    let GgufError::Truncated { part, needed, .. } = broken(&file.bytes()) else { panic!() };
    assert_eq!((part, needed), (Part::TensorData("blk.1.ffn_down.weight".into()), 256 << 40));

    let whole = model("llama").bytes();
    assert!(matches!(broken(&whole[..whole.len() - 1]), GgufError::Truncated { part: Part::TensorData(_), .. }));
    assert!(open_bytes(&[whole.as_slice(), &[0; 31]].concat()).is_ok());
    assert_eq!(broken(&[whole.as_slice(), &[0; 32]].concat()), GgufError::Trailing { found: 32, most: 31 });
}

#[test]
fn every_shorter_file_is_an_error() {
    let bytes = model("qwen2").bytes();
    let header = bytes.len() - model("qwen2").tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
    for length in (0..header).step_by(7) {
        broken(&bytes[..length]);
    }
}

#[test]
fn other_alignments_hold() {
    for alignment in [8, 64, 4096] {
        let mut file = GgufFile { alignment, ..model("qwen3") };
        file.set("general.alignment", Item::U32(alignment as u32));
        let (values, shape) = open(&file).unwrap().checkpoint.floats("model.layers.1.mlp.down_proj.weight").unwrap();
        assert_eq!((values[5], shape), (5.0, vec![32, 64]));
    }
}

/// Writes the tensors of a model to `count` files.
fn write_parts(dir: &Path, count: usize) -> Vec<std::path::PathBuf> {
    let whole = model("llama");
    let total = whole.tensors.len() as i32;
    let mut parts = vec![GgufFile { metadata: whole.metadata, ..GgufFile::new() }; 1];
    parts.resize(count, GgufFile::new());
    for (i, tensor) in whole.tensors.into_iter().enumerate() {
        parts[i % count].tensors.push(tensor);
    }
    let write = |(i, part): (usize, &mut GgufFile)| {
        part.set("split.no", Item::U32(i as u32)).set("split.count", Item::U32(count as u32));
        part.set("split.tensors.count", Item::I32(total));
        let path = dir.join(format!("small-{:05}-of-{count:05}.gguf", i + 1));
        fs::write(&path, part.bytes()).unwrap();
        path
    };
    parts.iter_mut().enumerate().map(write).collect()
}

#[test]
fn parts_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write_parts(dir.path(), 3);
    let (whole, parts) = (open(&model("llama")).unwrap(), Model::open(&paths[0]).unwrap());
    assert_eq!(whole.fingerprint(), parts.fingerprint());
    assert_eq!(Checkpoint::open(&paths[0]).unwrap().tensors().count(), whole.checkpoint.tensors().count());

    let source = |path: &Path| match Model::open(path) {
        Err(ModelError::Gguf { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source(&paths[1]), GgufError::SplitName { number: 2, count: 3 });
    let renamed = dir.path().join("renamed.gguf");
    fs::copy(&paths[0], &renamed).unwrap();
    assert_eq!(source(&renamed), GgufError::SplitName { number: 1, count: 3 });
    // The second twice, the third missing.
    fs::copy(&paths[1], &paths[2]).unwrap();
    let split = GgufError::Split { key: "split.no", found: "1".into(), number: 3, count: 3 };
    assert_eq!(source(&paths[0]), split);
    fs::remove_file(&paths[2]).unwrap();
    assert_eq!(source(&paths[0]), GgufError::MissingParts { first: paths[2].clone(), missing: 1 });
    fs::remove_file(&paths[1]).unwrap();
    assert_eq!(source(&paths[0]), GgufError::MissingParts { first: paths[1].clone(), missing: 2 });

    // A tensor in two parts, and one in none.
    for doubled in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let paths = write_parts(dir.path(), 2);
        let mut second = GgufFile::new();
        second.set("split.no", Item::U32(1)).set("split.count", Item::U32(2));
        second.tensors = model("llama").tensors.into_iter().skip(1).step_by(2).collect();
        if doubled {
            *second.tensors.last_mut().unwrap() = model("llama").tensors.swap_remove(0);
        } else {
            second.tensors.pop();
        }
        fs::write(&paths[1], second.bytes()).unwrap();
        match Model::open(&paths[0]) {
            Err(ModelError::DuplicateTensor { name, .. }) => assert!(doubled && name == "model.embed_tokens.weight"),
            Err(ModelError::Gguf { source: GgufError::SplitTensors { announced, found }, .. }) => {
                assert!(!doubled && announced == (found + 1).to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    let mut file = model("llama");
    file.set("split.count", Item::U64(u64::MAX));
    assert!(matches!(broken(&file.bytes()), GgufError::SplitName { .. }));
}

#[test]
fn keys_of_other_programs_are_ignored() {
    let mut file = model("gemma2");
    file.set("general.tags", Item::Texts(vec!["a".into()])).set("tokenizer.ggml.add_eos_token", Item::Flag(0));
    file.set("quantize.imatrix.entries_count", Item::I32(7)).set("gemma2.something", "new");
    assert_eq!(open(&file).unwrap().config, open(&model("gemma2")).unwrap().config);
    assert_eq!(
        refused(model("gemma2").set("general.architecture", "mamba")),
        ("general.architecture".to_owned(), "\"mamba\"".to_owned())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_files_are_errors_or_models(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = model("phi3").bytes();
        // The tensors are most of the file, and any bytes are numbers.
        let header = bytes.len() - model("phi3").tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
        for (index, byte) in changes {
            bytes[index.index(header)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = open_bytes(&bytes) {
            for tensor in model.checkpoint.tensors() {
                prop_assert!(model.checkpoint.floats(tensor.name).is_ok());
            }
        }
    }
}

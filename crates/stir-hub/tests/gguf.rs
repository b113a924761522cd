//! Models in GGUF files, by repository and quantisation.

use std::{ops::ControlFlow, path::PathBuf};

use crate::support::{COMMIT, FakeHub, tree};
use stir_hub::{HubError, Options, model};

/// A repository of GGUF files alone.
fn hub() -> FakeHub {
    let hub = FakeHub::new();
    for name in ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"] {
        hub.remove(name);
    }
    hub.put("model-Q4_K_M.gguf", b"four bits", true);
    hub.put("model-Q8_0.gguf", b"eight bits", true);
    hub.put("mmproj-model-F16.gguf", b"eyes", true);
    hub.put("BF16/model-BF16-00001-of-00002.gguf", b"first half", true);
    hub.put("BF16/model-BF16-00002-of-00002.gguf", b"second half", true);
    hub
}

fn bring(name: &str, options: &Options) -> Result<PathBuf, HubError> {
    model(name, options, |_| ControlFlow::Continue(()))
}

#[test]
fn a_tag_chooses_the_file() {
    let hub = hub();
    for (name, content) in [("org/model:Q4_K_M", "four bits"), ("hf.co/org/model@main:q8_0", "eight bits")] {
        let path = bring(name, &hub.options()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content.as_bytes(), "{name}");
        assert_eq!(bring(name, &hub.offline()).unwrap(), path);
    }
    let dir = hub.repo_dir().join("snapshots").join(COMMIT);
    assert_eq!(tree(&dir), ["model-Q4_K_M.gguf", "model-Q8_0.gguf"], "and nothing else comes");
    assert!(
        matches!(bring("org/model:BF16", &hub.offline()), Err(HubError::NotCached { missing, .. }) if missing == ["BF16"])
    );
    let first = bring("org/model:bf16", &hub.options()).unwrap();
    assert_eq!(first, dir.join("BF16/model-BF16-00001-of-00002.gguf"));
    assert!(dir.join("BF16/model-BF16-00002-of-00002.gguf").is_file(), "its other half comes too");
}

#[test]
fn a_choice_that_is_none_says_what_there_is() {
    let hub = hub();
    for (name, asked) in [("org/model", None), ("org/model:Q5_K_M", Some("Q5_K_M")), ("org/model:", Some(""))] {
        match bring(name, &hub.options()).unwrap_err() {
            HubError::Quantisation { tag, several, known, .. } => {
                assert_eq!((tag.as_deref(), several), (asked, asked.is_none()), "{name}");
                assert_eq!(known, ["BF16", "Q4_K_M", "Q8_0"], "{name}");
            }
            other => panic!("{other:?}"),
        }
    }
    let error = bring("org/model:Q5_K_M", &hub.options()).unwrap_err().to_string();
    assert!(error.contains("org/model:TAG") && error.contains("BF16, Q4_K_M, Q8_0"), "{error}");
    assert_eq!(tree(hub.cache.path()), [""; 0], "nothing is brought in vain");
    hub.remove("BF16/model-BF16-00002-of-00002.gguf");
    let halved = bring("org/model:BF16", &hub.options());
    assert!(matches!(halved, Err(HubError::NoFile { file, .. }) if file == "BF16/model-BF16-00002-of-00002.gguf"));
}

#[test]
fn a_single_model_needs_no_tag() {
    let hub = hub();
    for name in ["model-Q8_0.gguf", "BF16/model-BF16-00001-of-00002.gguf", "BF16/model-BF16-00002-of-00002.gguf"] {
        hub.remove(name);
    }
    let path = bring("org/model", &hub.options()).unwrap();
    assert!(path.ends_with("model-Q4_K_M.gguf"));
    assert_eq!(bring("org/model", &hub.offline()).unwrap(), path);
}

#[test]
fn safetensors_are_a_folder_and_come_first() {
    let hub = FakeHub::new();
    let dir = bring("org/model", &hub.options()).unwrap();
    assert_eq!(dir, hub.get().unwrap());
    hub.put("model-Q8_0.gguf", b"eight bits", true);
    assert_eq!(bring("org/model", &hub.options()).unwrap(), dir);
    assert_eq!(bring("org/model", &hub.offline()).unwrap(), dir);
    assert!(bring("org/model:Q8_0", &hub.options()).unwrap().ends_with("model-Q8_0.gguf"));
    hub.set_ref("v1", &"a".repeat(40));
    assert!(bring("org/model@v1", &hub.options()).unwrap().ends_with("a".repeat(40)));
    // Neither: what a decoder lacks is named, as ever.
    hub.remove("model.safetensors");
    hub.remove("model-Q8_0.gguf");
    let neither = bring("org/model", &hub.options());
    assert!(matches!(neither, Err(HubError::NoFile { file, .. }) if file == "model.safetensors"));
}

#[test]
fn hostile_names_are_refused_here_too() {
    let hub = hub();
    hub.list_too("../model-Q2_K.gguf");
    assert!(matches!(bring("org/model:Q2_K", &hub.options()), Err(HubError::FileName { .. })));
    for name in ["org/model@../x:Q8_0", "../x:Q8_0", "hf.co/hf.co/org/model", "a/b/c:Q8_0"] {
        let refused = bring(name, &hub.options());
        assert!(matches!(refused, Err(HubError::RepoId { .. } | HubError::Revision { .. })), "{name}");
    }
}

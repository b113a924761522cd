//! A model by its name on the hub, from a small hub on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "../../stir-hub/tests/support/mod.rs"]
mod support;

use std::{ops::ControlFlow, path::PathBuf};

use stir_core::{Engine, GenerateOptions, Request, Sampling, generate};
use stir_model::{
    DeviceSpec, Lm, ModelError,
    hub::{HubError, Options},
};
use support::{FakeHub, Fault, REPO};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/qwen2-untied-bf16-sharded")
}

/// A hub that has the sharded fixture.
fn hub() -> FakeHub {
    let hub = FakeHub::new();
    hub.remove("model.safetensors");
    hub.remove("tokenizer.json");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        hub.put(name, &std::fs::read(&path).unwrap(), name.ends_with(".safetensors"));
    }
    hub
}

fn from_hub(options: &Options) -> Result<Lm, ModelError> {
    Lm::from_hub(REPO, options, &DeviceSpec::CPU.open().unwrap(), |_| ControlFlow::Continue(()))
}

#[test]
fn a_model_from_the_hub_is_that_of_the_folder() {
    let hub = hub();
    // A connection that breaks in a shard costs nothing but the rest of it.
    hub.fault("GET", "model-00002-of-00004.safetensors", [Fault::Cut(50_000)]);
    let (found, expected) = (from_hub(&hub.options()).unwrap(), Lm::load(folder(), &DeviceSpec::CPU.open().unwrap()));
    let expected = expected.unwrap();
    assert_eq!(found.fingerprint(), expected.fingerprint());
    let answer = |lm: &Lm| {
        let request = Request { max_tokens: 8, sampling: Sampling::GREEDY, ..Request::new(vec![1, 2, 3]) };
        generate(lm, &[request], GenerateOptions::default()).unwrap()
    };
    assert_eq!(answer(&found), answer(&expected));
    // Once it is there, no connection is needed.
    assert_eq!(from_hub(&hub.offline()).unwrap().fingerprint(), expected.fingerprint());
}

#[test]
fn a_gguf_file_by_its_quantisation() {
    let (hub, device) = (hub(), DeviceSpec::CPU.open().unwrap());
    let file = common::gguf_file::model("qwen2").bytes();
    hub.put("small-F32.gguf", &file, true);
    hub.put("small-Q8_0.gguf", b"another", true);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, file).unwrap();
    let by_tag =
        |tag: &str| Lm::from_hub(&format!("{REPO}:{tag}"), &hub.options(), &device, |_| ControlFlow::Continue(()));
    assert_eq!(by_tag("f32").unwrap().fingerprint(), Lm::load(path, &device).unwrap().fingerprint());
    let none = by_tag("Q2_K").unwrap_err();
    assert!(matches!(&none, ModelError::Hub(HubError::Quantisation { known, .. }) if known == &["F32", "Q8_0"]));
}

#[test]
fn what_the_hub_says_is_an_error_of_the_model() {
    let hub = hub();
    assert!(matches!(from_hub(&hub.offline()).unwrap_err(), ModelError::Hub(_)));
    let broken = Lm::from_hub(REPO, &hub.options(), &DeviceSpec::CPU.open().unwrap(), |_| ControlFlow::Break(()));
    assert!(matches!(broken.unwrap_err(), ModelError::Hub(HubError::Cancelled)));
    // A shard that the index names outside of the folder.
    hub.put("model.safetensors.index.json", br#"{"weight_map": {"a": "../../x.safetensors"}}"#, false);
    assert!(matches!(from_hub(&hub.options()).unwrap_err(), ModelError::Hub(_)));
}

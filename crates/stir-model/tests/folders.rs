//! What a model's folder says beside its weights, and folders that hold something else than a model.

use std::{fs, path::Path};

use serde_json::{Value, json};
use stir_core::TokenId;
use stir_model::{Checkpoint, DecoderConfig, GenerationDefaults, ModelError, Tokenizer, fingerprint_of};
use tempfile::TempDir;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";

fn folder(files: &[(&str, String)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
    dir
}

/// A tokenizer of two words and the special tokens `names`, numbered from 2.
fn tokenizer(names: &[&str]) -> String {
    let added = |(i, name): (usize, &&str)| {
        json!({"id": i + 2, "content": name, "special": *name != "<think>", "normalized": false, "single_word": false,
            "lstrip": false, "rstrip": false})
    };
    json!({
        "version": "1.0", "added_tokens": names.iter().enumerate().map(added).collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"hello": 0, "there": 1}, "unk_token": "hello"},
    })
    .to_string()
}

/// The end tokens of a folder with a tokenizer of `names` and these files.
fn end_tokens(names: &[&str], files: &[(&str, Value)]) -> Vec<TokenId> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut all: Vec<(&str, String)> = files.iter().map(|(name, value)| (*name, text(value))).collect();
    all.push(("tokenizer.json", tokenizer(names)));
    let dir = folder(&all);
    let tokenizer = Tokenizer::from_file(&dir.path().join("tokenizer.json")).unwrap();
    GenerationDefaults::from_dir(dir.path(), Some(&tokenizer), 20).unwrap().end_tokens
}

#[test]
fn end_tokens_are_those_that_any_file_names() {
    let names = ["<e>", "<turn>", "</turn>", "<pad>", "</turn>\n"];
    let generation = ("generation_config.json", json!({"eos_token_id": [7, 2]}));
    let config = ("config.json", json!({"eos_token_id": 8}));
    let tokenizer = ("tokenizer_config.json", json!({"eos_token": {"content": "<pad>"}}));
    let turns = "{% for m in messages %}<turn>{{ m.role }} {{ m.content }}</turn>{% endfor %}";
    let template = ("chat_template.jinja", json!(turns));
    assert_eq!(end_tokens(&names, std::slice::from_ref(&tokenizer)), [5]);
    assert_eq!(end_tokens(&names, std::slice::from_ref(&template)), [4]);
    assert_eq!(end_tokens(&names, &[generation.clone(), config.clone(), tokenizer, template.clone()]), [7, 2, 8, 5, 4]);
    let known = ("generation_config.json", json!({"eos_token_id": [4]}));
    assert_eq!(end_tokens(&names, &[known, template]), [4]);
    assert!(end_tokens(&names, &[]).is_empty());
}

#[test]
fn the_end_of_a_turn_is_the_special_token_after_it() {
    let names = ["<e>", "<|im_end|>", "<|end|>", "<think>"];
    let end = |template: &str| end_tokens(&names, &[("chat_template.jinja", json!(template))]);
    let each = |said: &str| format!("{{% for m in messages %}}<{{{{ m.role }}}}>{said}{{% endfor %}}");
    assert_eq!(end(&each("{{ m.content }}<|im_end|>\n")), [3]);
    // With white space before it, with more after it, and where the answer is thought about first.
    assert_eq!(end(&each("{{ m.content }} \n<|end|><e>")), [4]);
    let thought = "{% if m.role == 'assistant' %}<think>\n\n</think>{% endif %}{{ m.content }}<|im_end|>";
    assert_eq!(end(&each(thought)), [3]);
    // Only the last turn has one.
    assert_eq!(end(&(each("{{ m.content }}") + "<e>{% if add_generation_prompt %}<|end|>{% endif %}")), [2]);
    // Words, tokens that are not special, and templates that do not tell.
    for template in [&each("{{ m.content }}\n\n"), &each("{{ m.content }}<think>"), &each("{{ m.content }}. <|end|>")] {
        assert!(end(template).is_empty(), "{template}");
    }
    assert!(end("{{ raise_exception('no') }}").is_empty());
    assert!(end("nothing of it").is_empty());
}

#[test]
fn pointers_of_git_lfs_are_told_from_files() {
    let config = json!({"model_type": "qwen2"}).to_string();
    let index = json!({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).to_string();
    let weights = |files: &[(&str, String)]| Checkpoint::open(folder(files).path()).map(drop).unwrap_err();
    let pointer = || POINTER.to_owned();
    let refused = [
        weights(&[("model.safetensors", pointer()), ("config.json", config)]),
        weights(&[("model.safetensors.index.json", index.clone()), ("model-1.safetensors", pointer())]),
        weights(&[("model.safetensors.index.json", pointer())]),
        Tokenizer::from_file(&folder(&[("tokenizer.json", pointer())]).path().join("tokenizer.json"))
            .map(drop)
            .unwrap_err(),
        DecoderConfig::from_file(&folder(&[("config.json", pointer())]).path().join("config.json")).unwrap_err(),
    ];
    let names =
        ["model.safetensors", "model-1.safetensors", "model.safetensors.index.json", "tokenizer.json", "config.json"];
    for (error, name) in refused.iter().zip(names) {
        assert!(matches!(error, ModelError::GitLfsPointer { path } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("git lfs pull"), "{error}");
    }
}

#[test]
fn weights_of_another_format_are_refused_with_what_to_do() {
    for (names, named) in [
        (&["pytorch_model.bin"][..], Some("pytorch_model.bin")),
        (
            &["pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"],
            Some("pytorch_model-00001-of-00002.bin"),
        ),
        (&["training_args.bin", "optimizer.pt"], Some("optimizer.pt")),
        (&["adapter_model.safetensors"], Some("adapter_model.safetensors")),
        (&["training_args.bin", "config.json"], None),
    ] {
        let files: Vec<(&str, String)> = names.iter().map(|name| (*name, String::new())).collect();
        let error = Checkpoint::open(folder(&files).path()).unwrap_err();
        assert!(matches!(&error, ModelError::NoWeights { found, .. } if found.as_deref() == named), "{error}");
        assert_eq!(error.to_string().contains("save_pretrained"), named.is_some(), "{error}");
    }
    assert!(matches!(Checkpoint::open(Path::new("/nowhere")), Err(ModelError::Io { .. })));
}

/// The digests are those in libraries and settings of earlier versions, which did not name the quantisation.
#[test]
fn the_fingerprint_of_a_folder_is_pinned() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stir-cli/assets/tiny");
    let found = fingerprint_of(dir).unwrap();
    assert_eq!(found.tokenizer, "7c4c34ffb4b293615d3c0c9d19d65ff4016284c7926aeaa3131cc5c9cb2286d2");
    assert_eq!(found.quantisation(), Some("F32"));
    assert_eq!(
        found.without_quantisation().weights,
        "1240ab8d67f77409b186285b0082c92bcf12910b527c51dca86ba377a84ec739"
    );
}

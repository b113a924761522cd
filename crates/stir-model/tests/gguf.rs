//! GGUF files of real models: what they hold, against values recorded with transformers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{fs, path::PathBuf};

use common::shared;
use serde_json::Value;
use stir_core::TokenId;
use stir_model::{Checkpoint, Format, Message, gguf::Model};

const MODELS: [&str; 3] = ["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"];

struct Recorded {
    json: Value,
    tensors: Checkpoint,
}

impl Recorded {
    fn of(name: &str) -> Self {
        // The folder of fixtures is next to that of data.
        let file = |end: &str| shared(&format!("../fixtures/real/{name}.{end}"));
        let json = serde_json::from_str(&fs::read_to_string(file("json")).unwrap()).unwrap();
        Self { json, tensors: Checkpoint::open_file(&file("safetensors")).unwrap() }
    }

    fn ids(&self, name: &str) -> Vec<TokenId> {
        self.tensors.integers(name).unwrap().0.into_iter().map(|id| id as TokenId).collect()
    }

    fn path(&self) -> PathBuf {
        let folder = std::env::var_os("STIR_REAL_MODELS").expect("STIR_REAL_MODELS names the folder of real models");
        let path = PathBuf::from(folder).join(self.json["gguf"].as_str().unwrap());
        assert!(path.exists(), "{} is missing", path.display());
        path
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn real_tokenizers_give_the_recorded_ids() {
    for name in MODELS {
        let recorded = Recorded::of(name);
        let tokenizer = Model::open(recorded.path()).unwrap().tokenizer.unwrap();
        let vocab = tokenizer.vocab(Vec::new());
        let texts = recorded.json["texts"].as_array().unwrap();
        assert_eq!(texts.len(), 4);
        for (i, text) in texts.iter().map(|text| text.as_str().unwrap()).enumerate() {
            let ids = tokenizer.encode_prompt(text).unwrap();
            let mut expected = recorded.ids(&format!("ids.{i}"));
            // SmolLM's tokenizer separates digits from what is before them, and ½ counts as one: ` ½` is a space, and
            // the bytes of ½. Where transformers reads a GGUF file, it leaves that out.
            if let Some(at) = expected.windows(2).position(|pair| name == "smollm2-135m" && pair == [3351, 138]) {
                expected[at..at + 2].copy_from_slice(&[216, 16738]);
            }
            assert_eq!(ids, expected, "{name}: {text:?}");
            assert_eq!(vocab.text(&ids), text, "{name}");
            let continuation = recorded.json["greedy_text"][i].as_str().unwrap();
            assert_eq!(vocab.text(&recorded.ids(&format!("greedy.{i}"))), continuation, "{name}");
        }
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn real_chats_are_rendered_as_recorded() {
    let mut rendered = 0;
    for name in MODELS {
        let recorded = Recorded::of(name);
        let model = Model::open(recorded.path()).unwrap();
        let chat = &recorded.json["chat"];
        assert_eq!(chat.is_null(), model.chat_template.is_none(), "{name}");
        let Some(template) = &model.chat_template else { continue };
        let messages: Vec<Message> = serde_json::from_value(chat["messages"].clone()).unwrap();
        let prompt = template.render(&messages).unwrap();
        assert_eq!(prompt, chat["rendered"].as_str().unwrap(), "{name}");
        let tokenizer = model.tokenizer.unwrap();
        assert_eq!(tokenizer.encode_prompt(&prompt).unwrap(), recorded.ids("chat_ids"), "{name}");
        rendered += 1;
    }
    assert_eq!(rendered, 2);
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn real_files_hold_their_models() {
    for (name, n_layers, tied, end) in [
        ("smollm2-135m", 30, true, "<|im_end|>"),
        ("gemma3-270m", 18, true, "<eos>"),
        ("qwen2.5-coder-0.5b", 24, false, "<|im_end|>"),
    ] {
        let model = Model::open(Recorded::of(name).path()).unwrap();
        let (config, checkpoint) = (&model.config, &model.checkpoint);
        assert_eq!((config.n_layers, config.tie_embeddings), (n_layers, tied), "{name}");
        assert_eq!(model.generation.end_tokens, [model.tokenizer.unwrap().id(end).unwrap()], "{name}");
        let hidden = config.hidden_size;
        for tensor in checkpoint.tensors() {
            assert!(tensor.name.starts_with("model.") || tensor.name == "lm_head.weight", "{}", tensor.name);
        }
        let heads = config.n_heads * config.head_dim;
        for layer in 0..n_layers {
            let rows = checkpoint.rows(&format!("model.layers.{layer}.self_attn.q_proj.weight")).unwrap();
            assert_eq!(rows.shape, [heads, hidden]);
            assert_eq!(rows.order.is_some(), name.starts_with("smollm2"));
        }
        // The first stored row of an embedding is that of the first token; norms hold what is multiplied by.
        let embedding = checkpoint.rows("model.embed_tokens.weight").unwrap();
        let mut first = vec![0.0; hidden];
        embedding.format.dequantise(embedding.row(0).unwrap(), &mut first);
        assert!(first.iter().all(|x| x.is_finite()) && first.iter().any(|x| *x != 0.0));
        let norm = checkpoint.rows("model.norm.weight").unwrap();
        assert_eq!((norm.format, norm.shape), (Format::F32, [hidden].as_slice()));
        let windows = config.windows.iter().filter(|window| **window == Some(512)).count();
        assert_eq!(windows, if name.starts_with("gemma") { 15 } else { 0 });
    }
}

//! Cases that users of other programs reported, in the shared data.

use std::{fs, path::Path};

use crate::common::shared;
use serde_json::{Value, json};
use stir_core::{
    Choice, Engine, Fingerprint, Finish, ModelShape, Output, Request, Row, Sequence, Vocab,
    toy::{ToyEngine, ToyError, ToySession},
};
use stir_model::{
    ChatOptions, ChatTemplate, Checkpoint, DecoderConfig, GenerationDefaults, ModelError, RopeScaling, Tokenizer,
};

fn cases(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(shared(&format!("public_cases/{name}"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn templates_render_as_in_transformers() {
    let mut failed = Vec::new();
    for case in cases("templates.jsonl") {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("chat_template.jinja"), case["template"].as_str().unwrap()).unwrap();
        let chat = ChatTemplate::from_dir(dir.path()).unwrap().unwrap();
        let mut variables = case["kwargs"].as_object().unwrap().clone();
        let add_generation_prompt = variables.remove("add_generation_prompt").unwrap() == true;
        let options = ChatOptions { add_generation_prompt, variables, now: None };
        let rendered = chat.render_with(case["messages"].as_array().unwrap(), &options);
        if rendered.as_ref().ok().map(String::as_str) != case["expected"].as_str() {
            failed.push(format!("{}: {rendered:?}", case["id"]));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The case called `id`.
fn case(id: &str) -> Value {
    cases("other.jsonl").into_iter().find(|case| case["id"] == id).unwrap()
}

fn config(family: &str, more: &Value) -> Result<DecoderConfig, ModelError> {
    let mut json = json!({
        "model_type": family, "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 131072, "rope_theta": 1e6,
    });
    more.as_object().unwrap().iter().for_each(|(name, value)| json[name] = value.clone());
    DecoderConfig::from_hf(Path::new("config.json"), json)
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn configurations_load_as_in_transformers() {
    let scaled = config("qwen3", &case("O1")["input"]["config_change"]).unwrap();
    let RopeScaling::Yarn { attention_factor, factor, .. } = scaled.rope.scaling else { panic!("{:?}", scaled.rope) };
    assert_eq!((factor, attention_factor), (4.0, 0.1 * 4f64.ln() + 1.0));

    let extra = case("O12i")["input"]["config_extra"].clone();
    for family in ["llama", "qwen2", "mistral"] {
        assert_eq!(config(family, &extra).unwrap(), config(family, &json!({})).unwrap());
        for (name, value) in extra.as_object().unwrap() {
            config(family, &json!({ name: value })).unwrap();
        }
    }

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.safetensors"), case("O12j")["input"]["model.safetensors"].as_str().unwrap())
        .unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains("Git LFS pointer"), "{error}");
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn turns_end_where_any_file_says() {
    let input = case("O2")["input"].clone();
    let (dir, folder) = (tempfile::tempdir().unwrap(), shared("tokenizers/qwen2.5-instruct"));
    fs::copy(folder.join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_file(&dir.path().join("tokenizer.json")).unwrap();
    let ends = || GenerationDefaults::from_dir(dir.path(), Some(&tokenizer), 151_936).unwrap().end_tokens;
    for name in ["generation_config.json", "config.json", "tokenizer_config.json"] {
        fs::write(dir.path().join(name), input[name].to_string()).unwrap();
    }
    assert_eq!(ends(), [151_643, 151_645]);
    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(ends(), [151_643]);
    let chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    fs::write(dir.path().join("chat_template.jinja"), chatml).unwrap();
    assert_eq!(ends(), [151_643, 151_645]);
}

/// An engine with the vocabulary of a tokenizer.
#[derive(Debug)]
struct Named(ToyEngine, Vocab);

impl Engine for Named {
    type Session = ToySession;
    type Error = ToyError;

    fn shape(&self) -> ModelShape {
        ModelShape { vocab_size: self.1.len(), ..self.0.shape() }
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.0.fingerprint()
    }

    fn vocab(&self) -> &Vocab {
        &self.1
    }

    fn computation(&self) -> String {
        self.0.computation()
    }

    fn session(&self) -> ToySession {
        self.0.session()
    }

    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        self.0.forward(rows)
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn special_tokens_are_stop_strings() {
    let input = case("O3")["input"].clone();
    let tokenizer = Tokenizer::from_file(&shared("tokenizers/qwen2.5-instruct/tokenizer.json")).unwrap();
    let engine = Named(ToyEngine::new(0), tokenizer.vocab(vec![151_643]));
    let stop = input["stop"].as_array().unwrap().iter().map(|stop| stop.as_str().unwrap().to_owned()).collect();
    let request = Request { stop, ..Request::new(vec![1]) };
    let mut sequence = Sequence::new(&engine, &request, 0).unwrap();
    for token in tokenizer.encode(input["tokens"].as_str().unwrap()).unwrap() {
        sequence.push(engine.vocab(), Choice { token, log_prob: 0.0 });
    }
    assert_eq!(sequence.finish(), Some(Finish::Stop));
    assert_eq!(sequence.generated().text(engine.vocab()), "Hi ");
    assert_eq!(sequence.answer().last(), Some(&151_645));
}

//! GGUF files that the tests write: the configuration, the tensors and the text of the models in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{fs, path::Path};

use common::gguf_file::{GgufFile, Item, SIZES, byte_level, model, sentencepiece};
use common::shared;
use serde_json::{Value, json};
use stir_core::TokenId;
use stir_model::{
    Activation, Checkpoint, DecoderConfig, Format, Message, ModelError, Rope, RopeScaling, Tokenizer, gguf::Model,
};

fn open(file: &GgufFile) -> Result<Model, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, file.bytes()).unwrap();
    Model::open(&path)
}

fn config(file: &GgufFile) -> DecoderConfig {
    open(file).unwrap().config
}

/// The key of a model whose value is not supported.
fn refused(file: &GgufFile) -> String {
    match open(file) {
        Err(ModelError::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

/// What Hugging Face's configuration of the same small model says, where it is not the same as the file.
fn hugging_face(model_type: &str, more: Value) -> DecoderConfig {
    let [layers, hidden, heads, kv_heads, head_dim, inner, tokens] = SIZES;
    let mut json = json!({
        "model_type": model_type, "vocab_size": tokens, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "max_position_embeddings": 128, "rms_norm_eps": f64::from(1e-5f32),
        "rope_theta": 5000.0, "tie_word_embeddings": true,
    });
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    DecoderConfig::from_hf(Path::new("config.json"), json).unwrap()
}

#[test]
fn architectures_mean_what_their_hugging_face_configurations_say() {
    let gemma = json!({"sliding_window": 16, "query_pre_attn_scalar": 8});
    for (architecture, model_type, more) in [
        ("qwen2", "qwen2", json!({})),
        ("qwen3", "qwen3", json!({})),
        ("llama", "llama", json!({})),
        ("gemma2", "gemma2", json!({"query_pre_attn_scalar": 8})),
        ("gemma3", "gemma3_text", gemma),
        ("phi3", "phi3", json!({})),
    ] {
        let found = config(&model(architecture));
        // The file has norms as they multiply.
        let expected = DecoderConfig { norm_offset: false, ..hugging_face(model_type, more) };
        assert_eq!(found, expected, "{architecture}");
        assert_eq!(found.activation == Activation::GeluTanh, architecture.starts_with("gemma"));
    }
}

#[test]
fn tensors_decide_on_biases_and_the_head() {
    let mut file = model("llama");
    let [_, hidden, .., tokens] = SIZES;
    file.floats("output.weight", &[tokens, hidden], &vec![1.0; tokens * hidden]);
    for layer in 0..2 {
        for (part, size) in [("attn_q", 32), ("attn_k", 16), ("attn_v", 16), ("attn_output", 32), ("ffn_down", 32)] {
            let values: Vec<f32> = (0..size).map(|i| i as f32).collect();
            file.floats(&format!("blk.{layer}.{part}.bias"), &[size], &values);
        }
    }
    let model = open(&file).unwrap();
    let DecoderConfig { qkv_bias, output_bias, mlp_bias, tie_embeddings, .. } = model.config;
    assert_eq!((qkv_bias, output_bias, mlp_bias, tie_embeddings), (true, true, true, false));
    // The rows of biases have the order of the rows of their matrices: even places first, head by head.
    let (bias, shape) = model.checkpoint.floats("model.layers.1.self_attn.k_proj.bias").unwrap();
    assert_eq!(shape, [16]);
    assert_eq!(bias, [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15].map(|i| i as f32));
    assert_eq!(model.checkpoint.floats("model.layers.1.self_attn.v_proj.bias").unwrap().0[1], 1.0);
}

#[test]
fn values_out_of_bounds_are_refused_by_key() {
    for (name, item) in [
        ("block_count", Item::U32(0)),
        ("block_count", Item::U32(5000)),
        ("block_count", Item::F32(2.0)),
        ("embedding_length", Item::U64(u64::MAX)),
        ("feed_forward_length", Item::I32(-1)),
        ("context_length", "long".into()),
        ("attention.head_count", Item::U32(0)),
        ("attention.head_count", Item::I32s(vec![4, 4])),
        ("attention.head_count_kv", Item::U32(3)),
        ("attention.key_length", Item::U32(7)),
        ("attention.value_length", Item::U32(16)),
        ("attention.layer_norm_rms_epsilon", Item::F32(f32::NAN)),
        ("attention.layer_norm_rms_epsilon", Item::F32(0.0)),
        ("attention.scale", Item::F32(-1.0)),
        ("attention.causal", Item::Flag(0)),
        ("attention.clamp_kqv", Item::F32(8.0)),
        ("attention.sliding_window", Item::U32(64)),
        ("attn_logit_softcapping", Item::F32(50.0)),
        ("expert_count", Item::U32(8)),
        ("logit_scale", Item::F32(0.5)),
        ("rope.freq_base", Item::F32(0.0)),
        ("rope.dimension_count", Item::U32(4)),
        ("rope.scaling.type", "dynamic".into()),
        ("rope.scaling.type", "longrope".into()),
        ("rope.scaling.attn_factor", Item::F32(1.5)),
        ("rope.scaling.factor", Item::F32(f32::INFINITY)),
    ] {
        let key = format!("qwen2.{name}");
        assert_eq!(refused(model("qwen2").set(&key, item)), key);
    }
    for name in ["block_count", "context_length", "attention.layer_norm_rms_epsilon"] {
        let key = format!("qwen2.{name}");
        assert_eq!(refused(model("qwen2").remove(&key)), key);
    }
    assert_eq!(refused(model("gemma3").remove("gemma3.attention.sliding_window")), "gemma3.attention.sliding_window");
    let mut headless = model("qwen2");
    headless.tensors.retain(|tensor| tensor.name != "token_embd.weight");
    assert!(matches!(open(&headless), Err(ModelError::MissingTensor { name, .. }) if name == "token_embd.weight"));
}

#[test]
fn windows_fall_where_the_file_puts_them() {
    let windows = |file: &mut GgufFile, name: &str, item: Item| config(file.set(name, item)).windows;
    let (key, pattern) = ("attention.sliding_window", "attention.sliding_window_pattern");
    assert_eq!(windows(&mut model("llama"), &format!("llama.{key}"), Item::U32(16)), [Some(16); 2]);
    assert_eq!(windows(&mut model("llama"), &format!("llama.{key}"), Item::U32(4096)), [None; 2]);
    assert_eq!(windows(&mut model("phi3"), &format!("phi3.{key}"), Item::U32(0)), [None; 2]);
    assert_eq!(windows(&mut model("gemma2"), &format!("gemma2.{key}"), Item::U32(16)), [Some(16), None]);
    assert_eq!(config(&model("gemma2")).windows, [Some(4096), None]);
    assert_eq!(config(&model("gemma3")).windows, [Some(16); 2]);
    let pattern = format!("gemma3.{pattern}");
    assert_eq!(windows(&mut model("gemma3"), &pattern, Item::U32(1)), [None; 2]);
    assert_eq!(windows(&mut model("gemma3"), &pattern, Item::Flags(vec![0, 1])), [None, Some(16)]);
    assert_eq!(windows(&mut model("gemma3"), &pattern, Item::I32s(vec![1, 0])), [Some(16), None]);
    for item in [Item::U32(0), Item::Flags(vec![1]), Item::F32s(vec![1.0, 0.5]), Item::Texts(vec!["a".into(); 2])] {
        assert_eq!(refused(model("gemma3").set(&pattern, item)), pattern);
    }
    let caps = config(model("gemma2").set("gemma2.attn_logit_softcapping", Item::F32(20.0)));
    assert_eq!((caps.attention_softcap, caps.logit_softcap), (Some(20.0), Some(30.0)));
}

#[test]
fn rotary_scalings_have_several_spellings() {
    let rope = |file: &GgufFile| {
        let config = config(file);
        (config.rope, config.max_context)
    };
    let mut file = model("qwen2");
    file.set("qwen2.rope.scaling.type", "yarn").set("qwen2.rope.scaling.factor", Item::F32(4.0));
    file.set("qwen2.rope.scaling.original_context_length", Item::U32(64));
    let yarn = json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}});
    let expected = hugging_face("qwen2", yarn);
    assert_eq!(rope(&file), (expected.rope, 256));
    let linear = hugging_face("llama", json!({"rope_scaling": {"type": "linear", "factor": 4.0}})).rope;
    for kind in [Some("linear"), None] {
        let mut file = model("llama");
        kind.map(|kind| file.set("llama.rope.scaling.type", kind));
        assert_eq!(rope(file.set("llama.rope.scaling.factor", Item::F32(4.0))), (linear.clone(), 128));
    }
    assert_eq!(rope(model("llama").set("llama.rope.scale_linear", Item::F32(4.0))), (linear, 128));
    let plain = Rope::plain(5000.0, 8);
    assert_eq!(rope(model("llama").set("llama.rope.scaling.factor", Item::F32(0.0))), (plain.clone(), 128));

    // Llama 3 as factors, which are no weights.
    let mut file = model("llama");
    file.floats("rope_freqs.weight", &[4], &[1.0, 1.0, 2.5, 8.0]);
    let factors = RopeScaling::LongRope { factors: vec![1.0, 1.0, 2.5, 8.0], attention_factor: 1.0 };
    assert_eq!(rope(&file), (Rope { scaling: factors, ..plain }, 128));
    let names: Vec<String> = open(&file).unwrap().checkpoint.tensors().map(|tensor| tensor.name.to_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("model.")), "{names:?}");
    assert_eq!(refused(file.set("llama.rope.scaling.type", "yarn")), "llama.rope.scaling.type");
    for values in [[1.0, 0.0, 1.0, 1.0], [1.0, f32::NAN, 1.0, 1.0]] {
        assert_eq!(refused(model("llama").floats("rope_freqs.weight", &[4], &values)), "rope_freqs.weight");
    }
    let long = open(model("llama").floats("rope_freqs.weight", &[5], &[1.0; 5]));
    assert!(matches!(long, Err(ModelError::TensorShape { expected, .. }) if expected == [4]));

    // Phi-3 with part of a head turned, and divisors for short contexts and for long ones.
    let mut file = model("phi3");
    file.set("phi3.rope.dimension_count", Item::U32(4)).floats("rope_factors_long.weight", &[2], &[7.0, 9.0]);
    file.floats("rope_factors_short.weight", &[2], &[1.5, 2.0]);
    assert_eq!(refused(&file), "phi3.rope.scaling.original_context_length");
    file.set("phi3.rope.scaling.original_context_length", Item::U32(32));
    let longrope = json!({"partial_rotary_factor": 0.5, "original_max_position_embeddings": 32,
        "rope_scaling": {"type": "longrope", "short_factor": [1.5, 2.0], "long_factor": [7.0, 9.0]}});
    assert_eq!(rope(&file), (hugging_face("phi3", longrope).rope, 32));
}

#[test]
fn tensors_have_their_hugging_face_names_and_order() {
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("a.GGUF");
    let mut file = model("llama");
    // Quanta 0 to 31 in one row, so that a row of queries can be told from the others by its scale.
    let row = |scale: u16| [&scale.to_le_bytes()[..], &(0..32).collect::<Vec<u8>>()].concat();
    let half = |i: usize| [0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800][i % 8];
    let data = (0..32).flat_map(|i| row(half(i))).collect();
    file.tensors.retain(|tensor| tensor.name != "blk.0.attn_q.weight");
    file.tensor("blk.0.attn_q.weight", &[32, 32], Format::Q8_0, data);
    file.floats("blk.7.attn_q.weight", &[2], &[0.0; 2]).floats("blk.00.attn_norm.weight", &[2], &[0.0; 2]);
    fs::write(&path, file.bytes()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let names: Vec<&str> = checkpoint.tensors().map(|tensor| tensor.name).collect();
    assert_eq!(names[..3], ["blk.00.attn_norm.weight", "blk.7.attn_q.weight", "model.embed_tokens.weight"]);
    let layer = [
        "input_layernorm",
        "mlp.down_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "post_attention_layernorm",
        "self_attn.k_proj",
        "self_attn.o_proj",
        "self_attn.q_proj",
        "self_attn.v_proj",
    ];
    assert_eq!(names[3..12], layer.map(|part| format!("model.layers.0.{part}.weight")));

    let rows = checkpoint.rows("model.layers.0.self_attn.q_proj.weight").unwrap();
    assert_eq!((rows.format, rows.shape), (Format::Q8_0, [32, 32].as_slice()));
    // Row `i` of a head of 8 lies at `2 i` in the first half, at `2 i - 7` in the second.
    let order = rows.order.unwrap();
    assert_eq!((0..9).map(|row| order.stored(row)).collect::<Vec<_>>(), [0, 2, 4, 6, 1, 3, 5, 7, 8]);
    let (values, shape) = checkpoint.floats("model.layers.0.self_attn.q_proj.weight").unwrap();
    assert_eq!(shape, [32, 32]);
    for (i, values) in values.chunks(32).enumerate() {
        let scale = half::f16::from_bits(half(order.stored(i))).to_f32();
        assert_eq!(values, (0..32).map(|q| scale * q as f32).collect::<Vec<_>>(), "{i}");
        let mut same = [0.0; 32];
        rows.format.dequantise(rows.row(i).unwrap(), &mut same);
        assert_eq!(values, same);
    }
    assert_eq!(rows.row(32), None);
    assert!(checkpoint.rows("model.layers.0.self_attn.v_proj.weight").unwrap().order.is_none());

    // The rows must be as many as the order is for.
    let mut file = model("llama");
    file.find("blk.0.attn_k.weight").dims = vec![64, 8];
    let error = open(&file).unwrap_err();
    assert!(error.to_string().contains("has shape [8, 64], the configuration requires [16, 64]"), "{error}");
    // Gemma has more norms, Phi-3 fewer matrices.
    let gemma = open(&model("gemma2")).unwrap().checkpoint;
    for (name, first) in [("pre_feedforward_layernorm", 1.0), ("post_feedforward_layernorm", 1.0)] {
        assert_eq!(gemma.floats(&format!("model.layers.1.{name}.weight")).unwrap().0[1], first);
    }
    let phi = open(&model("phi3")).unwrap().checkpoint;
    assert_eq!(phi.rows("model.layers.1.self_attn.qkv_proj.weight").unwrap().shape, [64, 32]);
    assert_eq!(phi.rows("model.layers.1.mlp.gate_up_proj.weight").unwrap().shape, [128, 32]);
}

#[test]
fn fingerprints_depend_on_everything_that_counts() {
    let fingerprint = |file: &GgufFile| open(file).unwrap().fingerprint();
    let plain = fingerprint(&model("qwen2"));
    assert_eq!(plain, fingerprint(model("qwen2").set("general.name", "other")));
    assert_eq!((plain.architecture.as_str(), plain.hidden_size), ("qwen2", 32));
    assert_ne!(plain.weights, fingerprint(model("qwen2").set("qwen2.rope.freq_base", Item::F32(6000.0))).weights);
    let mut other = model("qwen2");
    other.find("blk.1.ffn_down.weight").data[5] ^= 1;
    assert_ne!(plain.weights, fingerprint(&other).weights);
    let pre = fingerprint(model("qwen2").set("tokenizer.ggml.pre", "gpt-2"));
    assert_eq!(plain.weights, pre.weights);
    assert_ne!(plain.tokenizer, pre.tokenizer);
}

fn ids(tokenizer: &Tokenizer, tokens: &[&str]) -> Vec<TokenId> {
    tokens.iter().map(|token| tokenizer.id(token).unwrap_or_else(|| panic!("{token}"))).collect()
}

#[test]
fn byte_level_tokenizers_are_those_of_their_name() {
    let tokenizer = |pre: &str| {
        let mut file = model("qwen2");
        byte_level(&mut file, pre);
        open(&file).unwrap().tokenizer.unwrap()
    };
    for pre in ["qwen2", "deepseek-r1-qwen", "llama-bpe", "smollm", "gpt-2", "tekken"] {
        let tokenizer = tokenizer(pre);
        let encoded = tokenizer.encode("the the<|end|>two words12").unwrap();
        let numbers: &[&str] = if matches!(pre, "llama-bpe" | "gpt-2") { &["12"] } else { &["1", "2"] };
        let expected = [&["the", "Ġthe", "<|end|>", "two words"], numbers].concat();
        assert_eq!(encoded, ids(&tokenizer, &expected), "{pre}");
        let vocab = tokenizer.vocab(Vec::new());
        assert_eq!(vocab.text(&encoded), "the thetwo words12");
        let text = "Naïve – 東京 😀\n\n\t  end";
        assert_eq!(vocab.text(&tokenizer.encode(text).unwrap()), text);
        // Only the Llama and Mistral tokenizers begin with BOS unless the file says so.
        let bos = if matches!(pre, "llama-bpe" | "tekken") { vec![1] } else { vec![] };
        assert_eq!(tokenizer.prefix(), bos, "{pre}");
        // Embeddings without a token have no text, and make the tokenizer no larger.
        assert_eq!((tokenizer.size(), tokenizer.id("[PAD1]")), (263, None));
    }
    let composed = |pre: &str| {
        let tokenizer = tokenizer(pre);
        tokenizer.encode("e\u{301}").unwrap() == tokenizer.encode("é").unwrap()
    };
    assert!(composed("qwen2") && !composed("gpt-2"));
}

#[test]
fn text_is_refused_by_key() {
    let with = |key: &str, item: Item| {
        let mut file = model("llama");
        refused(file.set(key, item))
    };
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    for (name, item) in [
        ("model", "bert".into()),
        ("pre", "falcon".into()),
        ("tokens", "all".into()),
        ("tokens", Item::I32s(vec![1])),
        ("token_type", Item::I32s(vec![1; 7])),
        ("token_type", Item::I32s(vec![9; 265])),
        ("merges", Item::Texts(vec!["th".into()])),
        ("merges", Item::Texts(vec!["t x".into()])),
        ("merges", Item::Texts(vec!["the Ġthe".into()])),
        ("merges", Item::Texts(vec![" ".into()])),
        ("eos_token_id", Item::U32(265)),
        ("eot_token_id", "<|end|>".into()),
        ("bos_token_id", Item::I32(-2)),
        ("add_bos_token", Item::U32(1)),
    ] {
        assert_eq!(with(&key(name), item), key(name));
    }
    let error = open(model("llama").set("tokenizer.ggml.pre", "falcon")).unwrap_err().to_string();
    assert!(error.ends_with("is \"falcon\", supported: qwen2, deepseek-r1-qwen, llama-bpe, smollm, gpt-2 or tekken"));
    for name in ["pre", "tokens", "merges"] {
        assert_eq!(refused(model("llama").remove(&key(name))), key(name));
    }
    assert_eq!(
        refused(model("llama").set(&key("add_bos_token"), Item::Flag(1)).remove(&key("bos_token_id"))),
        key("add_bos_token")
    );
    let mut twice = model("llama");
    twice.set(&key("tokens"), Item::Texts(vec!["a".into(), "a".into()])).remove(&key("token_type"));
    assert_eq!(refused(&twice), key("tokens"));
    let mut large = model("llama");
    large.find("token_embd.weight").dims = vec![96, 100];
    let error = open(&large).unwrap_err();
    assert!(matches!(error, ModelError::VocabularySize { tokens: 263, vocab_size: 100, .. }), "{error}");
    let mut broken = model("llama");
    assert!(matches!(open(broken.set("tokenizer.chat_template", "{% if")), Err(ModelError::ChatTemplate { .. })));
    let mut pieces = model("llama");
    sentencepiece(&mut pieces);
    assert_eq!(refused(pieces.clone().remove(&key("scores"))), key("scores"));
    assert_eq!(refused(pieces.clone().set(&key("scores"), Item::F32s(vec![0.0; 3]))), key("scores"));
    assert_eq!(refused(pieces.set(&key("scores"), Item::F32s(vec![f32::NAN; 272]))), key("scores"));
}

#[test]
fn sentencepiece_tokenizers_merge_by_score() {
    let mut file = model("llama");
    sentencepiece(&mut file);
    let model = open(&file).unwrap();
    let tokenizer = model.tokenizer.unwrap();
    assert_eq!((tokenizer.prefix(), model.generation.end_tokens), ([1].as_slice(), vec![2]));
    // `th` has a higher score than `▁t` and `he`, and then only `▁th` is left to make.
    assert_eq!(tokenizer.encode("th the").unwrap(), ids(&tokenizer, &["▁th", "▁the"]));
    assert_eq!(tokenizer.encode("t é").unwrap(), ids(&tokenizer, &["▁t", "▁", "<0xC3>", "<0xA9>"]));
    // Around what is recognised as a whole the text starts anew.
    let encoded = tokenizer.encode("a\n\na<s>").unwrap();
    assert_eq!(encoded, ids(&tokenizer, &["▁", "a", "\n\n", "▁", "a", "<s>"]));
    let vocab = tokenizer.vocab(Vec::new());
    assert_eq!(vocab.text(&tokenizer.encode_prompt("the é<turn>").unwrap()), " the é<turn>");
    file.set("tokenizer.ggml.add_space_prefix", Item::Flag(0)).set("tokenizer.ggml.add_bos_token", Item::Flag(0));
    let bare = open(&file).unwrap().tokenizer.unwrap();
    assert_eq!(bare.encode_prompt("the the").unwrap(), ids(&bare, &["th", "e", "▁the"]));
}

#[test]
fn a_chat_ends_with_any_of_the_end_tokens() {
    let mut file = model("qwen3");
    file.set(
        "tokenizer.chat_template",
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
    );
    file.set("tokenizer.ggml.eot_token_id", Item::U32(1)).set("tokenizer.ggml.eom_token_id", Item::U32(0));
    file.set("tokenizer.ggml.padding_token_id", Item::U32(u32::MAX));
    let model = open(&file).unwrap();
    assert_eq!(model.generation.end_tokens, [0, 1]);
    assert_eq!(model.chat_template.unwrap().render(&[Message::user("hi")]).unwrap(), "<|start|>hi<|end|>");
    let weights = open(file.remove("tokenizer.ggml.model")).unwrap();
    assert!(weights.tokenizer.is_none() && weights.chat_template.is_none());
}

/// Describes the tokenizer of a `tokenizer.json` as llama.cpp's conversion does.
fn describe(file: &mut GgufFile, json: &Value, pre: &str, vocab_size: usize) {
    let mut tokens: Vec<(String, i32)> = (0..vocab_size).map(|id| (format!("[PAD{id}]"), 5)).collect();
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = (text.clone(), 1);
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"] == true { 3 } else { 4 };
        tokens[added["id"].as_u64().unwrap() as usize] = (added["content"].as_str().unwrap().to_owned(), kind);
    }
    let merge = |merge: &Value| match merge.as_str() {
        Some(text) => text.to_owned(),
        None => format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()),
    };
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    let (texts, types) = tokens.into_iter().unzip();
    file.set("tokenizer.ggml.pre", pre).set("tokenizer.ggml.tokens", Item::Texts(texts));
    file.set("tokenizer.ggml.token_type", Item::I32s(types)).set("tokenizer.ggml.merges", Item::Texts(merges));
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn published_tokenizers_survive_the_conversion() {
    for (name, pre, vocab_size) in [
        ("qwen2.5-instruct", "qwen2", 151_936),
        ("deepseek-r1-distill-qwen-1.5b", "deepseek-r1-qwen", 151_936),
        ("llama3.2-instruct", "llama-bpe", 128_256),
    ] {
        let path = shared(&format!("tokenizers/{name}/tokenizer.json"));
        let published = Tokenizer::from_file(&path).unwrap();
        let mut file = model("llama");
        describe(&mut file, &serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap(), pre, vocab_size);
        let embedding = file.find("token_embd.weight");
        // One number for each token.
        (embedding.dims, embedding.data) = (vec![1, vocab_size as u64], vec![0; 4 * vocab_size]);
        let tokenizer = open(&file).unwrap().tokenizer.unwrap();
        assert_eq!(tokenizer.size(), published.size());
        let vectors = fs::read_to_string(shared(&format!("tokenizer_vectors/ggml-vocab-{pre}.gguf.inp"))).unwrap();
        let texts: Vec<&str> = vectors.split("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), 47);
        let (vocab, other) = (tokenizer.vocab(Vec::new()), published.vocab(Vec::new()));
        for text in texts.into_iter().chain([vectors.as_str(), "½ 12345 don't 1½<|eot_id|><think> \u{301}e\u{301}"]) {
            assert_eq!(tokenizer.encode(text).unwrap(), published.encode(text).unwrap(), "{name}: {text:?}");
        }
        for id in 0..vocab_size as TokenId {
            assert_eq!(vocab.bytes(id), other.bytes(id), "{name}: {id}");
        }
    }
}

//! GGUF files that the tests write: the configuration and the tensors of the models in them.

use std::{fs, path::Path};

use crate::common::gguf_file::{GgufFile, Item, SIZES, model};
use serde_json::{Value, json};
use stir_core::FingerprintMismatch;
use stir_model::{
    Activation, Checkpoint, DecoderConfig, Format, ModelError, Rope, RopeScaling, fingerprint_of, gguf::Model,
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
        ("smollm3", "smollm3", json!({})),
        ("olmo2", "olmo2", json!({})),
        // Without a key, the factor of the scores is that of other families.
        ("granite", "granite", json!({"logits_scaling": 8.0, "attention_multiplier": 8f64.powf(-0.5)})),
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
    for (architecture, name, item) in [
        ("smollm3", "attention.sliding_window", Item::U32(64)),
        ("olmo2", "attention.sliding_window", Item::U32(4096)),
        ("olmo2", "residual_scale", Item::F32(0.5)),
        ("granite", "attention.sliding_window", Item::U32(64)),
        ("granite", "rope.scaling.finetuned", Item::Flag(0)),
        ("granite", "expert_count", Item::U32(8)),
        ("granite", "logit_scale", Item::F32(0.0)),
        ("granite", "residual_scale", Item::F32(-1.0)),
        ("granite", "embedding_scale", Item::F32(f32::INFINITY)),
    ] {
        let key = format!("{architecture}.{name}");
        assert_eq!(refused(model(architecture).set(&key, item)), key);
    }
    assert_eq!(refused(model("granite").remove("granite.logit_scale")), "granite.logit_scale");
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
    assert_eq!(config(&model("smollm3")).rotary_layers, [true; 2]);
    let mut deep = model("smollm3");
    deep.set("smollm3.block_count", Item::U32(8));
    let turned = [true, true, true, false];
    assert_eq!(config(&deep).rotary_layers, [turned, turned].concat());
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
    let olmo = open(&model("olmo2")).unwrap().checkpoint;
    let names: Vec<&str> = olmo.tensors().map(|tensor| tensor.name).filter(|name| name.contains("s.1.")).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with("norm.weight")).count(), 4, "{names:?}");
    for (name, width) in [("self_attn.q_norm", 32), ("self_attn.k_norm", 16), ("post_attention_layernorm", 32)] {
        assert_eq!(olmo.floats(&format!("model.layers.1.{name}.weight")).unwrap().1, [width]);
    }
    // Those that llama.cpp turns pair by pair have their rows in that order, also where nothing is turned.
    for (architecture, interleaved) in [("smollm3", true), ("granite", true), ("olmo2", false)] {
        let checkpoint = open(&model(architecture)).unwrap().checkpoint;
        for name in ["q_proj", "k_proj"] {
            let name = format!("model.layers.1.self_attn.{name}.weight");
            assert_eq!(checkpoint.rows(&name).unwrap().order.is_some(), interleaved, "{architecture}");
        }
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
    assert!(plain.tokenizer.starts_with("gguf:"));
}

#[test]
fn fingerprints_name_the_formats_of_the_matrices() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let [_, hidden, .., inner, tokens] = SIZES;
    let floats = model("qwen2");
    let mut mixed = model("qwen2");
    let zeros = |shape: &[usize], format: Format| vec![0; format.bytes_for(shape.iter().product()).unwrap()];
    for (name, shape) in [("token_embd.weight", [tokens, hidden]), ("blk.0.ffn_down.weight", [hidden, inner])] {
        let tensor = mixed.find(name);
        (tensor.format, tensor.data) = (Format::Q8_0.ggml(), zeros(&shape, Format::Q8_0));
    }
    let fingerprint = |file: &GgufFile| {
        fs::write(&path, file.bytes()).unwrap();
        fingerprint_of(&path).unwrap()
    };
    let (floats, mixed) = (fingerprint(&floats), fingerprint(&mixed));
    assert_eq!((floats.quantisation(), mixed.quantisation()), (Some("F32"), Some("F32+Q8_0")));
    assert_eq!(mixed, Model::open(&path).unwrap().fingerprint());
    let expected = FingerprintMismatch::Quantisation { expected: "F32".into(), found: "F32+Q8_0".into() };
    assert_eq!(floats.check(&mixed), Err(expected));
}

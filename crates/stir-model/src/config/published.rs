//! The configurations of published models: the fields that their files have, and the options that follow from them.

use std::path::Path;

use serde_json::{Value, json};

use super::{DecoderConfig, QkNorm, Rope, RopeScaling};

/// Reads a configuration and returns the options, and the names of the fields that nothing reads.
fn read(json: Value) -> (DecoderConfig, String) {
    match DecoderConfig::read(Path::new("config.json"), json.clone()) {
        Ok((config, ignored)) => (config, ignored.join(" ")),
        Err(error) => panic!("{error}: {json}"),
    }
}

/// Returns `json` with the fields of `more`.
fn with(mut json: Value, more: Value) -> Value {
    more.as_object().unwrap().iter().for_each(|(name, value)| json[name] = value.clone());
    json
}

/// Sizes in the order of files: width, inner width, layers, query heads, key heads, vocabulary, context.
fn sized(family: &str, sizes: [u64; 7], more: Value) -> Value {
    let names = [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
        "max_position_embeddings",
    ];
    let mut json = json!({
        "model_type": family, "architectures": [format!("{family}ForCausalLM")], "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.02, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0", "use_cache": true,
    });
    names.iter().zip(sizes).for_each(|(name, size)| json[name] = size.into());
    with(json, more)
}

fn qwen2(sizes: [u64; 7], more: Value) -> Value {
    let base = json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6, "use_sliding_window": false,
        "sliding_window": sizes[6], "max_window_layers": sizes[2]});
    with(sized("qwen2", sizes, base), more)
}

fn qwen3(sizes: [u64; 7], more: Value) -> Value {
    let base = json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6, "use_sliding_window": false,
        "sliding_window": null, "max_window_layers": sizes[2], "attention_bias": false, "head_dim": 128,
        "rope_scaling": null});
    with(sized("qwen3", sizes, base), more)
}

fn llama(sizes: [u64; 7], more: Value) -> Value {
    let base = json!({"hidden_act": "silu", "rms_norm_eps": 1e-5, "pretraining_tp": 1, "rope_scaling": null,
        "tie_word_embeddings": false});
    with(sized("llama", sizes, base), more)
}

fn llama3_rope(factor: f64) -> Value {
    json!({"factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"})
}

#[test]
fn qwen2_and_what_was_made_from_it() {
    let (config, ignored) = read(qwen2([896, 4864, 24, 14, 2, 151936, 32768], json!({"tie_word_embeddings": true})));
    assert_eq!((config.head_dim, config.tie_embeddings, config.rope), (64, true, Rope::plain(1e6, 64)));
    assert_eq!((config.qkv_bias, config.output_bias, ignored.as_str()), (true, false, ""));
    let (config, _) = read(qwen2([3584, 18944, 28, 28, 4, 152064, 32768], json!({"tie_word_embeddings": false})));
    assert_eq!((config.head_dim, config.n_kv_heads, config.tie_embeddings), (128, 4, false));

    // Qwen2.5-Math has a short context, Qwen2.5-1M a long one and a method that transformers does not have.
    let math = json!({"rope_theta": 1e4, "_flash_attn_2_enabled": false, "use_mrope": false});
    let (config, ignored) = read(qwen2([1536, 8960, 28, 12, 2, 151936, 4096], math));
    assert_eq!((config.rope.theta, config.max_context, ignored.as_str()), (1e4, 4096, ""));
    let dual = json!({"rope_theta": 1e7, "dual_chunk_attention_config": {"chunk_size": 262144, "local_size": 8192}});
    let (config, ignored) = read(qwen2([3584, 18944, 28, 28, 4, 152064, 1010000], dual));
    assert_eq!((config.max_context, ignored.as_str()), (1010000, "dual_chunk_attention_config"));

    // QwQ, the distilled DeepSeek-R1, and re-uploads of both.
    let (config, _) = read(qwen2([5120, 27648, 64, 40, 8, 152064, 131072], json!({"sliding_window": 32768})));
    assert_eq!((config.n_layers, config.windows.iter().flatten().count()), (64, 0));
    let distilled = json!({"rope_theta": 1e4, "sliding_window": 4096, "max_window_layers": 21, "use_mrope": false,
        "unsloth_fixed": true, "unsloth_version": "2025.1.1", "pad_token_id": 151654});
    let (config, ignored) = read(qwen2([1536, 8960, 28, 12, 2, 151936, 131072], distilled));
    assert_eq!((config.rope.theta, config.windows.iter().flatten().count(), ignored.as_str()), (1e4, 0, ""));

    // With YaRN as the model cards ask for it, in the spelling of either year.
    for kind in ["type", "rope_type"] {
        let yarn = json!({"rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, kind: "yarn"}});
        let (config, _) = read(qwen2([3584, 18944, 28, 28, 4, 152064, 32768], yarn));
        assert_eq!(config.max_context, 131072);
        assert!(matches!(config.rope.scaling, RopeScaling::Yarn { factor: 4.0, beta_fast: 32.0, .. }));
    }
    // Saved by transformers 5.
    let new = json!({"dtype": "bfloat16", "layer_types": vec!["full_attention"; 24], "pad_token_id": null,
        "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}, "rope_theta": null, "sliding_window": null});
    let (config, ignored) = read(qwen2([896, 4864, 24, 14, 2, 151936, 32768], new));
    assert_eq!((config.rope, ignored.as_str()), (Rope::plain(1e6, 64), ""));
}

#[test]
fn qwen3_and_what_was_made_from_it() {
    let (config, _) = read(qwen3([1024, 3072, 28, 16, 8, 151936, 40960], json!({"tie_word_embeddings": true})));
    assert_eq!(
        (config.head_dim, config.qk_norm, config.qkv_bias, config.tie_embeddings),
        (128, Some(QkNorm::Head), false, true)
    );
    let later = json!({"rope_theta": 5e6, "tie_word_embeddings": true, "layer_types": vec!["full_attention"; 36]});
    let (config, _) = read(qwen3([2560, 9728, 36, 32, 8, 151936, 262144], later));
    assert_eq!((config.rope.theta, config.attention_scale), (5e6, 128f64.powf(-0.5)));

    // A distilled model whose scaling has a key that nothing reads: the factor of the scores is the usual one.
    let scaling = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
        "attn_factor": 0.8782488562869419});
    let (config, ignored) = read(qwen3([4096, 12288, 36, 32, 8, 151936, 131072], json!({ "rope_scaling": scaling })));
    let RopeScaling::Yarn { attention_factor, .. } = config.rope.scaling else { panic!("{:?}", config.rope) };
    assert_eq!((attention_factor, ignored.as_str()), (0.1 * 4f64.ln() + 1.0, "rope_scaling.attn_factor"));
    let named = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
        "attention_factor": 0.5, "attn_factor": 0.8});
    let (config, _) = read(qwen3([4096, 12288, 36, 32, 8, 151936, 131072], json!({ "rope_scaling": named })));
    assert!(matches!(config.rope.scaling, RopeScaling::Yarn { attention_factor: 0.5, .. }));
}

#[test]
fn llama_and_what_was_made_from_it() {
    // Llama 2, an early conversion without the newer fields, and TinyLlama.
    let (config, _) = read(llama([4096, 11008, 32, 32, 32, 32000, 4096], json!({"torch_dtype": "float16"})));
    assert_eq!((config.n_kv_heads, config.rope), (32, Rope::plain(1e4, 128)));
    let mut old =
        llama([4096, 11008, 32, 32, 32, 32000, 2048], json!({"max_sequence_length": 2048, "pad_token_id": -1}));
    let fields = old.as_object_mut().unwrap();
    for name in ["num_key_value_heads", "max_position_embeddings", "rope_scaling"] {
        fields.remove(name);
    }
    let (config, ignored) = read(old);
    assert_eq!((config.n_kv_heads, config.max_context, ignored.as_str()), (32, 2048, "max_sequence_length"));
    let (config, _) = read(llama([2048, 5632, 22, 32, 4, 32000, 2048], json!({"rope_theta": 1e4})));
    assert_eq!((config.head_dim, config.n_kv_heads), (64, 4));

    // Llama 3, 3.1, 3.2 and the distilled DeepSeek-R1.
    let ends = json!({"rope_theta": 5e5, "eos_token_id": [128001, 128008, 128009], "mlp_bias": false,
        "attention_bias": false});
    let (config, _) = read(llama([4096, 14336, 32, 32, 8, 128256, 8192], ends.clone()));
    assert_eq!(config.rope, Rope::plain(5e5, 128));
    let (config, _) = read(llama(
        [4096, 14336, 32, 32, 8, 128256, 131072],
        with(ends.clone(), json!({"rope_scaling": llama3_rope(8.0)})),
    ));
    assert!(matches!(config.rope.scaling, RopeScaling::Llama3 { factor: 8.0, original_context: 8192.0, .. }));
    let small = json!({"head_dim": 64, "tie_word_embeddings": true, "rope_scaling": llama3_rope(32.0),
        "unsloth_fixed": true});
    let (config, ignored) = read(llama([2048, 8192, 16, 32, 8, 128256, 131072], with(ends, small)));
    assert_eq!((config.tie_embeddings, config.max_context, ignored.as_str()), (true, 131072, ""));

    // SmolLM and SmolLM2.
    let smol = json!({"rope_interleaved": false, "is_llama_config": true, "tie_word_embeddings": true,
        "transformers.js_config": {"dtype": "q4", "kv_cache_dtype": {"q4f16": "float16"}}, "rope_theta": 1e5});
    let (config, ignored) = read(llama([576, 1536, 30, 9, 3, 49152, 8192], smol.clone()));
    assert_eq!((config.rope, ignored.as_str()), (Rope::plain(1e5, 64), ""));
    let (config, _) = read(llama([2048, 8192, 24, 32, 32, 49152, 8192], with(smol, json!({"rope_theta": 130000}))));
    assert_eq!(config.rope.theta, 130_000.0);

    // Stretched by a factor; biases where a Qwen became a Llama; a Llama whose file has the fields of other families.
    let long = json!({"rope_scaling": {"type": "linear", "factor": 8.0}, "rope_theta": 1e4});
    let (config, _) = read(llama([4096, 11008, 32, 32, 32, 32000, 32768], long));
    assert_eq!(config.rope.scaling, RopeScaling::Linear { factor: 8.0 });
    let (config, _) = read(llama([2048, 5504, 24, 16, 16, 151936, 8192], json!({"attention_bias": true})));
    assert_eq!((config.qkv_bias, config.output_bias), (true, true));
    let merged = json!({"sliding_window": 4096, "use_sliding_window": false, "num_experts": null, "qkv_bias": false});
    let (config, ignored) = read(llama([4096, 14336, 32, 32, 8, 128256, 8192], merged));
    assert_eq!(config.windows, [None; 32]);
    assert_eq!(ignored, "qkv_bias sliding_window use_sliding_window");
}

#[test]
fn mistral_gemma_and_phi() {
    let base = json!({"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e4, "sliding_window": 4096});
    let (config, _) = read(sized("mistral", [4096, 14336, 32, 32, 8, 32000, 32768], base.clone()));
    assert_eq!((config.n_kv_heads, &config.windows[..2]), (8, &[Some(4096); 2][..]));
    let later = with(base.clone(), json!({"rope_theta": 1e6, "sliding_window": null, "attention_bias": false}));
    let (config, ignored) = read(sized("mistral", [4096, 14336, 32, 32, 8, 32768, 32768], later.clone()));
    assert_eq!((config.windows[0], config.rope.theta, ignored.as_str()), (None, 1e6, ""));
    let nemo = with(later, json!({"head_dim": 128, "tie_word_embeddings": false}));
    let (config, _) = read(sized("mistral", [5120, 14336, 40, 32, 8, 131072, 1024000], nemo));
    assert_eq!((config.head_dim, config.attention_scale), (128, 128f64.powf(-0.5)));

    let gemma = json!({"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "head_dim": 256,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "sliding_window": 4096,
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "cache_implementation": "hybrid",
        "attention_bias": false});
    let (config, ignored) = read(sized("gemma2", [2304, 9216, 26, 8, 4, 256000, 8192], gemma.clone()));
    assert_eq!((config.attention_softcap, config.windows[0], config.windows[1]), (Some(50.0), Some(4096), None));
    assert_eq!((config.attention_scale, config.tie_embeddings, ignored.as_str()), (1.0 / 16.0, true, ""));
    let large = with(gemma.clone(), json!({"head_dim": 128, "query_pre_attn_scalar": 144}));
    let (config, _) = read(sized("gemma2", [4608, 36864, 46, 32, 16, 256000, 8192], large));
    assert_eq!((config.head_dim, config.attention_scale), (128, 1.0 / 12.0));
    let third = with(
        gemma,
        json!({"attn_logit_softcapping": null, "final_logit_softcapping": null, "rope_theta": 1e6,
        "rope_local_base_freq": 10000, "sliding_window": 512, "sliding_window_pattern": 6, "rope_scaling": null,
        "use_bidirectional_attention": false, "unsloth_fixed": true}),
    );
    let (config, ignored) = read(sized("gemma3_text", [1152, 6912, 26, 4, 1, 262144, 32768], third));
    assert_eq!((config.rope.theta, config.local_rope.unwrap().theta), (1e6, 1e4));
    assert_eq!(
        (config.windows[4], config.windows[5], config.qk_norm, ignored.as_str()),
        (Some(512), None, Some(QkNorm::Head), "")
    );

    let phi = json!({"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e4, "rope_scaling": null,
        "sliding_window": 2047, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "original_max_position_embeddings": 4096,
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "attention_bias": false});
    let (config, _) = read(sized("phi3", [3072, 8192, 32, 32, 32, 32064, 4096], phi.clone()));
    assert_eq!((config.windows[0], config.fused_projections, config.max_context), (Some(2047), true, 4096));
    let long = json!({"rope_scaling": {"type": "longrope", "short_factor": vec![1.0; 48], "long_factor": vec![2.0; 48]},
        "sliding_window": 262144});
    let (config, _) = read(sized("phi3", [3072, 8192, 32, 32, 32, 32064, 131072], with(phi.clone(), long)));
    assert_eq!(config.max_context, 4096);
    assert!(matches!(config.rope.scaling, RopeScaling::LongRope { .. }));
    let mini = json!({"partial_rotary_factor": 0.75, "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": false,
        "mlp_bias": false, "tie_word_embeddings": true, "sliding_window": 262144,
        "rope_scaling": {"type": "longrope", "short_factor": vec![1.0; 48], "long_factor": vec![2.0; 48]}});
    let (config, ignored) = read(sized("phi3", [3072, 8192, 32, 24, 8, 200064, 131072], with(phi.clone(), mini)));
    assert_eq!((config.rope.rotary_dim, config.tie_embeddings, ignored.as_str()), (96, true, ""));
    let four = json!({"rope_theta": 250000, "sliding_window": null, "original_max_position_embeddings": 16384});
    let (config, _) = read(sized("phi3", [5120, 17920, 40, 40, 10, 100352, 16384], with(phi, four)));
    assert_eq!((config.rope.theta, config.windows[0]), (250_000.0, None));
}

#[test]
fn smollm3_olmo2_and_granite() {
    let turned: Vec<u8> = (1..=36).map(|number| u8::from(number % 4 != 0)).collect();
    let smol = json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 5e6, "rope_scaling": null,
        "attention_bias": false, "mlp_bias": false, "pretraining_tp": 2, "max_window_layers": 28, "sliding_window": null,
        "use_sliding_window": false, "layer_types": vec!["full_attention"; 36], "no_rope_layers": turned,
        "no_rope_layer_interval": 4});
    let (config, ignored) = read(sized("smollm3", [2048, 11008, 36, 16, 4, 128256, 65536], smol));
    assert_eq!((&config.rotary_layers[..4], config.windows[3]), (&[true, true, true, false][..], None));
    assert_eq!((config.rope, config.tie_embeddings, ignored.as_str()), (Rope::plain(5e6, 128), true, ""));

    let olmo = json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 500000, "rope_scaling": null,
        "attention_bias": false, "tie_word_embeddings": false, "pad_token_id": 100277, "eos_token_id": 100257});
    let (config, ignored) = read(sized("olmo2", [4096, 11008, 32, 32, 32, 100352, 4096], olmo.clone()));
    assert_eq!((config.input_norms, config.output_norms, config.qk_norm), (false, true, Some(QkNorm::Projection)));
    assert_eq!((config.rope, config.tie_embeddings, ignored.as_str()), (Rope::plain(5e5, 128), false, ""));
    let (config, _) = read(sized("olmo2", [2048, 8192, 16, 16, 16, 100352, 4096], olmo.clone()));
    assert_eq!((config.n_layers, config.head_dim), (16, 128));
    let (config, _) = read(sized("olmo2", [5120, 27648, 64, 40, 8, 100352, 4096], olmo));
    assert_eq!((config.n_kv_heads, config.rms_norm_eps), (8, 1e-6));

    let granite = json!({"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e4, "rope_scaling": null,
        "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true, "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22, "attention_multiplier": 0.015625, "logits_scaling": 8.0});
    let (config, ignored) = read(sized("granite", [2048, 8192, 40, 32, 8, 49155, 4096], granite.clone()));
    assert_eq!((config.embedding_scale, config.residual_scale), (12.0, 0.22));
    assert_eq!((config.attention_scale, config.logit_scale), (1.0 / 64.0, 0.125));
    assert_eq!((config.head_dim, config.tie_embeddings, ignored.as_str()), (64, true, ""));
    let later = with(granite.clone(), json!({"rope_theta": 1e7}));
    let (config, _) = read(sized("granite", [2048, 8192, 40, 32, 8, 49159, 131072], later));
    assert_eq!((config.rope.theta, config.max_context), (1e7, 131072));
    let large = with(granite, json!({"attention_multiplier": 0.0078125, "logits_scaling": 16.0}));
    let (config, _) = read(sized("granite", [4096, 12800, 40, 32, 8, 49155, 4096], large));
    assert_eq!((config.attention_scale, config.logit_scale), (1.0 / 128.0, 0.0625));
}

#[test]
fn what_whole_dumps_hold_does_not_matter() {
    let dump = json!({
        "_attn_implementation_autoset": true, "_name_or_path": "x", "add_cross_attention": false, "auto_map": {},
        "bad_words_ids": null, "begin_suppress_tokens": null, "chunk_size_feed_forward": 0,
        "cross_attention_hidden_size": null, "decoder_start_token_id": null, "diversity_penalty": 0.0,
        "do_sample": false, "dtype": "bfloat16", "early_stopping": false, "encoder_no_repeat_ngram_size": 0,
        "exponential_decay_length_penalty": null, "finetuning_task": null, "forced_bos_token_id": null,
        "forced_eos_token_id": null, "gradient_checkpointing": false, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    });
    let rest = json!({
        "is_decoder": false, "is_encoder_decoder": false, "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        "length_penalty": 1.0, "max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1,
        "num_beams": 1, "num_return_sequences": 1, "output_attentions": false, "output_hidden_states": false,
        "output_scores": false, "prefix": null, "problem_type": null, "pruned_heads": {},
        "remove_invalid_values": false, "repetition_penalty": 1.0, "return_dict": true,
        "return_dict_in_generate": false, "sep_token_id": null, "suppress_tokens": null, "task_specific_params": null,
        "temperature": 1.0, "tf_legacy_loss": false, "tie_encoder_decoder": false, "tokenizer_class": null, "top_k": 50,
        "top_p": 1.0, "torchscript": false, "typical_p": 1.0, "use_bfloat16": false, "quantization_config": null,
    });
    let file = qwen2([896, 4864, 24, 14, 2, 151936, 32768], json!({}));
    let plain = read(file.clone()).0;
    assert_eq!(read(with(with(file.clone(), dump), rest)), (plain.clone(), String::new()));
    let more = json!({"author": "me", "rope_scaling": {"type": "default", "factor": 2.0}, "version": [1]});
    let (config, ignored) = read(with(file, more));
    assert_eq!((config, ignored.as_str()), (plain, "author rope_scaling.factor version"));
}

#[test]
fn quantized_weights_are_refused_with_what_to_take_instead() {
    for (quantization, named) in [
        (json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false}), "\"gptq\""),
        (json!({"quant_method": "awq", "bits": 4, "zero_point": true, "version": "gemm"}), "\"awq\""),
        (
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}),
            "\"bitsandbytes\"",
        ),
        (json!({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}), "\"fp8\""),
        (json!({"quant_method": "compressed-tensors", "format": "int-quantized"}), "\"compressed-tensors\""),
        (json!({"load_in_8bit": true}), "load_in_8bit"),
    ] {
        for field in ["quantization_config", "compression_config"] {
            let file = llama([4096, 14336, 32, 32, 8, 128256, 8192], json!({ field: quantization }));
            let error = DecoderConfig::read(Path::new("config.json"), file).unwrap_err().to_string();
            assert!(error.contains(&format!("config.json: {field} is ")) && error.contains(named), "{error}");
            assert!(error.contains("quantized from"), "{error}");
        }
    }
    let none = json!({"quantization_config": {}});
    read(llama([4096, 14336, 32, 32, 8, 128256, 8192], none));
}

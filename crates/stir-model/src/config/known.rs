//! Fields that no family reads: those that never matter, and those that matter by the name they have elsewhere.

use serde_json::Value;

/// Fields that do not matter in a forward pass without dropout: what else a class of transformers, older or newer,
/// writes into every file, and the settings of generation, of training and of classifiers.
const IRRELEVANT: [&str; 79] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_experts_implementation",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "eos_token_id",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder", // no text decoder of these families is anything else
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp", // how weights were split while training; the sum is the same
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "vocab_size_multiple",
];

/// The value at which a field of another kind of model changes nothing.
#[derive(Clone, Copy)]
enum Plain {
    /// null, false, 0 or empty.
    Off,
    /// null or 1.
    One,
    /// null or true.
    On,
}

/// Fields of kinds of models that this decoder does not compute. A file that sets one of them means that kind, whatever
/// its `model_type` says.
const FOREIGN: [(&str, Plain); 29] = [
    ("add_cross_attention", Plain::Off),
    ("alibi", Plain::Off),
    ("attention_bias", Plain::Off), // where the family has no such bias
    ("attention_multiplier", Plain::Off),
    ("clip_qkv", Plain::Off),
    ("embedding_multiplier", Plain::One),
    ("is_causal", Plain::On),
    ("is_encoder_decoder", Plain::Off),
    ("kv_lora_rank", Plain::Off),
    ("logit_scale", Plain::One),
    ("logits_scaling", Plain::One),
    ("mlp_bias", Plain::Off),
    ("moe_intermediate_size", Plain::Off),
    ("mrope_section", Plain::Off),
    ("n_routed_experts", Plain::Off),
    ("no_rope_layer_interval", Plain::Off),
    ("no_rope_layers", Plain::Off),
    ("num_experts", Plain::Off),
    ("num_experts_per_tok", Plain::Off),
    ("num_local_experts", Plain::Off),
    ("per_layer_config", Plain::Off),
    ("pruned_heads", Plain::Off),
    ("residual_multiplier", Plain::One),
    ("rope_interleaved", Plain::Off),
    ("scale_emb", Plain::One),
    ("text_config", Plain::Off),
    ("use_alibi", Plain::Off),
    ("use_bidirectional_attention", Plain::Off),
    ("use_mrope", Plain::Off),
];

/// Returns whether a field is known to change nothing.
pub(super) fn is_irrelevant(name: &str) -> bool {
    IRRELEVANT.contains(&name)
}

/// Returns whether `value` leaves out what `name` asks of another kind of model; `None` for other fields.
pub(super) fn is_left_out(name: &str, value: &Value) -> Option<bool> {
    let (_, plain) = FOREIGN.iter().find(|(foreign, _)| *foreign == name)?;
    Some(match (plain, value) {
        (_, Value::Null) => true,
        (Plain::Off, Value::Bool(on)) => !on,
        (Plain::Off, Value::Array(items)) => items.is_empty(),
        (Plain::Off, Value::Object(fields)) => fields.is_empty(),
        (Plain::Off, value) => value.as_f64() == Some(0.0),
        (Plain::One, value) => value.as_f64() == Some(1.0),
        (Plain::On, value) => value.as_bool() == Some(true),
    })
}

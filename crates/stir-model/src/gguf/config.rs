//! The options of the decoder, by the keys of the metadata and by which tensors there are.

use stir_kernels::Format;

use super::{files::Files, header::TensorInfo, metadata::Metadata, rope, value::Value};
use crate::{Activation, DecoderConfig, ModelError, QkNorm, Rope};

/// The architectures, as files name them and as Hugging Face does.
const ARCHITECTURES: [(&str, &str); 9] = [
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("llama", "llama"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("phi3", "phi3"),
    ("smollm3", "smollm3"),
    ("olmo2", "olmo2"),
    ("granite", "granite"),
];
const SUPPORTED: &str = "qwen2, qwen3, llama, gemma2, gemma3, phi3, smollm3, olmo2 or granite";
const ARCHITECTURE: &str = "general.architecture";

/// Sanity bounds, as for `config.json`.
const MOST_LAYERS: usize = 4096;
const WIDEST_HEAD: usize = 1 << 16;

/// Keys of computations that the decoder has no place for, and the values that leave them out.
const ABSENT: [(&str, &[f64], &str); 6] = [
    ("expert_count", &[0.0], "0: no mixture of experts"),
    ("attention.causal", &[1.0], "true"),
    ("attention.clamp_kqv", &[0.0], "0: no clamp"),
    ("attention.max_alibi_bias", &[0.0], "0: no such bias"),
    ("attention.temperature_scale", &[0.0], "0: no such scale"),
    ("use_parallel_residual", &[0.0], "false"),
];
/// Keys of factors that Granite alone has.
const SCALES: [&str; 3] = ["embedding_scale", "residual_scale", "logit_scale"];

/// What the configuration is read from.
pub(super) struct Source<'a> {
    pub(super) metadata: Metadata<'a>,
    files: &'a Files,
    /// The name in front of the keys.
    prefix: &'a str,
}

impl<'a> Source<'a> {
    /// Returns the key `name` of the model's architecture.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Returns a tensor with the file that it is in.
    fn tensor(&self, name: &str) -> Option<(&'a TensorInfo, &'a [u8])> {
        self.files.parts.iter().find_map(|part| {
            let info = part.header.tensors.iter().find(|info| info.name == name)?;
            Some((info, part.map.get(info.data.clone())?))
        })
    }

    fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// Returns the values of a tensor of `length` numbers above 0; `None` if there is no such tensor.
    pub(super) fn factors(&self, name: &str, length: usize) -> Result<Option<Vec<f64>>, ModelError> {
        let Some((info, data)) = self.tensor(name) else { return Ok(None) };
        let path = || self.metadata.path.to_owned();
        if info.format != Format::F32 {
            let (name, found) = (name.to_owned(), info.format.name().to_owned());
            return Err(ModelError::TensorType { path: path(), name, found, supported: "F32" });
        }
        if info.shape != [length] {
            let (expected, found) = (vec![length], info.shape.clone());
            return Err(ModelError::TensorShape { path: path(), name: name.to_owned(), expected, found });
        }
        let factors = data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
        let factors: Vec<f64> = factors.collect();
        match factors.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            None => Ok(Some(factors)),
            Some(value) => {
                let (field, value) = (name.to_owned(), value.to_string());
                Err(ModelError::Config { path: path(), field, value, supported: "finite numbers above 0" })
            }
        }
    }
}

/// Reads the options of the decoder.
///
/// # Errors
/// [`ModelError::Config`] for a key whose value is not supported, or an error of a tensor that the options follow from.
pub(super) fn config(files: &Files, metadata: Metadata<'_>) -> Result<DecoderConfig, ModelError> {
    let name = metadata.text(ARCHITECTURE)?;
    let Some(&(prefix, architecture)) = ARCHITECTURES.iter().find(|(gguf, _)| Some(*gguf) == name) else {
        return Err(metadata.refuse(ARCHITECTURE, SUPPORTED));
    };
    let source = Source { metadata, files, prefix };
    for (name, neutral, supported) in ABSENT {
        metadata.neutral(&source.key(name), neutral, supported)?;
    }
    for name in SCALES.iter().filter(|_| prefix != "granite") {
        metadata.neutral(&source.key(name), &[0.0, 1.0], "1")?;
    }
    let config = DecoderConfig { architecture: architecture.to_owned(), ..plain(&source)? };
    match prefix {
        "gemma2" => gemma2(&source, config),
        "gemma3" => gemma3(&source, config),
        _ => {
            for cap in ["attn_logit_softcapping", "final_logit_softcapping"] {
                metadata.neutral(&source.key(cap), &[0.0], "0: no cap")?;
            }
            match prefix {
                "smollm3" => Ok(smollm3(other(&source, config)?)),
                "olmo2" => olmo2(&source, config),
                "granite" => granite(&source, other(&source, config)?),
                _ => other(&source, config),
            }
        }
    }
}

/// Reads what all architectures share, with the options that most of them have.
fn plain(source: &Source<'_>) -> Result<DecoderConfig, ModelError> {
    let metadata = source.metadata;
    let size = |name: &str| metadata.required_size(&source.key(name));
    let (hidden_size, n_layers, n_heads) =
        (size("embedding_length")?, size("block_count")?, size("attention.head_count")?);
    if n_layers > MOST_LAYERS {
        return Err(metadata.refuse(&source.key("block_count"), "at most 4096"));
    }
    let n_kv_heads = metadata.size(&source.key("attention.head_count_kv"))?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_kv_heads) {
        return Err(metadata.refuse(&source.key("attention.head_count_kv"), "a divisor of attention.head_count"));
    }
    let (key_length, value_length) = (source.key("attention.key_length"), source.key("attention.value_length"));
    let head_dim = metadata.size(&key_length)?.unwrap_or(hidden_size / n_heads);
    if head_dim == 0 || head_dim > WIDEST_HEAD || !head_dim.is_multiple_of(2) {
        return Err(metadata.refuse(&key_length, "an even number from 2 to 65536"));
    }
    if metadata.size(&value_length)?.is_some_and(|length| length != head_dim) {
        return Err(metadata.refuse(&value_length, "the size of a key"));
    }
    let context = size("context_length")?;
    let (rope, max_context) = rope::rope(source, head_dim, context)?;
    let bias = |part: &str| source.has(&format!("blk.0.{part}.bias"));
    let missing = || ModelError::MissingTensor { path: metadata.path.to_owned(), name: "token_embd.weight".into() };
    let (embedding, _) = source.tensor("token_embd.weight").ok_or_else(missing)?;
    let scale = metadata.positive_or_none(&source.key("attention.scale"))?;
    let epsilon = source.key("attention.layer_norm_rms_epsilon");
    Ok(DecoderConfig {
        architecture: String::new(), // that of the table of architectures
        vocab_size: embedding.shape[0],
        hidden_size,
        intermediate_size: size("feed_forward_length")?,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        max_context,
        rms_norm_eps: metadata
            .positive(&epsilon)?
            .ok_or_else(|| metadata.refuse(&epsilon, "a finite number above 0"))?,
        // Files hold what norms multiply by: where that is one more than the weight, the one has been added.
        norm_offset: false,
        input_norms: true,
        output_norms: false,
        qk_norm: None,
        rope,
        local_rope: None,
        windows: vec![None; n_layers],
        rotary_layers: vec![true; n_layers],
        attention_scale: scale.unwrap_or((head_dim as f64).powf(-0.5)),
        attention_softcap: None,
        logit_softcap: None,
        logit_scale: 1.0,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        activation: Activation::Silu,
        qkv_bias: bias("attn_q") || bias("attn_qkv"),
        output_bias: bias("attn_output"),
        mlp_bias: bias("ffn_down"),
        fused_projections: false,
        tie_embeddings: !source.has("output.weight"),
    })
}

/// Qwen2, Qwen3, Llama with its relatives, and Phi-3; what SmolLM3, OLMo 2 and Granite have in common with them.
fn other(source: &Source<'_>, config: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    let key = source.key("attention.sliding_window");
    let window = source.metadata.size_or_none(&key)?.filter(|window| *window < config.max_context);
    // Which layers of the other models have a window no key says.
    if window.is_some() && !matches!(source.prefix, "llama" | "phi3") {
        return Err(source.metadata.refuse(&key, "none below the context"));
    }
    Ok(DecoderConfig {
        windows: vec![window; config.n_layers],
        qk_norm: (source.prefix == "qwen3").then_some(QkNorm::Head),
        fused_projections: source.prefix == "phi3",
        ..config
    })
}

/// No key says which layers are not turned: every fourth.
fn smollm3(config: DecoderConfig) -> DecoderConfig {
    let rotary_layers = (1..=config.n_layers).map(|number| !number.is_multiple_of(4)).collect();
    DecoderConfig { rotary_layers, ..config }
}

fn olmo2(source: &Source<'_>, config: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    // OLMo 3 has the same name in files. Its layers with a window leave out the scaling of the rotary embedding.
    source.metadata.neutral(&source.key("attention.sliding_window"), &[0.0], "0: OLMo 2 and not 3")?;
    let qk_norm = Some(QkNorm::Projection);
    Ok(DecoderConfig { input_norms: false, output_norms: true, qk_norm, ..other(source, config)? })
}

fn granite(source: &Source<'_>, config: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    let metadata = source.metadata;
    // Some models of this architecture turn nothing at all.
    metadata.neutral(&source.key("rope.scaling.finetuned"), &[1.0], "true")?;
    let logit_key = source.key("logit_scale");
    let divisor =
        metadata.positive(&logit_key)?.ok_or_else(|| metadata.refuse(&logit_key, "a finite number above 0"))?;
    let [embedding, residual] = ["embedding_scale", "residual_scale"].map(|name| source.key(name));
    Ok(DecoderConfig {
        embedding_scale: metadata.positive_or_none(&embedding)?.unwrap_or(1.0),
        residual_scale: metadata.positive_or_none(&residual)?.unwrap_or(1.0),
        logit_scale: 1.0 / divisor,
        ..config
    })
}

fn gemma2(source: &Source<'_>, config: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    let cap = |name: &str, absent| -> Result<Option<f64>, ModelError> {
        let key = source.key(name);
        let cap = source.metadata.positive_or_none(&key)?;
        Ok(if source.metadata.get(&key).is_some() { cap } else { Some(absent) })
    };
    let (attention_softcap, logit_softcap) =
        (cap("attn_logit_softcapping", 50.0)?, cap("final_logit_softcapping", 30.0)?);
    let window = source.metadata.size(&source.key("attention.sliding_window"))?.unwrap_or(4096);
    // The 27B model divides by the width of the stream per head.
    let config = gemma(source, config, window, 2, 46)?;
    Ok(DecoderConfig { attention_softcap, logit_softcap, ..config })
}

fn gemma3(source: &Source<'_>, config: DecoderConfig) -> Result<DecoderConfig, ModelError> {
    source.metadata.neutral(&source.key("attn_logit_softcapping"), &[0.0], "0: no cap")?;
    let logit_softcap = source.metadata.positive_or_none(&source.key("final_logit_softcapping"))?;
    let window = source.metadata.required_size(&source.key("attention.sliding_window"))?;
    let theta = source.metadata.positive(&source.key("rope.freq_base_swa"))?.unwrap_or(1e4);
    let config = gemma(source, config, window, 6, 62)?;
    let local_rope = Some(Rope::plain(theta, config.head_dim));
    Ok(DecoderConfig { logit_softcap, local_rope, qk_norm: Some(QkNorm::Head), ..config })
}

/// Returns the options that both share: every `pattern`-th layer sees everything, the others have a window. The model
/// with `largest` layers scales its scores by another size than that of a head.
fn gemma(
    source: &Source<'_>,
    config: DecoderConfig,
    window: usize,
    pattern: usize,
    largest: usize,
) -> Result<DecoderConfig, ModelError> {
    let given = source.metadata.get(&source.key("attention.scale")).is_some();
    let attention_scale = if config.n_layers == largest && !given {
        (config.hidden_size as f64 / config.n_heads as f64).powf(-0.5)
    } else {
        config.attention_scale
    };
    let sliding = sliding_layers(source, config.n_layers, pattern)?;
    Ok(DecoderConfig {
        windows: sliding.into_iter().map(|sliding| sliding.then_some(window)).collect(),
        output_norms: true,
        activation: Activation::GeluTanh,
        attention_scale,
        embedding_scale: (config.hidden_size as f64).sqrt(),
        ..config
    })
}

/// Returns whether each layer has a window. Files give a number, a flag for each layer, or nothing.
fn sliding_layers(source: &Source<'_>, n_layers: usize, pattern: usize) -> Result<Vec<bool>, ModelError> {
    let (metadata, key) = (source.metadata, source.key("attention.sliding_window_pattern"));
    let every = |pattern: usize| (1..=n_layers).map(|number| !number.is_multiple_of(pattern)).collect();
    let supported = "a number above 0, or true or false for each layer";
    let Some(value) = metadata.get(&key) else { return Ok(every(pattern)) };
    let Some(list) = value.as_list() else {
        return metadata.required_size(&key).map(every);
    };
    let sliding = |value: Value| value.as_flag().or_else(|| value.as_u64().map(|number| number != 0));
    let layers = list.numbers(metadata.file).filter(|_| list.count == n_layers);
    let layers: Option<Vec<bool>> = layers.and_then(|layers| layers.map(sliding).collect());
    layers.ok_or_else(|| metadata.refuse(&key, supported))
}

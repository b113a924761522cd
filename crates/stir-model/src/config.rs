use std::path::Path;

use serde_json::{Map, Value};
use stir_core::ModelShape;

use crate::ModelError;

/// The options of the decoder: what a model family and size decide.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The `model_type` of the checkpoint.
    pub architecture: String,
    /// Rows of the embedding and of the output head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Precision the rotary frequencies are kept in. No checkpoint records it; [`RopeFrequencies::F32`] is what
    /// transformers loads every checkpoint with.
    pub rope_frequencies: RopeFrequencies,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the output head is the embedding.
    pub tie_embeddings: bool,
    /// Positions the model was made for.
    pub max_context: usize,
}

/// The precision of the rotary frequencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RopeFrequencies {
    /// Full precision.
    #[default]
    F32,
    /// Rounded to bfloat16, as in a model whose buffers were cast along with its weights.
    Bf16,
}

/// Fields of a Hugging Face configuration that have no say in a forward pass.
const IRRELEVANT: [&str; 19] = [
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "max_window_layers",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "use_mrope",
    "sliding_window", // obeyed through `use_sliding_window` and `layer_types`
    "chunk_size_feed_forward",
    "is_encoder_decoder",
];

impl DecoderConfig {
    /// The configuration in `path`, a Hugging Face `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for every field whose value this decoder does not obey, known or not: a field that is
    /// read past changes results silently.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(ModelError::io(path))?;
        let json: Value =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })?;
        let Value::Object(fields) = json else {
            return Err(config_error(path, "(root)", &json, "an object"));
        };
        let mut fields = Fields { path, fields };
        let architecture = fields.take("model_type").unwrap_or(Value::Null);
        let config = match architecture.as_str() {
            Some("qwen2") => Self::qwen2(&mut fields)?,
            _ => return Err(config_error(path, "model_type", &architecture, "qwen2")),
        };
        fields.finish()?;
        config.check(path)
    }

    fn qwen2(fields: &mut Fields<'_>) -> Result<Self, ModelError> {
        let hidden_size = fields.size("hidden_size")?;
        let n_layers = fields.size("num_hidden_layers")?;
        let n_heads = fields.size("num_attention_heads")?;
        fields.only("hidden_act", &["silu".into()], "silu")?;
        fields.only("use_sliding_window", &[false.into(), Value::Null], "false")?;
        fields.only("rope_scaling", &[Value::Null], "null")?;
        if let Some(types) = fields.take("layer_types") {
            let full = Value::from(vec!["full_attention"; n_layers]);
            if types != full && !types.is_null() {
                return Err(config_error(fields.path, "layer_types", &types, "full_attention for every layer"));
            }
        }
        Ok(Self {
            architecture: "qwen2".into(),
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            n_layers,
            n_heads,
            n_kv_heads: fields.optional_size("num_key_value_heads")?.unwrap_or(n_heads),
            head_dim: fields.optional_size("head_dim")?.unwrap_or(hidden_size / n_heads),
            rms_norm_eps: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta: fields.rope_theta()?,
            rope_frequencies: RopeFrequencies::F32,
            qkv_bias: true,
            tie_embeddings: fields.flag("tie_word_embeddings")?,
            max_context: fields.size("max_position_embeddings")?,
        })
    }

    fn check(self, path: &Path) -> Result<Self, ModelError> {
        let refuse = |field, value: usize, supported| Err(config_error(path, field, &value.into(), supported));
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            refuse("num_key_value_heads", self.n_kv_heads, "a divisor of num_attention_heads")
        } else if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            refuse("head_dim", self.head_dim, "an even number above 0")
        } else if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps > 0.0) {
            Err(config_error(path, "rms_norm_eps", &self.rms_norm_eps.into(), "finite and > 0"))
        } else if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            Err(config_error(path, "rope_theta", &self.rope_theta.into(), "finite and > 0"))
        } else {
            Ok(self)
        }
    }

    /// The sizes that the layers above the model need.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            n_layers: self.n_layers,
            hidden_size: self.hidden_size,
            vocab_size: self.vocab_size,
            max_context: self.max_context,
        }
    }

    /// The options that change what the same weights compute, as text.
    pub(crate) fn digest(&self) -> String {
        let Self { n_heads, n_kv_heads, head_dim, rms_norm_eps, rope_theta, rope_frequencies, .. } = self;
        format!("{n_heads} {n_kv_heads} {head_dim} {rms_norm_eps:e} {rope_theta:e} {rope_frequencies:?}")
    }

    /// The same configuration as a Hugging Face `config.json`, for a checkpoint written by this crate.
    pub fn to_hf(&self, eos_token_id: u32) -> Value {
        serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "dtype": "float32",
            "eos_token_id": eos_token_id,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_context,
            "model_type": self.architecture,
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_layers,
            "num_key_value_heads": self.n_kv_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_embeddings,
            "use_sliding_window": false,
            "vocab_size": self.vocab_size,
        })
    }
}

/// The fields not yet looked at.
struct Fields<'p> {
    path: &'p Path,
    fields: Map<String, Value>,
}

impl Fields<'_> {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    fn size(&mut self, name: &'static str) -> Result<usize, ModelError> {
        self.optional_size(name)?.ok_or_else(|| config_error(self.path, name, &Value::Null, "a whole number above 0"))
    }

    fn optional_size(&mut self, name: &'static str) -> Result<Option<usize>, ModelError> {
        match self.take(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0) {
                Some(size) => Ok(Some(size)),
                None => Err(config_error(self.path, name, &value, "a whole number above 0")),
            },
        }
    }

    fn number(&mut self, name: &'static str) -> Result<Option<f64>, ModelError> {
        match self.take(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| config_error(self.path, name, &value, "a number")),
        }
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, ModelError> {
        match self.take(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| config_error(self.path, name, &value, "true or false")),
        }
    }

    fn only(&mut self, name: &'static str, allowed: &[Value], supported: &'static str) -> Result<(), ModelError> {
        match self.take(name) {
            Some(value) if !allowed.contains(&value) => Err(config_error(self.path, name, &value, supported)),
            _ => Ok(()),
        }
    }

    /// `rope_theta` stands at the root in older files, in `rope_parameters` in newer ones.
    fn rope_theta(&mut self) -> Result<f64, ModelError> {
        let root = self.number("rope_theta")?;
        let Some(Value::Object(parameters)) = self.take("rope_parameters").filter(|value| !value.is_null()) else {
            return Ok(root.unwrap_or(10_000.0));
        };
        let mut inner = Fields { path: self.path, fields: parameters };
        inner.only("rope_type", &["default".into()], "default")?;
        let theta = inner.number("rope_theta")?.or(root).unwrap_or(10_000.0);
        inner.finish()?;
        Ok(theta)
    }

    fn finish(self) -> Result<(), ModelError> {
        match self.fields.iter().find(|(name, _)| !IRRELEVANT.contains(&name.as_str())) {
            Some((name, value)) => Err(config_error(self.path, name, value, "nothing: the field is not known")),
            None => Ok(()),
        }
    }
}

fn config_error(path: &Path, field: &str, value: &Value, supported: &'static str) -> ModelError {
    ModelError::Config { path: path.to_owned(), field: field.to_owned(), value: value.to_string(), supported }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut Map<String, Value>)) -> Result<DecoderConfig, ModelError> {
        let config = DecoderConfig {
            architecture: "qwen2".into(),
            vocab_size: 10,
            hidden_size: 8,
            intermediate_size: 16,
            n_layers: 2,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 2,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_frequencies: RopeFrequencies::F32,
            qkv_bias: true,
            tie_embeddings: true,
            max_context: 32,
        };
        let Value::Object(mut fields) = config.to_hf(2) else { unreachable!() };
        change(&mut fields);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, Value::Object(fields.clone()).to_string()).unwrap();
        let read = DecoderConfig::from_file(&path)?;
        if fields == *config.to_hf(2).as_object().unwrap() {
            assert_eq!(read, config);
        }
        Ok(read)
    }

    #[test]
    fn written_configurations_are_read_back() {
        parse(|_| ()).unwrap();
        let moved = parse(|f| {
            f.remove("rope_theta");
            f.insert("rope_parameters".into(), serde_json::json!({"rope_type": "default", "rope_theta": 5.0}));
        });
        assert_eq!(moved.unwrap().rope_theta, 5.0);
    }

    #[test]
    fn what_is_not_obeyed_is_refused_by_name() {
        let cases: [(&str, Value); 12] = [
            ("model_type", "gpt2".into()),
            ("hidden_act", "gelu".into()),
            ("use_sliding_window", true.into()),
            ("rope_scaling", serde_json::json!({"type": "yarn"})),
            ("rope_parameters", serde_json::json!({"rope_type": "yarn"})),
            ("layer_types", serde_json::json!(["full_attention", "sliding_attention"])),
            ("hidden_size", 0.into()),
            ("num_key_value_heads", 3.into()),
            ("head_dim", 3.into()),
            ("rms_norm_eps", "x".into()),
            ("attention_bias_of_tomorrow", 1.into()),
            ("tie_word_embeddings", "yes".into()),
        ];
        for (name, value) in cases {
            let error = parse(|f| {
                f.insert(name.into(), value.clone());
            })
            .unwrap_err();
            let ModelError::Config { field, .. } = &error else { panic!("{error}") };
            assert!(field == name || name == "rope_parameters" && field == "rope_type", "{name}: {error}");
        }
        assert!(matches!(parse(|f| drop(f.remove("vocab_size"))), Err(ModelError::Config { .. })));
    }
}

//! The options of the decoder, and how the configurations of model families set them: one function per family reads
//! every field that its class in transformers reads. A field that is left over is reported, or refused where it belongs
//! to another kind of model.

mod fields;
mod gemma;
mod granite;
mod known;
mod llama;
mod olmo;
mod phi;
mod qwen;
mod rope;
mod smollm;

use std::path::Path;

use serde_json::Value;
use stir_core::ModelShape;
pub use stir_kernels::Activation;

pub use self::rope::{Rope, RopeFrequencies, RopeScaling};
use self::{fields::Fields, rope::ParsedRope};
use crate::{ModelError, checkpoint};

/// The options of the decoder, which a model's family and size determine.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The `model_type` of the checkpoint.
    pub architecture: String,
    /// The number of rows of the embedding and of the output head.
    pub vocab_size: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// The width inside the feed-forward block.
    pub intermediate_size: usize,
    /// The number of decoder layers.
    pub n_layers: usize,
    /// The number of query heads.
    pub n_heads: usize,
    /// The number of key and value heads; it divides `n_heads`.
    pub n_kv_heads: usize,
    /// The number of elements of one head; even.
    pub head_dim: usize,
    /// The number of positions that the model was made for.
    pub max_context: usize,
    /// The number added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// True if norms multiply by one more than their weight (Gemma).
    pub norm_offset: bool,
    /// True if attention and feed-forward norm what they read from the stream (all but OLMo 2).
    pub input_norms: bool,
    /// True if what attention and feed-forward add to the stream is normed (Gemma, OLMo 2).
    pub output_norms: bool,
    /// The norm of queries and keys, before they are turned, if there is one.
    pub qk_norm: Option<QkNorm>,
    /// The rotary position embedding.
    pub rope: Rope,
    /// The rotary embedding of the layers with a window, if it differs.
    pub local_rope: Option<Rope>,
    /// For each layer the number of positions that a token sees, itself included; `None` for all.
    pub windows: Vec<Option<usize>>,
    /// For each layer whether queries and keys are turned: true in most families, false in some layers of SmolLM3.
    pub rotary_layers: Vec<bool>,
    /// The factor of queries times keys; `head_dim^-0.5` in most families.
    pub attention_scale: f64,
    /// The soft cap of attention scores: `cap * tanh(score / cap)` (Gemma 2).
    pub attention_softcap: Option<f64>,
    /// The soft cap of logits, in the same way.
    pub logit_softcap: Option<f64>,
    /// The factor of the logits, before any soft cap; 1 over `logits_scaling` in Granite, 1 elsewhere.
    pub logit_scale: f64,
    /// The factor of the token embedding; `sqrt(hidden_size)` in Gemma, given in Granite, 1 elsewhere.
    pub embedding_scale: f64,
    /// The factor of what attention and feed-forward add to the stream; given in Granite, 1 elsewhere.
    pub residual_scale: f64,
    /// The gate of the feed-forward block.
    pub activation: Activation,
    /// True if query, key and value projections have biases.
    pub qkv_bias: bool,
    /// True if the output projection of the attention has a bias.
    pub output_bias: bool,
    /// True if the projections of the feed-forward block have biases.
    pub mlp_bias: bool,
    /// True if the checkpoint stores query, key and value in one tensor, gate and up in another (Phi-3).
    pub fused_projections: bool,
    /// True if the output head is the embedding.
    pub tie_embeddings: bool,
}

/// What a norm of queries and keys is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// Every head by itself, all with the same weight (Qwen3, Gemma 3).
    Head,
    /// All heads of a token at once (OLMo 2).
    Projection,
}

/// The defaults of a model family for fields that a file leaves out.
struct Family {
    rms_norm_eps: f64,
    /// `None`: as many as query heads.
    n_kv_heads: Option<usize>,
    /// `None`: `hidden_size / n_heads`.
    head_dim: Option<usize>,
    rope_theta: f64,
    max_context: usize,
    /// True if layers with a window have their own rotary embedding.
    local_rope: bool,
    /// True if part of a head may be left unrotated.
    partial_rope: bool,
}

/// A sanity bound, far above any model, since some options are kept for every layer.
const MOST_LAYERS: usize = 4096;
/// A sanity bound on `head_dim`: there is a rotary frequency for every two elements.
const WIDEST_HEAD: usize = 1 << 16;

/// The defaults that most families share.
const COMMON: Family = Family {
    rms_norm_eps: 1e-6,
    n_kv_heads: None,
    head_dim: None,
    rope_theta: 1e4,
    max_context: 2048,
    local_rope: false,
    partial_rope: false,
};

type FromHf = fn(&mut Fields<'_>) -> Result<DecoderConfig, ModelError>;

/// The families, by `model_type`.
const FAMILIES: [(&str, FromHf); 10] = [
    ("qwen2", qwen::qwen2),
    ("qwen3", qwen::qwen3),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("gemma2", gemma::gemma2),
    ("gemma3_text", gemma::gemma3),
    ("phi3", phi::phi3),
    ("smollm3", smollm::smollm3),
    ("olmo2", olmo::olmo2),
    ("granite", granite::granite),
];

impl DecoderConfig {
    /// Reads the options of a model: of a GGUF file, or of the `config.json` in a Hugging Face folder.
    ///
    /// # Errors
    /// The errors of [`from_file`](Self::from_file), or of [`gguf::Model::open`](crate::gguf::Model::open).
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if crate::gguf::is_gguf(path) {
            return crate::gguf::config_of(path);
        }
        let file = path.join("config.json");
        let found = if file.exists() { None } else { checkpoint::other_weights(path) };
        match found.filter(|name| name.ends_with(".gguf")) {
            Some(found) => Err(ModelError::NoWeights { path: path.to_owned(), found: Some(found) }),
            None => Self::from_file(&file),
        }
    }

    /// Reads the configuration in `path`, a Hugging Face `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a field whose value this decoder does not support: ignoring it would silently change
    /// results. Fields that transformers does not read for the family either are ignored; one warning names them all.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(ModelError::io(path))?;
        ModelError::refuse_pointer(path, &bytes)?;
        Self::from_hf(path, serde_json::from_slice(&bytes).map_err(ModelError::json(path))?)
    }

    /// Reads the configuration from the parsed `config.json` of a Hugging Face folder; errors name `path`.
    ///
    /// ```
    /// # use std::path::Path;
    /// use stir_model::DecoderConfig;
    /// let mut json = serde_json::json!({
    ///     "model_type": "qwen2", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 160,
    ///     "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    ///     "max_position_embeddings": 512, "rope_theta": 1e6, "tie_word_embeddings": true,
    /// });
    /// let config = DecoderConfig::from_hf(Path::new("config.json"), json.clone())?;
    /// assert_eq!((config.head_dim, config.qkv_bias), (16, true));
    ///
    /// json["hidden_act"] = "relu".into();
    /// let error = DecoderConfig::from_hf(Path::new("config.json"), json).unwrap_err();
    /// assert_eq!(error.to_string(), "config.json: hidden_act is \"relu\", supported: silu or gelu_pytorch_tanh");
    /// # Ok::<(), stir_model::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`from_file`](Self::from_file).
    pub fn from_hf(path: &Path, json: Value) -> Result<Self, ModelError> {
        let (config, ignored) = Self::read(path, json)?;
        if !ignored.is_empty() {
            let fields = ignored.join(", ");
            tracing::warn!(file = %path.display(), %fields, "ignored: fields that no model of this family reads");
        }
        Ok(config)
    }

    /// Returns the options, and the names of the fields that nothing reads.
    fn read(path: &Path, json: Value) -> Result<(Self, Vec<String>), ModelError> {
        let Value::Object(fields) = json else {
            return Err(Fields::new(path, Default::default()).refuse("(root)", json, "an object"));
        };
        let mut fields = Fields::new(path, fields);
        let architecture = fields.take("model_type").unwrap_or(Value::Null);
        let Some((name, from_hf)) = FAMILIES.iter().find(|(name, _)| architecture.as_str() == Some(name)) else {
            let supported = "qwen2, qwen3, llama, mistral, gemma2, gemma3_text, phi3, smollm3, olmo2 or granite";
            return Err(fields.refuse("model_type", architecture, supported));
        };
        fields.unquantized()?;
        let config = DecoderConfig { architecture: (*name).to_owned(), ..from_hf(&mut fields)? };
        if !config.n_heads.is_multiple_of(config.n_kv_heads) {
            let supported = "a divisor of num_attention_heads";
            return Err(fields.refuse("num_key_value_heads", config.n_kv_heads, supported));
        }
        // Families whose class does not read the kinds of layers have them nevertheless.
        let windowed = config.windows.iter().map(Option::is_some);
        if let Some(kinds) = fields.sliding_layers(config.n_layers)?
            && !windowed.eq(kinds)
        {
            return Err(fields.refuse("layer_types", "given", "the layers that have a window in this family"));
        }
        let ignored = fields.ignored();
        fields.finish()?;
        let mut ignored = ignored.take();
        ignored.sort_unstable();
        Ok((config, ignored))
    }

    /// Returns the sizes that the layers above the model need.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            n_layers: self.n_layers,
            hidden_size: self.hidden_size,
            vocab_size: self.vocab_size,
            max_context: self.max_context,
        }
    }

    /// Checks what no file can get wrong, but a caller that sets the fields can.
    #[cfg(feature = "decoder")]
    pub(crate) fn validate(&self) -> Result<(), ModelError> {
        let refuse = |field, bound| Err(ModelError::Options { field, bound });
        if self.windows.len() != self.n_layers || self.windows.contains(&Some(0)) {
            refuse("windows", "one for each layer, above 0")
        } else if self.rotary_layers.len() != self.n_layers {
            refuse("rotary_layers", "one for each layer")
        } else if self.n_kv_heads == 0 || !self.n_heads.is_multiple_of(self.n_kv_heads) {
            refuse("n_kv_heads", "a divisor of n_heads")
        } else if self.head_dim == 0 || self.rope.rotary_dim > self.head_dim || !self.rope.rotary_dim.is_multiple_of(2)
        {
            refuse("rope.rotary_dim", "even and at most head_dim")
        } else {
            Ok(())
        }
    }

    /// Returns the options that change what the same weights compute, as text. Options with the value of a plain
    /// decoder are left out, so that a future option does not change the text of a model without it.
    pub(crate) fn digest(&self) -> String {
        let Self { n_heads, n_kv_heads, head_dim, rms_norm_eps, rope, attention_scale, embedding_scale, .. } = self;
        let mut text = format!("{n_heads} {n_kv_heads} {head_dim} {rms_norm_eps:e} {rope:?}");
        let mut option = |name: &str, value: String, plain: bool| {
            if !plain {
                text += &format!(" {name} {value}");
            }
        };
        option("local_rope", format!("{:?}", self.local_rope), self.local_rope.is_none());
        option("windows", format!("{:?}", self.windows), self.windows.iter().all(Option::is_none));
        option("rotary_layers", format!("{:?}", self.rotary_layers), !self.rotary_layers.contains(&false));
        let plain_scale = *attention_scale == (*head_dim as f64).powf(-0.5);
        option("attention_scale", format!("{attention_scale:e}"), plain_scale);
        option("attention_softcap", format!("{:?}", self.attention_softcap), self.attention_softcap.is_none());
        option("logit_softcap", format!("{:?}", self.logit_softcap), self.logit_softcap.is_none());
        option("logit_scale", format!("{:e}", self.logit_scale), self.logit_scale == 1.0);
        option("embedding_scale", format!("{embedding_scale:e}"), *embedding_scale == 1.0);
        option("residual_scale", format!("{:e}", self.residual_scale), self.residual_scale == 1.0);
        option("activation", format!("{:?}", self.activation), self.activation == Activation::Silu);
        option("norm_offset", String::new(), !self.norm_offset);
        text
    }
}

impl Fields<'_> {
    /// Reads the fields that all families share, with the options that most of them have.
    fn decoder(&mut self, family: &Family) -> Result<DecoderConfig, ModelError> {
        let (hidden_size, n_layers) = (self.size("hidden_size")?, self.size("num_hidden_layers")?);
        if n_layers > MOST_LAYERS {
            return Err(self.refuse("num_hidden_layers", n_layers, "at most 4096"));
        }
        let n_heads = self.size("num_attention_heads")?;
        let head_dim = self.optional_size("head_dim")?.or(family.head_dim).unwrap_or(hidden_size / n_heads);
        if head_dim == 0 || head_dim > WIDEST_HEAD || !head_dim.is_multiple_of(2) {
            return Err(self.refuse("head_dim", head_dim, "an even number from 2 to 65536"));
        }
        let ParsedRope { rope, local, max_context } = self.rope(family, head_dim)?;
        Ok(DecoderConfig {
            architecture: String::new(), // that of the table of families
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            n_layers,
            n_heads,
            n_kv_heads: self.size_or("num_key_value_heads", family.n_kv_heads)?.unwrap_or(n_heads),
            head_dim,
            max_context,
            rms_norm_eps: self.positive("rms_norm_eps")?.unwrap_or(family.rms_norm_eps),
            norm_offset: false,
            input_norms: true,
            output_norms: false,
            qk_norm: None,
            rope,
            local_rope: local,
            windows: vec![None; n_layers],
            rotary_layers: vec![true; n_layers],
            attention_scale: (head_dim as f64).powf(-0.5),
            attention_softcap: None,
            logit_softcap: None,
            logit_scale: 1.0,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            activation: self.activation("hidden_act", Activation::Silu)?,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            fused_projections: false,
            tie_embeddings: self.flag("tie_word_embeddings", false)?,
        })
    }

    fn activation(&mut self, name: &str, absent: Activation) -> Result<Activation, ModelError> {
        match self.text(name)?.as_deref() {
            None => Ok(absent),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Activation::GeluTanh),
            Some(other) => Err(self.refuse(name, other, "silu or gelu_pytorch_tanh")),
        }
    }
}

#[cfg(test)]
mod published;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base(family: &str) -> Value {
        json!({
            "model_type": family, "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 2,
            "max_position_embeddings": 32, "transformers_version": "5.0.0", "dtype": "bfloat16",
        })
    }

    fn parse(mut json: Value, change: Value) -> Result<DecoderConfig, ModelError> {
        for (name, value) in change.as_object().unwrap() {
            json[name] = value.clone();
        }
        DecoderConfig::from_hf(Path::new("config.json"), json)
    }

    fn refused(family: &str, change: Value) -> String {
        match parse(base(family), change.clone()) {
            Err(ModelError::Config { field, .. }) => field,
            other => panic!("{change}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_obeyed_is_refused_by_name() {
        for (name, value) in [
            ("model_type", json!("gpt2")),
            ("hidden_act", json!("relu")),
            ("hidden_size", json!(0)),
            ("vocab_size", json!("many")),
            ("vocab_size", json!(u64::MAX)),
            ("num_hidden_layers", json!(1 << 30)),
            ("num_key_value_heads", json!(3)),
            ("head_dim", json!(3)),
            ("rms_norm_eps", json!("x")),
            ("rms_norm_eps", json!(-1.0)),
            ("rope_theta", json!(0)),
            ("tie_word_embeddings", json!("yes")),
            ("quantization_config", json!({"bits": 4})),
            ("num_local_experts", json!(8)),
            ("is_causal", json!(false)),
            ("rope_interleaved", json!(true)),
            ("logits_scaling", json!(8.0)),
            ("attention_multiplier", json!(0.5)),
            ("no_rope_layers", json!([1, 1, 1, 0])),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("layer_types", json!(["full_attention", "linear_attention", "full_attention", "full_attention"])),
            ("layer_types", json!(vec!["sliding_attention"; 4])),
            ("rope_scaling", json!("long")),
            ("max_position_embeddings", json!(null)),
        ] {
            assert_eq!(refused("qwen2", json!({ name: value })), name);
        }
        for (family, name) in [
            ("qwen3", "mlp_bias"),
            ("llama", "use_bidirectional_attention"),
            ("mistral", "attention_bias"),
            ("gemma2", "use_bidirectional_attention"),
            ("gemma3_text", "attn_logit_softcapping"),
            ("phi3", "lm_head_bias"),
            ("smollm3", "use_bidirectional_attention"),
            ("olmo2", "mlp_bias"),
            ("granite", "is_encoder_decoder"),
        ] {
            let value = if name.contains("soft") { json!(3.0) } else { json!(true) };
            assert_eq!(refused(family, json!({ name: value })), name, "{family}");
        }
        for (family, name, value) in [
            ("smollm3", "no_rope_layers", json!([1, 1, 1])),
            ("smollm3", "no_rope_layers", json!([1, 2, 1, 1])),
            ("smollm3", "no_rope_layers", json!([1, true, 1, 1])),
            ("smollm3", "no_rope_layers", json!(4)),
            ("smollm3", "no_rope_layer_interval", json!(0)),
            ("smollm3", "layer_types", json!(vec!["sliding_attention"; 4])),
            ("olmo2", "clip_qkv", json!(8.0)),
            ("olmo2", "layer_types", json!(vec!["sliding_attention"; 4])),
            ("granite", "embedding_multiplier", json!(0.0)),
            ("granite", "residual_multiplier", json!(-1.0)),
            ("granite", "attention_multiplier", json!("small")),
            ("granite", "embedding_multiplier", json!(1e300)),
            ("granite", "logits_scaling", json!(1e-300)),
            ("granite", "logits_scaling", json!(0)),
            ("granite", "num_local_experts", json!(8)),
        ] {
            assert_eq!(refused(family, json!({ name: value })), name, "{family}");
        }
        assert!(DecoderConfig::from_hf(Path::new("config.json"), json!([])).is_err());
    }

    #[test]
    fn rotary_fields_are_refused_by_their_place() {
        let scaled = |inner: Value| refused("llama", json!({ "rope_parameters": inner }));
        assert_eq!(scaled(json!({"rope_type": "dynamic", "factor": 2.0})), "rope_parameters.rope_type");
        assert_eq!(scaled(json!({"rope_type": "linear"})), "rope_parameters.factor");
        assert_eq!(scaled(json!({"rope_type": "linear", "factor": "2"})), "rope_parameters.factor");
        assert_eq!(scaled(json!({"rope_type": "yarn", "factor": 2.0, "beta_fast": -1})), "rope_parameters.beta_fast");
        assert_eq!(scaled(json!({"rope_type": "default", "mrope_section": [1, 2]})), "rope_parameters.mrope_section");
        assert_eq!(
            scaled(json!({"rope_type": "default", "partial_rotary_factor": 1.5})),
            "rope_parameters.partial_rotary_factor"
        );
        let longrope = json!({
            "type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [1.0], "original_max_position_embeddings": 8,
        });
        assert_eq!(refused("phi3", json!({ "rope_scaling": longrope })), "rope_scaling.short_factor");
        let both =
            json!({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default"}});
        assert_eq!(refused("llama", both), "rope_scaling");
        for other in ["yarn", "linear"] {
            let scaling = json!({"type": other, "factor": 2.0});
            assert_eq!(refused("phi3", json!({ "rope_scaling": scaling })), "rope_scaling", "{other}");
        }
        assert_eq!(refused("qwen2", json!({"rope_theta": 1e-300, "head_dim": 4})), "rope_theta");
        let one = json!({
            "type": "longrope", "short_factor": [1.0], "long_factor": [1.0], "original_max_position_embeddings": 1,
        });
        assert_eq!(refused("llama", json!({ "rope_parameters": one })), "rope_parameters.rope_type");
        let kinds = json!({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 0.0}}});
        assert_eq!(refused("gemma3_text", kinds), "rope_parameters.full_attention.factor");
    }

    #[test]
    fn windows_fall_where_the_family_puts_them() {
        let windows = |family: &str, change: Value| parse(base(family), change).unwrap().windows;
        let some = Some(5);
        let in_use = json!({"use_sliding_window": true, "sliding_window": 5, "max_window_layers": 2});
        assert_eq!(windows("qwen2", in_use), [None, None, some, some]);
        assert_eq!(windows("qwen2", json!({"use_sliding_window": false, "sliding_window": 5})), [None; 4]);
        assert_eq!(windows("mistral", json!({"sliding_window": 5})), [some; 4]);
        assert_eq!(windows("mistral", json!({"sliding_window": null})), [None; 4]);
        assert_eq!(windows("mistral", json!({})), [Some(4096); 4]);
        assert_eq!(windows("gemma2", json!({"sliding_window": 5})), [some, None, some, None]);
        let pattern = json!({"sliding_window": 5, "sliding_window_pattern": 3});
        assert_eq!(windows("gemma3_text", pattern), [some, some, None, some]);
        assert_eq!(windows("phi3", json!({"sliding_window": 5})), [some; 4]);
        // Without a list, the layers that turn nothing have the window.
        let unturned = json!({"use_sliding_window": true, "sliding_window": 5});
        assert_eq!(windows("smollm3", unturned), [None, None, None, some]);
        assert_eq!(windows("smollm3", json!({"sliding_window": 5})), [None; 4]);
    }

    #[test]
    fn layers_turn_what_the_file_says() {
        let turned = |change: Value| parse(base("smollm3"), change).unwrap().rotary_layers;
        assert_eq!(turned(json!({})), [true, true, true, false]);
        assert_eq!(turned(json!({"no_rope_layer_interval": 2})), [true, false, true, false]);
        // The list counts, as far as there are layers.
        let list = json!({"no_rope_layers": [0, 1, 1, 1, 0], "no_rope_layer_interval": 2});
        assert_eq!(turned(list), [false, true, true, true]);
        assert_eq!(parse(base("llama"), json!({})).unwrap().rotary_layers, [true; 4]);
    }

    #[test]
    fn options_that_weights_do_not_show_are_in_the_digest() {
        let digest = |family: &str, change: Value| parse(base(family), change).unwrap().digest();
        let neutral = json!({"attention_multiplier": 2f64.powf(-0.5), "rms_norm_eps": 1e-6});
        assert_eq!(digest("granite", neutral.clone()), digest("llama", json!({})));
        for name in ["embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"] {
            let mut other = neutral.clone();
            other[name] = json!(0.5);
            assert_ne!(digest("granite", other), digest("granite", neutral.clone()), "{name}");
        }
        let all = json!({"no_rope_layers": [1, 1, 1, 1], "rope_theta": 1e4});
        assert_eq!(digest("smollm3", all), digest("llama", json!({})));
        assert_ne!(digest("smollm3", json!({"rope_theta": 1e4})), digest("llama", json!({})));
    }

    #[test]
    fn old_and_new_files_of_gemma_3_say_the_same() {
        let old = json!({"rope_theta": 5.0, "rope_local_base_freq": 3.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}});
        let new = json!({"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 3.0},
        }});
        let [old, new] = [old, new].map(|change| parse(base("gemma3_text"), change).unwrap());
        assert_eq!(old, new);
        assert_eq!(old.local_rope.as_ref().unwrap().theta, 3.0);
        let default = parse(base("gemma3_text"), json!({})).unwrap();
        assert_eq!((default.rope.theta, default.local_rope.unwrap().theta), (1e6, 1e4));
    }

    #[test]
    fn contexts_follow_the_scaling() {
        let context =
            |family: &str, rope: Value| parse(base(family), json!({ "rope_scaling": rope })).unwrap().max_context;
        let yarn = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32});
        assert_eq!(context("qwen2", yarn), 128);
        let longrope = json!({
            "type": "longrope", "short_factor": [1.0], "long_factor": [9.0], "original_max_position_embeddings": 8,
        });
        assert_eq!(context("llama", longrope.clone()), 8);
        // A field at the root takes precedence, and phi3 has a default there.
        assert_eq!(context("phi3", longrope.clone()), 32);
        let root = json!({"rope_scaling": longrope, "original_max_position_embeddings": 16});
        assert_eq!(parse(base("phi3"), root).unwrap().max_context, 16);
    }
}

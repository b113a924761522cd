//! GGUF files of real models: what they hold, against values recorded with transformers.

use std::{fs, path::PathBuf};

use crate::common::{sentencepiece_by_score, shared};
use serde_json::Value;
use stir_core::TokenId;
use stir_model::{Activation, Checkpoint, DecoderConfig, Format, Message, QkNorm, RopeScaling, gguf::Model};

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
fn real_sentencepiece_finds_what_sentencepiece_finds() {
    let tokenizer = Model::open(Recorded::of("gemma3-270m").path()).unwrap().tokenizer.unwrap();
    // These are the pieces that are merged; the earlier has the higher score.
    let id = |piece: &str| tokenizer.id(piece).filter(|id| (494..255_968).contains(id));
    let texts = fs::read_to_string(shared("tokenizer_vectors/ggml-vocab-llama-bpe.gguf.inp")).unwrap();
    let mut compared = 0;
    for line in texts.lines() {
        // Runs of spaces are pieces of their own, as are some tags.
        let text = line.split_whitespace().collect::<Vec<_>>().join("▁");
        let pieces = sentencepiece_by_score(&text, |piece| id(piece).map(|id| -f64::from(id)));
        let byte = |byte: u8| tokenizer.id(&format!("<0x{byte:02X}>")).unwrap();
        let of = |piece: &String| id(piece).map_or_else(|| piece.bytes().map(byte).collect(), |id| vec![id]);
        let expected: Vec<TokenId> = pieces.iter().flat_map(of).collect();
        assert_eq!(tokenizer.encode(&text.replace('▁', " ")).unwrap(), expected, "{text:?}");
        compared += 1;
    }
    assert!(compared > 100);
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

/// A layer of a model, written down as plainly as possible.
struct Layer<'a> {
    index: usize,
    config: &'a DecoderConfig,
    checkpoint: &'a Checkpoint,
}

impl Layer<'_> {
    fn weight(&self, part: &str) -> Vec<f32> {
        self.checkpoint.floats(&format!("model.layers.{}.{part}", self.index)).unwrap().0
    }

    fn norm(&self, x: &[f32], part: &str) -> Vec<f32> {
        let weight = self.weight(&format!("{part}.weight"));
        let mean = x.chunks(weight.len()).map(|x| x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32);
        let scales = mean.map(|mean| (mean + self.config.rms_norm_eps as f32).sqrt().recip());
        let rows = x.chunks(weight.len()).zip(scales);
        rows.flat_map(|(x, scale)| x.iter().zip(&weight).map(move |(x, w)| x * scale * w).collect::<Vec<_>>()).collect()
    }

    fn project(&self, x: &[f32], width: usize, part: &str, bias: bool) -> Vec<f32> {
        let weight = self.weight(&format!("{part}.weight"));
        let bias = bias.then(|| self.weight(&format!("{part}.bias")));
        let dot = |x: &[f32], row: &[f32]| x.iter().zip(row).map(|(x, w)| x * w).sum::<f32>();
        let out = |x: &[f32]| {
            let row = |(i, row)| dot(x, row) + bias.as_ref().map_or(0.0, |bias| bias[i]);
            weight.chunks(width).enumerate().map(row).collect::<Vec<_>>()
        };
        x.chunks(width).flat_map(out).collect()
    }

    /// Turns the heads of all positions, element `i` together with the one half a head further.
    fn turn(&self, heads: &mut [f32], n_heads: usize) {
        let (dim, local) = (self.config.head_dim, self.config.local_rope.as_ref());
        let rope = local.filter(|_| self.config.windows[self.index].is_some()).unwrap_or(&self.config.rope);
        assert_eq!((&rope.scaling, rope.rotary_dim), (&RopeScaling::None, dim));
        for (at, head) in heads.chunks_mut(dim).enumerate() {
            for i in 0..dim / 2 {
                let angle = (at / n_heads) as f32 * (rope.theta as f32).powf(-2.0 * i as f32 / dim as f32);
                let (a, b) = (head[i], head[i + dim / 2]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + dim / 2] = b * angle.cos() + a * angle.sin();
            }
        }
    }

    fn attend(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let DecoderConfig { n_heads, n_kv_heads, head_dim: dim, .. } = *self.config;
        let head = |all: &'_ [f32], heads: usize, at: usize, head: usize| -> Vec<f32> {
            all[(at * heads + head) * dim..][..dim].to_vec()
        };
        let mut out = Vec::new();
        for at in 0..q.len() / (n_heads * dim) {
            for h in 0..n_heads {
                let (query, kv) = (head(q, n_heads, at, h), h / (n_heads / n_kv_heads));
                let score = |j| query.iter().zip(head(k, n_kv_heads, j, kv)).map(|(q, k)| q * k).sum::<f32>();
                let scores: Vec<f32> = (0..=at).map(|j| score(j) * self.config.attention_scale as f32).collect();
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f32 = weights.iter().sum();
                let mut mixed = vec![0.0; dim];
                for (j, weight) in weights.iter().enumerate() {
                    let values = head(v, n_kv_heads, j, kv);
                    mixed.iter_mut().zip(values).for_each(|(x, v)| *x += weight / sum * v);
                }
                out.extend(mixed);
            }
        }
        out
    }

    fn gate(&self, x: f32) -> f32 {
        match self.config.activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            _ => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044715 * x * x * x)).tanh()),
        }
    }

    /// Returns the residual stream after the layer. The text is shorter than any window.
    fn output(&self, mut x: Vec<f32>) -> Vec<f32> {
        let config = self.config;
        let (hidden, qk) = (config.hidden_size, config.n_heads * config.head_dim);
        let normed = self.norm(&x, "input_layernorm");
        let part = |name: &str| self.project(&normed, hidden, &format!("self_attn.{name}_proj"), config.qkv_bias);
        let (mut q, mut k, v) = (part("q"), part("k"), part("v"));
        if config.qk_norm == Some(QkNorm::Head) {
            (q, k) = (self.norm(&q, "self_attn.q_norm"), self.norm(&k, "self_attn.k_norm"));
        }
        self.turn(&mut q, config.n_heads);
        self.turn(&mut k, config.n_kv_heads);
        let mut attended = self.project(&self.attend(&q, &k, &v), qk, "self_attn.o_proj", config.output_bias);
        let mut before = "post_attention_layernorm";
        if config.output_norms {
            attended = self.norm(&attended, before);
            before = "pre_feedforward_layernorm";
        }
        x.iter_mut().zip(attended).for_each(|(x, y)| *x += y);
        let normed = self.norm(&x, before);
        let (gate, up) = (
            self.project(&normed, hidden, "mlp.gate_proj", false),
            self.project(&normed, hidden, "mlp.up_proj", false),
        );
        let inner: Vec<f32> = gate.into_iter().zip(up).map(|(gate, up)| self.gate(gate) * up).collect();
        let mut fed = self.project(&inner, config.intermediate_size, "mlp.down_proj", false);
        if config.output_norms {
            fed = self.norm(&fed, "post_feedforward_layernorm");
        }
        x.iter_mut().zip(fed).for_each(|(x, y)| *x += y);
        x
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA and that of real models in STIR_REAL_MODELS"]
fn real_models_compute_what_was_recorded() {
    for name in MODELS {
        let recorded = Recorded::of(name);
        let Model { config, checkpoint, .. } = &Model::open(recorded.path()).unwrap();
        let (embedding, hidden) = (checkpoint.floats("model.embed_tokens.weight").unwrap().0, config.hidden_size);
        let embed = |id: TokenId| &embedding[id as usize * hidden..][..hidden];
        let scaled = recorded.ids("ids.1").into_iter().flat_map(embed).map(|x| x * config.embedding_scale as f32);
        let (mut x, mut compared) = (scaled.collect::<Vec<f32>>(), 0);
        for index in 0..config.n_layers {
            x = Layer { index, config, checkpoint }.output(x);
            if !recorded.json["layers"].as_array().unwrap().contains(&index.into()) {
                continue;
            }
            let (expected, shape) = recorded.tensors.floats(&format!("resid_post.{index}.1")).unwrap();
            assert_eq!(shape, [x.len() / hidden, hidden]);
            let largest = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            let error = x.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
            assert!(error < 2e-4 * largest, "{name}, layer {index}: {error} of {largest}");
            compared += 1;
        }
        assert_eq!(compared, 4);
    }
}

//! Checkpoints of Qwen2 shape with random weights, to measure with.

use std::{fs, path::Path, str::FromStr};

use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde_json::json;
use stir::{core::SampleRng, model::ComputeType};

/// The sizes that determine a checkpoint's size.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub vocab: usize,
    pub hidden: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    /// The embedding is the output head.
    pub tied: bool,
}

impl Shape {
    const NAMED: [(&str, Self); 4] = [
        ("tiny", Self { vocab: 512, ..Self::tied(128, 256, 2, 4) }),
        ("0.5b", Self::tied(896, 4864, 24, 14)),
        ("1.5b", Self::tied(1536, 8960, 28, 12)),
        ("3b", Self::tied(2048, 11_008, 36, 16)),
    ];

    const fn tied(hidden: usize, inner: usize, layers: usize, heads: usize) -> Self {
        Self { vocab: 151_936, hidden, inner, layers, heads, kv_heads: 2, tied: true }
    }

    /// Names and shapes, as Hugging Face and PyTorch have them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { vocab, hidden, inner, layers, heads, kv_heads, tied } = *self;
        let kv = hidden / heads * kv_heads;
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, hidden])];
        for i in 0..layers {
            let mut add =
                |name: &str, shape: &[usize]| tensors.push((format!("model.layers.{i}.{name}"), shape.to_vec()));
            add("input_layernorm.weight", &[hidden]);
            for (name, out) in [("q", hidden), ("k", kv), ("v", kv)] {
                add(&format!("self_attn.{name}_proj.weight"), &[out, hidden]);
                add(&format!("self_attn.{name}_proj.bias"), &[out]);
            }
            add("self_attn.o_proj.weight", &[hidden, hidden]);
            add("post_attention_layernorm.weight", &[hidden]);
            add("mlp.gate_proj.weight", &[inner, hidden]);
            add("mlp.up_proj.weight", &[inner, hidden]);
            add("mlp.down_proj.weight", &[hidden, inner]);
        }
        tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !tied {
            tensors.push(("lm_head.weight".to_owned(), vec![vocab, hidden]));
        }
        tensors
    }

    /// Writes a checkpoint of this shape, spread over `shards` files; returns how many weights it has.
    pub fn write(&self, dir: &Path, stored: ComputeType, shards: usize) -> usize {
        let tensors = self.tensors();
        // All tensors show the same numbers; what is measured does not care.
        let mut rng = SampleRng::new(0, 0);
        let largest = tensors.iter().map(|(_, shape)| count(shape)).max().unwrap();
        let bytes: Vec<u8> = match stored {
            ComputeType::F32 => (0..largest).flat_map(|_| (rng.uniform() as f32 - 0.5).to_le_bytes()).collect(),
            // The upper half of an f32 is a bf16; these, from 0.125 up to 0.5 and of either sign, are small as f16 too.
            _ => (0..largest)
                .flat_map(|_| (((rng.below(2) << 15) + 0x3e00 + rng.below(0x100)) as u16).to_le_bytes())
                .collect(),
        };
        let dtype = match stored {
            ComputeType::F32 => Dtype::F32,
            ComputeType::Bf16 => Dtype::BF16,
            _ => Dtype::F16,
        };
        let view =
            |shape: &[usize]| TensorView::new(dtype, shape.to_vec(), &bytes[..count(shape) * size(stored)]).unwrap();
        let mut index = serde_json::Map::new();
        for shard in 0..shards {
            let name = match shards {
                1 => "model.safetensors".to_owned(),
                n => format!("model-{:05}-of-{n:05}.safetensors", shard + 1),
            };
            let own = tensors.iter().skip(shard).step_by(shards);
            index.extend(own.clone().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
            let views = own.map(|(tensor, shape)| (tensor, view(shape)));
            // Other programs want to know who wrote it.
            let format = [("format".to_owned(), "pt".to_owned())].into();
            serialize_to_file(views, Some(format), &dir.join(name)).unwrap();
        }
        if shards > 1 {
            let index = json!({ "weight_map": index });
            fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
        }
        let config = json!({
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": self.vocab,
            "hidden_size": self.hidden, "intermediate_size": self.inner, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": 32_768, "rope_theta": 1e6, "tie_word_embeddings": self.tied,
        });
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        tensors.iter().map(|(_, shape)| count(shape)).sum()
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape);
        found.ok_or_else(|| format!("known are {}", Self::NAMED.map(|(name, _)| name).join(", ")))
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Bytes of a number.
pub fn size(kind: ComputeType) -> usize {
    if kind == ComputeType::F32 { 4 } else { 2 }
}

//! Tensors by their Hugging Face names, and the order of their rows.

use crate::DecoderConfig;

/// The order in which a file has the rows of a matrix, where it is not that of Hugging Face checkpoints.
///
/// A Llama checkpoint turns element `i` of a head together with element `i + head_dim / 2`. Its GGUF file has the two
/// next to each other, so that the rows of a query or key projection come in another order, head by head. So it is with
/// SmolLM3, in all of its layers, and Granite.
///
/// ```
/// use stir_model::gguf::RowOrder;
/// let order = RowOrder::interleaved(4);
/// assert_eq!([0, 1, 2, 3, 4].map(|row| order.stored(row)), [0, 2, 1, 3, 4]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOrder {
    head_dim: usize,
}

impl RowOrder {
    /// Returns the order of heads of `head_dim` rows, an even number, whose halves are interleaved.
    pub fn interleaved(head_dim: usize) -> Self {
        Self { head_dim: head_dim.max(2) }
    }

    /// Returns where the file has row `row` of the checkpoint.
    pub fn stored(self, row: usize) -> usize {
        let (head, row, half) = (row / self.head_dim, row % self.head_dim, self.head_dim / 2);
        head * self.head_dim + 2 * (row % half) + row / half
    }
}

/// The parts of a layer: their names in a file, and after the layer's prefix in a Hugging Face checkpoint.
const PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// The families whose files have heads with interleaved halves.
const INTERLEAVED: [&str; 3] = ["llama", "smollm3", "granite"];

/// Returns the Hugging Face name of the tensor that a file names `name`; `None` for one that has no place in the model.
pub(super) fn hugging_face(name: &str, config: &DecoderConfig) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let number: usize = layer.parse().ok()?;
    // One spelling for each layer.
    if number >= config.n_layers || number.to_string() != layer {
        return None;
    }
    let (part, kind) = rest.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    let part = match part {
        "ffn_up" if config.fused_projections => "mlp.gate_up_proj",
        "ffn_up" => "mlp.up_proj",
        // The plain families name the norm before the feed-forward block as the others name the one after attention.
        "ffn_norm" if config.output_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_attention_norm" if config.output_norms => "post_attention_layernorm",
        part => PARTS.iter().find(|(gguf, _)| *gguf == part)?.1,
    };
    Some(format!("model.layers.{number}.{part}.{kind}"))
}

/// Returns the order of the rows of the tensor `name`, a Hugging Face name, and how many there must be; `None` for the
/// order of the checkpoint.
pub(super) fn row_order(name: &str, config: &DecoderConfig) -> Option<(RowOrder, usize)> {
    let heads = if name.contains(".self_attn.q_proj.") {
        config.n_heads
    } else if name.contains(".self_attn.k_proj.") {
        config.n_kv_heads
    } else {
        return None;
    };
    let order = RowOrder::interleaved(config.head_dim);
    INTERLEAVED.contains(&config.architecture.as_str()).then_some((order, heads.saturating_mul(config.head_dim)))
}

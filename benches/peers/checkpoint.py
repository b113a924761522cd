"""Writes the model that all contenders load: the shape of Qwen2-0.5B, seeded random weights.

    python checkpoint.py FOLDER

Makes FOLDER/{f32,bf16}/{config.json,model.safetensors} and FOLDER/{f32,bf16}.gguf. The bf16 weights are the f32 ones,
rounded to nearest even; both GGUF files hold the same bits as the safetensors next to them, only the vectors (norms
and biases), which llama.cpp wants in f32, are widened. What is there already stays.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import safetensors

HIDDEN, LAYERS, INNER, HEADS, KV_HEADS, VOCAB, CONTEXT = 896, 24, 4864, 14, 2, 151_936, 32_768
KV = HIDDEN // HEADS * KV_HEADS
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "max_position_embeddings": CONTEXT,
    "max_window_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "sliding_window": CONTEXT,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": VOCAB,
}
# Names in the checkpoint, in GGUF, and shapes.
LAYER = [
    ("input_layernorm.weight", "attn_norm.weight", (HIDDEN,)),
    ("self_attn.q_proj.weight", "attn_q.weight", (HIDDEN, HIDDEN)),
    ("self_attn.q_proj.bias", "attn_q.bias", (HIDDEN,)),
    ("self_attn.k_proj.weight", "attn_k.weight", (KV, HIDDEN)),
    ("self_attn.k_proj.bias", "attn_k.bias", (KV,)),
    ("self_attn.v_proj.weight", "attn_v.weight", (KV, HIDDEN)),
    ("self_attn.v_proj.bias", "attn_v.bias", (KV,)),
    ("self_attn.o_proj.weight", "attn_output.weight", (HIDDEN, HIDDEN)),
    ("post_attention_layernorm.weight", "ffn_norm.weight", (HIDDEN,)),
    ("mlp.gate_proj.weight", "ffn_gate.weight", (INNER, HIDDEN)),
    ("mlp.up_proj.weight", "ffn_up.weight", (INNER, HIDDEN)),
    ("mlp.down_proj.weight", "ffn_down.weight", (HIDDEN, INNER)),
]


def tensors():
    """Every tensor as (name, GGUF name, shape)."""
    yield "model.embed_tokens.weight", "token_embd.weight", (VOCAB, HIDDEN)
    for i in range(LAYERS):
        for name, short, shape in LAYER:
            yield f"model.layers.{i}.{name}", f"blk.{i}.{short}", shape
    yield "model.norm.weight", "output_norm.weight", (HIDDEN,)


def values(index, name, shape):
    """The f32 values of tensor `index`: normal with deviation 0.02; norms near 1, as in a trained model."""
    drawn = np.random.default_rng([0, index]).standard_normal(shape, dtype=np.float32) * np.float32(0.02)
    return drawn + np.float32(1) if "norm" in name else drawn


def rounded(array):
    """The bits of the nearest bf16, ties to even."""
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def safetensors_file(path, dtype, draw):
    """Writes the tensors one after another, so that only one is in memory at a time."""
    size, start, header = {"F32": 4, "BF16": 2}[dtype], 0, {}
    for name, _, shape in tensors():
        end = start + int(np.prod(shape)) * size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for index, (name, _, shape) in enumerate(tensors()):
            draw(index, name, shape).tofile(file)


def gguf_file(path, kind):
    writer = gguf.GGUFWriter(path, "qwen2", use_temp_file=False)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("no_vocab")
    for index, (name, short, shape) in enumerate(tensors()):
        array = values(index, name, shape)
        if kind == "f32":
            writer.add_tensor(short, array)
        elif len(shape) == 1:
            writer.add_tensor(short, (rounded(array).astype(np.uint32) << 16).view(np.float32))
        else:
            writer.add_tensor(short, rounded(array).view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def once(path, write):
    """Calls `write` with a place next to `path`, which appears only when complete."""
    if path.exists():
        return
    part = path.with_name(path.name + ".part")
    write(part)
    part.rename(path)
    print("wrote", path.name, file=sys.stderr)


def main(folder):
    for kind, dtype, draw in [("f32", "F32", values), ("bf16", "BF16", lambda *tensor: rounded(values(*tensor)))]:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": {"f32": "float32", "bf16": "bfloat16"}[kind]}))
        model = folder / kind / "model.safetensors"
        once(model, lambda path: safetensors_file(path, dtype, draw))
        once(folder / f"{kind}.gguf", lambda path: gguf_file(path, kind))
        with safetensors.safe_open(model, "numpy") as opened:
            assert len(opened.keys()) == 2 + LAYERS * len(LAYER)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

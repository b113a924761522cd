//! Writes GGUF files, valid or not.

use super::Format;

/// What a file is to hold. Everything is public, so that tests can break it.
#[derive(Debug, Clone, Default)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    pub(crate) metadata: Vec<(String, Item)>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) alignment: usize,
}

/// A value with its type.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    U32(u32),
    U64(u64),
    I32(i32),
    F32(f32),
    Flag(u8),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Flags(Vec<u8>),
    /// The number of a type, and bytes.
    Raw(u32, Vec<u8>),
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Innermost first.
    pub(crate) dims: Vec<u64>,
    pub(crate) format: u32,
    pub(crate) data: Vec<u8>,
    /// The offset to write instead of the right one.
    pub(crate) offset: Option<u64>,
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

pub(crate) fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn list<T>(kind: u32, items: &[T], bytes: impl Fn(&T) -> Vec<u8>) -> Vec<u8> {
    let header = [9u32.to_le_bytes().as_slice(), &kind.to_le_bytes(), &(items.len() as u64).to_le_bytes()].concat();
    items.iter().fold(header, |mut all, item| {
        all.extend(bytes(item));
        all
    })
}

impl Item {
    fn bytes(&self) -> Vec<u8> {
        let typed = |kind: u32, bytes: &[u8]| [kind.to_le_bytes().as_slice(), bytes].concat();
        match self {
            Self::U32(x) => typed(4, &x.to_le_bytes()),
            Self::I32(x) => typed(5, &x.to_le_bytes()),
            Self::F32(x) => typed(6, &x.to_le_bytes()),
            Self::Flag(x) => typed(7, &[*x]),
            Self::Text(x) => typed(8, &text_bytes(x)),
            Self::U64(x) => typed(10, &x.to_le_bytes()),
            Self::Texts(x) => list(8, x, |x| text_bytes(x)),
            Self::I32s(x) => list(5, x, |x| x.to_le_bytes().to_vec()),
            Self::F32s(x) => list(6, x, |x| x.to_le_bytes().to_vec()),
            Self::Flags(x) => list(7, x, |x| vec![*x]),
            Self::Raw(kind, bytes) => typed(*kind, bytes),
        }
    }
}

impl GgufFile {
    pub(crate) fn new() -> Self {
        Self { version: 3, alignment: 32, ..Self::default() }
    }

    /// Sets a key, or another value for it.
    pub(crate) fn set(&mut self, key: &str, item: impl Into<Item>) -> &mut Self {
        self.remove(key);
        self.metadata.push((key.to_owned(), item.into()));
        self
    }

    pub(crate) fn remove(&mut self, key: &str) -> &mut Self {
        self.metadata.retain(|(other, _)| other != key);
        self
    }

    /// Adds a tensor of f32, its shape outermost first.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Self {
        self.tensor(name, shape, Format::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a tensor, its shape outermost first.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize], format: Format, data: Vec<u8>) -> &mut Self {
        let dims = shape.iter().rev().map(|&dim| dim as u64).collect();
        self.tensors.push(Tensor { name: name.to_owned(), dims, format: format.ggml(), data, offset: None });
        self
    }

    pub(crate) fn find(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, item) in &self.metadata {
            bytes.extend(text_bytes(key));
            bytes.extend(item.bytes());
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            let offset = tensor.offset.unwrap_or(data.len() as u64);
            bytes.extend(text_bytes(&tensor.name));
            bytes.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
            bytes.extend(tensor.format.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        if !data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        }
        bytes.extend(data);
        bytes
    }
}

/// The sizes of [`model`]: layers, width, heads, key and value heads, size of a head, inner width, tokens.
pub(crate) const SIZES: [usize; 7] = [2, 32, 4, 2, 8, 64, 300];

/// Returns a small model of an architecture, whose tensors count up: each value is its place in the tensor.
pub(crate) fn model(architecture: &str) -> GgufFile {
    let [layers, hidden, heads, kv_heads, head_dim, inner, tokens] = SIZES;
    let mut file = GgufFile::new();
    file.set("general.architecture", architecture).set("general.name", "small");
    for (name, size) in [
        ("block_count", layers),
        ("context_length", 128),
        ("embedding_length", hidden),
        ("feed_forward_length", inner),
        ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
    ] {
        file.set(&format!("{architecture}.{name}"), Item::U32(size as u32));
    }
    file.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), Item::F32(1e-5));
    file.set(&format!("{architecture}.rope.freq_base"), Item::F32(5000.0));
    if architecture == "gemma3" {
        file.set("gemma3.attention.sliding_window", Item::U32(16));
    }
    if architecture == "granite" {
        file.set("granite.logit_scale", Item::F32(8.0));
    }
    byte_level(&mut file, "qwen2");
    let mut add = |name: &str, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32).collect();
        file.floats(name, shape, &values);
    };
    add("token_embd.weight", &[tokens, hidden]);
    add("output_norm.weight", &[hidden]);
    let (q, kv, sandwich) = (heads * head_dim, kv_heads * head_dim, architecture.starts_with("gemma"));
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| add(&format!("blk.{layer}.{name}"), shape);
        for name in ["attn_norm.weight", "ffn_norm.weight"].iter().filter(|_| architecture != "olmo2") {
            add(name, &[hidden]);
        }
        if sandwich || architecture == "olmo2" {
            for name in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
                add(name, &[hidden]);
            }
        }
        if matches!(architecture, "qwen3" | "gemma3") {
            for name in ["attn_q_norm.weight", "attn_k_norm.weight"] {
                add(name, &[head_dim]);
            }
        }
        if architecture == "olmo2" {
            add("attn_q_norm.weight", &[q]);
            add("attn_k_norm.weight", &[kv]);
        }
        if architecture == "phi3" {
            add("attn_qkv.weight", &[q + 2 * kv, hidden]);
            add("ffn_up.weight", &[2 * inner, hidden]);
        } else {
            for (name, out) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)] {
                add(&format!("{name}.weight"), &[out, hidden]);
                if architecture == "qwen2" {
                    add(&format!("{name}.bias"), &[out]);
                }
            }
            add("ffn_gate.weight", &[inner, hidden]);
            add("ffn_up.weight", &[inner, hidden]);
        }
        add("attn_output.weight", &[hidden, q]);
        add("ffn_down.weight", &[hidden, inner]);
    }
    file
}

/// Describes a byte-level tokenizer: two special tokens, the 256 bytes, some merges, words and unused embeddings.
pub(crate) fn byte_level(file: &mut GgufFile, pre: &str) {
    let own = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let (printable, others): (Vec<u32>, Vec<u32>) = (0..256).partition(own);
    let alphabet = printable.into_iter().chain((0x100..).take(others.len()));
    let alphabet = alphabet.map(|code| char::from_u32(code).unwrap().to_string());
    let merged = ["th", "the", "Ġthe", "12"];
    let tokens: Vec<String> = ["<|end|>", "<|start|>"].map(str::to_owned).into_iter().chain(alphabet).collect();
    let tokens: Vec<String> = tokens.into_iter().chain(merged.map(str::to_owned)).collect();
    let types = [vec![3; 2], vec![1; 260], vec![4; 1], vec![5; 2]].concat();
    let tokens = [tokens, ["two words", "[PAD1]", "[PAD2]"].map(str::to_owned).to_vec()].concat();
    file.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre);
    file.set("tokenizer.ggml.tokens", Item::Texts(tokens)).set("tokenizer.ggml.token_type", Item::I32s(types));
    let merges = ["t h", "th e", "Ġ the", "1 2"].map(str::to_owned).to_vec();
    file.set("tokenizer.ggml.merges", Item::Texts(merges));
    file.set("tokenizer.ggml.eos_token_id", Item::U32(0)).set("tokenizer.ggml.bos_token_id", Item::U32(1));
}

/// Describes a sentencepiece tokenizer.
pub(crate) fn sentencepiece(file: &mut GgufFile) {
    let mut tokens: Vec<(String, i32, f32)> = ["<unk>", "<s>", "</s>"].map(|token| (token.to_owned(), 3, 0.0)).into();
    tokens[0].1 = 2;
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 6, 0.0)));
    tokens.extend(["\n\n", "<turn>"].map(|word| (word.to_owned(), 4, -1000.0)));
    let merged = ["th", "▁t", "he", "▁the", "▁th"];
    let letters = "▁thea.".chars().map(String::from);
    let pieces = merged.map(str::to_owned).into_iter().chain(letters).zip(0..);
    tokens.extend(pieces.map(|(piece, rank)| (piece, 1, -(rank as f32))));
    file.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.pre", "default").remove("tokenizer.ggml.merges");
    file.remove("tokenizer.ggml.bos_token_id").remove("tokenizer.ggml.eos_token_id");
    file.set("tokenizer.ggml.tokens", Item::Texts(tokens.iter().map(|(text, ..)| text.clone()).collect()));
    file.set("tokenizer.ggml.token_type", Item::I32s(tokens.iter().map(|(_, kind, _)| *kind).collect()));
    file.set("tokenizer.ggml.scores", Item::F32s(tokens.iter().map(|(.., score)| *score).collect()));
}

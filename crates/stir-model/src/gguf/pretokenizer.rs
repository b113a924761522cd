//! How byte-level tokenizers divide a text into words, by the names that files give these ways.

use serde_json::{Value, json};

/// A way of dividing a text, in the terms of `tokenizer.json`.
pub(super) struct Pretokenizer {
    pub(super) normalizer: Option<Value>,
    pub(super) steps: Value,
    /// True if a word that is a token is never built from parts.
    pub(super) ignore_merges: bool,
    /// True if sequences start with the BOS token where a file does not say.
    pub(super) add_bos: bool,
}

pub(super) const SUPPORTED: &str =
    "qwen2, deepseek-r1-qwen, llama-bpe, smaug-bpe, dbrx, smollm, refact, gpt-2 or tekken";

impl Pretokenizer {
    /// Returns the way called `name`; `None` for one that is not supported.
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain = |steps| Self { normalizer: None, steps, ignore_merges: false, add_bos: false };
        Some(match name {
            // The published tokenizers compose characters first, which llama.cpp leaves out.
            "qwen2" | "deepseek-r1-qwen" => {
                Self { normalizer: Some(json!({"type": "NFC"})), ..plain(split(&words(r"\p{N}"))) }
            }
            "llama-bpe" | "llama3" | "llama-v3" => {
                Self { ignore_merges: true, add_bos: true, ..plain(split(&words(r"\p{N}{1,3}"))) }
            }
            // As Llama 3 divides a text, without a BOS token: SmolLM3, and OLMo 2 with its older list of merges.
            "smaug-bpe" => Self { ignore_merges: true, ..plain(split(&words(r"\p{N}{1,3}"))) },
            "dbrx" => plain(split(&words(r"\p{N}{1,3}"))),
            "tekken" => Self { ignore_merges: true, add_bos: true, ..plain(split(&cased_words())) },
            // SmolLM and SmolLM2; Granite, whose tokenizer is that of StarCoder.
            "smollm" | "refact" => {
                let digits = json!({"type": "Digits", "individual_digits": true});
                plain(json!({"type": "Sequence", "pretokenizers": [digits, byte_level(true)]}))
            }
            "gpt-2" => plain(byte_level(true)),
            _ => return None,
        })
    }
}

/// Returns the step that writes bytes as characters, and before that divides the text as GPT-2 does if `divide`.
pub(super) fn byte_level(divide: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": divide})
}

fn split(pattern: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
}

/// What follows words and numbers in the patterns: symbols, line ends, spaces.
const REST: &str = r"\s*[\r\n]+|\s+(?!\S)|\s+";

/// Words with the character before them, English contractions, numbers as `digits` says.
fn words(digits: &str) -> String {
    let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    format!(r"{contractions}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{REST}")
}

/// Words that end where small letters are followed by a capital, single digits, symbols with the slashes after them.
fn cased_words() -> String {
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    let before = r"[^\r\n\p{L}\p{N}]?";
    let symbols = r" ?[^\s\p{L}\p{N}]+[\r\n/]*";
    format!(r"{before}{upper}*{lower}+|{before}{upper}+{lower}*|\p{{N}}|{symbols}|{REST}")
}

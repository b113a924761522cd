//! Tokenizers: those of real checkpoints against recorded token ids, and small ones of our own for every mechanism.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::shared;
use serde_json::{Value, json};
use stir_core::{Engine, SampleRng, Text, TokenId, Vocab};
use stir_model::{DeviceSpec, GenerationDefaults, Lm, ModelError, Tokenizer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

const REAL: [(&str, &str); 3] = [
    ("qwen2.5-instruct", "qwen2"),
    ("deepseek-r1-distill-qwen-1.5b", "deepseek-r1-qwen"),
    ("llama3.2-instruct", "llama-bpe"),
];

/// Ours and the one it is built on.
fn open(path: &Path) -> (Tokenizer, tokenizers::Tokenizer) {
    (Tokenizer::from_file(path).unwrap(), tokenizers::Tokenizer::from_file(path).unwrap())
}

fn real(name: &str) -> Tokenizer {
    Tokenizer::from_file(&shared(&format!("tokenizers/{name}/tokenizer.json"))).unwrap()
}

fn write(json: &Value, config: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    dir
}

fn load(json: &Value, config: &Value) -> Result<Tokenizer, ModelError> {
    Tokenizer::from_file(&write(json, config).path().join("tokenizer.json"))
}

fn added(id: usize, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "special": special, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false})
}

/// A post-processor that puts `<s>` (id 0) in front and `</s>` (id 1) behind.
fn both_ends() -> Value {
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let sequence = json!({"Sequence": {"id": "A", "type_id": 0}});
    let pair = json!({"Sequence": {"id": "B", "type_id": 1}});
    json!({"type": "TemplateProcessing", "single": [special("<s>"), sequence, special("</s>")],
        "pair": [special("<s>"), sequence, pair, special("</s>")],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}})
}

/// A byte-level BPE with a few merges, and added tokens of every kind.
fn byte_level() -> Value {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let pieces = alphabet.iter().map(char::to_string).chain(["th", "Ġth", "the", "ĠĠ", "Ã©"].map(str::to_owned));
    let vocab: BTreeMap<String, usize> =
        ["<s>".into(), "</s>".into()].into_iter().chain(pieces).enumerate().map(|(id, piece)| (piece, id)).collect();
    let size = vocab.len();
    json!({
        "version": "1.0",
        // What some checkpoints were saved with; a prompt must not be cut by it.
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 1, "pad_type_id": 0, "pad_token": "</s>"},
        "added_tokens": [added(0, "<s>", true), added(1, "</s>", true), added(size, "<think>", false),
            added(size + 1, "two words", false), added(size + 2, "Ġé", false), added(size + 5, "<｜end▁of｜>", false),
            added(size + 6, "<|user|>", true)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": both_ends(),
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["t", "h"], ["Ġ", "th"], ["th", "e"], ["Ġ", "Ġ"], ["Ã", "©"]]},
    })
}

/// As sentencepiece models are converted: `▁` for a space, bytes for what has no piece.
fn sentencepiece() -> Value {
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let letters = "▁abcdefghijklmnopqrstuvwxyz.,é".chars().map(String::from);
    let pieces = bytes.chain(letters).chain(["▁t", "th", "▁th", "▁▁"].map(str::to_owned));
    let vocab: BTreeMap<String, usize> = ["<s>", "</s>", "<unk>"]
        .map(str::to_owned)
        .into_iter()
        .chain(pieces)
        .enumerate()
        .map(|(id, piece)| (piece, id))
        .collect();
    let size = vocab.len();
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, "<s>", true), added(1, "</s>", true), added(2, "<unk>", true),
            added(size, "▁▁▁", false), added(size + 1, "<turn>", true)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "vocab": vocab, "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true,
            "merges": [["▁", "t"], ["t", "h"], ["▁t", "h"], ["▁", "▁"]]},
    })
}

/// The same vocabulary in the newer form, without the space in front.
fn metaspace() -> Value {
    let mut json = sentencepiece();
    json["normalizer"] = Value::Null;
    json["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false});
    json["decoder"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false});
    json
}

/// Ids anywhere in the vocabulary, and a little beyond it.
fn random_ids(rng: &mut SampleRng, size: usize) -> Vec<TokenId> {
    let length = 1 + rng.below(24);
    (0..length).map(|_| rng.below(size + 3) as TokenId).collect()
}

/// Texts with characters of one to four bytes, combining marks and runs of spaces.
fn random_text(rng: &mut SampleRng) -> String {
    let alphabet: Vec<char> = "the  th\n\t.,12aZé\u{301}ñ漢字▁Ġ\u{1f600}\u{200d}ꙮ<0>".chars().collect();
    let length = 1 + rng.below(30);
    (0..length).map(|_| alphabet[rng.below(alphabet.len())]).collect()
}

/// Compares a text with the bytes of its tokens, fed one by one to a decoder that waits for whole characters.
fn streamed(vocab: &Vocab, ids: &[TokenId]) -> String {
    let (mut held, mut text) = (Vec::new(), String::new());
    for &id in ids {
        held.extend_from_slice(vocab.bytes(id));
        let whole = match std::str::from_utf8(&held) {
            Ok(_) => held.len(),
            // Not an error but an end in the middle of a character: wait.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => held.len() - held.utf8_chunks().last().map_or(0, |last| incomplete(last.invalid())),
        };
        text.push_str(&String::from_utf8_lossy(&held[..whole]));
        held.drain(..whole);
    }
    text + &String::from_utf8_lossy(&held)
}

/// Length of the start of a character that more bytes could complete.
fn incomplete(invalid: &[u8]) -> usize {
    let open = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
    if open { invalid.len() } else { 0 }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn real_tokenizers_give_the_recorded_ids() {
    for (name, vector) in REAL {
        let tokenizer = real(name);
        let recorded = |end| {
            let path = shared(&format!("tokenizer_vectors/ggml-vocab-{vector}.gguf.{end}"));
            fs::read_to_string(path).unwrap()
        };
        let (texts, ids) = (recorded("inp"), recorded("out"));
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let ids: Vec<Vec<TokenId>> =
            ids.split('\n').map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
        assert_eq!((texts.len(), ids.len()), (47, 47));
        for (text, ids) in texts.iter().zip(&ids) {
            assert_eq!(&tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
        }
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn real_vocabularies_spell_what_their_tokenizers_decode() {
    for (name, _) in REAL {
        let (tokenizer, inner) = open(&shared(&format!("tokenizers/{name}/tokenizer.json")));
        let (vocab, mut rng) = (tokenizer.vocab(vec![]), SampleRng::new(7, 0));
        for _ in 0..3000 {
            let ids = random_ids(&mut rng, tokenizer.size());
            assert_eq!(vocab.text(&ids), inner.decode(&ids, true).unwrap(), "{name}: {ids:?}");
            assert_eq!(streamed(&vocab, &ids), vocab.text(&ids), "{name}: {ids:?}");
        }
        for _ in 0..500 {
            let ids = tokenizer.encode(&random_text(&mut rng)).unwrap();
            assert_eq!(vocab.text(&ids), inner.decode(&ids, true).unwrap(), "{name}: {ids:?}");
        }
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn real_prompts_start_with_one_bos() {
    for (name, bos) in
        [(REAL[0].0, None), (REAL[1].0, Some("<｜begin▁of▁sentence｜>")), (REAL[2].0, Some("<|begin_of_text|>"))]
    {
        let tokenizer = real(name);
        let bos_ids: Vec<TokenId> = bos.map(|bos| tokenizer.id(bos).unwrap()).into_iter().collect();
        assert_eq!(tokenizer.prefix(), bos_ids);
        let plain = tokenizer.encode("One and one.").unwrap();
        let prompt = [bos_ids.as_slice(), &plain].concat();
        assert_eq!(tokenizer.encode_prompt("One and one.").unwrap(), prompt);
        assert_eq!(tokenizer.encode_prompt(&format!("{}One and one.", bos.unwrap_or_default())).unwrap(), prompt);
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn real_folders_name_their_end_tokens() {
    for (name, vocab_size, expected) in [
        (REAL[0].0, 151_936, vec!["<|im_end|>", "<|endoftext|>"]),
        (REAL[1].0, 151_936, vec!["<｜end▁of▁sentence｜>"]),
        (REAL[2].0, 128_256, vec!["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]),
    ] {
        let (dir, tokenizer) = (shared(&format!("tokenizers/{name}")), real(name));
        let read = GenerationDefaults::from_dir(&dir, Some(&tokenizer), vocab_size).unwrap();
        let expected: Vec<TokenId> = expected.iter().map(|token| tokenizer.id(token).unwrap()).collect();
        assert_eq!(read.end_tokens, expected, "{name}");
        assert_eq!(read.do_sample, Some(true));
        assert!(tokenizer.size() <= vocab_size);
    }
}

#[test]
fn byte_level_vocabularies_spell_what_their_tokenizer_decodes() {
    let dir = write(&byte_level(), &json!({}));
    let (tokenizer, inner) = open(&dir.path().join("tokenizer.json"));
    let (vocab, mut rng) = (tokenizer.vocab(vec![1]), SampleRng::new(7, 1));
    let bytes = |token: &str| vocab.bytes(tokenizer.id(token).unwrap()).to_vec();
    assert_eq!(bytes("<think>"), b"<think>");
    assert_eq!(bytes("two words"), b"two words");
    assert_eq!(bytes("Ġé"), b" \xe9", "as its decoder reads it");
    assert_eq!(bytes("<｜end▁of｜>"), "<｜end▁of｜>".as_bytes());
    assert_eq!((bytes("<|user|>"), bytes("<s>")), (vec![], vec![]));
    for _ in 0..3000 {
        let ids = random_ids(&mut rng, tokenizer.size());
        assert_eq!(vocab.text(&ids), inner.decode(&ids, true).unwrap(), "{ids:?}");
        assert_eq!(streamed(&vocab, &ids), vocab.text(&ids), "{ids:?}");
        let ids = tokenizer.encode(&random_text(&mut rng)).unwrap();
        assert_eq!(vocab.text(&ids), inner.decode(&ids, true).unwrap(), "{ids:?}");
    }
    let text = "the  é<think> two words <s>漢\u{1f600}";
    assert_eq!(vocab.text(&tokenizer.encode(text).unwrap()), text.replace("<s>", ""));
    // NFC: e and an accent are one letter.
    assert_eq!(tokenizer.encode("e\u{301}").unwrap(), tokenizer.encode("é").unwrap());
}

#[test]
fn sentencepiece_vocabularies_keep_the_space_in_front() {
    for json in [sentencepiece(), metaspace()] {
        let fallback = json["decoder"]["type"] == "Sequence";
        let dir = write(&json, &json!({}));
        let (tokenizer, inner) = open(&dir.path().join("tokenizer.json"));
        let (vocab, mut rng) = (tokenizer.vocab(vec![1]), SampleRng::new(7, 2));
        let bytes = |token: &str| vocab.bytes(tokenizer.id(token).unwrap()).to_vec();
        assert_eq!((bytes("▁th"), bytes("▁▁▁"), bytes("<turn>")), (b" th".to_vec(), b"   ".to_vec(), vec![]));
        assert_eq!(bytes("<0xE6>"), if fallback { b"\xe6".to_vec() } else { b"<0xE6>".to_vec() });
        let same = |ids: &[TokenId]| {
            let (ours, theirs) = (vocab.text(ids), inner.decode(ids, true).unwrap());
            assert!(ours == theirs || fallback && ours.strip_prefix(' ') == Some(&theirs), "{ours:?} {theirs:?}");
        };
        for _ in 0..3000 {
            // Byte tokens at random are broken text, which the decoders mark differently; texts have whole ones.
            let mut ids = random_ids(&mut rng, tokenizer.size());
            ids.retain(|&id| !(3..259).contains(&id));
            same(&ids);
            let text = random_text(&mut rng);
            let ids = tokenizer.encode(&text).unwrap();
            same(&ids);
            // Around an added token that is written out, the normalizer starts anew.
            if fallback && !text.contains('▁') {
                assert_eq!(vocab.text(&ids), format!(" {text}"));
                assert_eq!(streamed(&vocab, &ids), format!(" {text}"));
            }
        }
    }
}

#[test]
fn prompts_start_as_the_tokenizer_says() {
    let silent = json!({});
    let tokenizer = load(&byte_level(), &silent).unwrap();
    assert_eq!(tokenizer.prefix(), [0], "what is put behind is no part of a prompt");
    let plain = tokenizer.encode("the thing").unwrap();
    assert!(plain.len() > 4 && !plain.contains(&1), "neither cut nor padded");
    let prompt = [&[0], plain.as_slice()].concat();
    for text in ["the thing", "<s>the thing"] {
        assert_eq!(tokenizer.encode_prompt(text).unwrap(), prompt);
    }
    assert_eq!(tokenizer.encode("<s>the thing").unwrap(), prompt);
    assert_eq!(tokenizer.encode_prompt("").unwrap(), [0]);
    assert_eq!(tokenizer.encode_prompt("<s><s>").unwrap(), [0, 0], "what a text says twice stays twice");

    let prefix = |json: &Value, config: Value| load(json, &config).unwrap().prefix().to_vec();
    // Files made from sentencepiece models may leave it to the configuration.
    let bare = sentencepiece();
    assert!(prefix(&bare, silent).is_empty());
    assert_eq!(prefix(&bare, json!({"add_bos_token": true, "bos_token": {"content": "<s>"}})), [0]);
    assert!(prefix(&bare, json!({"add_bos_token": false, "bos_token": "<s>"})).is_empty());
    assert!(prefix(&bare, json!({"add_bos_token": true, "bos_token": null})).is_empty());
    assert_eq!(prefix(&byte_level(), json!({"add_bos_token": true, "bos_token": "<s>"})), [0], "not doubled");
    assert!(prefix(&byte_level(), json!({"add_bos_token": false, "bos_token": "<s>"})).is_empty());

    let unknown = load(&bare, &json!({"add_bos_token": true, "bos_token": "<bos>"})).unwrap_err();
    assert!(matches!(unknown, ModelError::Config { field, .. } if field == "bos_token"));
    let malformed = load(&bare, &json!({"add_bos_token": "yes"})).unwrap_err();
    assert!(matches!(malformed, ModelError::Config { field, .. } if field == "add_bos_token"));
}

#[test]
fn a_model_and_its_tokenizer_must_agree() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/qwen2-tied");
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        fs::copy(fixture.join(name), dir.path().join(name)).unwrap();
    }
    let device = DeviceSpec::CPU.open().unwrap();
    let load = || Lm::load(dir.path(), &device);

    let lm = load().unwrap();
    let vocab_size = lm.shape().vocab_size;
    let missing = |error: ModelError| match error {
        ModelError::NoTokenizer { sentencepiece, .. } => sentencepiece,
        other => panic!("{other:?}"),
    };
    assert!(!missing(lm.encode("x").unwrap_err()) && !missing(lm.encode_prompt("x").unwrap_err()));
    put("tokenizer.model", "");
    assert!(missing(lm.encode("x").unwrap_err()));

    let mut json = sentencepiece();
    json["post_processor"] = both_ends();
    let mut large = json.clone();
    large["model"]["vocab"]["<far>"] = json!(vocab_size);
    put("tokenizer.json", &large.to_string());
    let refused = load().unwrap_err();
    assert!(matches!(refused, ModelError::VocabularySize { tokens, .. } if tokens == vocab_size + 1), "{refused}");

    put("tokenizer.json", &json.to_string());
    let lm = load().unwrap();
    let plain = lm.encode("a").unwrap();
    assert_eq!(lm.encode_prompt("a").unwrap(), [&[0], plain.as_slice()].concat());
    assert_eq!(lm.generation_defaults().end_tokens, lm.vocab().eos());

    put("generation_config.json", &format!("{{\"eos_token_id\": {vocab_size}}}"));
    assert!(matches!(load(), Err(ModelError::Config { field, .. }) if field == "eos_token_id"));
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    let mut decoder = byte_level();
    decoder["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    assert!(matches!(load(&decoder, &json!({})), Err(ModelError::Config { field, .. }) if field == "decoder"));
    let mut model = byte_level();
    model["model"] = json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]});
    assert!(matches!(load(&model, &json!({})), Err(ModelError::Tokenizer { .. })));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    assert!(matches!(Tokenizer::from_file(&path), Err(ModelError::Io { .. })));
    fs::write(&path, "{").unwrap();
    assert!(matches!(Tokenizer::from_file(&path), Err(ModelError::Json { .. })));
}

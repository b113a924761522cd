//! GGUF files that the tests write: the tokenizers and chat templates of the models in them.

use std::fs;

use crate::common::{
    gguf_file::{GgufFile, Item, byte_level, model, sentencepiece},
    sentencepiece_by_score, shared,
};
use serde_json::Value;
use stir_core::{SampleRng, TokenId};
use stir_model::{Message, ModelError, Tokenizer, gguf::Model};

fn open(file: &GgufFile) -> Result<Model, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, file.bytes()).unwrap();
    Model::open(&path)
}

/// The key of a model whose value is not supported.
fn refused(file: &GgufFile) -> String {
    match open(file) {
        Err(ModelError::Config { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

fn ids(tokenizer: &Tokenizer, tokens: &[&str]) -> Vec<TokenId> {
    tokens.iter().map(|token| tokenizer.id(token).unwrap_or_else(|| panic!("{token}"))).collect()
}

#[test]
fn byte_level_tokenizers_are_those_of_their_name() {
    let tokenizer = |pre: &str| {
        let mut file = model("qwen2");
        byte_level(&mut file, pre);
        open(&file).unwrap().tokenizer.unwrap()
    };
    let names = ["qwen2", "deepseek-r1-qwen", "llama-bpe", "smaug-bpe", "dbrx", "smollm", "refact", "gpt-2", "tekken"];
    for pre in names {
        let tokenizer = tokenizer(pre);
        let encoded = tokenizer.encode("the the<|end|>two words12").unwrap();
        let numbers: &[&str] =
            if matches!(pre, "llama-bpe" | "smaug-bpe" | "dbrx" | "gpt-2") { &["12"] } else { &["1", "2"] };
        let expected = [&["the", "Ġthe", "<|end|>", "two words"], numbers].concat();
        assert_eq!(encoded, ids(&tokenizer, &expected), "{pre}");
        let vocab = tokenizer.vocab(Vec::new());
        assert_eq!(vocab.text(&encoded), "the thetwo words12");
        let text = "Naïve – 東京 😀\n\n\t  end";
        assert_eq!(vocab.text(&tokenizer.encode(text).unwrap()), text);
        // Only the Llama and Mistral tokenizers begin with BOS unless the file says so.
        let bos = if matches!(pre, "llama-bpe" | "tekken") { vec![1] } else { vec![] };
        assert_eq!(tokenizer.prefix(), bos, "{pre}");
        // Embeddings without a token have no text, and make the tokenizer no larger.
        assert_eq!((tokenizer.size(), tokenizer.id("[PAD1]")), (263, None));
    }
    let composed = |pre: &str| {
        let tokenizer = tokenizer(pre);
        tokenizer.encode("e\u{301}").unwrap() == tokenizer.encode("é").unwrap()
    };
    assert!(composed("qwen2") && !composed("gpt-2"));
}

#[test]
fn text_is_refused_by_key() {
    let with = |key: &str, item: Item| {
        let mut file = model("llama");
        refused(file.set(key, item))
    };
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    for (name, item) in [
        ("model", "bert".into()),
        ("pre", "falcon".into()),
        ("tokens", "all".into()),
        ("tokens", Item::I32s(vec![1])),
        ("token_type", Item::I32s(vec![1; 7])),
        ("token_type", Item::I32s(vec![9; 265])),
        ("merges", Item::Texts(vec!["th".into()])),
        ("merges", Item::Texts(vec!["t x".into()])),
        ("merges", Item::Texts(vec!["the Ġthe".into()])),
        ("merges", Item::Texts(vec![" ".into()])),
        ("eos_token_id", Item::U32(265)),
        ("eot_token_id", "<|end|>".into()),
        ("bos_token_id", Item::I32(-2)),
        ("add_bos_token", Item::U32(1)),
    ] {
        assert_eq!(with(&key(name), item), key(name));
    }
    let error = open(model("llama").set("tokenizer.ggml.pre", "falcon")).unwrap_err().to_string();
    assert!(
        error.contains("is \"falcon\", supported: qwen2, deepseek-r1-qwen, llama-bpe, smaug-bpe, dbrx, "),
        "{error}"
    );
    for name in ["pre", "tokens", "merges"] {
        assert_eq!(refused(model("llama").remove(&key(name))), key(name));
    }
    assert_eq!(
        refused(model("llama").set(&key("add_bos_token"), Item::Flag(1)).remove(&key("bos_token_id"))),
        key("add_bos_token")
    );
    let mut twice = model("llama");
    twice.set(&key("tokens"), Item::Texts(vec!["a".into(), "a".into()])).remove(&key("token_type"));
    assert_eq!(refused(&twice), key("tokens"));
    let mut large = model("llama");
    large.find("token_embd.weight").dims = vec![96, 100];
    let error = open(&large).unwrap_err();
    assert!(matches!(error, ModelError::VocabularySize { tokens: 263, vocab_size: 100, .. }), "{error}");
    let mut broken = model("llama");
    assert!(matches!(open(broken.set("tokenizer.chat_template", "{% if")), Err(ModelError::ChatTemplate { .. })));
    let mut pieces = model("llama");
    sentencepiece(&mut pieces);
    assert_eq!(refused(pieces.clone().remove(&key("scores"))), key("scores"));
    assert_eq!(refused(pieces.clone().set(&key("scores"), Item::F32s(vec![0.0; 3]))), key("scores"));
    assert_eq!(refused(pieces.set(&key("scores"), Item::F32s(vec![f32::NAN; 272]))), key("scores"));
}

#[test]
fn sentencepiece_tokenizers_merge_by_score() {
    let mut file = model("llama");
    sentencepiece(&mut file);
    let model = open(&file).unwrap();
    let tokenizer = model.tokenizer.unwrap();
    assert_eq!((tokenizer.prefix(), model.generation.end_tokens), ([1].as_slice(), vec![2]));
    // `th` has a higher score than `▁t` and `he`, and then only `▁th` is left to make.
    assert_eq!(tokenizer.encode("th the").unwrap(), ids(&tokenizer, &["▁th", "▁the"]));
    assert_eq!(tokenizer.encode("t é").unwrap(), ids(&tokenizer, &["▁t", "▁", "<0xC3>", "<0xA9>"]));
    // Around what is recognised as a whole the text starts anew.
    let encoded = tokenizer.encode("a\n\na<s>").unwrap();
    assert_eq!(encoded, ids(&tokenizer, &["▁", "a", "\n\n", "▁", "a", "<s>"]));
    let vocab = tokenizer.vocab(Vec::new());
    assert_eq!(vocab.text(&tokenizer.encode_prompt("the é<turn>").unwrap()), " the é<turn>");
    file.set("tokenizer.ggml.add_space_prefix", Item::Flag(0)).set("tokenizer.ggml.add_bos_token", Item::Flag(0));
    let bare = open(&file).unwrap().tokenizer.unwrap();
    assert_eq!(bare.encode_prompt("the the").unwrap(), ids(&bare, &["th", "e", "▁the"]));
}

#[test]
fn sentencepiece_tokenizers_find_what_sentencepiece_finds() {
    let mut rng = SampleRng::new(5, 0);
    for _ in 0..40 {
        // Pieces of up to four letters, each with a score of its own.
        let letters = ["a", "b", "c", "▁"].map(str::to_owned);
        let mut pieces: Vec<String> = letters.clone().into();
        for _ in 0..60 {
            let piece: String = (0..2 + rng.below(3)).map(|_| letters[rng.below(4)].as_str()).collect();
            if !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        let mut ranks: Vec<usize> = (0..pieces.len()).collect();
        (1..ranks.len()).for_each(|i| ranks.swap(i, rng.below(i + 1)));
        let mut file = model("llama");
        sentencepiece(&mut file);
        let scores = ranks.iter().map(|&rank| -(rank as f32)).collect();
        file.set("tokenizer.ggml.scores", Item::F32s(scores)).remove("tokenizer.ggml.token_type");
        file.set("tokenizer.ggml.tokens", Item::Texts(pieces.clone()));
        file.set("tokenizer.ggml.add_space_prefix", Item::Flag(0)).set("tokenizer.ggml.add_bos_token", Item::Flag(0));
        let tokenizer = open(&file).unwrap().tokenizer.unwrap();
        for _ in 0..50 {
            let text: String = (0..1 + rng.below(20)).map(|_| letters[rng.below(4)].as_str()).collect();
            let score = |piece: &str| Some(-(ranks[pieces.iter().position(|other| other == piece)?] as f64));
            let expected = sentencepiece_by_score(&text, score);
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            assert_eq!(
                tokenizer.encode(&text.replace('▁', " ")).unwrap(),
                ids(&tokenizer, &expected),
                "{text} {pieces:?}"
            );
        }
    }
}

#[test]
fn a_chat_ends_with_any_of_the_end_tokens() {
    let mut file = model("qwen3");
    file.set(
        "tokenizer.chat_template",
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
    );
    file.set("tokenizer.ggml.eot_token_id", Item::U32(1)).set("tokenizer.ggml.eom_token_id", Item::U32(0));
    file.set("tokenizer.ggml.padding_token_id", Item::U32(u32::MAX));
    let model = open(&file).unwrap();
    assert_eq!(model.generation.end_tokens, [0, 1]);
    assert_eq!(model.chat_template.unwrap().render(&[Message::user("hi")]).unwrap(), "<|start|>hi<|end|>");
    let weights = open(file.remove("tokenizer.ggml.model")).unwrap();
    assert!(weights.tokenizer.is_none() && weights.chat_template.is_none());
}

/// Describes the tokenizer of a `tokenizer.json` as llama.cpp's conversion does.
fn describe(file: &mut GgufFile, json: &Value, pre: &str, vocab_size: usize) {
    let mut tokens: Vec<(String, i32)> = (0..vocab_size).map(|id| (format!("[PAD{id}]"), 5)).collect();
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = (text.clone(), 1);
    }
    for added in json["added_tokens"].as_array().unwrap() {
        let kind = if added["special"] == true { 3 } else { 4 };
        tokens[added["id"].as_u64().unwrap() as usize] = (added["content"].as_str().unwrap().to_owned(), kind);
    }
    let merge = |merge: &Value| match merge.as_str() {
        Some(text) => text.to_owned(),
        None => format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()),
    };
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    let (texts, types) = tokens.into_iter().unzip();
    file.set("tokenizer.ggml.pre", pre).set("tokenizer.ggml.tokens", Item::Texts(texts));
    file.set("tokenizer.ggml.token_type", Item::I32s(types)).set("tokenizer.ggml.merges", Item::Texts(merges));
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn published_tokenizers_survive_the_conversion() {
    for (name, pre, vocab_size) in [
        ("qwen2.5-instruct", "qwen2", 151_936),
        ("deepseek-r1-distill-qwen-1.5b", "deepseek-r1-qwen", 151_936),
        ("llama3.2-instruct", "llama-bpe", 128_256),
    ] {
        let path = shared(&format!("tokenizers/{name}/tokenizer.json"));
        let published = Tokenizer::from_file(&path).unwrap();
        let mut file = model("llama");
        describe(&mut file, &serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap(), pre, vocab_size);
        let embedding = file.find("token_embd.weight");
        // One number for each token.
        (embedding.dims, embedding.data) = (vec![1, vocab_size as u64], vec![0; 4 * vocab_size]);
        let tokenizer = open(&file).unwrap().tokenizer.unwrap();
        assert_eq!(tokenizer.size(), published.size());
        let vectors = fs::read_to_string(shared(&format!("tokenizer_vectors/ggml-vocab-{pre}.gguf.inp"))).unwrap();
        let texts: Vec<&str> = vectors.split("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), 47);
        let (vocab, other) = (tokenizer.vocab(Vec::new()), published.vocab(Vec::new()));
        for text in texts.into_iter().chain([vectors.as_str(), "½ 12345 don't 1½<|eot_id|><think> \u{301}e\u{301}"]) {
            assert_eq!(tokenizer.encode(text).unwrap(), published.encode(text).unwrap(), "{name}: {text:?}");
        }
        for id in 0..vocab_size as TokenId {
            assert_eq!(vocab.bytes(id), other.bytes(id), "{name}: {id}");
        }
    }
}

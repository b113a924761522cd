//! A run on a real server.
//!
//! ```text
//! llama-server -m MODEL.gguf -np 2 --port 8080
//! STIR_SERVER=http://localhost:8080 STIR_SERVER_MODEL=MODEL.gguf \\
//!     cargo test -p stir-rollout --features remote --test remote_real -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::env;

use stir_core::{ModelShape, TokenId, Vocab};
use stir_model::{Message, ModelError, ModelFiles, Tokenizer};
use stir_rollout::{
    Prompt, RolloutConfig, read_rollouts,
    remote::{RemoteRollouts, RemoteServer, Tokens},
    reward,
};

/// What the files of a model say without its weights.
struct Files {
    shape: ModelShape,
    vocab: Vocab,
    tokenizer: Tokenizer,
}

impl Tokens for Files {
    type Error = ModelError;

    fn shape(&self) -> ModelShape {
        self.shape
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn tokenizer(&self) -> String {
        self.tokenizer.digest().to_owned()
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer.encode(text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        self.tokenizer.encode_prompt(text)
    }
}

#[test]
#[ignore = "needs a server and the model's tokenizer"]
fn a_real_server_gives_rollouts() {
    let named = |name| env::var(name).unwrap_or_else(|_| panic!("set {name}"));
    let (url, path) = (named("STIR_SERVER"), named("STIR_SERVER_MODEL"));
    let model = ModelFiles::open(&path).unwrap();
    let asked = [("short", "What is 2 + 2?", "4"), ("long", "Count from 1 to 40.", "40")];
    let prompt = |(id, question, gold): (&str, &str, &str)| {
        let text = model.chat_template().unwrap().render(&[Message::user(question)]).unwrap();
        Prompt { id: id.into(), prompt: text, gold: Some(gold.into()) }
    };
    let prompts = asked.map(prompt);
    let (shape, vocab) = (model.config.shape(), model.vocab());
    let files = Files { shape, vocab, tokenizer: model.tokenizer.unwrap() };

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("rollouts.jsonl");
    let config = RolloutConfig { samples: 8, max_tokens: 96, ..RolloutConfig::default() };
    let server = RemoteServer { parallel: 2, ..RemoteServer::new(url, &path) };
    let judge = |prompt: &Prompt, text: &str| text.contains(prompt.gold.as_deref().unwrap());
    let summary = RemoteRollouts::new(&files, server, config).unwrap().run(&prompts, &judge, &out).unwrap();
    println!("{}", std::fs::read_to_string(stir_files::Settings::path(&out)).unwrap());
    println!("{summary:#?}");
    assert!(summary.complete && summary.failures.is_empty());

    let (mut ended, mut cut) = (0, 0);
    for rollout in read_rollouts(&out).unwrap().map(Result::unwrap) {
        println!("{} {}: {:?} .. {:?}", rollout.id, rollout.k, rollout.text, rollout.token_ids.last());
        assert_eq!(rollout.text, files.vocab.text(&rollout.token_ids));
        assert_eq!(rollout.reward, reward(rollout.correct, rollout.token_ids.len(), 0.01, 96));
        let is_end = |&token: &TokenId| files.vocab.is_eos(token);
        let position = rollout.token_ids.iter().position(is_end);
        assert!(position.is_none_or(|end| end + 1 == rollout.token_ids.len()), "nothing follows an end token");
        ended += usize::from(position.is_some());
        cut += usize::from(position.is_none());
    }
    println!("{ended} ended by themselves, {cut} at the budget");
    assert_eq!(ended + cut, 16);
}

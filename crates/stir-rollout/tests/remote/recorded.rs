//! What real servers answered, recorded by `record.py`.

use std::{collections::BTreeMap, fs, sync::Arc};

use serde::Deserialize;
use serde_json::Value;
use stir_core::{ModelShape, TokenId, Vocab, toy::ToyError};
use stir_rollout::{
    Prompt, RolloutConfig, read_rollouts,
    remote::{RemoteRollouts, RemoteServer, Tokens},
};

use super::server::{Answer, Server};

#[derive(Deserialize)]
struct Recorded {
    prompt: String,
    prompt_ids: Vec<TokenId>,
    pieces: BTreeMap<TokenId, String>,
    /// The answer of one token, and the whole one.
    llama_cpp: [Value; 2],
    llama_cpp_python: [Value; 2],
}

/// The tokenizer of the recorded model, as far as the recorded answers go.
struct Model {
    recorded: Arc<Recorded>,
    vocab: Vocab,
}

const VOCAB_SIZE: usize = 49152;
const END: TokenId = 2;

impl Model {
    fn new(recorded: Arc<Recorded>) -> Self {
        let piece = |id: TokenId| recorded.pieces.get(&id).filter(|_| id != END).map_or("", String::as_str);
        let pieces: Vec<&[u8]> = (0..VOCAB_SIZE as TokenId).map(|id| piece(id).as_bytes()).collect();
        let vocab = Vocab::new(pieces, [END]).with_special([(END, recorded.pieces[&END].clone())]);
        Self { recorded, vocab }
    }
}

impl Tokens for Model {
    type Error = ToyError;

    fn shape(&self) -> ModelShape {
        ModelShape { n_layers: 30, hidden_size: 576, vocab_size: VOCAB_SIZE, max_context: 8192 }
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn tokenizer(&self) -> String {
        "recorded".into()
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        let (mut rest, mut tokens) = (text, Vec::new());
        while !rest.is_empty() {
            let fitting = self.recorded.pieces.iter().filter(|(_, piece)| rest.starts_with(piece.as_str()));
            let (&id, piece) = fitting.max_by_key(|(_, piece)| piece.len()).unwrap();
            tokens.push(id);
            rest = &rest[piece.len()..];
        }
        Ok(tokens)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        assert_eq!(text, self.recorded.prompt);
        Ok(self.recorded.prompt_ids.clone())
    }
}

#[test]
fn real_answers_are_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/remote/recorded.json");
    let recorded: Arc<Recorded> = Arc::new(serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
    let model = Model::new(recorded.clone());
    for (takes_ids, returned) in [(true, "returned"), (false, "retokenised")] {
        let recorded = recorded.clone();
        let server = Server::start(move |ask| {
            let answers = if takes_ids { &recorded.llama_cpp } else { &recorded.llama_cpp_python };
            if !takes_ids && !ask.body["prompt"].is_string() {
                return Answer::status(500, "", "{\"error\":{\"message\":\"4 validation errors\"}}");
            }
            Answer::json(&answers[usize::from(!ask.is_probe())])
        });
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("rollouts.jsonl");
        let prompt = Prompt { id: "sum".into(), prompt: model.recorded.prompt.clone(), gold: Some("4".into()) };
        let config = RolloutConfig { samples: 1, max_tokens: 96, ..RolloutConfig::default() };
        let run = RemoteRollouts::new(&model, RemoteServer::new(server.url(), "smollm2"), config).unwrap();
        let summary = run.run(&[prompt], &|_, text| text.ends_with("4."), &out).unwrap();
        assert!(summary.complete && summary.failures.is_empty(), "{summary:?}");
        let rollout = read_rollouts(&out).unwrap().next().unwrap().unwrap();
        assert_eq!(rollout.text, "The answer is 4.");
        assert_eq!(rollout.token_ids, [504, 2988, 314, 216, 36, 30, END]);
        assert!(rollout.correct && (rollout.reward - (1.0 - 0.01 * 7.0 / 96.0)).abs() < 1e-12);
        let settings: Value = serde_json::from_slice(&fs::read(stir_files::Settings::path(&out)).unwrap()).unwrap();
        assert_eq!(settings["server"]["token_ids"], returned);
    }
}

//! Files of hidden states, written by the toy engine.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use half::{bf16, f16};
use safetensors::{Dtype, serialize, tensor::TensorView};
use stir_core::{Engine, HookPoint, Row, Sampling, Text, TokenId, toy::ToyEngine};
use stir_rollout::{
    Fork, ForkConfig, Forks, Prompt, Rollout, RolloutConfig, Rollouts, fork_tree, read_forks, read_groups,
};

/// The ids of all layers of the toy engine: the embedding, and after each of three layers.
pub const ALL: [usize; 4] = [0, 1, 2, 3];

pub type Groups = Vec<Vec<Rollout>>;

pub fn engine() -> ToyEngine {
    ToyEngine::new(1).starting_with(2)
}

/// Rollouts of five prompts and forks of those, and a problem without forks whose answers turn back.
pub static SAMPLED: LazyLock<(Groups, Vec<Vec<Fork>>)> = LazyLock::new(|| {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let (rollouts, forks) = (folder.path().join("r.jsonl"), folder.path().join("f.jsonl"));
    let prompt = |c: char| Prompt { id: c.to_string(), prompt: format!("q{c}"), gold: Some("x".into()) };
    let prompts: Vec<Prompt> = ('a'..='e').map(prompt).collect();
    let judge = |_: &Prompt, text: &str| text.len().is_multiple_of(2);
    let sampling = Sampling { temperature: 4.0, ..Sampling::GREEDY };
    let config = RolloutConfig { samples: 8, max_tokens: 60, sampling, ..RolloutConfig::default() };
    Rollouts::new(&engine, config).unwrap().run(&prompts, &judge, &rollouts).unwrap();
    let mut groups: Groups = read_groups(&rollouts).unwrap().map(Result::unwrap).collect();
    let config = ForkConfig { max_tokens: 60, sampling, ..ForkConfig::default() };
    Forks::new(&engine, config).unwrap().run(&groups, &judge, &forks).unwrap();
    groups.push(vec![written(0, "ab\n\nwaitc\n\nde\n\nf", true), written(1, "gh\n\ni\n\nwaitj\n\nk", false)]);
    (groups, read_forks(&forks).unwrap().map(Result::unwrap).collect())
});

fn written(k: usize, text: &str, correct: bool) -> Rollout {
    let token_ids = engine().encode(text).unwrap();
    let (id, prompt, text, reward) = ("z".into(), "qz".into(), text.into(), f64::from(u8::from(correct)));
    Rollout { id, k, prompt, gold: None, text, token_ids, correct, reward }
}

/// Returns the tokens of all rollouts and continuations, each after its prompt.
pub fn sequences() -> Vec<Vec<TokenId>> {
    let mut sequences = BTreeSet::new();
    for (group, forks) in SAMPLED.0.iter().zip(SAMPLED.1.iter().chain([&Vec::new()])) {
        let prompt = engine().encode_prompt(&group[0].prompt).unwrap();
        sequences.extend(group.iter().map(|rollout| [&prompt[..], &rollout.token_ids].concat()));
        let tree = fork_tree(group, forks, |rollout| Some(rollout.token_ids.clone())).unwrap();
        for node in tree.values() {
            let answers = node.continuations.iter().map(|continuation| node.answer(continuation));
            sequences.extend(answers.map(|answer| [&prompt[..], &answer].concat()));
        }
    }
    sequences.into_iter().collect()
}

/// Writes one file for each sequence: what vLLM's connector writes for a request with that prompt, at the layers `ids`.
///
/// There, id `k` is taken before layer `k` is run, and the last one after all.
pub fn write_all(dir: &Path, sequences: &[Vec<TokenId>], ids: &[usize], dtype: Dtype) {
    let engine = engine();
    let points: Vec<HookPoint> =
        ids.iter().map(|&id| if id < 3 { HookPoint::ResidPre(id) } else { HookPoint::ResidPost(2) }).collect();
    for (number, tokens) in sequences.iter().enumerate() {
        let (mut session, mut states) = (engine.session(), Vec::new());
        for token in tokens {
            let tokens = std::slice::from_ref(token);
            let row = Row { session: &mut session, tokens, additions: vec![], capture: &points, logits: false };
            let captures = engine.forward(&mut [row]).unwrap().remove(0).captures;
            states.extend(captures.into_iter().flatten().flat_map(|x| bytes(x, dtype)));
        }
        let ids_of_tokens: Vec<u8> = tokens.iter().flat_map(|&token| i64::from(token).to_le_bytes()).collect();
        let shape = vec![tokens.len(), ids.len(), engine.shape().hidden_size];
        let tensors = [
            ("hidden_states", TensorView::new(dtype, shape, &states).unwrap()),
            ("token_ids", TensorView::new(Dtype::I64, vec![tokens.len()], &ids_of_tokens).unwrap()),
        ];
        fs::write(dir.join(format!("{number}.safetensors")), serialize(tensors, None).unwrap()).unwrap();
    }
}

fn bytes(x: f32, dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
        _ => x.to_le_bytes().to_vec(),
    }
}

//! Mining from files of hidden states, against mining on the engine that wrote them. The files are laid out like those of
//! vLLM's `ExampleHiddenStatesConnector`.

use std::fs;

use half::{bf16, f16};
use safetensors::Dtype;
use stir_core::{Engine, HookPoint, LayerSpec, Row, Session, Text, TokenId, prefill, toy::ToyEngine};
use stir_induction::{
    Contrast, Induction, InductionConfig, InductionError, StatesError, StoredStates, capture, induce,
};
use stir_rollout::Rollout;

use crate::stored::{ALL, Groups, SAMPLED, engine, sequences, write_all};

fn config() -> InductionConfig {
    let layers = vec![LayerSpec::Index(0), LayerSpec::Index(-1)];
    InductionConfig { layers, max_batch: 3, keep: 1000, ..InductionConfig::default() }
}

fn open(dir: &tempfile::TempDir, ids: &[usize]) -> StoredStates<ToyEngine> {
    StoredStates::open(dir, ids, engine(), engine().fingerprint().clone()).unwrap()
}

fn groups(groups: &Groups) -> impl Iterator<Item = Result<Vec<Rollout>, stir_rollout::RolloutError>> {
    groups.iter().cloned().map(Ok)
}

/// A folder with the states of all rollouts and forks, whole, at all layers.
fn whole() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), &sequences(), &ALL, Dtype::F32);
    dir
}

#[test]
fn pairs_are_those_of_the_engine_to_the_bit() {
    let (engine, dir) = (engine(), whole());
    let states = open(&dir, &ALL);
    assert!(states.files() > 50 && states.computation() == "F32" && states.layer_ids() == ALL);
    for config in [
        config(),
        InductionConfig { layers: vec![LayerSpec::Index(1)], max_batch: 1, keep: 5, ..config() },
        InductionConfig { contrast: Contrast::RandomSplit { seed: 3 }, ..config() },
        InductionConfig { center: true, deconfound: true, shrink: true, ..config() },
        InductionConfig { contrast: Contrast::Length { max_kl: None }, ..config() },
        InductionConfig { contrast: Contrast::Thoughts { max_kl: None, stable: None }, ..config() },
        InductionConfig { layers: config().layers, ..InductionConfig::sound() },
    ] {
        assert!(!config.contrast.needs_logits());
        let forks = || SAMPLED.1.iter().cloned().map(Ok);
        let of_engine =
            Induction::new(&engine, config.clone()).unwrap().forks(forks()).run(groups(&SAMPLED.0)).unwrap();
        let of_files = Induction::new(&states, config.clone()).unwrap().forks(forks()).run(groups(&SAMPLED.0)).unwrap();
        assert!(!of_engine.0.pairs.is_empty(), "{config:?}");
        assert_eq!(of_files, of_engine, "{config:?}");
    }
    let of_files = capture(&states, groups(&SAMPLED.0), None, &config()).unwrap();
    assert_eq!(of_files, capture(&engine, groups(&SAMPLED.0), None, &config()).unwrap());
}

#[test]
fn an_id_is_the_number_of_layers_run() {
    let (engine, dir) = (engine(), whole());
    let states = open(&dir, &ALL);
    let tokens = &sequences()[0][..5];
    let last = |engine: &dyn Fn(&[HookPoint]) -> Vec<Vec<f32>>, point| engine(&[point]).remove(0);
    let computed = |points: &[HookPoint]| read(&engine, tokens, points).unwrap();
    let stored = |points: &[HookPoint]| read(&states, tokens, points).unwrap();
    for layer in 0..3 {
        for point in [HookPoint::ResidPre(layer), HookPoint::ResidPost(layer)] {
            assert_eq!(last(&stored, point), last(&computed, point), "{point}");
        }
    }
    // Files of some layers: those that were asked for, in the order in which they are run.
    let some = tempfile::tempdir().unwrap();
    write_all(some.path(), &sequences(), &[1, 3], Dtype::F32);
    let states = open(&some, &[1, 3]);
    let (mined, _) = induce(&states, groups(&SAMPLED.0), config()).unwrap();
    assert_eq!(mined, induce(&engine, groups(&SAMPLED.0), config()).unwrap().0);
    let missing = read(&states, tokens, &[HookPoint::ResidPost(1)]).unwrap_err();
    assert_eq!(missing.to_string(), "blocks.1.hook_resid_post has the layer id 2, and the files hold [1, 3]");
    // Ids that are not those of the server give other vectors: nothing in a file tells.
    let (shifted, first) = (open(&some, &[0, 1]), InductionConfig { layers: vec![LayerSpec::Index(0)], ..config() });
    let [right, wrong] = [&states, &shifted].map(|states| induce(states, groups(&SAMPLED.0), first.clone()).unwrap().0);
    assert_eq!(right.pairs.len(), wrong.pairs.len());
    assert!(right.pairs.iter().zip(&wrong.pairs).all(|(right, wrong)| right.mu_plus != wrong.mu_plus));
}

/// Returns the states at the last of `tokens`.
fn read<E: Engine>(engine: &E, tokens: &[TokenId], capture: &[HookPoint]) -> Result<Vec<Vec<f32>>, E::Error> {
    let mut session = prefill(engine, tokens)?;
    let tokens = &tokens[tokens.len() - 1..];
    let row = Row { session: &mut session, tokens, additions: vec![], capture, logits: false };
    Ok(engine.forward(&mut [row])?.remove(0).captures)
}

#[test]
fn half_precision_is_rounded_and_nothing_else() {
    for (dtype, name, round) in [
        (Dtype::BF16, "BF16", (|x| bf16::from_f32(x).to_f32()) as fn(f32) -> f32),
        (Dtype::F16, "F16", |x| f16::from_f32(x).to_f32()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), &sequences()[..3], &ALL, dtype);
        let states = open(&dir, &ALL);
        assert_eq!(states.computation(), name);
        for tokens in &sequences()[..3] {
            let computed = read(&engine(), tokens, &[HookPoint::ResidPost(2)]).unwrap().remove(0);
            let rounded: Vec<f32> = computed.iter().copied().map(round).collect();
            assert_ne!(rounded, computed);
            assert_eq!(read(&states, tokens, &[HookPoint::ResidPost(2)]).unwrap(), [rounded]);
        }
    }
}

#[test]
fn a_text_without_a_file_is_named() {
    let (dir, one) = (tempfile::tempdir().unwrap(), engine().encode("abcdef\n\n").unwrap());
    write_all(dir.path(), std::slice::from_ref(&one), &ALL, Dtype::F32);
    let states = open(&dir, &ALL);
    let read = |text: &str| read(&states, &engine().encode(text).unwrap(), &[HookPoint::ResidPost(0)]);
    let message = |text| read(text).unwrap_err().to_string();
    // A beginning is enough: nothing later is seen.
    assert_eq!(read("abc").unwrap().len(), 1);
    let [c, x] = ["c", "x"].map(|text| engine().encode(text).unwrap()[0]);
    let other = message("abx");
    assert!(other.contains("begins with the 3 tokens that end with \"abx\""), "{other}");
    assert!(other.ends_with(&format!("0.safetensors agrees for 2 and then has token {c}, not {x}")), "{other}");
    // The last token that a server sampled is in no file of the same request: it was never read.
    let longer = message("abcdef\n\nx");
    assert!(longer.ends_with(&format!("0.safetensors agrees for 7 and ends there, before token {x}")), "{longer}");
    let mined = induce(&states, groups(&SAMPLED.0), config()).unwrap_err();
    assert!(matches!(mined, InductionError::Engine(StatesError::NoStates { .. })), "{mined}");
}

#[test]
fn what_needs_a_model_is_refused() {
    let dir = whole();
    let states = open(&dir, &ALL);
    for contrast in [
        Contrast::Length { max_kl: Some(0.1) },
        Contrast::Thoughts { max_kl: Some(0.1), stable: None },
        Contrast::Thoughts { max_kl: None, stable: Some(0.5) },
    ] {
        assert!(contrast.needs_logits());
        let error = induce(&states, groups(&SAMPLED.0), InductionConfig { contrast, ..config() }).unwrap_err();
        let source = format!("{:?}", error);
        assert!(source.contains("logits are wanted"), "{source}");
    }
    let mut session = states.session();
    let tokens = vec![0; 97];
    let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &[], logits: false };
    let error = states.forward(&mut [row]).unwrap_err();
    assert!(error.to_string().ends_with("more tokens than the context holds"), "{error}");
    assert!(session.is_empty());
    let mut fork = prefill(&states, &[1, 2, 3]).unwrap().fork();
    fork.rewind(1);
    assert_eq!(fork.len(), 1);
}

#[test]
fn ids_must_rise_and_be_of_the_model() {
    let dir = whole();
    for ids in [&[][..], &[2, 1], &[1, 1], &[4]] {
        let error = StoredStates::open(&dir, ids, engine(), engine().fingerprint().clone()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("the ids of layers are {ids:?}")), "{error}");
        assert!(error.to_string().contains("at most 3"), "{error}");
    }
}

#[test]
fn every_fault_of_a_file_is_named() {
    let fault = |change: &dyn Fn(&mut Vec<u8>), words: &[&str]| {
        let (dir, tokens) = (tempfile::tempdir().unwrap(), engine().encode("abc\n\n").unwrap());
        write_all(dir.path(), &[tokens], &ALL, Dtype::F32);
        let path = dir.path().join("0.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let opened = StoredStates::open(&dir, ALL, engine(), engine().fingerprint().clone());
        let tokens = engine().encode("ab").unwrap();
        let error = opened.and_then(|states| read(&states, &tokens, &[HookPoint::ResidPost(1)])).unwrap_err();
        for word in words.iter().chain(&["0.safetensors"]) {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    };
    // As long as before, so that all offsets stay.
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            assert_eq!(from.len(), to.len());
            let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
    };
    fault(&|bytes| bytes.truncate(7), &["the file has 7 bytes", ">= 8"]);
    fault(&|bytes| bytes[..8].fill(0xff), &["its length is 18446744073709551615, must be <= "]);
    fault(&|bytes| bytes[8] = b'[', &["header is not one of safetensors"]);
    fault(&|bytes| bytes.truncate(bytes.len() - 3), &["bytes, its header says", "still being written"]);
    fault(&|bytes| bytes.push(0), &["bytes, its header says"]);
    fault(&replace("hidden_states", "hidden_stated"), &["no tensor hidden_states"]);
    fault(&replace("token_ids", "token_idx"), &["no tensor token_ids"]);
    fault(&replace("\"I64\"", "\"F64\""), &["token_ids is F64, must be I64"]);
    fault(&replace("\"F32\"", "\"I32\""), &["hidden_states is I32, must be F32, F16 or BF16"]);
    fault(&replace("[4,4,10]", "[4,10,4]"), &["hidden_states has the shape [4, 10, 4], must be [4, 4, 10]"]);
    fault(&replace("[4,4,10]", "[2,8,10]"), &["hidden_states has the shape [2, 8, 10], must be [4, 4, 10]"]);
    fault(&replace("[4,4,10]", "[4,4,11]"), &["header is not one of safetensors"]);
    // The tensors are in the order of their alignment: tokens, then states.
    let data = |bytes: &[u8]| 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let set_token = |id: i64| {
        move |bytes: &mut Vec<u8>| {
            let place = data(bytes) + 8;
            bytes[place..place + 8].copy_from_slice(&id.to_le_bytes());
        }
    };
    fault(&set_token(-1), &["token_ids[1] is -1, must be >= 0 and < 41"]);
    fault(&set_token(41), &["token_ids[1] is 41, must be >= 0 and < 41"]);
    fault(&set_token(1 << 40), &["token_ids[1] is 1099511627776"]);
    let not_finite = |bytes: &mut Vec<u8>| {
        // Token 1, id 2, number 3.
        let place = data(bytes) + 4 * 8 + ((4 + 2) * 10 + 3) * 4;
        bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    fault(&not_finite, &["hidden_states of token 1 at layer id 2 has NaN at 3, must be finite"]);
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("0.safetensors.lock"), "").unwrap();
    let open = |dir| StoredStates::open(dir, ALL, engine(), engine().fingerprint().clone()).unwrap_err();
    assert!(open(empty.path()).to_string().ends_with("has no file whose name ends in .safetensors"));
    assert!(open(&empty.path().join("none")).to_string().starts_with("cannot read"));
}

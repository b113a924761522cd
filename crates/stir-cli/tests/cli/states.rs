//! Mining from files of hidden states, laid out like those of vLLM's `ExampleHiddenStatesConnector`.

use std::{fs, path::Path};

use safetensors::{Dtype, serialize, tensor::TensorView};
use stir::{
    basis::MinedPairs,
    core::{Engine, HookPoint, Row, Text},
    model::{DeviceSpec, Lm},
    rollout::read_groups,
};

use crate::{Folder, reference, refuse, run, succeed};

/// Writes the states of all rollouts: the embedding, and after three layers, which are the ids 0 and 3.
fn write(rollouts: &str, dir: &Path) {
    let lm = Lm::load(reference("model"), &DeviceSpec::CPU.open().unwrap()).unwrap();
    let points = [HookPoint::ResidPre(0), HookPoint::ResidPre(3)];
    fs::create_dir(dir).unwrap();
    for (number, rollout) in read_groups(rollouts).unwrap().flat_map(Result::unwrap).enumerate() {
        let tokens = [lm.encode_prompt(&rollout.prompt).unwrap(), rollout.token_ids].concat();
        let (mut session, mut states) = (lm.session(), Vec::new());
        for token in &tokens {
            let tokens = std::slice::from_ref(token);
            let row = Row { session: &mut session, tokens, additions: vec![], capture: &points, logits: false };
            let captures = lm.forward(&mut [row]).unwrap().remove(0).captures;
            states.extend(captures.into_iter().flatten().flat_map(f32::to_le_bytes));
        }
        let ids: Vec<u8> = tokens.iter().flat_map(|&token| i64::from(token).to_le_bytes()).collect();
        let shape = vec![tokens.len(), points.len(), lm.shape().hidden_size];
        let tensors = [
            ("hidden_states", TensorView::new(Dtype::F32, shape, &states).unwrap()),
            ("token_ids", TensorView::new(Dtype::I64, vec![tokens.len()], &ids).unwrap()),
        ];
        fs::write(dir.join(format!("cmpl-{number}.safetensors")), serialize(tensors, None).unwrap()).unwrap();
    }
}

#[test]
fn states_of_files_give_the_pairs_of_the_model() {
    let folder = Folder::new();
    let lines = fs::read_to_string(reference("rollouts.jsonl")).unwrap();
    let lines: Vec<&str> =
        lines.lines().filter(|line| line.contains("\"p1001-3\"") || line.contains("\"p1001-4\"")).collect();
    let rollouts = folder.write("r.jsonl", lines.join("\n"));
    let dir = folder.path("states");
    write(&rollouts, Path::new(&dir));
    let (of_model, of_files) = (folder.path("m.stir"), folder.path("f.stir"));
    let told = succeed("induce", &format!("--model {} --rollouts {rollouts} --out {of_model}", reference("model")));
    // This model cannot be loaded, and need not be.
    let flags = format!("--model {} --rollouts {rollouts} --out {of_files}", folder.unloadable());
    let states = format!("--states {dir} --state-layers 0,3");
    assert_eq!(succeed("induce", &format!("{flags} {states}")), told);
    let [of_model, of_files] = [of_model, of_files].map(|path| MinedPairs::load(path).unwrap());
    assert!(!of_model.pairs.is_empty() && of_model.pairs.len() == of_files.pairs.len());
    for (a, b) in of_model.pairs.iter().zip(&of_files.pairs) {
        assert_eq!((&a.problem, a.m, a.layer, a.quality), (&b.problem, b.m, b.layer, b.quality));
        // Passes of other lengths round in another way.
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * a.abs().max(1.0));
        assert!(near(&a.mu_plus, &b.mu_plus) && near(&a.mu_minus, &b.mu_minus), "{} {}", a.problem, a.m);
    }
    assert_eq!(of_files.provenance["states"], r#"{"layer_ids":[0,3],"types":"F32"}"#);

    assert_eq!(run("induce", &format!("{flags} --states {dir}")).status.code(), Some(2));
    let bounded = format!("{flags} {states} --contrast length --max-kl 0.1");
    refuse("induce", &bounded, &["--max-kl", "--states"]);
    refuse("induce", &format!("{flags} --states {dir} --state-layers 3,0"), &["[3, 0]", "must rise"]);
    refuse("induce", &format!("{flags} {states} --layers 4"), &["layer id 5", "[0, 3]"]);
    // Some samples of a problem are the same text: the states of all go.
    (0..8).for_each(|number| fs::remove_file(folder.path(&format!("states/cmpl-{number}.safetensors"))).unwrap());
    refuse("induce", &format!("{flags} {states} --heads"), &["no file of", "agrees for"]);
}

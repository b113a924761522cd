//! Diagnoses: what is written, what is printed, and whose rollouts are refused.

use std::fs;

use serde_json::json;
use stir::{
    basis::MinedPairs,
    core::Fingerprint,
    diagnosis::{Diagnosis, DiagnosisConfig, LayerMeasures, Outlook, States, Topic, Weight},
    model::fingerprint_of,
};

use crate::{Folder, records, reference, refuse, succeed};

#[test]
fn a_diagnosis_is_measured_written_and_told() {
    let folder = Folder::new();
    let (candidates, _, _) = folder.stages(1);
    let (model, rollouts, out) = (reference("model"), reference("rollouts.jsonl"), folder.path("d"));
    let flags = format!("--model {model} --rollouts {rollouts} --pairs {candidates}");
    let told = succeed("diagnose", &format!("{flags} --out {out}"));
    let json = fs::read_to_string(folder.path("d/diagnosis.json")).unwrap();
    let diagnosis: Diagnosis = serde_json::from_str(&json).unwrap();
    assert_eq!(told, format!("{}\n", diagnosis.verdict));

    let lines = records(&rollouts);
    let found = diagnosis.rollouts.unwrap();
    assert_eq!((found.problems, found.samples), (lines.len() / 8, lines.len()));
    assert_eq!(found.right, lines.iter().filter(|line| line["correct"] == true).count());

    // The layer is measured from the very states that are written.
    let [layer] = &diagnosis.layers[..] else { panic!("one layer, not {}", diagnosis.layers.len()) };
    let states = States::load(folder.path("d/states-layer2.safetensors")).unwrap();
    let measured = LayerMeasures::new(2, &states, &DiagnosisConfig::default()).unwrap();
    assert_eq!(*layer, LayerMeasures { pairs: layer.pairs.clone(), ..measured });
    assert_eq!((states.hidden_size(), layer.problems), (128, found.mixed));
    let mined = MinedPairs::load(&candidates).unwrap().pairs;
    assert_eq!(layer.pairs.as_ref().unwrap().pairs, mined.len());

    // This model was trained to be steerable, and it is: the verdict must not say otherwise.
    assert_eq!(diagnosis.verdict.outlook, Outlook::WithCare);
    for topic in [Topic::MixedShare, Topic::Reliability, Topic::Pooling, Topic::Signal] {
        let weights = diagnosis.verdict.reasons.iter().filter(|reason| reason.topic == topic).map(|r| r.weight);
        assert_eq!(weights.collect::<Vec<_>>(), [Weight::For], "{topic:?}");
    }

    let page = fs::read_to_string(folder.path("d/diagnosis.html")).unwrap();
    assert!(page.contains("<h1>Diagnosis of model</h1>") && page.contains(&diagnosis.verdict.outlook.to_string()));
    for reason in &diagnosis.verdict.reasons {
        assert!(page.contains(&reason.to_string()), "no {reason}");
    }

    // Layers by depth from the end, and without pairs.
    let several = format!("--model {model} --rollouts {rollouts} --out {out} --layers 1,-1");
    let several = succeed("diagnose", &several);
    for layer in ["layer 1", "layer 4"] {
        assert!(several.contains(layer), "{several}");
    }
}

#[test]
fn rollouts_of_other_weights_are_refused() {
    let folder = Folder::new();
    let (model, out) = (reference("model"), folder.path("d"));
    let rollouts = folder.write("r.jsonl", fs::read(reference("rollouts.jsonl")).unwrap());
    let own = fingerprint_of(&model).unwrap();
    let sampled_by = |model: Fingerprint| folder.write("r.jsonl.settings.json", json!({ "model": model }).to_string());
    let flags = format!("--model {model} --rollouts {rollouts} --out {out}");
    sampled_by(Fingerprint { tokenizer: "another".into(), ..own.clone() });
    refuse("diagnose", &flags, &["the rollouts were made for another model", "tokenizer is"]);
    sampled_by(Fingerprint { weights: "Q4_K:1".into(), ..own.clone() });
    refuse("diagnose", &flags, &["Q4_K there", "allow_requantised"]);
    succeed("diagnose", &format!("{flags} --allow-requantised"));
    sampled_by(own);
    succeed("diagnose", &flags);
}

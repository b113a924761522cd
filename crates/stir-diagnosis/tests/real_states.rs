//! The numbers of a real model's states, next to those that scikit-learn 1.9 and numpy find by the same definitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::PathBuf};

use stir_core::Delimiter;
use stir_diagnosis::{
    Diagnosis, DiagnosisConfig, LayerMeasures, Outlook, Quantiles, Retrieval, RolloutMeasures, States, Topic, Weight,
};
use stir_rollout::read_groups;

const NEEDS: &str = "needs the folder of shared data in STIR_SHARED_DATA, and that of fixtures beside it";

fn shared(name: &str) -> PathBuf {
    let folder = std::env::var_os("STIR_SHARED_DATA").expect(NEEDS);
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "{} is not there: {NEEDS}", path.display());
    path
}

fn states() -> States {
    States::load(shared("../fixtures/real/states-layer14.safetensors")).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA, and that of fixtures beside it"]
fn the_states_of_a_real_model_give_the_numbers_of_the_reference() {
    let found = LayerMeasures::new(14, &states(), &DiagnosisConfig::default()).unwrap();
    assert_eq!((found.rows, found.problems), (1427, 34));
    close(found.right_share, 0.36229852838121934, 1e-12);
    close(found.mean_norm, 21.53606647049543, 1e-9);

    // Another solver of the same problems: scikit-learn's stops earlier.
    let probe = found.probe.unwrap();
    close(probe.across.unwrap(), 0.6730673581737412, 1e-3);
    close(probe.within.unwrap().value, 0.6571113561190739, 1e-3);
    close(found.remaining_r2.unwrap(), 0.7951147048990066, 1e-4);
    close(found.shortness_within.unwrap().value, 0.6527012127894156, 1e-12);

    // Splits are random: six of each contrast gave 0.145 and 0.001, a hundred give 0.132 and 0.000.
    let reliability = found.reliability.unwrap();
    close(reliability.split_half.value, 0.145, 0.02);
    close(reliability.split_half.value, 0.13155, 0.01);
    close(reliability.null, 0.001, 0.02);
    assert_eq!((reliability.contrasts, reliability.samples), (106, 8.0));

    let points = [(34, 0.030, 5.37), (34, 0.053, 8.25), (34, 0.084, 9.84), (31, 0.082, 9.42)];
    for (point, (deltas, between, norm)) in found.points.iter().zip(points) {
        assert_eq!(point.mixed, deltas);
        close(point.between.unwrap().value, between, 5e-4);
        close(point.delta_norm.unwrap(), norm, 5e-3);
    }
    let retrieval = |found: Retrieval, across, within, quantiles: [f64; 3]| {
        close(found.ordering.across.unwrap(), across, 1e-4);
        close(found.ordering.within.unwrap().value, within, 1e-4);
        let Quantiles { low, median, high } = found.similarity.unwrap();
        [low, median, high].into_iter().zip(quantiles).for_each(|(found, expected)| close(found, expected, 1e-4));
    };
    retrieval(found.retrieval, 0.6043892, 0.5694597, [0.60769498, 0.82877924, 0.95657009]);
    retrieval(found.retrieval_centred, 0.6047930, 0.5843439, [-0.48440113, -0.02431277, 0.60576124]);

    let verdict = Diagnosis::new(None, vec![found]).verdict;
    assert_eq!(verdict.outlook, Outlook::NotAsMined);
    let against: Vec<_> = verdict.reasons.iter().filter(|r| r.weight == Weight::Against).map(|r| r.topic).collect();
    assert_eq!(against, [Topic::Reliability], "{verdict}");
}

/// The text beside the states is what the reference printed; a change of it must not go unseen.
#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA, and that of fixtures beside it"]
fn the_reference_printed_these_numbers() {
    let printed = fs::read_to_string(shared("../fixtures/real/states-layer14.expected.txt")).unwrap();
    for line in [
        "states 1427, problems 34, right 0.362, mean norm 21.54",
        "probe for right: AUC 0.673, within problem and m 0.657; shortness alone within 0.653",
        "R2 of log remaining tokens 0.795",
        "split-half cosine of deltas 0.145 (627 splits), with labels at random 0.001",
        "m 4: deltas 31, mean cosine between problems 0.082, mean norm 9.42",
        "retrieval raw: AUC 0.604, within 0.569; similarities 5 % 0.61, 50 % 0.83, 95 % 0.96",
        "retrieval centred per m: AUC 0.605, within 0.584; similarities 5 % -0.48, 50 % -0.02, 95 % 0.61",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}");
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA, and that of fixtures beside it"]
fn states_are_written_as_they_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("states.safetensors");
    states().save(&path).unwrap();
    let original = shared("../fixtures/real/states-layer14.safetensors");
    assert!(fs::read(path).unwrap() == fs::read(original).unwrap(), "the bytes differ");
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA, and that of fixtures beside it"]
fn right_rollouts_of_a_real_model_are_shorter() {
    let path = shared("real_rollouts/qwen2.5-coder-0.5b.gsm8k.64x8.jsonl");
    let groups: Vec<_> = read_groups(path).unwrap().collect::<Result<_, _>>().unwrap();
    let found = RolloutMeasures::new(groups.iter().map(Vec::as_slice), &Delimiter::default());
    assert_eq!((found.problems, found.mixed, found.samples), (64, 34, 512));
    close(found.tokens_difference.unwrap().value, -34.99936974789915, 1e-9);
    close(found.segments_difference.unwrap().value, -1.2250700280112043, 1e-9);
}

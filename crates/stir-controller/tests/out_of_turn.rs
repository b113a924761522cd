//! Answers that nobody asked for, and vectors that nobody can use.

use stir_basis::{Action, Entry, Library};
use stir_controller::{Controller, ControllerConfig, ControllerError, LayerState, Next, ProbeScores};

fn entry(key: &[f32], vector: &[f32]) -> Entry {
    Entry { layer: 1, key: key.into(), action: Action::Steer(vector.to_vec()), ..Entry::default() }
}

#[test]
fn answers_out_of_turn_change_nothing() {
    let library = Library::from_vectors([entry(&[1.0, 0.0], &[0.5, 0.5])]).unwrap();
    let config = ControllerConfig { min_similarity: -1.0, ..ControllerConfig::default() };
    let mut steering = Controller::unchecked(library, config).unwrap().steer(0);
    let scores = |n| ProbeScores { null: 0.0, candidates: vec![1.0; n] };
    let state = || vec![LayerState { layer: 1, values: vec![1.0, 0.0] }];
    let mut seen = Vec::new();
    for _ in 0..40 {
        let wanted = steering.next().clone();
        let before = (steering.steps().to_vec(), wanted.clone());
        let mut wrong = Vec::new();
        if !matches!(wanted, Next::Decode) {
            wrong.push(steering.token(b"x\n\n", false));
        }
        if !matches!(wanted, Next::Reencode { .. }) {
            wrong.push(steering.reencoded());
        }
        if !matches!(wanted, Next::Read { .. }) {
            wrong.push(steering.states(state()));
        }
        if !matches!(wanted, Next::Probe(_)) {
            wrong.push(steering.scores(&scores(1)));
        } else {
            assert!(matches!(steering.scores(&scores(7)), Err(ControllerError::ProbeCount { .. })));
        }
        if !matches!(wanted, Next::Commit(_)) {
            wrong.push(steering.committed());
        }
        assert!(wrong.into_iter().all(|result| matches!(result, Err(ControllerError::OutOfTurn { .. }))));
        assert_eq!((steering.steps().to_vec(), steering.next().clone()), before);
        seen.push(std::mem::discriminant(&wanted));
        match wanted {
            Next::Decode => steering.token(b"x\n\n", seen.len() > 30),
            Next::Reencode { .. } => steering.reencoded(),
            // No state, one of another layer and one of another size are as good as none.
            Next::Read { .. } if seen.len() > 20 => steering.states(vec![LayerState { layer: 9, values: vec![] }]),
            Next::Read { .. } => steering.states(state()),
            Next::Probe(_) => steering.scores(&scores(1)),
            Next::Commit(_) => steering.committed(),
            Next::Done => Ok(()),
        }
        .unwrap();
    }
    seen.dedup();
    assert!(*steering.next() == Next::Done && seen.len() > 8);
}

#[test]
fn vectors_that_cannot_be_used_are_refused() {
    let nan = f32::NAN;
    let good = || entry(&[1.0, 0.0], &[0.5, 0.5]);
    for (what, entries) in [
        ("none", vec![]),
        ("an empty key", vec![entry(&[], &[])]),
        ("a zero key", vec![entry(&[0.0, 0.0], &[1.0, 1.0])]),
        ("NaN in a key", vec![entry(&[nan, 1.0], &[1.0, 1.0])]),
        ("NaN in a vector", vec![entry(&[1.0, 1.0], &[nan, 1.0])]),
        ("infinity", vec![entry(&[1.0, 1.0], &[f32::INFINITY, 1.0])]),
        ("a short vector", vec![entry(&[1.0, 1.0], &[1.0])]),
        ("a long vector", vec![entry(&[1.0, 1.0], &[1.0; 3])]),
        ("an empty vector", vec![entry(&[1.0, 1.0], &[])]),
        ("another size", vec![good(), entry(&[1.0; 3], &[1.0; 3])]),
        ("the last layer of all", vec![Entry { layer: usize::MAX, ..good() }]),
    ] {
        assert!(Library::from_vectors(entries).is_err(), "{what}");
    }
}

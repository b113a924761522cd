//! What steers one engine steers the other, and no other model.

use std::{path::PathBuf, process::Command};

use candle_engine::CandleEngine;
use stir_basis::Library;
use stir_controller::{Controller, ControllerConfig, ControllerError};
use stir_core::Engine;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn tokens_and_decisions_are_those_of_burn() {
    let output = Command::new(env!("CARGO_BIN_EXE_candle-engine")).output().unwrap();
    let (printed, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{complaint}");
    assert!(printed.contains("12 answers, 8 steered segments"), "{printed}");
}

/// The two models have the same sizes.
#[test]
fn a_library_is_refused_by_another_model() {
    let library = Library::load(path("data/library.stir")).unwrap();
    let engine = CandleEngine::load(&path("../../crates/stir-cli/assets/tiny")).unwrap();
    assert!(library.check(engine.fingerprint(), false).is_ok());
    let other = CandleEngine::load(&path("../../tests/fixtures/reference-run/model")).unwrap();
    assert_eq!(other.shape(), engine.shape());
    let refused = Controller::new(library, other.fingerprint(), ControllerConfig::default());
    assert!(matches!(refused, Err(ControllerError::Library(_))));
}

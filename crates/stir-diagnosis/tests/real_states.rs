//! The numbers of a real model's states, next to those of scikit-learn and numpy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{path::PathBuf, time::Instant};

use stir_diagnosis::{DiagnosisConfig, LayerMeasures, States};

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA, and beside it that of fixtures"]
fn the_reference_is_reproduced() {
    let data = std::env::var_os("STIR_SHARED_DATA").expect("STIR_SHARED_DATA names the folder of shared data");
    let states = States::load(PathBuf::from(data).join("../fixtures/real/states-layer14.safetensors")).unwrap();
    let begun = Instant::now();
    let found = LayerMeasures::new(14, &states, &DiagnosisConfig::default()).unwrap();
    println!("{:?}", begun.elapsed());
    let found = stir_diagnosis::Diagnosis::new(None, vec![found]);
    println!("{}", found.verdict);
}

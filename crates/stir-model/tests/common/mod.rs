//! What the tests share.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::PathBuf;

use stir_model::DeviceSpec;

/// The device under test: `STIR_TEST_DEVICE` names it, the CPU where it is not set.
pub fn device() -> DeviceSpec {
    match std::env::var("STIR_TEST_DEVICE") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => DeviceSpec::FLEX,
    }
}

/// The file or folder `name` of the shared data, if this machine has it; says so when it does not. These are files of
/// real checkpoints, which lie beside the project on some machines and may not be part of it.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let found = path.exists();
    if !found {
        eprintln!("not found, not checked: {}", path.display());
    }
    found.then_some(path)
}

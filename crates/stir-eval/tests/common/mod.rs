//! What the tests share.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

pub mod columns;
pub mod toy;

use std::path::PathBuf;

/// The file or folder `name` of the shared data, if this machine has it; says so when it does not. These are files of
/// other projects, which lie beside this one on some machines and may not be part of it.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let found = path.exists();
    if !found {
        eprintln!("not found, not checked: {}", path.display());
    }
    found.then_some(path)
}

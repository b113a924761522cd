//! Files of real checkpoints, which lie beside the project on some machines and may not be part of it.

use std::path::PathBuf;

/// The file or folder `name` of the shared data, if this machine has it; says so when it does not.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    let found = path.exists();
    if !found {
        eprintln!("not found, not checked: {}", path.display());
    }
    found.then_some(path)
}

//! What the tests share.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod columns;
pub mod toy;

use std::path::PathBuf;

/// Returns the file or folder `name` of the shared data: files of other projects, which may not be part of this one. The
/// environment variable `STIR_SHARED_DATA` names the folder; tests that need it are ignored unless asked for, and fail
/// without it.
pub fn shared(name: &str) -> PathBuf {
    let folder = std::env::var_os("STIR_SHARED_DATA").expect("STIR_SHARED_DATA names the folder of shared data");
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "there is no {}", path.display());
    path
}

//! Helpers that the tests share.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod columns;
pub mod toy;

use std::path::PathBuf;

/// Returns the path of `name` in the folder of shared data: files of other projects that may not be part of this one.
/// Tests that call this are ignored unless they are asked for, and then fail without the data.
pub fn shared(name: &str) -> PathBuf {
    let folder = std::env::var_os("STIR_SHARED_DATA").expect("STIR_SHARED_DATA names the folder of shared data");
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "{} does not exist", path.display());
    path
}

/// Returns the rows of the JSONL file `name` of the [`shared`] data.
pub fn shared_rows(name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(shared(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

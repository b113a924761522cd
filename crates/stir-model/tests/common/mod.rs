//! Helpers that the tests share.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use stir_model::DeviceSpec;
// What `gguf_file` finds in the module above it, here and where the crate's own tests use it.
pub(crate) use stir_model::Format;

pub(crate) mod gguf_file;

/// The device under test: `STIR_TEST_DEVICE` names it, the CPU where it is not set.
pub fn device() -> DeviceSpec {
    match std::env::var("STIR_TEST_DEVICE") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => DeviceSpec::CPU,
    }
}

/// The file or folder `name` of the shared data: files of real checkpoints, which may not be part of the project. The
/// environment variable `STIR_SHARED_DATA` names the folder; tests that need it are ignored unless asked for, and fail
/// without it.
pub fn shared(name: &str) -> PathBuf {
    let folder = std::env::var_os("STIR_SHARED_DATA").expect("STIR_SHARED_DATA names the folder of shared data");
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// Largest memory this process has held, in MiB; where the system tells.
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Returns the pieces that sentencepiece makes of a text without spaces: as long as two neighbours make a piece, the two
/// that make the one with the highest score become one, of several the leftmost.
pub fn sentencepiece_by_score(text: &str, score: impl Fn(&str) -> Option<f64>) -> Vec<String> {
    let mut pieces: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let joined = pieces.windows(2).map(|pair| score(&pair.concat())).enumerate();
        let made = joined.filter_map(|(at, score)| Some((at, score?)));
        let best = made.reduce(|best, other| if other.1 > best.1 { other } else { best });
        let Some((at, _)) = best else { return pieces };
        let right = pieces.remove(at + 1);
        pieces[at].push_str(&right);
    }
}

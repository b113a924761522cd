//! What the examples share.
#![allow(dead_code, reason = "each example uses a part")]

pub(crate) mod word_problems;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar with an estimate of the time left.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} eta {eta} {msg}");
    let bar = ProgressBar::new(total).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

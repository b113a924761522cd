//! Results on the standard output, and what is told beside them on the standard error.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use miette::{IntoDiagnostic, Report, Result, WrapErr};

use crate::progress;

/// The target of the messages that tell of results.
pub(crate) const TARGET: &str = "stir_cli::output";

/// Whether every line of the standard error is a JSON object.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Lets every line of the standard error be a JSON object from now on.
pub(crate) fn tell_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Returns whether every line of the standard error is a JSON object.
pub(crate) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Writes a line of a result to the standard output; takes what `format!` takes.
macro_rules! show {
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Tells something beside the result on the standard error; takes what `format!` takes.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::told(&format!($($text)*)) };
}

pub(crate) use {show, tell};

/// Writes a part of a result to the standard output.
///
/// # Errors
/// When nobody reads it any more, or the disk that it goes to is full.
pub(crate) fn write(text: fmt::Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    written.into_diagnostic().wrap_err("cannot write to the standard output")
}

/// Tells `text` on the standard error.
pub(crate) fn told(text: &str) {
    match is_json() {
        true => tracing::info!(target: TARGET, "{}", text.trim()),
        false => line(text),
    }
}

/// Tells of an error that does not end the program.
pub(crate) fn warn(report: &Report) {
    match is_json() {
        true => tracing::warn!(target: TARGET, help = help(report), "{}", causes(report)),
        false => line(&format!("{report:?}")),
    }
}

/// Tells of the error that ends the program.
pub(crate) fn fail(report: &Report) {
    match is_json() {
        true => tracing::error!(target: TARGET, help = help(report), "{}", causes(report)),
        false => line(&format!("Error: {report:?}")),
    }
}

/// Writes a line to the standard error; where that cannot be, nothing can be told.
fn line(text: &str) {
    let _ = progress::beside_bars(|| writeln!(io::stderr(), "{text}"));
}

/// Returns an error and its causes in one line.
fn causes(report: &Report) -> String {
    report.chain().map(<dyn Error>::to_string).collect::<Vec<_>>().join(": ")
}

fn help(report: &Report) -> Option<String> {
    report.help().map(|help| help.to_string())
}

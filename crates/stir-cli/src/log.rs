//! Messages on the standard error while a command works.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use miette::{IntoDiagnostic, Result};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

use crate::{output, progress};

/// Settings of the messages on the standard error.
#[derive(clap::Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct LogArgs {
    /// Tell more: -v what each stage does, -vv every decision, -vvv everything. RUST_LOG says it in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// The form of messages
    #[arg(long, value_name = "FORMAT", value_enum, global = true, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object in a line, for programs
    Json,
}

impl LogArgs {
    /// Shows the messages of this process from now on.
    pub(crate) fn install(&self) -> Result<()> {
        let filter = filter(self.verbose, std::env::var("RUST_LOG").ok().as_deref())?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(BesideBars);
        let builder = builder.with_ansi(io::stderr().is_terminal());
        let installed = match self.log_format {
            LogFormat::Text => builder.try_init(),
            LogFormat::Json => {
                output::tell_json();
                builder.json().try_init()
            }
        };
        installed.map_err(|error| miette::miette!("messages cannot be shown: {error}"))
    }
}

/// Returns the filter of messages: warnings, progress and results, more of these crates by `verbose`, and that of
/// `detail` (RUST_LOG).
fn filter(verbose: u8, detail: Option<&str>) -> Result<EnvFilter> {
    let own =
        [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE][usize::from(verbose.min(3))];
    let detail = detail.unwrap_or_default();
    // A level without a target counts for these crates too, although a directive that names them would come before it.
    let words = detail.split(',').map(str::trim).filter(|word| !word.is_empty());
    let own = match words.rev().find_map(|word| word.parse::<LevelFilter>().ok()) {
        Some(all) if verbose == 0 => all,
        Some(all) => own.max(all),
        None => own,
    };
    // The target of a directive is the beginning of a module's path: this one means all crates of the workspace.
    // The hub's clients tell of every failed request, with signed addresses; stir-hub tells it without.
    let directives =
        format!("stir={own},{}=info,{}=info,hf_hub=off,xet=off,{detail}", progress::TARGET, output::TARGET);
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    builder.parse(directives.trim_end_matches(',')).into_diagnostic()
}

/// Writes messages to the standard error without breaking the bars there.
struct BesideBars;

/// One message.
#[derive(Default)]
struct Message(Vec<u8>);

impl<'w> MakeWriter<'w> for BesideBars {
    type Writer = Message;

    fn make_writer(&'w self) -> Message {
        Message::default()
    }
}

impl Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        progress::beside_bars(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // A message that cannot be written cannot be reported either.
        let _ = self.flush();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_whatever_else_is_asked_for() {
        for (verbose, detail, words) in [
            (0, None, ["stir=warn", "stir_cli::progress=info"]),
            (0, None, ["hf_hub=off", "xet=off"]),
            (2, None, ["stir=debug", "stir_cli::progress=info"]),
            (0, Some("error"), ["error", "stir_cli::progress=info"]),
            (1, Some("stir_controller=trace"), ["stir_controller=trace", "stir=info"]),
            (0, Some("debug"), ["stir=debug", "stir_cli::progress=info"]),
            (1, Some("hyper=off,trace"), ["hyper=off", "stir=trace"]),
            (2, Some("info"), ["stir=debug", "stir_cli::progress=info"]),
        ] {
            let shown = filter(verbose, detail).unwrap().to_string();
            assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
        }
        assert!(filter(0, Some("stir=loud")).is_err());
    }
}

//! The command line: subcommands, the flags that all of them share, and how errors are shown.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use miette::{IntoDiagnostic, MietteHandlerOpts, Result, WrapErr};
use stir::{
    core::Sampling,
    rollout::{ForkConfig, RolloutConfig},
};

use crate::{
    commands::{
        basis, calibrate, chat, controls, diagnose, evaluate, export, fork, grade, import, induce, inspect, merge,
        pipeline, rollout, serve, steer, train_tiny, validate,
    },
    log::LogArgs,
    output,
    settings::SamplingArgs,
};

/// Steer the residual stream of a frozen language model, so that it reasons better and shorter: measure whether it does.
///
/// A library of steering vectors is made in three stages, from the model's own samples: `rollout`, `induce`, `basis`.
/// `validate` keeps what helps; `steer`, `evaluate`, `chat` and `serve` use it; `calibrate` finds the settings that help,
/// if any do. `pipeline` does all of it on a small model that comes with the program.
#[derive(Parser)]
#[command(name = "stir", version)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    Rollout(rollout::Args),
    Fork(fork::Args),
    Induce(induce::Args),
    Diagnose(diagnose::Args),
    Basis(basis::Args),
    Validate(validate::Args),
    Steer(steer::Args),
    Evaluate(evaluate::Args),
    Calibrate(calibrate::Args),
    Grade(grade::Args),
    Chat(chat::Args),
    Serve(serve::Args),
    #[cfg(feature = "cloud")]
    Cloud(crate::commands::cloud::Args),
    Inspect(inspect::Args),
    Merge(merge::Args),
    Export(export::Args),
    Import(import::Args),
    TrainTiny(train_tiny::Args),
    Pipeline(pipeline::Args),
    Controls(controls::Args),
    /// Print a script that completes the flags of this program in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages of this program into a folder
    Man {
        /// The folder; it is made where there is none
        dir: PathBuf,
    },
}

/// Runs the command line that this process was started with.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs `stir pipeline` with the flags that this process was started with.
pub fn pipeline() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    args.insert(1.min(args.len()), "pipeline".into());
    run(args.into_iter())
}

/// Returns the whole command line, with the defaults that differ between subcommands filled in.
fn command() -> Command {
    let model = "as the model's generation_config.json says";
    // A negative number is a value that is out of bounds, and no flag.
    Cli::command()
        .mut_subcommands(|command| command.allow_negative_numbers(true))
        .mut_subcommand("rollout", |command| SamplingArgs::defaults(command, RolloutConfig::default().sampling))
        .mut_subcommand("fork", |command| SamplingArgs::defaults(command, ForkConfig::default().sampling))
        .mut_subcommand("steer", |command| SamplingArgs::defaults(command, Sampling::GREEDY))
        .mut_subcommand("evaluate", |command| SamplingArgs::defaults(command, Sampling::GREEDY))
        .mut_subcommand("pipeline", |command| pipeline::preset(SamplingArgs::defaults(command, Sampling::GREEDY)))
        .mut_subcommand("validate", |command| SamplingArgs::described(command, "that of the rollouts"))
        .mut_subcommand("chat", |command| SamplingArgs::described(command, model))
}

fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches_from(args)).unwrap_or_else(|error| error.exit());
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            output::fail(&report);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<()> {
    // One line for each cause, however long, so that paths stay whole.
    miette::set_hook(Box::new(|_| Box::new(MietteHandlerOpts::new().wrap_lines(false).build()))).into_diagnostic()?;
    cli.log.install()?;
    match cli.command {
        Commands::Rollout(args) => rollout::run(args),
        Commands::Fork(args) => fork::run(args),
        Commands::Induce(args) => induce::run(args),
        Commands::Diagnose(args) => diagnose::run(args),
        Commands::Basis(args) => basis::run(args),
        Commands::Validate(args) => validate::run(args),
        Commands::Steer(args) => steer::run(args),
        Commands::Evaluate(args) => evaluate::run(args),
        Commands::Calibrate(args) => calibrate::run(args),
        Commands::Grade(args) => grade::run(args),
        Commands::Chat(args) => chat::run(args),
        Commands::Serve(args) => serve::run(args),
        #[cfg(feature = "cloud")]
        Commands::Cloud(args) => crate::commands::cloud::run(args),
        Commands::Inspect(args) => inspect::run(args),
        Commands::Merge(args) => merge::run(args),
        Commands::Export(args) => export::run(args),
        Commands::Import(args) => import::run(args),
        Commands::TrainTiny(args) => train_tiny::run(args),
        Commands::Pipeline(args) => pipeline::run(args),
        Commands::Controls(args) => controls::run(args),
        Commands::Completions { shell } => {
            // To memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "stir", &mut script);
            output::write(format_args!("{}", String::from_utf8_lossy(&script)))
        }
        Commands::Man { dir } => manual(&dir),
    }
}

/// Writes `stir.1` and a page for each subcommand.
fn manual(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).into_diagnostic().wrap_err_with(|| dir.display().to_string())?;
    clap_mangen::generate_to(command(), dir).into_diagnostic().wrap_err_with(|| dir.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_small_model_has_settings_of_its_own() {
        let default = |subcommand: &str, flag: &str| {
            let command = command();
            let found = command.find_subcommand(subcommand).unwrap().get_arguments().find(|arg| arg.get_id() == flag);
            found.unwrap().get_default_values()[0].to_string_lossy().into_owned()
        };
        assert_eq!(
            (default("evaluate", "max_tokens"), default("pipeline", "max_tokens")),
            ("2048".into(), "200".into())
        );
        assert_eq!((default("basis", "budget"), default("pipeline", "budget")), ("256".into(), "64".into()));
        assert_eq!((default("rollout", "temperature"), default("steer", "temperature")), ("0.7".into(), "0".into()));
    }

    #[test]
    fn shells_and_manuals_know_every_subcommand() {
        let folder = tempfile::TempDir::new().unwrap();
        manual(folder.path()).unwrap();
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut command(), "stir", &mut script);
        let script = String::from_utf8(script).unwrap();
        for subcommand in command().get_subcommands() {
            let name = subcommand.get_name();
            assert!(script.contains(name), "{name}");
            assert!(folder.path().join(format!("stir-{name}.1")).exists(), "{name}");
        }
        assert!(folder.path().join("stir.1").exists() && script.contains("--max-control-points"));
    }
}

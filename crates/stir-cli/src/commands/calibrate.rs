//! `stir calibrate` finds out which settings help a model on a task, if any do, within a budget.
//!
//! ```text
//! stir calibrate calibration.toml --dry-run
//! stir calibrate calibration.toml --out runs/calibration
//! ```
//!
//! The folder gets `report.json`, `report.html` with its figures, and `preset.toml`, which `stir steer` and
//! `stir evaluate` take with `--preset`. A calibration that was stopped resumes.

use std::{fs, path::PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use stir::eval::calibrate::{Calibration, Calibrator};

use crate::{
    backend::CliBackend,
    output::{show, tell},
};

/// Find the settings that help a model on a task, within a budget, and judge them once on problems kept for that
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Calibration to run, TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for everything that is made
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Check the file and its problems, print what the calibration may take, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of the tables
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let read = || args.file.display().to_string();
    let text = fs::read_to_string(&args.file).into_diagnostic().wrap_err_with(read)?;
    let calibration = Calibration::parse(&text).into_diagnostic().wrap_err_with(read)?;
    let backend = CliBackend::default();
    let calibrator = Calibrator::new(&calibration, &backend).into_diagnostic().wrap_err_with(read)?;
    if args.dry_run {
        let plan = calibrator.plan().into_diagnostic().wrap_err_with(read)?;
        return match args.json {
            true => show!("{}", serde_json::to_string(&plan).into_diagnostic()?),
            false => show!("{plan}"),
        };
    }
    // The flags are declared so that one of the two is there.
    let out = args.out.as_ref().ok_or_else(|| miette!("--out or --dry-run must be given"))?;
    let outcome = calibrator.observer(|event| backend.observe(event)).run(out);
    backend.finish();
    let outcome = outcome.into_diagnostic()?;
    tell!("{:.2} hours of work in {}", outcome.spent.total().seconds / 3600.0, out.display());
    tell!("preset: {}, report: {}", out.join("preset.toml").display(), out.join("report.html").display());
    match args.json {
        true => show!("{}", serde_json::to_string(&outcome).into_diagnostic()?),
        false => show!("{outcome}"),
    }
}

//! Stage 3: a compact and diverse library from mined candidates. A model is only needed to check that they are its own.
//!
//! ```text
//! cargo run --release --example basis -- --candidates candidates.stir --budget 64 --out library.stir
//! ```
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod common;

use std::{collections::BTreeMap, path::PathBuf};

use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use common::ModelArgs;
use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    basis::{Action, BasisConfig, Candidates, Library, Method, select},
    core::Engine,
    model::{ComputeType, DeviceSpec},
};

/// Choose the entries of a steering library.
#[derive(Parser)]
struct Args {
    /// Candidates, as written by the example induce
    #[arg(long, value_name = "FILE")]
    candidates: PathBuf,
    /// Library to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Most entries (B); a pair counts as two
    #[arg(long, default_value_t = 64)]
    budget: usize,
    /// Weight of diversity against quality; used by dpp
    #[arg(long, default_value_t = 0.5)]
    lambda: f64,
    /// Entries of highest quality that every control point gets first
    #[arg(long, default_value_t = 4)]
    per_point: usize,
    /// What fills the rest
    #[arg(long, default_value = "dpp",
        value_parser = PossibleValuesParser::new(["dpp", "top", "random", "kmeans", "dbscan"]).try_map(|s| s.parse::<Method>()))]
    method: Method,
    /// Added to the kernel's diagonal; used by dpp
    #[arg(long, default_value_t = 1e-4)]
    epsilon: f64,
    /// Also write the entries as safetensors, for use elsewhere
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Let the entries of the quota count in the diversity of the rest (the published selection does not)
    #[arg(long)]
    condition_on_quota: bool,
    /// Refuse candidates that were not mined on the model in this folder
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Device to load that model on
    #[arg(long, default_value = "flex")]
    device: DeviceSpec,
    /// Seed of random and kmeans
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<()> {
    let args: Args = common::start()?;
    let method = match args.method {
        Method::Random { .. } => Method::Random { seed: args.seed },
        Method::KMeans { .. } => Method::KMeans { seed: args.seed },
        method => method,
    };
    let config = BasisConfig {
        budget: args.budget,
        lambda: args.lambda,
        epsilon: args.epsilon,
        min_per_control_point: args.per_point,
        method,
        condition_on_quota: args.condition_on_quota,
    };
    config.validate().into_diagnostic()?;
    let candidates = Candidates::load(&args.candidates).into_diagnostic()?;
    if let Some(model) = args.model {
        let lm = ModelArgs { model, device: args.device, compute: ComputeType::F32, seed: args.seed }.load()?;
        let fits = candidates.fingerprint.check(lm.fingerprint());
        fits.into_diagnostic().wrap_err_with(|| args.candidates.display().to_string())?;
    }
    let library = select(&candidates, &config).into_diagnostic()?;
    library.save(&args.out).into_diagnostic()?;
    if let Some(path) = &args.export {
        library.export_safetensors(path).into_diagnostic()?;
    }
    print(&library);
    Ok(())
}

fn print(library: &Library) {
    // Wrong and right entries by control point.
    let mut points: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
    for entry in library.entries() {
        points.entry(entry.m).or_default()[usize::from(entry.action == Action::Stay)] += 1;
    }
    println!("control point   wrong   right");
    for (m, [wrong, right]) in &points {
        println!("{m:13}   {wrong:5}   {right:5}");
    }
    let [wrong, right] = points.values().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    println!("        total   {wrong:5}   {right:5}");
    if let Some(selection) = library.selection() {
        let (offered, skipped) = (selection.offered, selection.skipped);
        println!("{} entries of {offered} offered, {skipped} of them unusable", library.entries().len());
    }
}

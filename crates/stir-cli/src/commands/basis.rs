//! `stir basis`, stage 3: a compact and diverse library from mined pairs. A model is only needed to check that they are
//! its own.
//!
//! ```text
//! stir basis --pairs candidates.stir --budget 64 --out library.stir
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    basis::{Action, Library, MinedPairs, select},
    model::fingerprint_of,
};

use crate::{files::check_output, model::folder, output::show, settings::BasisArgs};

/// Stage 3: select the entries of a steering library
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of mined pairs, as `stir induce` writes it
    #[arg(long, alias = "candidates", value_name = "FILE")]
    pairs: PathBuf,
    /// Library to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File to write the entries to as safetensors, for use elsewhere
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Refuse pairs that were not mined on this model, a GGUF file or a Hugging Face folder
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Seed of random and kmeans
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    settings: BasisArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.seed);
    config.validate().into_diagnostic()?;
    let inputs = || args.model.iter().chain([&args.pairs]);
    check_output(&args.out, inputs())?;
    if let Some(export) = &args.export {
        check_output(export, inputs().chain([&args.out]))?;
    }
    let candidates = MinedPairs::load(&args.pairs).into_diagnostic()?;
    if let Some(model) = &args.model {
        let found = fingerprint_of(folder(model)?).into_diagnostic()?;
        let fits = candidates.fingerprint.check(&found);
        fits.into_diagnostic().wrap_err_with(|| args.pairs.display().to_string())?;
    }
    let library = select(&candidates, &config).into_diagnostic()?;
    library.save(&args.out).into_diagnostic()?;
    if let Some(path) = &args.export {
        library.export_safetensors(path).into_diagnostic()?;
    }
    print(&library)
}

fn print(library: &Library) -> Result<()> {
    // Wrong and right entries by control point.
    let mut points: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
    for entry in library.entries() {
        points.entry(entry.m).or_default()[usize::from(entry.action == Action::Stay)] += 1;
    }
    show!("control point   wrong   right")?;
    for (m, [wrong, right]) in &points {
        show!("{m:13}   {wrong:5}   {right:5}")?;
    }
    let [wrong, right] = points.values().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    show!("        total   {wrong:5}   {right:5}")?;
    if let Some(selection) = library.selection() {
        let (offered, skipped) = (selection.offered, selection.skipped);
        show!("{} entries of {offered} offered, {skipped} of them unusable", library.entries().len())?;
    }
    if !library.means().is_empty() {
        show!("centred by {} mean states", library.means().len())?;
    }
    for head in library.heads() {
        let auc = head.auc.map_or("unknown".to_owned(), |auc| format!("{auc:.2}"));
        show!("a read-out of success after layer {}, AUC {auc}", head.layer)?;
    }
    Ok(())
}

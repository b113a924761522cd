//! `stir merge` puts the parts of a run together: what `--shard` divided.
//!
//! ```text
//! stir merge rollouts.jsonl shards/*/rollouts.jsonl
//! stir merge candidates.stir shards/*/candidates.stir
//! stir merge results shards/*/results
//! ```

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    basis::MinedPairs,
    eval::experiment,
    files::{Seal, Settings, merge_folders, merge_logs},
    induction::merge_pairs,
};

use crate::{files::check_output, output::show};

/// Put the parts of a run together (--shard); the result is that of the run in one piece
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File or folder to write
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Outputs of all parts, in any order: rollouts, answers or mined pairs, or folders of `stir evaluate`
    #[arg(value_name = "SHARD", required = true)]
    shards: Vec<PathBuf>,
}

/// What mined pairs begin with.
const PAIRS: &[u8; 8] = b"STIRCAND";

pub(crate) fn run(args: Args) -> Result<()> {
    let Args { out, shards } = &args;
    let Some(first) = shards.first() else { return Ok(()) };
    if first.is_dir() {
        return folders(out, shards, first.join("index.json").exists());
    }
    let beside = shards.iter().flat_map(|shard| [Settings::path(shard), Seal::path(shard)]);
    check_output(out, shards.iter().cloned().chain(beside))?;
    let (what, count) = if is_pairs(first)? {
        let load = |path: &PathBuf| Ok((path.clone(), MinedPairs::load(path).into_diagnostic()?));
        let merged = merge_pairs(shards.iter().map(load).collect::<Result<Vec<_>>>()?).into_diagnostic()?;
        merged.save(out).into_diagnostic()?;
        ("pairs", merged.pairs.len())
    } else {
        ("records", merge_logs(out, shards).into_diagnostic()?)
    };
    show!("{count} {what} of {} shards are in {}", shards.len(), out.display())
}

fn folders(out: &Path, shards: &[PathBuf], is_experiment: bool) -> Result<()> {
    if is_experiment {
        experiment::merge(out, shards).into_diagnostic()?;
        show!("the experiment of {} shards is in {}", shards.len(), out.display())?;
    } else {
        for file in merge_folders(out, shards).into_diagnostic()? {
            show!("{} is made of {} shards", file.display(), shards.len())?;
        }
    }
    show!(
        "`stir evaluate` with --out {} and the flags of the shards, without --shard, shows the results",
        out.display()
    )
}

fn is_pairs(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PAIRS.len() as u64).read_to_end(&mut start));
    read.into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    Ok(start == PAIRS)
}

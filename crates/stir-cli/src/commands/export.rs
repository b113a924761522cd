//! `stir export`: the vectors of a library as a GGUF file of control vectors, for llama.cpp and repeng.
//!
//! ```text
//! stir export library.stir vectors.gguf
//! llama-cli -m model.gguf --control-vector-scaled vectors.gguf:0.5
//! ```

use std::path::PathBuf;

use miette::{IntoDiagnostic, Result, WrapErr};
use stir::{
    basis::{Library, norm},
    core::SettingError,
    model::gguf::ControlVectors,
};

use crate::{files::check_output, output::show};

/// Write constant vectors of a library as control vectors (GGUF) for llama.cpp and repeng
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Library, as `stir basis` writes it
    #[arg(value_name = "LIBRARY")]
    library: PathBuf,
    /// File to write, GGUF
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Entries whose vectors are written, from 0, separated by commas; where several are at a layer, their mean
    /// [default: the mean of all vectors at each layer, as the method constant_vector adds it]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    entry: Option<Vec<usize>>,
    /// Factor of the vectors
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    scale: f32,
}

pub(crate) fn run(args: Args) -> Result<()> {
    SettingError::finite("scale", args.scale).into_diagnostic()?;
    check_output(&args.out, [&args.library])?;
    let library = Library::load(&args.library).into_diagnostic()?;
    let of = || args.library.display().to_string();
    let mut vectors = match &args.entry {
        Some(entries) => library.constant_vectors_of(entries).into_diagnostic().wrap_err_with(of)?,
        None => library.constant_vectors(),
    };
    vectors.values_mut().flatten().for_each(|x| *x *= args.scale);
    let hint = library.fingerprint().architecture.clone();
    let vectors = ControlVectors::new(hint, vectors).into_diagnostic().wrap_err_with(of)?;
    vectors.save(&args.out).into_diagnostic()?;
    show!("layer      length")?;
    vectors.directions().iter().try_for_each(|(layer, vector)| show!("{layer:5}   {:9.4}", norm(vector)))
}

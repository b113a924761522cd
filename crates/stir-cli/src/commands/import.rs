//! `stir import`: a GGUF file of control vectors, by llama.cpp or repeng, as a library.
//!
//! ```text
//! stir import vectors.gguf --model path/to/the/model.gguf --out library.stir
//! stir steer --library library.stir --variant static_vector --model path/to/the/model.gguf ..
//! ```

use std::path::PathBuf;

use miette::{IntoDiagnostic, Result, WrapErr};
use serde_json::json;
use stir::{
    basis::Library,
    model::{fingerprint_of, gguf::ControlVectors},
};

use crate::{
    files::check_output,
    model::folder,
    output::{show, tell},
};

/// Make a library of control vectors (GGUF) of llama.cpp or repeng
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of control vectors, GGUF
    #[arg(value_name = "VECTORS")]
    vectors: PathBuf,
    /// The model that the vectors are for, a GGUF file or a Hugging Face folder
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Library to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let model = folder(&args.model)?;
    check_output(&args.out, [&args.vectors, &model])?;
    let vectors = ControlVectors::open(&args.vectors).into_diagnostic()?;
    let model = fingerprint_of(model).into_diagnostic()?;
    let (hint, architecture) = (vectors.model_hint(), model.architecture.clone());
    // Names differ between programs: Mistral is `llama` in a GGUF file.
    if !hint.is_empty() && hint != architecture {
        tell!("{} says that it is for {hint:?}, the model is {architecture:?}", args.vectors.display());
    }
    let library = Library::from_constant_vectors(model, vectors.directions());
    let library = library.into_diagnostic().wrap_err_with(|| args.vectors.display().to_string())?;
    let file = args.vectors.file_name().unwrap_or_default().to_string_lossy();
    let origin = json!({ "vectors": file, "model_hint": hint }).to_string();
    library.with_provenance([("import".to_owned(), origin)].into()).save(&args.out).into_diagnostic()?;
    let layers: Vec<String> = vectors.directions().keys().map(usize::to_string).collect();
    show!("vectors after the layers {}", layers.join(", "))
}

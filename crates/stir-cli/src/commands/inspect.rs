//! `stir inspect` shows what a model is. With tokens it shows what the model computes: logits and the residual stream after every layer, for given tokens,
//! plain or with one impulse added, and how it continues from there.
//!
//! ```text
//! stir inspect --model path/to/a/model.gguf
//! stir inspect --model tests/fixtures/models/qwen2-tied --greedy 32 \
//!     --tokens-from tests/fixtures/models/qwen2-tied/expected.safetensors:input_ids --out found.safetensors
//! ```

mod summary;

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::builder::PossibleValuesParser;
use miette::{IntoDiagnostic, Result, WrapErr, bail, ensure};
use safetensors::{Dtype, serialize, tensor::TensorView};
use stir::{
    core::{Addition, Engine, HookPoint, Row, TokenId, argmax},
    model::{Checkpoint, Lm, RopeFrequencies, RowError},
};

use crate::{
    files::{check_output, write_atomically},
    model::ModelArgs,
    output::show,
    progress::Progress,
};

/// Show what a model is, or write the logits and residual streams of given tokens as safetensors
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Token ids, [T] or [B, T]: a safetensors file and the name of an integer tensor in it
    #[arg(long, value_name = "FILE:TENSOR", requires = "out")]
    tokens_from: Option<TensorRef>,
    /// File to write: logits [B, T, V], resid_post.N [B, T, H] for every layer N and, with --greedy, greedy_ids [B, N]
    #[arg(long, value_name = "FILE", requires = "tokens_from")]
    out: Option<PathBuf>,
    /// Continue every row by N likeliest tokens, past any end token
    #[arg(long, value_name = "N", requires = "tokens_from")]
    greedy: Option<usize>,
    /// Add this vector, [H], to the output of one layer at one position
    #[arg(long, value_name = "FILE:TENSOR", requires_all = ["tokens_from", "edit_layer", "edit_position"])]
    edit: Option<TensorRef>,
    /// Decoder layer whose output is edited, from 0
    #[arg(long, value_name = "L", requires = "edit")]
    edit_layer: Option<usize>,
    /// Position that is edited, from 0; below T
    #[arg(long, value_name = "P", requires = "edit")]
    edit_position: Option<usize>,
    /// Factor of the vector
    #[arg(long, value_name = "S", requires = "edit", default_value_t = 1.0, allow_negative_numbers = true)]
    edit_scale: f32,
    /// Precision of the rotary frequencies: f32, as transformers loads every checkpoint, or bf16, as in a model whose
    /// buffers were cast with its weights
    #[arg(long, default_value = "f32", requires = "tokens_from", value_parser = PossibleValuesParser::new(["f32", "bf16"]))]
    rope_frequencies: String,
    #[command(flatten)]
    model: ModelArgs,
}

/// A tensor of a safetensors file.
#[derive(Clone)]
struct TensorRef {
    file: PathBuf,
    name: String,
}

impl FromStr for TensorRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (file, name) = text.rsplit_once(':').ok_or("expected FILE:TENSOR")?;
        Ok(Self { file: file.into(), name: name.to_owned() })
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    match (&args.tokens_from, &args.out) {
        (Some(tokens), Some(out)) => compute(&args, tokens, out),
        _ => summary::show_summary(&args.model.open()?),
    }
}

/// Runs the model on given tokens.
fn compute(args: &Args, tokens: &TensorRef, out: &Path) -> Result<()> {
    let model = args.model.model.iter().flat_map(|path| match fs::read_dir(path) {
        Ok(folder) => folder.flatten().map(|file| file.path()).collect(),
        Err(_) => vec![path.clone()],
    });
    let tensors = [Some(tokens), args.edit.as_ref()].into_iter().flatten().map(|tensor| tensor.file.clone());
    check_output(out, model.chain(tensors))?;
    let rows = read_rows(tokens)?;
    let edit = args.edit.as_ref().map(|vector| read_vector(vector, args.edit_scale)).transpose()?;
    let addition = match (&edit, args.edit_layer, args.edit_position) {
        (Some(vector), Some(layer), Some(position)) => {
            Some(Addition { point: HookPoint::ResidPost(layer), position, vector, scale: args.edit_scale })
        }
        _ => None,
    };
    let mut model = args.model.open()?;
    let (batch, length) = (rows.len(), rows[0].len());
    let (shape, positions) = (model.shape(), length + args.greedy.unwrap_or_default().saturating_sub(1));
    for row in &rows {
        RowError::check(shape, 0, row, &[], addition.as_slice()).into_diagnostic()?;
    }
    if positions > shape.max_context {
        return Err(RowError::Context { positions, max_context: shape.max_context }).into_diagnostic();
    }
    if args.rope_frequencies == "bf16" {
        model.files.config.rope.frequencies = RopeFrequencies::Bf16;
    }
    let lm = model.load()?;
    let (mut logits, mut resid_post) = (Vec::new(), vec![Vec::new(); lm.shape().n_layers]);
    let shown = Progress::new(batch as u64, "inspect");
    for row in &rows {
        let found = lm.inspect(row, addition.into_iter().collect()).into_diagnostic()?;
        logits.extend(found.logits);
        resid_post.iter_mut().zip(found.resid_post).for_each(|(all, one)| all.extend(one));
        shown.advance();
    }
    drop(shown);

    let mut tensors = vec![floats("logits".to_owned(), [batch, length, lm.shape().vocab_size], &logits)];
    for (layer, states) in resid_post.iter().enumerate() {
        tensors.push(floats(format!("resid_post.{layer}"), [batch, length, lm.shape().hidden_size], states));
    }
    if let Some(n) = args.greedy {
        let ids = continue_greedily(&lm, &rows, addition, n)?;
        let bytes = ids.iter().flatten().flat_map(|&id| i64::from(id).to_le_bytes()).collect();
        tensors.push(("greedy_ids".to_owned(), Dtype::I64, vec![batch, n], bytes));
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name, TensorView::new(*dtype, shape.clone(), bytes).into_diagnostic().wrap_err_with(|| name.clone())?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    write_atomically(out, &serialize(views, None).into_diagnostic()?)?;
    for (name, dtype, shape, _) in &tensors {
        show!("{name} {dtype:?} {shape:?}")?;
    }
    show!("end tokens: {}", summary::end_tokens(lm.vocab()))
}

/// Rows of token ids of one length, none empty.
fn read_rows(from: &TensorRef) -> Result<Vec<Vec<TokenId>>> {
    let TensorRef { file, name } = from;
    let checkpoint = Checkpoint::open_file(file).into_diagnostic()?;
    let (ids, shape) = checkpoint.integers(name).into_diagnostic()?;
    let length = match shape[..] {
        [length] | [_, length] if !ids.is_empty() => length,
        _ => bail!("{}: tensor {name} has shape {shape:?}, must be [T] or [B, T] and not empty", file.display()),
    };
    let token = |&id: &i64| TokenId::try_from(id).into_diagnostic().wrap_err_with(|| format!("tensor {name}: id {id}"));
    ids.chunks(length).map(|row| row.iter().map(token).collect()).collect()
}

/// Returns a vector that stays finite at `scale`.
fn read_vector(from: &TensorRef, scale: f32) -> Result<Vec<f32>> {
    let TensorRef { file, name } = from;
    let checkpoint = Checkpoint::open_file(file).into_diagnostic()?;
    let (vector, shape) = checkpoint.floats(name).into_diagnostic()?;
    ensure!(shape.len() == 1, "{}: tensor {name} has shape {shape:?}, must be [H]", file.display());
    let finite = vector.iter().all(|x| (x * scale).is_finite());
    ensure!(finite, "{}: tensor {name} times {scale} is not finite everywhere", file.display());
    Ok(vector)
}

/// Returns the `n` likeliest tokens after every row, one after the other, with the edit in the cache.
fn continue_greedily(
    lm: &Lm,
    prompts: &[Vec<TokenId>],
    addition: Option<Addition<'_>>,
    n: usize,
) -> Result<Vec<Vec<TokenId>>> {
    let mut sessions: Vec<_> = prompts.iter().map(|_| lm.session()).collect();
    let mut ids = vec![Vec::new(); prompts.len()];
    let shown = Progress::new(n as u64, "greedy");
    for step in 0..n {
        // The prompt first, with the edit; then each time the token just found.
        let rows = sessions.iter_mut().zip(prompts).zip(&ids).map(|((session, prompt), ids)| Row {
            session,
            tokens: ids.last().map_or(&prompt[..], std::slice::from_ref),
            additions: addition.filter(|_| step == 0).into_iter().collect(),
            capture: &[],
            logits: true,
        });
        let outputs = lm.forward(&mut rows.collect::<Vec<_>>()).into_diagnostic()?;
        for (row, output) in outputs.iter().enumerate() {
            let best = argmax(&output.logits).into_diagnostic().wrap_err_with(|| format!("row {row}, step {step}"))?;
            ids[row].push(best as TokenId);
        }
        shown.advance();
    }
    drop(shown);
    Ok(ids)
}

/// A tensor to write: name, type, shape and little-endian bytes.
type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

fn floats(name: String, shape: [usize; 3], values: &[f32]) -> Tensor {
    (name, Dtype::F32, shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

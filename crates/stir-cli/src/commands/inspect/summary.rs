//! What a model is, as its files say it; its weights are read only to be hashed.

use miette::Result;
use stir::{
    core::{Sampling, TokenId, Vocab},
    eval::questions::refuses_system,
    model::ComputeType,
};

use crate::{model::OpenModel, output::show};

pub(super) fn show_summary(model: &OpenModel<'_>) -> Result<()> {
    let (files, config) = (&model.files, &model.files.config);
    let (mut matrices, mut bytes) = (0, 0);
    for tensor in files.checkpoint.tensors() {
        matrices += tensor.shape.iter().product::<usize>();
        bytes += tensor.data.len();
    }
    // Hashes the weights.
    let fingerprint = files.fingerprint();
    show!("model          {}", files.path.display())?;
    show!("architecture   {}", config.architecture)?;
    let tied = if config.tie_embeddings { ", head tied to the embedding" } else { "" };
    show!(
        "layers         {} of width {}, feed-forward {}{tied}",
        config.n_layers,
        config.hidden_size,
        config.intermediate_size
    )?;
    show!("heads          {} of {}, {} of keys and values", config.n_heads, config.head_dim, config.n_kv_heads)?;
    let windows: Vec<usize> = config.windows.iter().copied().flatten().collect();
    let window =
        windows.first().map_or_else(String::new, |size| format!(", a window of {size} in {} layers", windows.len()));
    show!("context        {} positions{window}", config.max_context)?;
    let quantisation = fingerprint.quantisation().unwrap_or("no matrices");
    show!("weights        {:.1} million in {quantisation}, {}", matrices as f64 / 1e6, size(bytes))?;
    let vocab = files.vocab();
    let tokens = files.tokenizer.as_ref().map(|tokenizer| {
        let prefix: Vec<String> = tokenizer.prefix().iter().map(|&id| named(&vocab, id)).collect();
        let prefix =
            if prefix.is_empty() { String::new() } else { format!(", prompts begin with {}", prefix.join(", ")) };
        format!("{} tokens{prefix}", tokenizer.size())
    });
    show!("tokenizer      {}", tokens.as_deref().unwrap_or("none: token ids only"))?;
    show!("vocabulary     {} rows of the head", config.vocab_size)?;
    show!("end tokens     {}", end_tokens(&vocab))?;
    let template = match files.chat_template {
        None => "none",
        Some(_) if refuses_system(&|system, user| model.render(system, user)) => "without a system turn",
        Some(_) => "with a system turn",
    };
    show!("chat template  {template}")?;
    let Sampling { temperature, top_p, top_k, min_p, repetition_penalty } = files.generation.sampling();
    let penalty = format!("min_p {min_p}, repetition_penalty {repetition_penalty}");
    show!("chat sampling  temperature {temperature}, top_p {top_p}, top_k {top_k}, {penalty}")?;
    let compute = model.args.compute;
    let width = if compute == ComputeType::F32 { 4 } else { 2 };
    let position = 2 * config.n_layers * config.n_kv_heads * config.head_dim * width;
    let whole = position.saturating_mul(config.max_context);
    show!("session        {} a position in {compute}, {} for the whole context", size(position), size(whole))?;
    show!("fingerprint    weights {}, tokenizer {}", fingerprint.weights, fingerprint.tokenizer)
}

/// Returns the tokens that end a sequence, with the names of those that have one.
pub(super) fn end_tokens(vocab: &Vocab) -> String {
    vocab.eos().iter().map(|&id| named(vocab, id)).collect::<Vec<_>>().join(", ")
}

fn named(vocab: &Vocab, id: TokenId) -> String {
    format!("{id} {}", vocab.special_name(id).unwrap_or_default()).trim_end().to_owned()
}

/// Writes a number of bytes for people.
fn size(bytes: usize) -> String {
    let mut size = (bytes as f64, "B");
    for unit in ["KiB", "MiB", "GiB"] {
        if size.0 >= 1024.0 {
            size = (size.0 / 1024.0, unit);
        }
    }
    let digits = if size.1 == "B" { 0 } else { 1 };
    format!("{:.digits$} {}", size.0, size.1)
}

//! What is lost where quantised weights are multiplied with activations of 8 bits, or weights in bf16 with activations in
//! bf16, against the same weights and activations as they are.
//!
//! `cargo bench --bench activations -- TEXT FILE.gguf ..` prints, for each file and over all positions of the text, the
//! mean Kullback-Leibler divergence of the distributions of the next token, and how often the likeliest token is the same.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;

use clap::Parser;
use stir::{
    core::{Text, TokenId, argmax},
    model::{Activations, ComputeType, DeviceSpec, Lm, LoadOptions},
};

#[derive(Parser)]
struct Args {
    /// A text, of which the first positions are read
    text: PathBuf,
    /// GGUF files
    models: Vec<PathBuf>,
    /// Positions
    #[arg(long, default_value_t = 2048)]
    positions: usize,
    /// Positions that are read together
    #[arg(long, default_value_t = 256)]
    window: usize,
    /// Decode the weights and compute in this type: bf16 shows what activations in bf16 cost
    #[arg(long)]
    compute: Option<ComputeType>,
    /// The flag that cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let text = std::fs::read_to_string(&args.text).unwrap();
    println!("| file | positions | mean KL, nats | same likeliest token, % |\n|---|---|---|---|");
    for path in &args.models {
        let [exact, int8] = [Activations::Exact, Activations::Int8].map(|activations| {
            let (compute, dequantise) = (args.compute.unwrap_or_default(), args.compute.is_some());
            let options = LoadOptions { activations, compute, dequantise, ..LoadOptions::default() };
            Lm::load_with(path, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
        });
        let tokens: Vec<TokenId> = exact.encode(&text).unwrap().into_iter().take(args.positions).collect();
        assert!(tokens.len() == args.positions, "the text has {} tokens", tokens.len());
        let (mut divergence, mut same) = (0.0, 0);
        for window in tokens.chunks(args.window) {
            let [expected, found] = [&exact, &int8].map(|lm| lm.inspect(window, vec![]).unwrap().logits);
            let vocab = exact.config().vocab_size;
            for (p, q) in expected.chunks(vocab).zip(found.chunks(vocab)) {
                same += usize::from(argmax(p).unwrap() == argmax(q).unwrap());
                let [p, q] = [p, q].map(log_probabilities);
                divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            }
        }
        let (name, count) = (path.file_name().unwrap().to_string_lossy(), tokens.len() as f64);
        println!("| {name} | {count} | {:.5} | {:.2} |", divergence / count, 100.0 * same as f64 / count);
    }
}

fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - most).exp()).sum();
    logits.iter().map(|x| f64::from(x - most) - sum.ln()).collect()
}

//! The cost of decoding on a device, as a share of what the device's memory allows, and the cost that steering adds.
//!
//! ```text
//! cargo bench --bench gpu --features cuda -- --device cuda --shape 1.5b --lanes 1,32,128
//! ```
//!
//! Makes a checkpoint of the shape with random weights in a temporary folder (`--dir` keeps it). A decoding step reads
//! every weight once and the keys and values of every lane: at the rate at which the device copies memory, that bounds
//! its tokens per second. Everything runs twice and the second run counts, when kernels have been compiled and tuned.
//! Prints one JSON object for every number of lanes. `benches/gpu.sh` runs it on a card, next to transformers.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a program to measure with")]

mod common;

use std::{path::PathBuf, time::Instant};

use burn::tensor::{DType, Device, Tensor};
use clap::Parser;
use common::{Shape, size};
use serde_json::json;
use stir::{
    basis::{Action, Entry, Library, normalize},
    controller::{Controller, ControllerConfig, Variant},
    core::{
        Delimiter, Engine, Fingerprint, GenerateOptions, ModelShape, Output, Request, Row, SampleRng, Sampling,
        Session, TokenId, Vocab, argmax,
    },
    model::{ComputeType, DeviceSpec, KvCache, Lm, LoadOptions, ModelError},
};

#[derive(Parser)]
struct Args {
    /// Device to compute on
    #[arg(long, default_value = "cpu")]
    device: DeviceSpec,
    /// Type to store and compute in
    #[arg(long, default_value = "bf16")]
    compute: ComputeType,
    /// Shape of the model: tiny, 0.5b, 1.5b or 3b (of Qwen2.5)
    #[arg(long, default_value = "tiny")]
    shape: Shape,
    /// Numbers of sequences that share a pass
    #[arg(long, value_delimiter = ',', default_value = "1,32,128")]
    lanes: Vec<usize>,
    /// Tokens of every prompt
    #[arg(long, default_value_t = 128)]
    prompt: usize,
    /// Tokens generated behind it
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Tokens of a segment, on average, where generation is steered
    #[arg(long, default_value_t = 32)]
    segment: usize,
    /// Rate at which the device copies memory, bytes read and bytes written together, in GB/s; measured where not given
    #[arg(long)]
    bandwidth: Option<f64>,
    /// Folder of the checkpoint, to keep it; one that is there is used
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The flag that cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let device = args.device.open().unwrap();
    let bandwidth = args.bandwidth.map_or_else(|| copy_rate(&device), |rate| rate * 1e9);
    let temporary = tempfile::tempdir().unwrap();
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    if !dir.join("config.json").exists() {
        std::fs::create_dir_all(dir).unwrap();
        args.shape.write(dir, args.compute, 1);
    }
    let options = LoadOptions { compute: args.compute, ..LoadOptions::default() };
    let lm = Worded::new(Lm::load_with(dir, &device, options, |_| ()).unwrap(), args.segment);
    let weights = dir.join("model.safetensors").metadata().unwrap().len() as f64;
    let kept = 2 * args.shape.layers * args.shape.kv_heads * args.shape.hidden / args.shape.heads * size(args.compute);
    for &lanes in &args.lanes {
        // Halfway through the answers.
        let caches = (lanes * (args.prompt + args.tokens / 2) * kept) as f64;
        let bound = lanes as f64 * bandwidth / (weights + caches);
        let rate = decode(&lm, lanes, &args);
        let [plain, steered] = [Variant::NoMemory, Variant::Stir].map(|variant| generate(&lm, variant, lanes, &args));
        let line = json!({
            "device": args.device.to_string(), "compute": args.compute.to_string(), "lanes": lanes,
            "prompt": args.prompt, "tokens": args.tokens, "gb_per_s": bandwidth / 1e9,
            "bound_tokens_per_s": bound, "tokens_per_s": rate, "share_of_bound": rate / bound,
            "plain_tokens_per_s": plain, "steered_tokens_per_s": steered, "steering_costs": plain / steered - 1.0,
        });
        println!("{line}");
    }
}

/// Bytes per second, read and written, of the best of a few passes over a gigabyte.
fn copy_rate(device: &Device) -> f64 {
    const COUNT: usize = 1 << 27;
    let source = Tensor::<1>::ones([COUNT], (device, DType::F32));
    let seconds = (0..8).map(|_| {
        device.sync().unwrap();
        let start = Instant::now();
        // A sum is no copy to any backend, and costs nothing next to reading and writing.
        let copy = source.clone() + 1.0;
        device.sync().unwrap();
        drop(copy);
        start.elapsed().as_secs_f64()
    });
    8.0 * COUNT as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// Tokens per second of greedy decoding, prompts not counted.
fn decode(lm: &Worded, lanes: usize, args: &Args) -> f64 {
    let mut sessions: Vec<KvCache> = prompts(lm, lanes, args).iter().map(|prompt| prefill(lm, prompt)).collect();
    let mut last = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        let mut next: Vec<[TokenId; 1]> = vec![[0]; lanes];
        for _ in 0..args.tokens {
            let rows = sessions.iter_mut().zip(&next).map(|(session, tokens)| row(session, tokens, true));
            let outputs = lm.forward(&mut rows.collect::<Vec<_>>()).unwrap();
            next = outputs.iter().map(|output| [argmax(&output.logits).unwrap() as TokenId]).collect();
        }
        last = (lanes * args.tokens) as f64 / start.elapsed().as_secs_f64();
        sessions.iter_mut().for_each(|session| session.rewind(args.prompt));
    }
    last
}

/// Tokens per second of the controller, prompts counted; probed tokens cost time and do not count.
fn generate(lm: &Worded, variant: Variant, lanes: usize, args: &Args) -> f64 {
    let config = ControllerConfig { variant, min_similarity: -1.0, ..ControllerConfig::default() };
    let library = library(lm, &config);
    let controller = Controller::new(library, lm.fingerprint(), config).unwrap();
    let (prompts, sampling) = (prompts(lm, lanes, args), Sampling { temperature: 1.0, ..Sampling::GREEDY });
    let mut last = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        let requests = Request { max_tokens: args.tokens, sampling, ..Request::default() }.with_prompts(&prompts);
        let options = GenerateOptions { max_batch: lanes, ..GenerateOptions::default() };
        let answers = controller.generate(lm, &requests, options).unwrap().concat();
        let tokens: usize = answers.iter().map(|answer| answer.generated.tokens.len()).sum();
        last = tokens as f64 / start.elapsed().as_secs_f64();
    }
    last
}

fn prompts(lm: &Worded, lanes: usize, args: &Args) -> Vec<Vec<TokenId>> {
    let (mut rng, tokens) = (SampleRng::new(0, 0), lm.shape().vocab_size);
    (0..lanes).map(|_| (0..args.prompt).map(|_| rng.below(tokens) as TokenId).collect()).collect()
}

fn prefill(lm: &Worded, tokens: &[TokenId]) -> KvCache {
    let mut session = lm.session();
    lm.forward(&mut [row(&mut session, tokens, false)]).unwrap();
    session
}

fn row<'a>(session: &'a mut KvCache, tokens: &'a [TokenId], logits: bool) -> Row<'a, KvCache> {
    Row { session, tokens, additions: vec![], capture: &[], logits }
}

/// Random entries, enough of them at every control point to retrieve and probe as many as the controller may.
fn library(lm: &Worded, config: &ControllerConfig) -> Library {
    let ModelShape { n_layers, hidden_size, .. } = lm.shape();
    let mut rng = SampleRng::new(1, 0);
    let mut vector = || -> Vec<f32> { (0..hidden_size).map(|_| rng.normal() as f32).collect() };
    let entries = (1..config.max_control_points).flat_map(|m| vec![m; config.retrieve]).map(|m| Entry {
        m,
        layer: 3 * n_layers / 5,
        key: normalize(&vector()).unwrap().into(),
        action: Action::Steer(vector()),
        ..Entry::default()
    });
    Library::from_entries(lm.fingerprint().clone(), entries.collect()).unwrap()
}

/// A model with a vocabulary of which one token in so many ends a segment: random weights come without one.
struct Worded {
    lm: Lm,
    vocab: Vocab,
}

impl Worded {
    fn new(lm: Lm, segment: usize) -> Self {
        let delimiter = String::from(Delimiter::default());
        let text = |token| if token % segment == 0 { delimiter.as_bytes() } else { b"a" };
        let vocab = Vocab::new((0..lm.shape().vocab_size).map(text), []);
        Self { lm, vocab }
    }
}

impl Engine for Worded {
    type Session = KvCache;
    type Error = ModelError;

    fn shape(&self) -> ModelShape {
        self.lm.shape()
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.lm.fingerprint()
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn session(&self) -> KvCache {
        self.lm.session()
    }

    fn forward(&self, rows: &mut [Row<'_, KvCache>]) -> Result<Vec<Output>, ModelError> {
        self.lm.forward(rows)
    }
}

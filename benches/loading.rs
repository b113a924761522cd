//! How long a checkpoint takes to load, beside reading its files into memory and beside reading them through one small
//! buffer, and the most memory that a load takes on the way.
//!
//! ```text
//! cargo bench --bench loading -- --stored bf16 --compute f32 [--shards 3] [--cold]
//! ```
//!
//! Makes a checkpoint of Qwen2-0.5B shape (494 million weights; `--untied` adds an output head) with random weights in a
//! temporary folder. Every measurement is a process of its own, so that the peak is that of one load; readings and loads
//! take turns, and medians are printed. `--cold` drops the system's file cache before each (needs root).
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a program to measure with")]

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::Command,
    time::Instant,
};

use clap::Parser;
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde_json::json;
use stir::{
    core::SampleRng,
    model::{ComputeType, DeviceSpec, Lm, LoadOptions},
};

#[derive(Parser)]
struct Args {
    /// Type in the files: f32, bf16 or f16
    #[arg(long, default_value = "bf16")]
    stored: ComputeType,
    /// Type to compute in
    #[arg(long, default_value = "f32")]
    compute: ComputeType,
    /// Files to spread the weights over
    #[arg(long, default_value_t = 1)]
    shards: usize,
    /// With an output head of its own
    #[arg(long)]
    untied: bool,
    /// Measurements of each kind
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Drop the file cache before every measurement
    #[arg(long)]
    cold: bool,
    /// Measure once in this folder: read, stream or load
    #[arg(long, hide = true, num_args = 2)]
    once: Option<Vec<String>>,
    /// What cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(once) = &args.once {
        let start = Instant::now();
        match once[0].as_str() {
            "read" => read(Path::new(&once[1])),
            "stream" => stream(Path::new(&once[1])),
            _ => drop(load(Path::new(&once[1]), args.compute)),
        }
        println!("{} {}", start.elapsed().as_secs_f64(), peak());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let weights = write(dir.path(), &args);
    let file_bytes: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    let kept = weights * size(args.compute);
    println!(
        "{:.0} MB in {} files as {}, kept as {:.0} MB of {}",
        file_bytes as f64 / 1e6,
        args.shards,
        args.stored,
        kept as f64 / 1e6,
        args.compute
    );
    let (mut reads, mut streams, mut loads, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        reads.push(once("read", dir.path(), &args).0);
        streams.push(once("stream", dir.path(), &args).0);
        let (seconds, peak) = once("load", dir.path(), &args);
        loads.push(seconds);
        peaks.push(peak);
    }
    let [read, stream, load, peak] = [reads, streams, loads, peaks].map(median);
    println!("loading {load:.2} s");
    println!("reading into memory {read:.2} s: {:.2} times as long", load / read);
    println!("reading through a buffer {stream:.2} s: {:.2} times as long", load / stream);
    println!("peak {:.0} MB: {:.2} of the weights kept", peak / 1e6, peak / kept as f64);
}

/// Seconds, and the most memory resident, of one measurement.
fn once(what: &str, dir: &Path, args: &Args) -> (f64, f64) {
    if args.cold {
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--compute", &args.compute.to_string(), "--once", what]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

/// Every file into memory.
fn read(dir: &Path) {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.iter().any(|file| file.len() > 1000));
}

/// Every file to its end, through one buffer.
fn stream(dir: &Path) {
    let mut buffer = vec![0; 1 << 20];
    for entry in fs::read_dir(dir).unwrap() {
        let mut file = File::open(entry.unwrap().path()).unwrap();
        while file.read(&mut buffer).unwrap() > 0 {}
    }
}

fn load(dir: &Path, compute: ComputeType) -> Lm {
    let options = LoadOptions { compute, ..LoadOptions::default() };
    Lm::load_with(dir, &DeviceSpec::FLEX.open().unwrap(), options, |_| ()).unwrap()
}

/// The most bytes this process has had resident.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn size(kind: ComputeType) -> usize {
    if kind == ComputeType::F32 { 4 } else { 2 }
}

/// Writes the checkpoint; returns how many weights it has.
fn write(dir: &Path, args: &Args) -> usize {
    let [vocab, hidden, inner, layers, kv] = [151_936, 896, 4864, 24, 128];
    let config = json!({
        "model_type": "qwen2", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": 14, "num_key_value_heads": 2,
        "max_position_embeddings": 32_768, "rope_theta": 1e6, "tie_word_embeddings": !args.untied,
    });
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, hidden])];
    for i in 0..layers {
        let mut add = |name: &str, shape: &[usize]| shapes.push((format!("model.layers.{i}.{name}"), shape.to_vec()));
        add("input_layernorm.weight", &[hidden]);
        for (name, out) in [("q", hidden), ("k", kv), ("v", kv)] {
            add(&format!("self_attn.{name}_proj.weight"), &[out, hidden]);
            add(&format!("self_attn.{name}_proj.bias"), &[out]);
        }
        add("self_attn.o_proj.weight", &[hidden, hidden]);
        add("post_attention_layernorm.weight", &[hidden]);
        add("mlp.gate_proj.weight", &[inner, hidden]);
        add("mlp.up_proj.weight", &[inner, hidden]);
        add("mlp.down_proj.weight", &[hidden, inner]);
    }
    shapes.push(("model.norm.weight".to_owned(), vec![hidden]));
    if args.untied {
        shapes.push(("lm_head.weight".to_owned(), vec![vocab, hidden]));
    }
    // All tensors show the same numbers; a load does not care.
    let mut rng = SampleRng::new(0, 0);
    let bytes: Vec<u8> = match args.stored {
        ComputeType::F32 => (0..vocab * hidden).flat_map(|_| (rng.uniform() as f32 - 0.5).to_le_bytes()).collect(),
        // The upper half of an f32 is a bf16; these, from 0.125 up to 0.5, are small as f16 too.
        _ => (0..vocab * hidden).flat_map(|_| (0x3e00 + rng.below(0x100) as u16).to_le_bytes()).collect(),
    };
    let dtype = match args.stored {
        ComputeType::F32 => Dtype::F32,
        ComputeType::Bf16 => Dtype::BF16,
        ComputeType::F16 => Dtype::F16,
    };
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let view =
        |shape: &[usize]| TensorView::new(dtype, shape.to_vec(), &bytes[..count(shape) * size(args.stored)]).unwrap();
    let mut index = serde_json::Map::new();
    for shard in 0..args.shards {
        let name = match args.shards {
            1 => "model.safetensors".to_owned(),
            n => format!("model-{:05}-of-{n:05}.safetensors", shard + 1),
        };
        let own = shapes.iter().skip(shard).step_by(args.shards);
        index.extend(own.clone().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
        let views = own.map(|(tensor, shape)| (tensor, view(shape)));
        serialize_to_file(views, None, &dir.join(name)).unwrap();
    }
    if args.shards > 1 {
        let index = json!({ "weight_map": index });
        fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    shapes.iter().map(|(_, shape)| count(shape)).sum()
}

//! The time that a checkpoint takes to load, next to reading its files into memory and next to reading them through one
//! small buffer, and the most memory that a load takes on the way.
//!
//! ```text
//! cargo bench --bench loading -- --stored bf16 --compute f32 [--shards 3] [--cold]
//! ```
//!
//! Makes a checkpoint of Qwen2-0.5B shape (494 million weights; `--untied` adds an output head) with random weights in
//! a temporary folder. Every measurement is a process of its own, so that the peak is that of one load; readings and
//! loads take turns, and medians are printed. `--cold` drops the system's file cache before each (needs root).
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a program to measure with")]

mod common;

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::Command,
    time::Instant,
};

use clap::Parser;
use common::{Shape, size};
use stir::model::{ComputeType, DeviceSpec, Lm, LoadOptions};

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
    /// The flag that cargo bench adds
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
    let shape: Shape = "0.5b".parse().unwrap();
    let weights = Shape { tied: !args.untied, ..shape }.write(dir.path(), args.stored, args.shards);
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
    Lm::load_with(dir, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
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

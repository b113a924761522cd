//! Our side of the comparison with other programs, and the measures of the engine alone.
//!
//! ```text
//! benches/peers.sh                                            # everything, next to the other programs
//! cargo bench --bench contender -- FOLDER --compute bf16      # answers the commands of benches/peers/protocol.py
//! cargo bench --bench contender -- FOLDER --own [--scale 0.2] # a table of our own; a scale below 1 shortens answers
//! cargo bench --bench contender -- FOLDER --own --only steering,rollouts
//! ```
//! Whatever is compared takes turns, and medians are printed, so that the noise of a machine hits all alike.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a program to measure with")]

use std::{io, path::PathBuf, time::Instant};

use clap::Parser;
use serde_json::{Value, json};
use stir::{
    core::{Engine, Output, Row, SampleRng, Sampling, TokenId},
    model::{ComputeType, DeviceSpec, Lm, LoadOptions},
};

#[path = "contender/own.rs"]
mod own;
#[path = "contender/segmented.rs"]
mod segmented;
#[path = "contender/steering.rs"]
mod steering;
#[path = "contender/stream.rs"]
mod stream;

#[derive(Parser)]
struct Args {
    /// A Hugging Face folder
    model: PathBuf,
    /// Type to compute in
    #[arg(long, default_value = "f32")]
    compute: ComputeType,
    /// Print the measures of this engine alone, in place of answering commands
    #[arg(long)]
    own: bool,
    /// Only these of them: mixed, rollouts, hooks, steering, control
    #[arg(long, value_delimiter = ',', requires = "own")]
    only: Vec<String>,
    /// Sequences side by side where steering is measured
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    lanes: Vec<usize>,
    /// Factor of the lengths of answers in them
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Rounds of each of them
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The flag that cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let options = LoadOptions { compute: args.compute, ..LoadOptions::default() };
    let lm = Lm::load_with(&args.model, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap();
    if args.own {
        own::table(&lm, &args.only, &args.lanes, args.scale, args.rounds);
        return;
    }
    println!("{}", json!({ "ready": true, "version": env!("CARGO_PKG_VERSION") }));
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<usize> = words[1..].iter().map(|word| word.parse().unwrap()).collect();
        let answer = match (words[0], numbers.as_slice()) {
            ("quit", _) => return,
            ("greedy", &[tokens, context]) => greedy(&lm, tokens, context),
            ("decode", &[lanes, tokens, context]) => decode(&lm, lanes, tokens, context),
            ("prefill", &[tokens]) => prefill(&lm, tokens),
            ("stream", &[bytes, passes, threads]) => json!({ "rate": stream::rate(bytes, passes, threads) }),
            _ => json!({ "error": format!("not understood: {line}") }),
        };
        println!("{answer}");
    }
}

/// The prompt of a lane, the same for all contenders.
fn prompt(lane: usize, tokens: usize) -> Vec<TokenId> {
    (0..tokens).map(|i| ((17 + 7919 * lane + 104_729 * i) % 151_936) as TokenId).collect()
}

/// One pass that appends `tokens` to each of `sessions`; the logits of each.
fn pass<E: Engine>(engine: &E, sessions: &mut [E::Session], tokens: &[&[TokenId]]) -> Vec<Output> {
    let row = |(session, &tokens)| Row { session, tokens, additions: vec![], capture: &[], logits: true };
    let mut rows: Vec<_> = sessions.iter_mut().zip(tokens).map(row).collect();
    engine.forward(&mut rows).unwrap()
}

/// The likeliest next token of each, as a greedy lane takes it.
fn best(outputs: &[Output]) -> Vec<TokenId> {
    let pick = |logits: &[f32]| Sampling::GREEDY.pick(logits, &[], &mut SampleRng::new(0, 0)).unwrap().token;
    outputs.iter().map(|output| pick(&output.logits)).collect()
}

/// Sessions that hold the prompts of so many lanes, and the logits behind them.
fn start<E: Engine>(engine: &E, lanes: usize, context: usize) -> (Vec<E::Session>, Vec<Output>) {
    let mut sessions: Vec<_> = (0..lanes).map(|_| engine.session()).collect();
    let lanes = sessions.chunks_mut(1).enumerate();
    let outputs = lanes.flat_map(|(lane, session)| pass(engine, session, &[&prompt(lane, context)])).collect();
    (sessions, outputs)
}

/// One token more of every session; its logits.
fn step<E: Engine>(engine: &E, sessions: &mut [E::Session], last: &[TokenId]) -> Vec<Output> {
    let tokens: Vec<&[TokenId]> = last.iter().map(std::slice::from_ref).collect();
    pass(engine, sessions, &tokens)
}

fn greedy(lm: &Lm, tokens: usize, context: usize) -> Value {
    let (mut sessions, mut outputs) = start(lm, 1, context);
    let (mut ids, mut logits) = (Vec::new(), Vec::new());
    for _ in 0..tokens {
        ids.push(best(&outputs)[0]);
        let row = &outputs[0].logits;
        let best = row[ids[ids.len() - 1] as usize];
        logits.push(std::iter::once(best).chain(row.iter().copied().step_by(9973)).collect::<Vec<f32>>());
        outputs = step(lm, &mut sessions, &ids[ids.len() - 1..]);
    }
    json!({ "ids": ids, "logits": logits })
}

fn decode(lm: &Lm, lanes: usize, tokens: usize, context: usize) -> Value {
    let (mut sessions, outputs) = start(lm, lanes, context);
    let mut last = best(&outputs);
    let start = Instant::now();
    for _ in 0..tokens {
        last = best(&step(lm, &mut sessions, &last));
    }
    json!({ "seconds": start.elapsed().as_secs_f64(), "tokens": lanes * tokens })
}

fn prefill(lm: &Lm, tokens: usize) -> Value {
    let prompt = prompt(0, tokens);
    let start = Instant::now();
    best(&pass(lm, &mut [lm.session()], &[&prompt]));
    json!({ "seconds": start.elapsed().as_secs_f64(), "tokens": tokens })
}

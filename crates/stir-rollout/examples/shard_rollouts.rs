//! Rollouts on the toy engine in parts, with the flags of `stir rollout` and `stir merge`. The script
//! `tests/cluster/slurm` runs it under a scheduler.
//!
//! ```text
//! shard_rollouts rollout --out OUT [--shard I/N|auto] [any other flag and its value]
//! shard_rollouts merge OUT SHARD..
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, error::Error};

use stir_core::{Sampling, toy::ToyEngine};
use stir_files::{Shard, merge_logs};
use stir_rollout::{Prompt, RolloutConfig, Rollouts};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let flag = |name: &str| args.iter().position(|arg| arg == name).and_then(|place| args.get(place + 1));
    match args.first().map(String::as_str) {
        Some("rollout") => {
            let out = flag("--out").ok_or("--out is missing")?;
            let shard = flag("--shard").map(|text| match text.as_str() {
                "auto" => Shard::of_scheduler(|name| env::var(name).ok()),
                text => text.parse(),
            });
            rollout(out, shard.transpose()?)
        }
        Some("merge") if args.len() > 2 => {
            println!("{} records", merge_logs(&args[1], &args[2..])?);
            Ok(())
        }
        _ => {
            Err("usage: shard_rollouts rollout --out OUT [--shard I/N|auto] | shard_rollouts merge OUT SHARD..".into())
        }
    }
}

fn rollout(out: &str, shard: Option<Shard>) -> Result<(), Box<dyn Error>> {
    let prompts: Vec<Prompt> = (0..23)
        .map(|n| Prompt { id: format!("p{n}"), prompt: "abcdefghijkl"[n % 12..].into(), gold: Some("s".into()) })
        .collect();
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    let config = RolloutConfig { samples: 6, max_tokens: 40, sampling, ..RolloutConfig::default() };
    let engine = ToyEngine::new(1);
    let mut rollouts = Rollouts::new(&engine, config)?;
    if let Some(shard) = shard {
        rollouts = rollouts.shard(shard);
    }
    let judge = |prompt: &Prompt, text: &str| prompt.gold.as_deref().is_some_and(|gold| text.contains(gold));
    let summary = rollouts.run(&prompts, &judge, out)?;
    println!("{} samples of {} problems", summary.samples, summary.problems);
    Ok(())
}

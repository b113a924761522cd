//! Rollouts on the toy engine that can be killed at any time: start it again and it adds what is missing. The script
//! `tests/kill/run` does so.
//!
//! ```text
//! resume_rollouts OUT [MICROSECONDS PER SAMPLE]
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, error::Error, ops::ControlFlow, thread, time::Duration};

use stir_core::{Sampling, toy::ToyEngine};
use stir_rollout::{Prompt, RolloutConfig, Rollouts};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(out) = args.next().filter(|arg| !arg.starts_with("--")) else {
        println!("usage: resume_rollouts OUT [MICROSECONDS PER SAMPLE]");
        return Ok(());
    };
    let pause = Duration::from_micros(args.next().map_or(Ok(0), |pause| pause.parse())?);

    let prompts: Vec<Prompt> = (0..12)
        .map(|n| Prompt { id: format!("p{n}"), prompt: "abcdefghijkl"[n..].into(), gold: Some("s".into()) })
        .collect();
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    let config = RolloutConfig { samples: 6, max_tokens: 40, sampling, ..RolloutConfig::default() };
    let engine = ToyEngine::new(1);
    let rollouts = Rollouts::new(&engine, config)?.on_progress(|_| {
        thread::sleep(pause);
        ControlFlow::Continue(())
    });
    let judge = |prompt: &Prompt, text: &str| prompt.gold.as_deref().is_some_and(|gold| text.contains(gold));
    let summary = rollouts.run(&prompts, &judge, out)?;
    println!("{} samples of {} problems", summary.samples, summary.problems);
    Ok(())
}

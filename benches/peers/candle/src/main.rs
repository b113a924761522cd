//! The candle contender: loads the model and obeys the protocol of `drive.py`.
//!
//! ```text
//! candle-contender FOLDER f32|bf16
//! ```
use std::{
    error::Error,
    io::{BufRead, Write},
    time::Instant,
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::qwen2::{Config, ModelForCausalLM};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let dtype = if args[2] == "bf16" { DType::BF16 } else { DType::F32 };
    let config: Config = serde_json::from_slice(&std::fs::read(format!("{}/config.json", args[1]))?)?;
    let weights = format!("{}/model.safetensors", args[1]);
    // SAFETY: nothing writes to the file while this runs.
    let vb = unsafe { VarBuilder::from_mmaped_safetensors(&[weights], dtype, &Device::Cpu)? };
    let mut model = ModelForCausalLM::new(&config, vb)?;
    say(json!({ "ready": true, "version": env!("CANDLE_VERSION"), "note": "" }));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<usize> = words[1..].iter().map(|word| word.parse()).collect::<std::result::Result<_, _>>()?;
        let answer = match (words[0], numbers.as_slice()) {
            ("quit", _) => return Ok(()),
            ("greedy", &[tokens, context]) => greedy(&mut model, tokens, context),
            ("decode", &[lanes, tokens, context]) => decode(&mut model, lanes, tokens, context),
            ("prefill", &[tokens]) => prefill(&mut model, tokens),
            _ => Err(format!("not understood: {line}").into()),
        };
        say(answer.unwrap_or_else(|error| json!({ "error": error.to_string().lines().next() })));
    }
    Ok(())
}

fn say(value: Value) {
    println!("{value}");
    std::io::stdout().flush().expect("someone listens");
}

/// The prompt of a lane, the same for all contenders.
fn prompt(lane: usize, tokens: usize) -> Vec<u32> {
    (0..tokens).map(|i| ((17 + 7919 * lane + 104_729 * i) % 151_936) as u32).collect()
}

/// One pass over `[lanes, tokens]`; the logits behind every lane.
fn pass(model: &mut ModelForCausalLM, lanes: &[Vec<u32>], past: usize) -> Result<Vec<Vec<f32>>> {
    let tokens = Tensor::from_vec(lanes.concat(), (lanes.len(), lanes[0].len()), &Device::Cpu)?;
    let logits = model.forward(&tokens, past)?;
    Ok(logits.squeeze(1)?.to_dtype(DType::F32)?.to_vec2()?)
}

/// The likeliest next token of every lane, as a prompt of its own.
fn best(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let best = |row: &Vec<f32>| {
        let better = |best, i: usize| if row[i] > row[best] { i } else { best };
        vec![(0..row.len()).fold(0, better) as u32]
    };
    rows.iter().map(best).collect()
}

fn greedy(model: &mut ModelForCausalLM, tokens: usize, context: usize) -> Result<Value> {
    model.clear_kv_cache();
    let (mut next, mut past) = (vec![prompt(0, context)], 0);
    let (mut ids, mut logits) = (Vec::new(), Vec::new());
    for _ in 0..tokens {
        let rows = pass(model, &next, past)?;
        past += next[0].len();
        next = best(&rows);
        ids.push(next[0][0]);
        let best = rows[0][next[0][0] as usize];
        logits.push(std::iter::once(best).chain(rows[0].iter().copied().step_by(9973)).collect::<Vec<f32>>());
    }
    Ok(json!({ "ids": ids, "logits": logits }))
}

fn decode(model: &mut ModelForCausalLM, lanes: usize, tokens: usize, context: usize) -> Result<Value> {
    model.clear_kv_cache();
    let prompts: Vec<_> = (0..lanes).map(|lane| prompt(lane, context)).collect();
    let mut next = best(&pass(model, &prompts, 0)?);
    let start = Instant::now();
    for step in 0..tokens {
        next = best(&pass(model, &next, context + step)?);
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64(), "tokens": lanes * tokens }))
}

fn prefill(model: &mut ModelForCausalLM, tokens: usize) -> Result<Value> {
    model.clear_kv_cache();
    let start = Instant::now();
    best(&pass(model, &[prompt(0, tokens)], 0)?);
    Ok(json!({ "seconds": start.elapsed().as_secs_f64(), "tokens": tokens }))
}

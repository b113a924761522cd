//! What the server costs: sixteen streams over HTTP next to `generate` with sixteen lanes, in turns, and the time to the
//! first token of a request that comes while fifteen answers run.
//!
//! ```text
//! STIR_MODEL=path/to/model cargo bench -p stir-cli --bench serving
//! ```
//! The model is that of the fixtures where none is named. Answers are greedy: both sides must generate as many tokens.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stir::{
    core::{GenerateOptions, Request, Sampling, Text, TokenId, generate},
    model::{DeviceSpec, Lm},
};
use stir_serve::{Model, ServeConfig, Server};

const STREAMS: usize = 16;
const ROUNDS: usize = 5;

/// Streams one completion; returns the number of its tokens, and when the first and the last came.
fn stream(address: SocketAddr, prompt: &[TokenId], max_tokens: usize) -> (usize, Duration, Duration) {
    let begun = Instant::now();
    let body = json!({
        "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stream": true, "return_token_ids": true,
    });
    let (body, mut socket) = (body.to_string(), TcpStream::connect(address).unwrap());
    socket.set_nodelay(true).unwrap();
    let head =
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    write!(socket, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut tokens, mut first) = (0, Duration::ZERO);
    for line in BufReader::new(socket).lines() {
        let Some(chunk) = line.unwrap().strip_prefix("data: {").map(|rest| format!("{{{rest}")) else { continue };
        let chunk: Value = serde_json::from_str(&chunk).unwrap();
        let new = chunk["choices"][0]["token_ids"].as_array().map_or(0, Vec::len);
        if tokens == 0 && new > 0 {
            first = begun.elapsed();
        }
        tokens += new;
    }
    assert!(tokens > 0);
    (tokens, first, begun.elapsed())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let fixture = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run/model");
    let path = std::env::var_os("STIR_MODEL").map_or_else(fixture, PathBuf::from);
    let max_tokens = std::env::var("TOKENS").map_or(64, |n| n.parse().unwrap());
    let lm = Arc::new(Lm::load(path, &DeviceSpec::CPU.open().unwrap()).unwrap());
    // Prompts of one length that begin differently, so that none is found among those that were kept.
    let prompt = |number: usize| -> Vec<TokenId> {
        let text = format!(
            "{number} apples and {} pears are on the table. How many are there? Let us count them.",
            number * 7
        );
        let tokens = lm.encode_prompt(&text).unwrap();
        tokens.iter().copied().cycle().take(32).collect()
    };

    let config = ServeConfig { max_batch: STREAMS, max_tokens: 4 * max_tokens, ..ServeConfig::default() };
    let server = Server::new(Model::<Lm>::new("bench", lm.clone()), config).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(server.run(listener, std::future::pending()));

    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let prompts: Vec<_> = (0..STREAMS).map(|i| prompt(100 + round * STREAMS + i)).collect();
        let request = Request { max_tokens, sampling: Sampling::GREEDY, ..Request::default() };
        let alone = || {
            let options = GenerateOptions { max_batch: STREAMS, ..GenerateOptions::default() };
            let begun = Instant::now();
            let answers = generate(&*lm, &request.with_prompts(&prompts), options).unwrap();
            (answers.iter().flatten().map(|answer| answer.tokens.len()).sum::<usize>(), begun.elapsed())
        };
        let served = || {
            let begun = Instant::now();
            let tokens = thread::scope(|scope| {
                let asked: Vec<_> =
                    prompts.iter().map(|prompt| scope.spawn(move || stream(address, prompt, max_tokens).0)).collect();
                asked.into_iter().map(|asked| asked.join().unwrap()).sum::<usize>()
            });
            (tokens, begun.elapsed())
        };
        // Whichever is first in one round is second in the next.
        let ((tokens, plain), (same, http)) = if round % 2 == 0 {
            let first = alone();
            (first, served())
        } else {
            let first = served();
            (alone(), first)
        };
        let rate = |time: Duration| tokens as f64 / time.as_secs_f64();
        println!("round {round}: generate {tokens} tokens, {:.1}/s; served {same}, {:.1}/s", rate(plain), rate(http));
        ratios.push(same as f64 / http.as_secs_f64() / rate(plain));
    }
    println!("{STREAMS} streams, served over generate: {:.3} (median of {ROUNDS})", median(ratios));

    let alone: Vec<f64> = (0..5).map(|i| stream(address, &prompt(500 + i), 1).1.as_secs_f64()).collect();
    let alone = median(alone);
    let (mut steps, mut waits) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let running: Vec<_> = (1..STREAMS).map(|i| prompt(600 + round * STREAMS + i)).collect();
        thread::scope(|scope| {
            let asked: Vec<_> =
                running.iter().map(|prompt| scope.spawn(move || stream(address, prompt, 2 * max_tokens))).collect();
            thread::sleep(Duration::from_secs_f64(alone * 2.0 * STREAMS as f64));
            waits.push(stream(address, &prompt(900 + round), 1).1.as_secs_f64());
            for asked in asked {
                let (tokens, first, last) = asked.join().unwrap();
                steps.push((last - first).as_secs_f64() / (tokens.max(2) - 1) as f64);
            }
        });
    }
    let (step, wait) = (median(steps), median(waits));
    println!(
        "a step of {} answers {:.1} ms; first token alone {:.1} ms, next to them {:.1} ms",
        STREAMS - 1,
        1e3 * step,
        1e3 * alone,
        1e3 * wait
    );
    println!("(first token - alone) / step: {:.2}; asked: at most 2", (wait - alone) / step);
}

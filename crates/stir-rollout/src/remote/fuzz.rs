//! Answers of servers that are broken at random: each is a sample that fits the request, or an error that says why not.

#![allow(clippy::print_stdout, reason = "counts and times of the long runs")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use stir_core::{
    Engine, Generated, Request, SampleRng, Sampling, Text, generate,
    toy::{ToyEngine, break_json, fuzz_runs},
};

use super::{RemoteServer, answer, client::Client, protocol::TokenSource};

const BUDGET: usize = 24;

fn request(engine: &ToyEngine) -> Request {
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    Request { max_tokens: BUDGET, sampling, seed: 9, ..Request::new(engine.encode("abc").unwrap()) }
}

/// Good answers of the servers that are known, to one of two samples: one that ended by itself, and one that did not.
fn seeds(engine: &ToyEngine) -> Vec<Vec<u8>> {
    let drawn: Generated = generate(engine, &[request(engine)], Default::default()).unwrap().remove(0).remove(0);
    let whole = [&drawn.tokens[..5], &engine.vocab().eos()[..1]].concat();
    let forms = [whole, drawn.tokens].map(|tokens| {
        let stopped = tokens.last().is_some_and(|&last| engine.vocab().is_eos(last));
        let (text, reason) = (engine.vocab().text(&tokens), if stopped { "stop" } else { "length" });
        let prompt = engine.encode("abc").unwrap();
        let choice = serde_json::json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason});
        let (mut vllm, mut sglang, mut plain) = (choice.clone(), choice.clone(), choice);
        vllm["token_ids"] = tokens.clone().into();
        vllm["prompt_token_ids"] = prompt.into();
        vllm["stop_reason"] = serde_json::Value::Null;
        sglang["token_ids"] = tokens[..tokens.len() - usize::from(stopped)].into();
        sglang["matched_stop"] = tokens.last().copied().filter(|_| stopped).into();
        plain["tokens"] = serde_json::Value::Null;
        let usage = serde_json::json!({"prompt_tokens": 3, "completion_tokens": tokens.len()});
        let verbose = serde_json::json!({"tokens": tokens, "truncated": false});
        let answer = |choice| serde_json::json!({"id": "cmpl-1", "model": "toy", "choices": [choice], "usage": usage});
        let mut llama_cpp = answer(plain.clone());
        llama_cpp["__verbose"] = verbose;
        [answer(vllm), answer(sglang), answer(plain), llama_cpp].map(|answer| answer.to_string().into_bytes())
    });
    let mut seeds = forms.concat();
    // No stream was asked for.
    seeds.push([b"data: ", &seeds[0][..], b"\n\ndata: [DONE]\n\n"].concat());
    seeds
}

/// Reads `count` answers. Returns how many were samples.
fn read(count: usize, seed: u64) -> usize {
    let engine = ToyEngine::new(1);
    let (request, seeds, mut rng) = (request(&engine), seeds(&engine), SampleRng::new(seed, 0));
    let (mut body, mut samples) = (Vec::new(), 0);
    for i in 0..count {
        body.clear();
        body.extend(&seeds[i % seeds.len()]);
        break_json(&mut body, &mut rng);
        let from = if i / seeds.len() % 4 == 0 { TokenSource::Retokenised } else { TokenSource::Returned };
        let Ok(completion) = answer::parse(&body) else { continue };
        if let Ok(sample) = answer::sample(&engine, &request, completion, from) {
            let text = String::from_utf8_lossy(&body);
            assert!(sample.tokens.len() <= BUDGET, "{text}");
            assert!(sample.tokens.iter().all(|&token| (token as usize) < engine.shape().vocab_size), "{text}");
            let ends = sample.tokens.iter().filter(|&&token| engine.vocab().is_eos(token)).count();
            assert!(ends == 0 || ends == 1 && engine.vocab().is_eos(*sample.tokens.last().unwrap()), "{text}");
            samples += 1;
        }
    }
    samples
}

/// Takes `count` answers from a socket, heads and lengths broken like all else. Returns how many bodies were read.
fn receive(count: usize, seed: u64) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_secs(5);
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seeds = seeds(&ToyEngine::new(1));
    // It lasts as long as the test.
    thread::spawn(move || {
        let mut rng = SampleRng::new(seed, 0);
        for (stream, seed) in listener.incoming().flatten().zip(seeds.iter().cycle()) {
            answer_with(stream, seed, &mut rng);
        }
    });
    let server = RemoteServer { tries: 1, timeout, ..RemoteServer::new(url, "toy") };
    let client = Client::new(&server);
    (0..count).filter(|_| client.post(b"{}", 0, |_| false).is_ok()).count()
}

/// Answers in one piece or in chunks, with a head that may be broken, and closes.
fn answer_with(mut stream: TcpStream, body: &[u8], rng: &mut SampleRng) {
    let mut asked = [0; 4096];
    let mut read = 0;
    while !asked[..read].ends_with(b"{}") {
        match stream.read(&mut asked[read..]) {
            Ok(more) if more > 0 => read += more,
            _ => return,
        }
    }
    let status = [200, 200, 200, 400, 429, 500, 301, 204, 100][rng.below(9)];
    let more =
        ["", "Retry-After: 1e9\r\n", "Content-Encoding: gzip\r\n", "Location: file:///etc/passwd\r\n"][rng.below(4)];
    let head = format!("HTTP/1.1 {status} Any\r\nConnection: close\r\n{more}");
    let mut answer = if rng.below(2) == 0 {
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    } else {
        let chunks =
            body.chunks(100).map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let chunks: Vec<u8> = chunks.flatten().collect();
        [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunks, b"0\r\n\r\n"].concat()
    };
    if rng.below(4) > 0 {
        break_json(&mut answer, rng);
    }
    // A client that does not want the rest is no fault of the test's.
    let _ = stream.write_all(&answer);
}

#[test]
fn broken_answers_are_samples_or_errors() {
    let samples = read(20_000, 1);
    assert!(samples > 1000, "{samples}");
}

#[test]
fn broken_heads_are_bodies_or_errors() {
    let bodies = receive(1000, 2);
    assert!(bodies > 100, "{bodies}");
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ answers, and a hundredth of that through a socket"]
fn many_broken_answers_are_samples_or_errors() {
    let (count, seed) = fuzz_runs(1_000_000);
    let begun = Instant::now();
    let samples = read(count, seed);
    println!("{count} answers, {samples} of them samples, in {:?}", begun.elapsed());
    let begun = Instant::now();
    let bodies = receive(count / 100, seed);
    println!("{} answers from a socket, {bodies} of them read, in {:?}", count / 100, begun.elapsed());
    assert!(samples > count / 40 && bodies > count / 1000, "{samples} {bodies}");
}

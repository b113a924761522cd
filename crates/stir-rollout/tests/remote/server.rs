//! A server of completions that does what a test tells it to.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use stir_core::{Engine, TokenId, toy::ToyEngine};
use stir_rollout::{Rollout, sample_stream};

/// A request as it arrived.
pub struct Ask {
    /// The number of requests before it, that for one token at the start among them.
    pub n: usize,
    pub head: String,
    pub body: Value,
}

impl Ask {
    /// True for the question at the start, which asks for one token.
    pub fn is_probe(&self) -> bool {
        self.body["max_tokens"] == 1
    }
}

/// What comes back.
pub enum Answer {
    /// A whole answer: status, further header lines, body.
    Whole(u16, &'static str, Vec<u8>),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing for so long.
    Silence(Duration),
}

impl Answer {
    pub fn json(value: &Value) -> Self {
        Self::Whole(200, "", value.to_string().into_bytes())
    }

    pub fn status(status: u16, headers: &'static str, body: &str) -> Self {
        Self::Whole(status, headers, body.as_bytes().to_vec())
    }
}

type Handler = dyn Fn(&Ask) -> Answer + Send + Sync;

/// A server in threads, which lasts as long as the test.
pub struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Ask>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, seen, handler): (Arc<AtomicUsize>, Arc<Mutex<Vec<Ask>>>, Arc<Handler>) =
            (Arc::default(), Arc::default(), Arc::new(handler));
        let server = Self { address, asked: asked.clone(), seen: seen.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, seen, handler) = (asked.clone(), seen.clone(), handler.clone());
                thread::spawn(move || serve(stream, &asked, &seen, &*handler));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// Takes the requests so far.
    pub fn seen(&self) -> Vec<Ask> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Answers one request. A client that has gone is no fault of the test's.
fn serve(mut stream: TcpStream, asked: &AtomicUsize, seen: &Mutex<Vec<Ask>>, handler: &Handler) {
    let Some((head, body)) = read(&stream) else { return };
    let ask = Ask { n: asked.fetch_add(1, SeqCst), head, body: serde_json::from_slice(&body).unwrap() };
    let answer = handler(&ask);
    seen.lock().unwrap().push(ask);
    let bytes = match answer {
        Answer::Whole(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} Any\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
            [head.replace("Any\r\n", "Any\r\nConnection: close\r\n").into_bytes(), body].concat()
        }
        Answer::Raw(bytes) => bytes,
        Answer::Silence(time) => return thread::sleep(time),
    };
    let _ = stream.write_all(&bytes);
}

fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut reader, mut head) = (BufReader::new(stream), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head += &line.to_lowercase();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Where a server puts the tokens of its answers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Vllm,
    Sglang,
    LlamaCpp,
    /// A server that takes texts and returns texts.
    Plain,
}

/// A model on a server: it says what an engine sampled here.
pub struct Model {
    pub kind: Kind,
    engine: ToyEngine,
    by_seed: HashMap<u64, Rollout>,
}

impl Model {
    pub fn new(kind: Kind, engine: ToyEngine, seed: u64, rollouts: &[Rollout]) -> Self {
        let by_seed = rollouts.iter().map(|r| (wire_seed(seed, sample_stream(&r.id, r.k)), r.clone())).collect();
        Self { kind, engine, by_seed }
    }

    /// Returns the sample that is asked for.
    pub fn sampled(&self, ask: &Ask) -> Rollout {
        self.by_seed[&ask.body["seed"].as_u64().unwrap()].clone()
    }

    pub fn answer(&self, ask: &Ask) -> Answer {
        if self.kind == Kind::Plain && !ask.body["prompt"].is_string() {
            return Answer::status(500, "", "Input should be a valid string");
        }
        Answer::json(&self.reply(ask))
    }

    /// Returns a good answer, to be changed.
    pub fn reply(&self, ask: &Ask) -> Value {
        if ask.is_probe() {
            return self.completion(ask, &[0], "a");
        }
        let sampled = self.sampled(ask);
        self.completion(ask, &sampled.token_ids, &sampled.text)
    }

    fn completion(&self, ask: &Ask, tokens: &[TokenId], text: &str) -> Value {
        let stopped = tokens.last().is_some_and(|&last| self.engine.vocab().is_eos(last));
        let prompt = match ask.body["prompt"].as_array() {
            Some(ids) => ids.len(),
            None => ask.body["prompt"].as_str().unwrap().len(),
        };
        let mut choice = json!({"index": 0, "text": text, "logprobs": null});
        choice["finish_reason"] = if stopped { "stop" } else { "length" }.into();
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": tokens.len()});
        let mut reply = json!({"id": "cmpl-1", "object": "text_completion", "model": "toy", "usage": usage});
        match self.kind {
            Kind::Vllm => {
                choice["token_ids"] = json!(tokens);
                choice["prompt_token_ids"] = ask.body["prompt"].clone();
                choice["stop_reason"] = Value::Null;
            }
            // Without its end token, which it names instead.
            Kind::Sglang => {
                choice["token_ids"] = json!(&tokens[..tokens.len() - usize::from(stopped)]);
                choice["matched_stop"] = if stopped { json!(tokens.last()) } else { Value::Null };
            }
            Kind::LlamaCpp => reply["__verbose"] = json!({"tokens": tokens, "truncated": false}),
            Kind::Plain => {}
        }
        reply["choices"] = json!([choice]);
        reply
    }
}

/// The seed that a sample is asked for with.
fn wire_seed(seed: u64, stream: u64) -> u64 {
    let hash = blake3::hash(&[seed.to_le_bytes(), stream.to_le_bytes()].concat());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) >> 33
}

//! Requests that are broken at random: whatever they hold, they are answered, or refused with a reason that is not the
//! server's fault.

#![allow(clippy::print_stdout, reason = "counts and times of the long runs")]

use axum::{
    body::{Body, to_bytes},
    http::{Request as HttpRequest, Response, header},
};
use serde_json::Value;
use stir_basis::{Action, Entry, Library, normalize};
use stir_core::{
    Delimiter, Engine, SampleRng, Sampling,
    toy::{ToyEngine, break_json, fuzz_runs},
};
use tower::ServiceExt;

use super::{libraries::check_name, *};

const CHATS: [&str; 4] = [
    r#"{"model":"toy","messages":[{"role":"system","content":"ab"},{"role":"user","content":[{"type":"text","text":"c"},
        {"type":"text","text":"de"}]}],"max_tokens":3,"temperature":0.5,"top_p":0.9,"top_k":-1,"min_p":0,"seed":7,"n":2,
        "stop":["x","\n\n"],"repetition_penalty":1.1,"presence_penalty":0,"logit_bias":{},"user":"u","tools":[]}"#,
    r#"{"messages":[{"role":"user","content":"abc","name":null}],"max_completion_tokens":2,"stream":true,"logprobs":true,
        "stream_options":{"include_usage":true,"include_obfuscation":false},"top_logprobs":2,"return_token_ids":true,
        "chat_template_kwargs":{"enable_thinking":false,"x":[1,{"y":"z"}]},"response_format":{"type":"text"}}"#,
    r#"{"messages":[{"role":"developer","content":""},{"role":"assistant","content":"a"}],"max_tokens":8,"stir":{
        "library":"one","k_scale":0.5,"strength":"relative:0.3","placement":"boundary","min_gain":0.1,"retrieve":3,
        "candidates":2,"probe_tokens":2,"max_control_points":2},"logprobs":true,"top_logprobs":0}"#,
    r#"{"messages":[{"role":"user","content":"hello"}],"stream":true,"stir":{"library":"one","strength":{"relative":0.3},
        "variant":"relative","probe_tokens":3},"max_tokens":9,"n":2,"seed":-1}"#,
];

const TEXTS: [&str; 4] = [
    r#"{"prompt":"abc","max_tokens":3,"logprobs":2,"echo":false,"best_of":1,"suffix":"","stop":"x","seed":9}"#,
    r#"{"prompt":["a","bc"],"n":2,"max_tokens":2,"stream":true,"return_token_ids":true,"temperature":2}"#,
    r#"{"prompt":[[1,2,3],[4,40]],"min_tokens":0,"stop_token_ids":[],"ignore_eos":false,"top_k":3,"model":"toy"}"#,
    r#"{"prompt":[1,2,3,4],"stir":{"library":"one","k_scale":0.5,"probe_tokens":2,"candidates":2},"max_tokens":9}"#,
];

/// Addresses; the last parts of most may be broken.
const PLACES: [(&str, &str); 10] = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("PUT", "/v1/libraries/two"),
    ("GET", "/v1/libraries/one?a=b&a=%00"),
    ("DELETE", "/v1/libraries/two"),
    ("GET", "/v1/models/toy"),
    ("GET", "/v1/libraries"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("OPTIONS", "/healthz"),
];

fn library() -> Library {
    let (engine, mut rng) = (ToyEngine::new(1), SampleRng::new(1, 0));
    let mut vector = || -> Vec<f32> { (0..10).map(|_| rng.normal() as f32).collect() };
    let entries = (1..4).flat_map(|m| [m; 3]).map(|m| {
        let (key, action) = (normalize(&vector()).unwrap().into(), Action::Steer(vector()));
        Entry { m, layer: 1, quality: 0.8, key, action, ..Entry::default() }
    });
    let library = Library::from_entries(engine.fingerprint().clone(), entries.collect()).unwrap();
    library.with_delimiter(Delimiter::new("n").unwrap())
}

fn server(api_key: Option<ApiKey>) -> Server {
    let engine = ToyEngine::new(1).passing_over_unknown();
    let chat = |messages: &[Message], _: &_| Ok(messages.iter().map(|m| m.content.as_str()).collect());
    let model = Model::new("toy", engine).with_chat(chat).with_sampling(Sampling::GREEDY).unwrap();
    let config =
        ServeConfig { max_tokens: 16, max_batch: 4, queue: 4, max_libraries: 3, api_key, ..Default::default() };
    let server = Server::new(model, config).unwrap();
    server.shared.is_local.store(true, Ordering::Relaxed);
    server.add_library("one", library()).unwrap();
    server
}

/// Parses `count` bodies. Returns how many could be asked of the engine.
fn parse(count: usize, seed: u64) -> usize {
    let (server, mut rng, mut body, mut asked) = (server(None), SampleRng::new(seed, 0), Vec::new(), 0);
    let shared = &*server.shared;
    for i in 0..count {
        body.clear();
        let is_chat = i % 2 == 0;
        let seeds = if is_chat { CHATS } else { TEXTS };
        body.extend(seeds[i / 2 % 4].as_bytes());
        break_json(&mut body, &mut rng);
        match if is_chat { chat::parse(shared, &body) } else { completions::parse(shared, &body) } {
            Ok(call) => {
                let answers: usize = call.requests.iter().map(|request| request.samples).sum();
                assert!((1..=shared.room()).contains(&answers));
                for request in &call.requests {
                    assert!(request.check(shared.model.shape()).is_ok() && request.max_tokens <= 16);
                    assert!(request.stop.len() <= 16 && request.stop.iter().all(|stop| stop.len() <= 1024));
                }
                asked += 1;
            }
            Err(error) => {
                let (error, text) = (error.json(), String::from_utf8_lossy(&body));
                assert_eq!(error["error"]["type"], "invalid_request_error", "{text}");
                assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
            }
        }
    }
    asked
}

/// A request of which any part may be broken; `None` where that is nothing that can be sent.
fn request(i: usize, upload: &[u8], rng: &mut SampleRng) -> Option<HttpRequest<Body>> {
    let place = i % PLACES.len();
    let (mut method, path) = PLACES[place];
    let mut path = path.as_bytes().to_vec();
    let mut body = match place {
        0 => CHATS[rng.below(4)].as_bytes().to_vec(),
        1 => TEXTS[rng.below(4)].as_bytes().to_vec(),
        2 => upload.to_vec(),
        _ => Vec::new(),
    };
    // Most break where the request has the most.
    match rng.below(8) {
        0 => {
            let at = 1 + rng.below(path.len());
            let part: &[u8] = [&b"%2e%2e%2f"[..], b"/../", b"%00", b"%ff", b"?", b"//", b"%", b"a;b=%25"][rng.below(8)];
            drop(path.splice(at..at, part.iter().copied()));
        }
        1 => break_json(&mut path, rng),
        2 => method = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "BREW"][rng.below(7)],
        _ if !body.is_empty() => break_json(&mut body, rng),
        _ => {}
    }
    let mut header = |whole: &str| {
        let mut bytes = whole.as_bytes().to_vec();
        if rng.below(16) == 0 {
            break_json(&mut bytes, rng);
        }
        bytes
    };
    let (host, key, kind) = (header("localhost:80"), header("Bearer secret"), header("application/json"));
    let built = HttpRequest::builder().method(method).uri(path).header(header::HOST, host);
    built.header(header::AUTHORIZATION, key).header(header::CONTENT_TYPE, kind).body(body.into()).ok()
}

/// Checks an answer; returns whether the request was served.
async fn check(response: Response<Body>, asked: &str) -> bool {
    let (status, headers) = (response.status(), response.headers().clone());
    let kind = headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(status.is_success() || status.is_client_error(), "{status} {text} to {asked}");
    if kind == "text/event-stream" {
        for data in text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]")
        {
            let chunk: Value = serde_json::from_str(data).unwrap();
            assert!(chunk["choices"].is_array(), "{data} to {asked}");
        }
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    } else if status.is_client_error() && !asked.starts_with("HEAD") {
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text:?} to {asked}"));
        assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string(), "{text} to {asked}");
    }
    status.is_success()
}

/// Sends `count` requests to the routes, to a server with a key and to one without. Returns how many were served.
fn route(count: usize, seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    library().save(folder.path().join("library")).unwrap();
    let upload = std::fs::read(folder.path().join("library")).unwrap();
    runtime.block_on(async {
        let servers = [server(None), server(Some(ApiKey::new("secret")))];
        let routers = [servers[0].router(), servers[1].router()];
        let (mut rng, mut served) = (SampleRng::new(seed, 0), 0);
        for i in 0..count {
            let Some(request) = request(i, &upload, &mut rng) else { continue };
            let asked = format!("{} {}", request.method(), request.uri());
            let response = routers[rng.below(2)].clone().oneshot(request).await.unwrap();
            served += usize::from(check(response, &asked).await);
        }
        assert!(servers.iter().all(|server| server.shared.is_alive()));
        served
    })
}

#[test]
fn broken_bodies_are_refused_or_can_be_asked() {
    let asked = parse(20_000, 1);
    assert!(asked > 600, "{asked}");
}

#[test]
fn broken_requests_are_never_the_fault_of_the_server() {
    let served = route(2000, 2);
    assert!(served > 400, "{served}");
}

/// A name of a library names nothing else: no other folder, no other host, no other line of a log.
#[test]
fn names_of_libraries_are_plain() {
    for name in ["", ".\n", "a/b", "a\\b", "%2e", "a b", "é", "a\0", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name:?}");
    }
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ bodies, and a tenth of that through the routes"]
fn many_broken_requests_are_never_the_fault_of_the_server() {
    let (count, seed) = fuzz_runs(1_000_000);
    let begun = Instant::now();
    let asked = parse(count, seed);
    println!("{count} bodies, {asked} of them asked, in {:?}", begun.elapsed());
    let begun = Instant::now();
    let served = route(count / 10, seed);
    println!("{} requests, {served} of them served, in {:?}", count / 10, begun.elapsed());
    assert!(asked > count / 40 && served > count / 100, "{asked} {served}");
}

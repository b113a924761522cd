//! Whole runs on servers, most of which misbehave: what is asked, what is written, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "remote/recorded.rs"]
mod recorded;
#[path = "remote/server.rs"]
mod server;
#[path = "remote/unusable.rs"]
mod unusable;

use std::{
    fs,
    net::TcpListener,
    ops::ControlFlow::{self, Break, Continue},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use server::{Answer, Ask, Kind, Model, Server};
use stir_core::{
    Sampling, Text,
    toy::{ToyEngine, ToyError},
};
use stir_files::{FileError, Settings};
use stir_rollout::{
    Progress, Prompt, Rollout, RolloutConfig, RolloutError, Rollouts, RunError, Summary, read_rollouts,
    remote::{RemoteError, RemoteRollouts, RemoteServer, ServerError},
};

fn engine() -> ToyEngine {
    ToyEngine::new(1)
}

fn config() -> RolloutConfig {
    let sampling = Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::GREEDY };
    RolloutConfig { samples: 4, max_tokens: 24, sampling, seed: 9, ..RolloutConfig::default() }
}

fn prompts() -> Vec<Prompt> {
    let prompt = |(i, text): (usize, &str)| Prompt { id: format!("p{i}"), prompt: text.into(), gold: Some("s".into()) };
    ["abc", "d", "hello", "ab", "zzzz"].into_iter().enumerate().map(prompt).collect()
}

fn judge(prompt: &Prompt, text: &str) -> bool {
    text.contains(prompt.gold.as_deref().unwrap())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("rollouts.jsonl")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.out()).unwrap()
    }

    fn settings(&self) -> Value {
        serde_json::from_slice(&fs::read(Settings::path(self.out())).unwrap()).unwrap()
    }

    fn rollouts(&self) -> Vec<Rollout> {
        read_rollouts(self.out()).unwrap().map(Result::unwrap).collect()
    }
}

/// What is sampled and written without a server.
fn local() -> (Vec<u8>, Vec<Rollout>) {
    let folder = Folder::new();
    Rollouts::new(&engine(), config()).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    (folder.bytes(), folder.rollouts())
}

/// Starts a server that gives good answers, except where `wrong` has another.
fn start(kind: Kind, wrong: impl Fn(&Model, &Ask) -> Option<Answer> + Send + Sync + 'static) -> Server {
    let model = Model::new(kind, engine(), config().seed, &local().1);
    Server::start(move |ask| wrong(&model, ask).unwrap_or_else(|| model.answer(ask)))
}

fn remote(server: &Server) -> RemoteServer {
    let (timeout, backoff) = (Duration::from_secs(20), Duration::from_millis(2));
    RemoteServer { parallel: 5, tries: 4, timeout, backoff, ..RemoteServer::new(server.url(), "toy") }
}

fn run(server: RemoteServer, out: &Path) -> Result<Summary<ToyError>, RemoteError> {
    RemoteRollouts::new(&engine(), server, config()).unwrap().run(&prompts(), &judge, out)
}

fn observed(
    server: RemoteServer,
    out: &Path,
    observer: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary<ToyError>, RemoteError> {
    RemoteRollouts::new(&engine(), server, config()).unwrap().on_progress(observer).run(&prompts(), &judge, out)
}

#[test]
fn a_server_that_samples_the_same_gives_the_same_file() {
    let (expected, _) = local();
    for kind in [Kind::Vllm, Kind::Sglang, Kind::LlamaCpp] {
        for parallel in [1, 7] {
            let (server, folder) = (start(kind, |_, _| None), Folder::new());
            let mut seen = Vec::new();
            let summary = observed(RemoteServer { parallel, ..remote(&server) }, &folder.out(), |progress| {
                seen.push((progress.done, progress.total));
                Continue(())
            })
            .unwrap();
            assert!(summary.complete && summary.failures.is_empty());
            assert_eq!(seen, (0..=20).map(|done| (done, 20)).collect::<Vec<_>>());
            assert_eq!(folder.bytes(), expected, "{kind:?}");
            let tokens: usize = folder.rollouts().iter().map(|r| r.token_ids.len()).sum();
            assert_eq!((summary.problems, summary.samples, summary.tokens), (5, 20, tokens));
            assert_eq!(server.asked(), 21);
            let settings = folder.settings();
            assert_eq!((&settings["computation"], &settings["reproducible"]), (&json!("server"), &json!(false)));
            let named = json!({"model": "toy", "prompts": "token_ids", "token_ids": "returned"});
            assert_eq!(settings["server"], named);
        }
    }
}

#[test]
fn everything_that_decides_a_sample_is_sent() {
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    run(RemoteServer { key: Some("k-1".into()), ..remote(&server) }, &folder.out()).unwrap();
    let mut asks = server.seen();
    asks.sort_by_key(|ask| ask.n);
    let probe = asks.remove(0);
    assert!(probe.is_probe() && asks.iter().all(|ask| !ask.is_probe()));
    let mut seeds: Vec<u64> = asks.iter().map(|ask| ask.body["seed"].as_u64().unwrap()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert!(seeds.len() == 20 && seeds.iter().all(|&seed| seed < 1 << 31));
    let mut body = asks.into_iter().find(|ask| ask.body["prompt"] == json!([0, 1, 2])).unwrap();
    assert!(body.head.starts_with("post /v1/completions http/1.1"));
    assert!(
        body.head.contains("authorization: bearer k-1\r\n") && body.head.contains("content-type: application/json")
    );
    body.body["seed"] = json!(0);
    let expected = json!({
        "model": "toy", "prompt": [0, 1, 2], "max_tokens": 24, "n": 1, "temperature": 1.0, "top_p": 0.9, "top_k": 41,
        "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": 0, "stop": [],
        "ignore_eos": false, "stream": false, "echo": false, "skip_special_tokens": false,
        "spaces_between_special_tokens": false, "return_token_ids": true, "repeat_penalty": 1.0, "repeat_last_n": 27,
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"], "mirostat": 0, "dynatemp_range": 0.0,
        "return_tokens": true, "verbose": true,
    });
    assert_eq!(body.body, expected);
}

#[test]
fn without_token_ids_texts_are_tokenised_again_and_the_settings_say_so() {
    let (server, folder) = (start(Kind::Plain, |_, _| None), Folder::new());
    let summary = run(remote(&server), &folder.out()).unwrap();
    assert!(summary.complete && summary.failures.is_empty());
    let named = json!({"model": "toy", "prompts": "text", "token_ids": "retokenised"});
    assert_eq!(folder.settings()["server"], named);
    for (r, local) in folder.rollouts().iter().zip(local().1) {
        assert_eq!((&r.id, r.k, &r.text, r.correct), (&local.id, local.k, &local.text, local.correct));
        let mut tokens = engine().encode(&local.text).unwrap();
        // The end token is put back.
        tokens.extend(local.token_ids.last().filter(|&&last| last == 40));
        assert_eq!(r.token_ids, tokens);
    }
    // One question in each form, then text.
    assert_eq!(server.seen().iter().filter(|ask| !ask.body["prompt"].is_string()).count(), 1);

    let (better, error) = (start(Kind::Vllm, |_, _| None), folder.out());
    let error = run(remote(&better), &error).unwrap_err();
    let RemoteError::Rollout(RolloutError::File(FileError::Settings { field, .. })) = error else { panic!("{error}") };
    assert_eq!(field, "server.prompts");
}

#[test]
fn a_server_that_refuses_unknown_fields_gets_the_common_ones() {
    let strict = |_: &Model, ask: &Ask| {
        let unknown =
            ["return_tokens", "samplers", "skip_special_tokens"].iter().find(|&&name| ask.body.get(name).is_some());
        unknown.map(|name| Answer::status(400, "", name))
    };
    let (server, folder) = (start(Kind::Vllm, strict), Folder::new());
    let summary = run(remote(&server), &folder.out()).unwrap();
    assert!(summary.complete && summary.failures.is_empty());
    let named = json!({"model": "toy", "prompts": "token_ids", "fields": "common", "token_ids": "returned"});
    assert_eq!(folder.settings()["server"], named);
    let refused = server.seen().iter().filter(|ask| ask.body.get("samplers").is_some()).count();
    assert_eq!(refused, 1, "what it takes is found out once");
}

#[test]
fn a_server_that_recovers_is_asked_again() {
    let expected = local().0;
    type Fault = fn(&Model, &Ask) -> Answer;
    let faults: [(&str, Fault); 5] = [
        ("failure", |_, _| Answer::status(500, "", "out of memory")),
        ("overload", |_, _| Answer::status(429, "Retry-After: 1\r\n", "{}")),
        ("cut head", |_, _| Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())),
        ("cut body", |model, ask| {
            let body = model.reply(ask).to_string();
            let half = &body[..body.len() / 2];
            Answer::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{half}", body.len()).into_bytes())
        }),
        ("cut chunk", |_, _| {
            Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"choices\"".to_vec())
        }),
    ];
    for (name, fault) in faults {
        // Twice for one sample, and once for the question at the start.
        let server = start(Kind::Vllm, move |model, ask| {
            (matches!(ask.n, 0 | 3 | 4))
                .then(|| if ask.n == 0 { Answer::status(503, "", "") } else { fault(model, ask) })
        });
        let (folder, begun) = (Folder::new(), Instant::now());
        let summary = run(RemoteServer { parallel: 1, ..remote(&server) }, &folder.out()).unwrap();
        assert!(summary.complete && summary.failures.is_empty(), "{name}");
        assert_eq!((folder.bytes(), server.asked()), (expected.clone(), 24), "{name}");
        // Twice a second; otherwise a few milliseconds.
        assert_eq!(begun.elapsed() >= Duration::from_secs(2), name == "overload", "{name}");
    }
}

#[test]
fn an_answer_that_takes_too_long_is_asked_for_again() {
    let server = start(Kind::Vllm, |_, ask| (ask.n == 3).then_some(Answer::Silence(Duration::from_secs(30))));
    let (folder, begun) = (Folder::new(), Instant::now());
    run(RemoteServer { timeout: Duration::from_millis(500), ..remote(&server) }, &folder.out()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(folder.bytes(), local().0);

    let server = Server::start(|_| Answer::Silence(Duration::from_secs(30)));
    let timeout = Duration::from_millis(100);
    let error = run(RemoteServer { timeout, tries: 2, ..remote(&server) }, &Folder::new().out()).unwrap_err();
    let RemoteError::Server(ServerError::Unreachable { tries, source, .. }) = error else { panic!("{error}") };
    assert!(tries == 2 && source.to_string().contains("timeout"), "{source}");
}

#[test]
fn a_server_that_stays_away_ends_the_run_and_what_is_there_is_kept() {
    let body = "x".repeat(9999);
    let server = start(Kind::Vllm, move |_, ask| (ask.n > 8).then(|| Answer::status(503, "", &body)));
    let folder = Folder::new();
    let error = run(remote(&server), &folder.out()).unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("{}/v1/completions answered with status 503", server.url())),
        "{error}"
    );
    let RemoteError::Server(ServerError::Status { status: 503, body, tries, .. }) = error else { panic!("{error}") };
    assert!(tries == 4 && body.starts_with("xxx") && body.len() < 400);
    assert_eq!(folder.rollouts().len(), 8, "one of nine answers was to the question at the start");
    // The same server, started again elsewhere.
    let server = start(Kind::Vllm, |_, _| None);
    assert!(run(remote(&server), &folder.out()).unwrap().complete);
    assert_eq!((folder.bytes(), server.asked()), (local().0, 13));

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = RemoteServer {
        tries: 3,
        backoff: Duration::from_millis(1),
        ..RemoteServer::new(format!("http://{closed}"), "m")
    };
    let error = run(away, &Folder::new().out()).unwrap_err();
    assert!(matches!(error, RemoteError::Server(ServerError::Unreachable { tries: 3, .. })), "{error}");
}

#[test]
fn a_refusal_ends_the_run_at_once() {
    for status in [400, 401, 403, 404, 413, 302] {
        let server =
            start(Kind::Vllm, move |_, ask| (ask.n > 4).then(|| Answer::status(status, "", "{\"error\": \"no\"}")));
        let folder = Folder::new();
        let keyed = RemoteServer { parallel: 1, key: Some("secret".into()), ..remote(&server) };
        let error = run(keyed, &folder.out()).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
        let RemoteError::Server(ServerError::Status { status: found, body, tries: 1, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((found, body.as_str(), server.asked()), (status, "{\"error\": \"no\"}", 6));
        assert_eq!(folder.rollouts().len(), 4);
    }
    // A question at the start that is refused in both forms, with all fields and with the common ones.
    let server = Server::start(|_| Answer::status(400, "", "no such model"));
    let error = run(remote(&server), &Folder::new().out()).unwrap_err();
    assert!(matches!(error, RemoteError::Server(ServerError::Status { status: 400, .. })));
    assert_eq!(server.asked(), 4);
    let server = Server::start(|_| Answer::status(404, "", "no such path"));
    run(remote(&server), &Folder::new().out()).unwrap_err();
    assert_eq!(server.asked(), 1);
}

#[test]
fn an_answer_without_end_is_not_read() {
    let server = start(Kind::Vllm, |_, ask| (ask.n == 6).then(|| Answer::Whole(200, "", vec![b' '; 17 << 20])));
    let (folder, error) = (Folder::new(), |folder: &Folder| run(remote(&server), &folder.out()).unwrap_err());
    let error = error(&folder);
    assert!(matches!(error, RemoteError::Server(ServerError::TooLarge { limit: 16_777_216, .. })), "{error}");
    assert!(folder.rollouts().len() >= 5);
    // Nor is that of an error.
    let server = Server::start(|_| Answer::Whole(404, "", vec![b'x'; 64 << 20]));
    run(remote(&server), &Folder::new().out()).unwrap_err();
}

#[test]
fn a_stopped_run_keeps_what_was_under_way_and_asks_for_the_rest() {
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    let summary =
        observed(remote(&server), &folder.out(), |p| if p.done == 7 { Break(()) } else { Continue(()) }).unwrap();
    assert!(!summary.complete && (7..=7 + 2 * 5).contains(&summary.samples));
    assert_eq!(folder.rollouts().len(), summary.samples);
    let again = start(Kind::Vllm, |_, _| None);
    let mut first = None;
    let whole = observed(remote(&again), &folder.out(), |p| {
        first.get_or_insert(p);
        Continue(())
    })
    .unwrap();
    assert_eq!(first, Some(Progress { done: summary.samples, total: 20, tokens: 0 }));
    assert!(whole.complete && whole.samples == 20);
    assert_eq!((folder.bytes(), again.asked()), (local().0, 21 - summary.samples));

    // Stopped before it began.
    let none = observed(remote(&again), &Folder::new().out(), |_| Break(())).unwrap();
    assert!(!none.complete && none.samples == 0);
}

#[test]
fn files_of_servers_and_of_engines_are_not_mixed() {
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    let some = |p: Progress| if p.done == 3 { Break(()) } else { Continue(()) };
    observed(RemoteServer { parallel: 1, ..remote(&server) }, &folder.out(), some).unwrap();
    let before = folder.bytes();
    let error = Rollouts::new(&engine(), config()).unwrap().run(&prompts(), &judge, folder.out()).unwrap_err();
    let RunError::Rollout(RolloutError::File(FileError::Settings { field, then, now, .. })) = error else {
        panic!("{error}")
    };
    assert_eq!((field.as_str(), then.as_str(), now.as_str()), ("computation", "\"server\"", "\"\""));
    let other = RemoteServer { model: "toy-fp8".into(), ..remote(&server) };
    let error = run(other, &folder.out()).unwrap_err();
    assert!(error.to_string().contains("server.model"), "{error}");
    assert_eq!(folder.bytes(), before);

    let folder = Folder::new();
    Rollouts::new(&engine(), config()).unwrap().on_progress(some).run(&prompts(), &judge, folder.out()).unwrap();
    let error = run(remote(&server), &folder.out()).unwrap_err();
    let RemoteError::Rollout(RolloutError::File(FileError::Settings { field, .. })) = error else { panic!("{error}") };
    assert_eq!(field, "computation");
    // What can be told without the server is told before it is asked.
    let asked = server.asked();
    let changed = RolloutConfig { seed: 10, ..config() };
    let run = RemoteRollouts::new(&engine(), remote(&server), changed).unwrap().run(&prompts(), &judge, folder.out());
    assert!(run.unwrap_err().to_string().contains("config.seed") && server.asked() == asked);
}

#[test]
fn prompts_that_cannot_be_asked_do_not_hold_up_the_others() {
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    let mut all = prompts();
    let add = |id: &str, prompt: &str, gold: Option<&str>| Prompt {
        id: id.into(),
        prompt: prompt.into(),
        gold: gold.map(Into::into),
    };
    all.insert(0, add("unjudged", "a", None));
    all.insert(1, add("unknown", "A", Some("e")));
    all.push(add("long", &"a".repeat(96), Some("e")));
    let summary =
        RemoteRollouts::new(&engine(), remote(&server), config()).unwrap().run(&all, &judge, folder.out()).unwrap();
    assert!(summary.complete);
    let mut failed: Vec<_> = summary.failures.iter().map(|f| (f.id.as_str(), f.samples)).collect();
    failed.sort_unstable();
    assert_eq!(failed, [("long", 4), ("unjudged", 4), ("unknown", 4)]);
    assert_eq!((folder.bytes(), server.asked()), (local().0, 21));

    let engine = engine();
    let none = RemoteRollouts::new(&engine, remote(&server), config()).unwrap();
    let summary = none.run(&all[..2], &judge, Folder::new().out()).unwrap();
    assert!(summary.complete && summary.failures.len() == 2 && server.asked() == 21, "there is nothing to ask");
}

#[test]
fn stop_strings_and_end_tokens_end_a_sample_here() {
    // This server goes on where an engine here would have ended.
    let stop = vec!["s".to_owned(), "\n".to_owned()];
    let stopped = RolloutConfig { stop: stop.clone(), ..config() };
    let expected = Folder::new();
    Rollouts::new(&engine(), stopped.clone()).unwrap().run(&prompts(), &judge, expected.out()).unwrap();
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    RemoteRollouts::new(&engine(), remote(&server), stopped).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    assert_eq!(folder.bytes(), expected.bytes());
}

#[test]
fn a_panicking_judge_ends_the_threads() {
    let (server, folder) = (start(Kind::Vllm, |_, _| None), Folder::new());
    let judged = Mutex::new(0);
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let judge = |_: &Prompt, _: &str| {
            *judged.lock().unwrap() += 1;
            panic!("a judge's fault")
        };
        let slow = RemoteServer { parallel: 1, ..remote(&server) };
        RemoteRollouts::new(&engine(), slow, config()).unwrap().run(&prompts(), &judge, folder.out())
    }));
    assert!(panics.is_err() && server.asked() < 10, "{}", server.asked());
}

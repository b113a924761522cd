//! Answers join, leave, wait, and end: because they are done, because nobody waits, or because something broke.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::common::{data, piece, plain, read, serve};
use futures_util::future::join_all;
use serde_json::{Value, json};
use stir_core::{
    Engine, Output, Request, Row, Sampling, Text,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_serve::{Model, ServeConfig, Server};
use tokio::time::sleep;

const TEXT: &str = "/v1/completions";

/// An engine whose passes take `milliseconds`, and the number of rows of logits that it has computed.
fn slow(milliseconds: u64) -> (impl Text<Session = ToySession>, Arc<AtomicUsize>) {
    let decoded = Arc::new(AtomicUsize::new(0));
    let counter = decoded.clone();
    let engine = Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], _: &mut [Output]| {
        counter.fetch_add(rows.iter().filter(|row| row.logits).count(), SeqCst);
        std::thread::sleep(Duration::from_millis(milliseconds));
    });
    (engine, decoded)
}

/// Waits until `holds`, for two seconds at most.
async fn soon(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if holds().await {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_within_a_step_of_its_client_going_away() {
    let (engine, decoded) = slow(100);
    let server = serve(engine, ServeConfig::default()).await;
    let body = |stream: bool| json!({ "prompt": "abc", "max_tokens": 90, "stream": stream, "n": 2 });
    for stream in [true, false] {
        let before = decoded.load(SeqCst);
        if stream {
            let mut pieces = server.request(TEXT, &body(true)).send().await.unwrap().bytes_stream();
            assert!(piece(&mut pieces).await.starts_with("data: "));
        } else {
            let asked = tokio::spawn(server.request(TEXT, &body(false)).send());
            assert!(soon(async || decoded.load(SeqCst) > before).await);
            asked.abort();
        }
        // The client has gone. Two rows are in the pass that runs, and two may be in one that began before it was seen.
        let gone = decoded.load(SeqCst);
        assert!(soon(async || server.metric("stir_running_answers").await == 0.0).await);
        sleep(Duration::from_millis(300)).await;
        let after = decoded.load(SeqCst);
        assert!(after <= gone + 4, "{gone} rows when the client went, {after} in the end");
        assert!(gone > before);
    }
    assert_eq!(server.metric("stir_cancelled_answers_total").await, 4.0);
    assert_eq!(server.metric("stir_lost_answers_total").await, 0.0);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_past_the_queue_are_told_to_come_again() {
    let (engine, _) = slow(10);
    let server = serve(engine, ServeConfig { max_batch: 2, queue: 3, ..ServeConfig::default() }).await;
    let body = json!({ "prompt": "abc", "max_tokens": 30 });
    let answers = join_all((0..9).map(|_| server.request(TEXT, &body).send())).await;
    let (mut served, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.unwrap();
        match answer.status().as_u16() {
            200 => served += 1,
            429 => {
                refused += 1;
                assert_eq!(answer.headers()["retry-after"], "1");
                let error = read(answer).await.1;
                assert_eq!(error["error"]["code"], "rate_limit_exceeded");
                assert!(error["error"]["message"].as_str().unwrap().contains("at most 5 answers"), "{error}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((served, refused), (5, 4));
    // There is room again.
    assert_eq!(server.post(TEXT, body).await.0, 200);
    let text = server.get("/metrics").await.1;
    assert!(text.contains("stir_requests_total{route=\"/v1/completions\",status=\"429\"} 4"), "{text}");
    assert!(text.contains("stir_completion_tokens_total 180"), "{text}");
    assert!(text.contains("stir_answer_seconds_count 6") && text.contains("stir_waiting_answers 0"), "{text}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_time_is_up_keeps_what_it_has() {
    let (engine, _) = slow(20);
    let config = ServeConfig { max_batch: 1, time_limit: Duration::from_millis(300), ..ServeConfig::default() };
    let server = serve(engine, config).await;
    let body = json!({ "prompt": "abc", "max_tokens": 90, "n": 2 });
    let (status, answer) = server.post(TEXT, body.clone()).await;
    assert_eq!(status, 200);
    let [first, waited] = [0, 1].map(|i| answer["choices"][i].clone());
    assert_eq!((&first["finish_reason"], &first["stop_reason"]), (&json!("length"), &json!("time_limit")));
    assert!((1..20).contains(&first["text"].as_str().unwrap().len()), "{answer}");
    // The second waited all the time.
    assert_eq!((&waited["text"], &waited["stop_reason"]), (&json!(""), &json!("time_limit")));
    let chunks = server.stream(TEXT, body).await;
    assert_eq!(chunks.last().unwrap()["choices"][0]["stop_reason"], "time_limit");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_join_the_next_pass_after_their_prompts_as_far_as_256_tokens_go() {
    let passes = Arc::new(Mutex::new(Vec::new()));
    let seen = passes.clone();
    let engine = Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], _: &mut [Output]| {
        seen.lock().unwrap().push(rows.iter().map(|row| row.tokens.to_vec()).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(10));
    });
    let (server, toy) = (serve(engine, ServeConfig::default()).await, ToyEngine::new(1));
    let long = server.request(TEXT, &json!({ "prompt": "abc", "max_tokens": 90, "stream": true }));
    let mut pieces = long.send().await.unwrap().bytes_stream();
    piece(&mut pieces).await;
    // Heads of 90 tokens: a third would be more than may be encoded between two passes.
    let prompts = ["x", "y", "z"].map(|end| end.repeat(90) + end);
    assert_eq!(server.post(TEXT, json!({ "prompt": prompts, "max_tokens": 1 })).await.0, 200);
    let passes = passes.lock().unwrap().clone();
    let places = prompts.map(|prompt| {
        let head = vec![toy.encode(&prompt[1..]).unwrap()];
        passes.iter().position(|rows| *rows == head).unwrap()
    });
    assert_eq!(places, [0, 1, 3].map(|place| places[0] + place));
    // The running answer takes part in the pass that follows.
    for (place, ends) in [(places[1] + 1, vec!["x", "y"]), (places[2] + 1, vec!["z"])] {
        let ends = ends.into_iter().map(|end| toy.encode(end).unwrap());
        assert_eq!(passes[place][1..], ends.collect::<Vec<_>>(), "{:?}", passes[place]);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_progress_are_finished_before_the_server_ends() {
    let (engine, _) = slow(10);
    let mut server = serve(engine, ServeConfig::default()).await;
    let asked = tokio::spawn(server.request(TEXT, &json!({ "prompt": "abc", "max_tokens": 30 })).send());
    let stream = server.request(TEXT, &json!({ "prompt": "abc", "max_tokens": 30, "stream": true }));
    let stream = stream.send().await.unwrap();
    server.tell_to_end();
    let text = stream.text().await.unwrap();
    assert_eq!(data(&text).last().unwrap(), "[DONE]");
    assert_eq!(data(&text).len(), 32, "30 tokens, the end, and the mark of the end");
    let (status, whole) = read(asked.await.unwrap().unwrap()).await;
    assert_eq!((status, &whole["usage"]["completion_tokens"]), (200, &json!(30)));
    assert!(server.client.get(server.at("/healthz")).send().await.is_err(), "nobody listens");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_take_too_long_to_finish_are_given_up() {
    let (engine, _) = slow(20);
    let mut server = serve(engine, ServeConfig { drain: Duration::from_millis(200), ..ServeConfig::default() }).await;
    let body = json!({ "prompt": "abc", "max_tokens": 90, "stream": true });
    let stream = server.request(TEXT, &body).send().await.unwrap();
    let start = Instant::now();
    server.tell_to_end();
    let text = stream.text().await.unwrap();
    let last: Value = serde_json::from_str(data(&text).last().unwrap()).unwrap();
    assert_eq!(last["error"]["type"], "server_error", "{text}");
    server.ended().await;
    assert!((200..5000).contains(&start.elapsed().as_millis()));
}

/// An engine that panics, or fails, in passes that hold the token of `z` while `armed`.
fn fragile(armed: Arc<AtomicBool>, how: fn(&mut [Output])) -> impl Text<Session = ToySession> {
    Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], outputs: &mut [Output]| {
        if armed.load(SeqCst) && rows.iter().any(|row| row.tokens.contains(&25)) {
            how(outputs);
        }
        // So that answers meet.
        std::thread::sleep(Duration::from_millis(5));
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_request_and_not_the_server() {
    for how in [(|_| panic!("broken")) as fn(&mut [Output]), |outputs| outputs[0].logits.fill(f32::NAN)] {
        let armed = Arc::new(AtomicBool::new(true));
        let server = serve(fragile(armed.clone(), how), ServeConfig::default()).await;
        // While the prompt is encoded, others go on; in the pass of its last token, others may be lost with it.
        let expected = &plain(&ToyEngine::without_eos(1), &greedy("abc"))[0];
        let other = server.post(TEXT, json!({ "prompt": "abc", "max_tokens": 30 }));
        let broken = async {
            sleep(Duration::from_millis(30)).await;
            server.post(TEXT, json!({ "prompt": "z", "max_tokens": 3 })).await
        };
        let (_, (status, error)) = tokio::join!(other, broken);
        assert_eq!((status, &error["error"]["type"]), (500, &json!("server_error")), "{error}");
        let chunks = server.request(TEXT, &json!({ "prompt": "z", "stream": true })).send().await.unwrap();
        let chunks = data(&chunks.text().await.unwrap());
        assert!(chunks.last().unwrap().contains("server_error"), "{chunks:?}");
        let other = server.post(TEXT, json!({ "prompt": "abc", "max_tokens": 30 })).await;
        assert_eq!(other.1["choices"][0]["text"], expected.text(ToyEngine::new(1).vocab()));
        armed.store(false, SeqCst);
        assert_eq!(server.post(TEXT, json!({ "prompt": "z", "max_tokens": 3 })).await.0, 200);
        assert_eq!(server.get("/healthz").await.0, 200);
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_a_prompt_is_encoded_loses_no_other_answer() {
    let armed = Arc::new(AtomicBool::new(true));
    let server = serve(fragile(armed, |_| panic!("broken")), ServeConfig::default()).await;
    let expected = &plain(&ToyEngine::without_eos(1), &greedy("abc"))[0];
    let other = server.post(TEXT, json!({ "prompt": "abc", "max_tokens": 30 }));
    let broken = async {
        sleep(Duration::from_millis(30)).await;
        // The token is not the last: it is encoded by itself.
        server.post(TEXT, json!({ "prompt": "za", "n": 3 })).await
    };
    let ((status, other), (broken, _)) = tokio::join!(other, broken);
    assert_eq!((status, broken), (200, 500));
    assert_eq!(other["choices"][0]["text"], expected.text(ToyEngine::new(1).vocab()));
    assert!(server.metric("stir_lost_answers_total").await >= 1.0);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_template_fails_its_request_alone() {
    let model = Model::new("toy", ToyEngine::new(1)).with_chat(|messages, _| match messages[0].content.as_str() {
        "z" => panic!("broken"),
        text => Ok(text.to_owned()),
    });
    let server = Server::new(model, ServeConfig::default()).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
    tokio::spawn(server.run(listener, std::future::pending()));
    for (text, expected) in [("z", 500), ("a", 200), ("z", 500), ("a", 200)] {
        let body = json!({ "messages": [{ "role": "user", "content": text }], "max_tokens": 3 }).to_string();
        let sent = reqwest::Client::new().post(&url).header("content-type", "application/json").body(body);
        let (status, answer) = read(sent.send().await.unwrap()).await;
        assert_eq!(status, expected, "{answer}");
    }
}

fn greedy(prompt: &str) -> Request {
    let prompt = ToyEngine::new(1).encode(prompt).unwrap();
    Request { max_tokens: 30, sampling: Sampling::GREEDY, ..Request::new(prompt) }
}

//! `examples/async_axum.rs` of the repository, on the toy engine: answers by SSE that end when the client goes away.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::sse, routing::post};
use futures_util::{Stream, StreamExt};
use stir_core::{
    Engine, Event, GenerateOptions, Output, Request, Row, Text, generate,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_serve::{AsyncConfig, AsyncEngine};

/// As in the example, where the prompt is the question in the model's chat template.
async fn ask<E: Text + 'static>(
    State(engine): State<AsyncEngine<E>>,
    question: String,
) -> Result<sse::Sse<impl Stream<Item = Result<sse::Event, axum::Error>>>, (StatusCode, String)> {
    let refused = |error: &dyn Error| (StatusCode::BAD_REQUEST, error.to_string());
    let lm = engine.engine().clone();
    let prompt = tokio::task::spawn_blocking(move || lm.encode_prompt(&question)).await;
    let prompt = prompt.map_err(|error| refused(&error))?.map_err(|error| refused(&error))?;
    let answer = engine.answer(Request::new(prompt)).await.map_err(|error| refused(&error))?;
    Ok(sse::Sse::new(answer.map(|event| match event {
        Ok(Event::Token(token)) => sse::Event::default().json_data(token.text),
        Ok(Event::Finished { text, .. }) => sse::Event::default().event("end").json_data(text),
        Ok(Event::Failed { error, .. }) => sse::Event::default().event("error").json_data(error.to_string()),
        Err(error) => sse::Event::default().event("error").json_data(error.to_string()),
    })))
}

/// Returns the address of `engine`.
async fn serve<E: Text<Session = ToySession> + 'static>(engine: E) -> String {
    let engine = AsyncEngine::new(Arc::new(engine), AsyncConfig { max_batch: 1, ..AsyncConfig::default() }).unwrap();
    let app = Router::new().route("/ask", post(ask)).with_state(engine);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/ask", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn post_to(address: &str, question: &'static str) -> reqwest::Response {
    reqwest::Client::new().post(address).body(question).send().await.unwrap()
}

/// The text of an answer, each piece of which is JSON.
fn text(body: &str) -> String {
    let pieces = body.lines().filter_map(|line| line.strip_prefix("data: "));
    pieces.map(|piece| serde_json::from_str::<String>(piece).unwrap()).collect()
}

#[tokio::test]
async fn tokens_come_by_sse() {
    let toy = ToyEngine::new(1);
    let address = serve(toy.clone()).await;
    let request = Request::new(toy.encode("abc").unwrap());
    let expected = generate(&toy, &[request], GenerateOptions::default()).unwrap()[0][0].text(toy.vocab());
    let body = post_to(&address, "abc").await.text().await.unwrap();
    assert!(body.contains("event: end\n"), "{body}");
    assert_eq!(text(&body), expected);
    for (question, why) in [("?", "no token for '?'"), ("", "the prompt holds no token")] {
        let refused = post_to(&address, question).await;
        assert_eq!(refused.status().as_u16(), 400);
        assert!(refused.text().await.unwrap().contains(why), "{why}");
    }
}

#[tokio::test]
async fn the_answer_ends_when_the_client_goes_away() {
    let (open, gate) = mpsc::channel::<()>();
    let (gate, decoded) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counter = decoded.clone();
    // A pass for a token waits to be let through.
    let engine = Watched::new(ToyEngine::without_eos(1), move |rows: &[Row<'_, ToySession>], _: &mut [Output]| {
        if rows.iter().any(|row| row.logits) {
            counter.fetch_add(1, SeqCst);
            let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(5));
        }
    });
    let address = serve(engine).await;
    open.send(()).unwrap();
    let mut pieces = post_to(&address, "abc").await.bytes_stream();
    assert!(text(&String::from_utf8_lossy(&pieces.next().await.unwrap().unwrap())).len() == 1);
    drop(pieces);
    // Axum learns of it from the network. Until then passes go on, one for each time that one is let through.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        open.send(()).unwrap();
    }
    drop(open);
    // One lane at a time: this one begins when the first has ended.
    let body = post_to(&address, "xyz").await.text().await.unwrap();
    let tokens = body.lines().filter(|line| line.starts_with("data: ")).count() - 1;
    let passes = decoded.load(SeqCst) - tokens;
    assert!((1..=12).contains(&passes) && tokens > 90, "{passes} passes for an answer that nobody waits for");
}

//! POST a question, and the tokens of its answer come by SSE; the answer ends when the client goes away.
//!
//! ```text
//! cargo run --release --example async_axum --features tokio
//! curl -N http://127.0.0.1:3000/ask -d 'Mia has 41 coins. Mia finds 26. How many coins now?'
//! ```
use std::{error::Error, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, response::sse, routing::post};
use futures_util::{Stream, StreamExt};
use stir::core::{Event, Request, Text};
use stir::model::{DeviceSpec, Lm};
use stir::serve::{AsyncConfig, AsyncEngine};

async fn ask(
    State(engine): State<AsyncEngine<Lm>>,
    question: String,
) -> Result<sse::Sse<impl Stream<Item = Result<sse::Event, axum::Error>>>, (StatusCode, String)> {
    let refused = |error: &dyn Error| (StatusCode::BAD_REQUEST, error.to_string());
    let lm = engine.engine().clone();
    let prompt = tokio::task::spawn_blocking(move || lm.encode_prompt(&lm.chat_prompt(&question)?)).await;
    let prompt = prompt.map_err(|error| refused(&error))?.map_err(|error| refused(&error))?;
    // `engine.steered(&controller, request)` steers it. Axum drops the stream when the client goes away.
    let answer = engine.answer(Request::new(prompt)).await.map_err(|error| refused(&error))?;
    Ok(sse::Sse::new(answer.map(|event| match event {
        Ok(Event::Token(token)) => sse::Event::default().json_data(token.text),
        Ok(Event::Finished { text, .. }) => sse::Event::default().event("end").json_data(text),
        Ok(Event::Failed { error, .. }) => sse::Event::default().event("error").json_data(error.to_string()),
        Err(error) => sse::Event::default().event("error").json_data(error.to_string()),
    })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let engine = AsyncEngine::new(Arc::new(lm), AsyncConfig::default())?;
    let app = Router::new().route("/ask", post(ask)).with_state(engine);
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}

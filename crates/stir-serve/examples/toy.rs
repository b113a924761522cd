//! The server on the toy engine, whose text is noise: to try a client, or the page at `/`, without a model.
//!
//! ```text
//! cargo run -p stir-serve --example toy -- 8080
//! ```
//!
//! A pass takes 20 milliseconds, so that answers can be watched. The variable `STIR_API_KEY` may hold a key.
#![allow(clippy::print_stdout)]

use std::{error::Error, time::Duration};

use stir_basis::{Action, Entry, Library, normalize};
use stir_core::{
    Delimiter, Engine, Output, Row, SampleRng, Sampling,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_serve::{ApiKey, Message, Model, ServeConfig, Server};
use tokio::net::TcpListener;

/// Renders a conversation as lines.
fn render(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("{}\n", message.content)).collect()
}

/// Returns a library of random entries. A segment ends with an `n`, of which the toy engine writes many.
fn library(engine: &ToyEngine) -> Result<Library, Box<dyn Error>> {
    let (mut rng, width) = (SampleRng::new(1, 0), engine.shape().hidden_size);
    let mut vector = || -> Vec<f32> { (0..width).map(|_| rng.normal() as f32).collect() };
    let mut entries = Vec::new();
    for m in (1..8).flat_map(|m| [m; 12]) {
        let key = normalize(&vector()).unwrap_or_default().into();
        entries.push(Entry { m, layer: 1, quality: 0.8, key, action: Action::Steer(vector()), ..Entry::default() });
    }
    let delimiter = Delimiter::new("n").unwrap_or_default();
    Ok(Library::from_entries(engine.fingerprint().clone(), entries)?.with_delimiter(delimiter))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let engine = ToyEngine::new(1).passing_over_unknown();
    let library = library(&engine)?;
    let engine = Watched::new(engine, |_: &[Row<'_, ToySession>], _: &mut [Output]| {
        std::thread::sleep(Duration::from_millis(20));
    });
    let model = Model::new("toy", engine).with_chat(|messages, _| Ok(render(messages)));
    let model = model.with_sampling(Sampling { temperature: 2.0, ..Sampling::GREEDY })?;
    let api_key = std::env::var("STIR_API_KEY").ok().map(ApiKey::new);
    let config = ServeConfig { max_tokens: 80, drain: Duration::from_secs(2), api_key, ..ServeConfig::default() };
    let server = Server::new(model, config)?;
    server.add_library("random", library)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    server.run(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

//! A server on the toy engine, and a plain client of it.

use futures_util::StreamExt;
use serde_json::{Value, json};
use stir_basis::Library;
use stir_core::{Sampling, Text, toy::ToySession};
use stir_serve::{Message, Model, ServeConfig, Server};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub use crate::toy::{library, plain};

pub struct Running {
    pub url: String,
    pub client: reqwest::Client,
    shutdown: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), stir_serve::ServeError>>,
}

/// How a conversation is rendered here: the messages, each followed by a newline.
pub fn render(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("{}\n", message.content)).collect()
}

/// Serves `engine` under the name `toy`, sampled greedily where a request does not say.
pub async fn serve<E: Text<Session = ToySession> + 'static>(engine: E, config: ServeConfig) -> Running {
    serve_with(engine, config, &[]).await
}

pub async fn serve_with<E: Text<Session = ToySession> + 'static>(
    engine: E,
    config: ServeConfig,
    libraries: &[(&str, Library)],
) -> Running {
    let model = Model::new("toy", engine).with_chat(|messages, _| Ok(render(messages)));
    let server = Server::new(model.with_sampling(Sampling::GREEDY).unwrap(), config).unwrap();
    for (name, library) in libraries {
        server.add_library(name, library.clone()).unwrap();
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (shutdown, told) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.run(listener, async { drop(told.await) }));
    Running { url, client: reqwest::Client::new(), shutdown: Some(shutdown), ended }
}

impl Running {
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.at(path)).header("content-type", "application/json").body(body.to_string())
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.request(path, &body).send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.at(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The chunks of a stream; panics unless it ends with `[DONE]`.
    pub async fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = true.into();
        let response = self.request(path, &body).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut chunks = data(&response.text().await.unwrap());
        assert_eq!(chunks.pop().as_deref(), Some("[DONE]"));
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Tells the server to end, and waits until it has.
    pub async fn end(mut self) {
        drop(self.shutdown.take());
        self.ended.await.unwrap().unwrap();
    }

    pub fn tell_to_end(&mut self) {
        drop(self.shutdown.take());
    }

    pub async fn ended(self) {
        self.ended.await.unwrap().unwrap();
    }
}

pub async fn read(response: reqwest::Response) -> (u16, Value) {
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_else(|_| json!(text)))
}

/// The data of the events of a stream.
pub fn data(text: &str) -> Vec<String> {
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// Reads the next piece of a stream.
pub async fn piece(stream: &mut (impl StreamExt<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin)) -> String {
    String::from_utf8_lossy(stream.next().await.unwrap().unwrap().as_ref()).into_owned()
}

/// The bytes of a library file.
pub fn bytes(library: &Library) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library");
    library.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

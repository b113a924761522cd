use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Shared,
    api_error::ApiError,
    reply::{Call, Reply},
};
use crate::{AnswerError, client::Update};

/// The time after which a stream that has nothing to tell sends a comment, so that nobody takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Answers a request, whole or as a stream.
pub(crate) async fn answer(shared: Arc<Shared>, call: Call) -> Result<Response, ApiError> {
    let updates = shared.submit(&call)?;
    let is_stream = call.params.stream;
    let reply = Reply::new(shared, call);
    if is_stream { Ok(streamed(reply, updates)) } else { Ok(Json(whole(reply, updates).await?).into_response()) }
}

type Updates = UnboundedReceiver<(usize, Update)>;

async fn whole(reply: Reply, mut updates: Updates) -> Result<Value, ApiError> {
    let (mut told, mut left) = (Vec::new(), reply.answers());
    told.resize_with(left, Vec::new);
    while left > 0 {
        let (index, update) = updates.recv().await.unwrap_or((0, Update::Lost(AnswerError::Stopped)));
        left -= usize::from(update.is_last());
        if matches!(update, Update::Lost(_)) {
            // The others are not waited for.
            left = 0;
        }
        told[index].push(update);
    }
    reply.whole(told)
}

/// The stream of a reply: updates as they come, and then its end.
struct Stream {
    reply: Reply,
    updates: Updates,
    /// Chunks that were not sent yet, the next one at the end.
    pending: Vec<String>,
    /// The number of answers that have not ended.
    left: usize,
    is_closed: bool,
}

fn streamed(mut reply: Reply, updates: Updates) -> Response {
    let pending = reply.open().into_iter().rev().map(|chunk| chunk.to_string()).collect();
    let left = reply.answers();
    let chunks = stream::unfold(Stream { reply, updates, pending, left, is_closed: false }, |mut stream| async {
        let data = stream.next().await?;
        Some((Ok::<_, Infallible>(sse::Event::default().data(data)), stream))
    });
    let mut response = Sse::new(chunks).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies would hold a stream back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

impl Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(chunk) = self.pending.pop() {
                return Some(chunk);
            }
            if self.is_closed {
                return None;
            }
            if self.left == 0 {
                self.is_closed = true;
                self.pending.push("[DONE]".to_owned());
                self.pending.extend(self.reply.close().map(|chunk| chunk.to_string()));
                continue;
            }
            let (index, update) = self.updates.recv().await.unwrap_or((0, Update::Lost(AnswerError::Stopped)));
            self.left -= usize::from(update.is_last());
            match self.reply.update(index, update) {
                Ok(chunk) => self.pending.extend(chunk.map(|chunk| chunk.to_string())),
                Err(error) => {
                    // Nobody is to take what has come for the whole.
                    self.is_closed = true;
                    self.updates.close();
                    self.pending.push(error.json().to_string());
                }
            }
        }
    }
}

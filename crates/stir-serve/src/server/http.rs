//! What all routes share: the key, the body, and the count of requests.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    http::{header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;

use super::{Shared, api_error::ApiError};

/// The time in which a body must arrive.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Lets only those pass who know the key, if there is one.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Some(key) = &shared.config.api_key {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = given
            .and_then(|value| value.split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        if !given.is_some_and(|(_, given)| key.is(given)) {
            return ApiError::no_key().into_response();
        }
    }
    next.run(request).await
}

/// Refuses requests by a foreign name where only this machine can ask and nobody needs a key: a page in a browser here
/// could have let its own name point to the server (DNS rebinding).
pub(crate) async fn own_name(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.is_local.load(Ordering::Relaxed) && shared.config.api_key.is_none() {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host.parse::<Authority>().map(|authority| authority.host().to_ascii_lowercase());
        let is_own = name.is_ok_and(|name| {
            let address = name.trim_start_matches('[').trim_end_matches(']');
            name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
        });
        if !is_own {
            return ApiError::foreign_name(host).into_response();
        }
    }
    next.run(request).await
}

/// Counts requests by route and status.
pub(crate) async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    shared.metrics.count_request(route.as_deref().unwrap_or("other"), response.status().as_u16());
    response
}

/// Reads a JSON body. A page of another origin cannot send that type without asking, and is not answered.
pub(crate) async fn json_body(request: Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::media_type());
    }
    body(request.into_body(), limit).await
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn body(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    // What its head says it has.
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::too_large(limit));
    }
    let mut pieces = body.into_data_stream();
    let read = async {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| ApiError::bad("the body was cut off"))?;
            if bytes.len() + piece.len() > limit {
                return Err(ApiError::too_large(limit));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    tokio::time::timeout(BODY_TIME, read).await.unwrap_or_else(|_| Err(ApiError::slow()))
}

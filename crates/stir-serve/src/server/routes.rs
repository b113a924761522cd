use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{StatusCode, header, request::Parts},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use stir_basis::Library;

use super::{
    Shared,
    answer::answer,
    api_error::ApiError,
    chat, completions,
    http::{body, count, guard, json_body, own_name},
    libraries::{check_name, describe},
    page::page,
    reply::Call,
};
use crate::ServeError;

/// Returns all routes. The page and the health of the server are open; all else is behind the key.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/completions", post(text_completions))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/libraries", get(libraries))
        .route("/v1/libraries/{name}", put(put_library).get(library).delete(delete_library))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .merge(guarded)
        .method_not_allowed_fallback(|| async { ApiError::method() })
        .fallback(|| async { ApiError::not_found("there is nothing at this address") })
        .layer(from_fn_with_state(shared.clone(), own_name))
        .layer(from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// The last part of an address: what a model or a library is called.
struct Name(String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| ApiError::bad("the name in the address is no text in UTF-8"))
    }
}

type Answer = Result<Response, ApiError>;
type Server = State<Arc<Shared>>;

async fn chat_completions(State(shared): Server, request: Request) -> Answer {
    answered(shared, request, chat::parse).await
}

async fn text_completions(State(shared): Server, request: Request) -> Answer {
    answered(shared, request, completions::parse).await
}

async fn answered(
    shared: Arc<Shared>,
    request: Request,
    parse: fn(&Shared, &[u8]) -> Result<Call, ApiError>,
) -> Answer {
    let body = json_body(request, shared.config.body_limit).await?;
    let parser = shared.clone();
    let turn = shared.readers.acquire().await;
    let call = blocking(move || parse(&parser, &body)).await??;
    drop(turn);
    answer(shared, call).await
}

/// Runs what takes time, such as encoding a text, on a thread for it. A panic there fails the request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::failed("the request made the server fail; its log says why"))
}

async fn healthz(State(shared): Server) -> Answer {
    match shared.is_alive() {
        true => Ok("ok\n".into_response()),
        false => Err(ApiError::ending()),
    }
}

async fn metrics(State(shared): Server) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.text()).into_response()
}

async fn models(State(shared): Server) -> Json<Value> {
    Json(json!({ "object": "list", "data": [describe_model(&shared)] }))
}

async fn model(State(shared): Server, Name(name): Name) -> Answer {
    match name == shared.model.name() {
        true => Ok(Json(describe_model(&shared)).into_response()),
        false => Err(ApiError::not_found(format!("there is no model {name:?} here")).with_code("model_not_found")),
    }
}

fn describe_model(shared: &Shared) -> Value {
    json!({
        "id": shared.model.name(),
        "object": "model",
        "created": shared.created,
        "owned_by": "stir",
        "max_model_len": shared.model.shape().max_context,
        "max_tokens": shared.config.max_tokens,
        "fingerprint": shared.model.fingerprint(),
    })
}

async fn libraries(State(shared): Server) -> Json<Value> {
    Json(shared.libraries.list())
}

async fn library(State(shared): Server, Name(name): Name) -> Answer {
    let found = shared.libraries.get(&name).ok_or_else(|| no_library(&name))?;
    Ok(Json(describe(&name, &found)).into_response())
}

async fn put_library(State(shared): Server, Name(name): Name, request: Request) -> Answer {
    check_name(&name)?;
    // One at a time: a library may be large, and is held twice while it is read.
    let _turn = shared.uploads.lock().await;
    let bytes = body(request.into_body(), shared.config.library_limit).await?;
    let (known, label) = (shared.clone(), name.clone());
    let (library, replaced) = blocking(move || {
        let library = Arc::new(Library::from_bytes(&label, &bytes)?);
        let replaced = known.libraries.put(&label, library.clone(), known.model.fingerprint())?;
        Ok::<_, ServeError>((library, replaced))
    })
    .await??;
    tracing::info!(name, replaced, "a library was uploaded");
    let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(describe(&name, &library))).into_response())
}

async fn delete_library(State(shared): Server, Name(name): Name) -> Answer {
    if !shared.libraries.remove(&name) {
        return Err(no_library(&name));
    }
    tracing::info!(name, "a library was deleted");
    Ok(Json(json!({ "id": name, "object": "library", "deleted": true })).into_response())
}

fn no_library(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no library {name:?}")).with_code("library_not_found")
}

//! What is refused, in which words, and who is let in.

use crate::common::{library, read, serve, serve_with};
use serde_json::{Value, json};
use stir_core::toy::ToyEngine;
use stir_serve::{ApiKey, Model, ServeConfig, ServeError, Server};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_names_its_field_and_its_bound() {
    let engine = ToyEngine::new(1);
    let config = ServeConfig { max_batch: 4, queue: 4, max_tokens: 50, ..ServeConfig::default() };
    let server = serve_with(engine.clone(), config, &[("one", library(&engine, 1))]).await;
    let good = |path: &str| match path {
        CHAT => json!({ "messages": [{ "role": "user", "content": "abc" }] }),
        _ => json!({ "prompt": "abc" }),
    };
    for (path, field, value, param, says) in [
        (TEXT, "prompt", json!(null), "prompt", "missing"),
        (TEXT, "prompt", json!(7), "prompt", "a list of token ids"),
        (TEXT, "prompt", json!(["a", 7]), "prompt", "a list of token ids"),
        (TEXT, "prompt", json!([-1]), "prompt", "a list of token ids"),
        (TEXT, "prompt", json!([]), "prompt", "no token"),
        (TEXT, "prompt", json!([[]]), "prompt", "no token"),
        (TEXT, "prompt", json!(""), "prompt", "no token"),
        (TEXT, "prompt", json!([41]), "prompt", "outside the vocabulary of 41"),
        (TEXT, "prompt", json!("É"), "prompt", "no token for"),
        (TEXT, "prompt", json!(vec![0; 96]), "prompt", "context of 96"),
        (TEXT, "prompt", json!(vec!["a"; 9]), "prompt", "is 9, must be 1 to 8"),
        (TEXT, "logprobs", json!(21), "logprobs", "must be 0 to 20"),
        (TEXT, "logprobs", json!(-1), "logprobs", "-1"),
        (TEXT, "echo", json!(true), "echo", "not supported"),
        (TEXT, "best_of", json!(2), "best_of", "not supported"),
        (TEXT, "suffix", json!("x"), "suffix", "not supported"),
        (TEXT, "temprature", json!(1), "temprature", "no field"),
        (TEXT, "messages", json!([]), "messages", "no field"),
        (TEXT, "max_tokens", json!(0), "max_tokens", "must be 1 to 50"),
        (TEXT, "max_tokens", json!(51), "max_tokens", "must be 1 to 50"),
        (TEXT, "max_tokens", json!(1e300), "max_tokens", "invalid type"),
        (TEXT, "max_completion_tokens", json!(99), "max_completion_tokens", "must be 1 to 50"),
        (TEXT, "n", json!(0), "n", "must be 1 to 8"),
        (TEXT, "n", json!(9), "n", "must be 1 to 8"),
        (TEXT, "seed", json!(1.5), "seed", "1.5"),
        (TEXT, "temperature", json!(-1), "temperature", "finite and >= 0"),
        (TEXT, "temperature", json!(1e300), "temperature", "finite and >= 0"),
        (TEXT, "temperature", json!("warm"), "temperature", "invalid type"),
        (TEXT, "top_p", json!(0), "top_p", "in (0, 1]"),
        (TEXT, "top_k", json!(-2), "top_k", ">= -1"),
        (TEXT, "min_p", json!(2), "min_p", "in [0, 1]"),
        (TEXT, "repetition_penalty", json!(0), "repetition_penalty", "> 0"),
        (TEXT, "presence_penalty", json!(0.5), "presence_penalty", "absent or 0"),
        (TEXT, "logit_bias", json!({ "1": 5 }), "logit_bias", "not supported"),
        (TEXT, "stop", json!([""]), "stop", "empty"),
        (TEXT, "stop", json!(vec!["x"; 17]), "stop", "must be 0 to 16"),
        (TEXT, "stop", json!("x".repeat(1025)), "stop", "is 1025, must be 0 to 1024"),
        (TEXT, "stop", json!(3), "stop", "stop"),
        (TEXT, "stream", json!("yes"), "stream", "invalid type"),
        (TEXT, "stream_options", json!({ "include_usage": true }), "stream_options", "needs stream"),
        (TEXT, "model", json!("gpt"), "model", "the model is \"toy\""),
        (CHAT, "messages", json!(null), "messages", "missing"),
        (CHAT, "messages", json!([]), "messages", "at least one"),
        (CHAT, "messages", json!([{ "role": "user" }]), "messages[0]", "content"),
        (CHAT, "messages", json!([{ "role": "tool", "content": "a" }]), "messages[0].role", "\"tool\""),
        (
            CHAT,
            "messages",
            json!([{ "role": "user", "content": "a", "name": "b" }]),
            "messages[0].name",
            "not supported",
        ),
        (
            CHAT,
            "messages",
            json!([{ "role": "user", "content": [{ "type": "image_url" }] }]),
            "messages[0].content",
            "text",
        ),
        (CHAT, "top_logprobs", json!(3), "top_logprobs", "needs logprobs"),
        (CHAT, "tools", json!([{}]), "tools", "not supported"),
        (CHAT, "response_format", json!({ "type": "json_object" }), "response_format", "not supported"),
        (CHAT, "stir", json!("one"), "stir", "invalid type"),
        (CHAT, "stir", json!({}), "stir.library", "name a library"),
        (CHAT, "stir", json!({ "library": "two" }), "stir.library", "no library \"two\""),
        (CHAT, "stir", json!({ "library": "../../etc/passwd" }), "stir.library", "no library"),
        (CHAT, "stir", json!({ "library": "one", "k_scale": -1 }), "stir.k_scale", "finite and >= 0"),
        (CHAT, "stir", json!({ "library": "one", "k": 1 }), "stir", "unknown field"),
        (CHAT, "stir", json!({ "library": "one", "variant": "best" }), "stir", "unknown variant"),
        (CHAT, "stir", json!({ "library": "one", "strength": "loud" }), "stir.strength", "clipped:SHARE"),
        (CHAT, "stir", json!({ "library": "one", "probe": "value" }), "stir", "no value head"),
        (CHAT, "stir", json!({ "library": "one", "candidates": 17 }), "stir.candidates", "must be 1 to 16"),
        (CHAT, "stir", json!({ "library": "one", "probe_tokens": 1000 }), "stir.probe_tokens", "must be 1 to 64"),
        (CHAT, "stir", json!({ "library": "one", "allow_requantised": true }), "stir.allow_requantised", "server"),
    ] {
        let mut body = good(path);
        body[field] = value;
        let (status, error) = server.post(path, body.clone()).await;
        let expected = if matches!(param, "model" | "stir.library") && says.contains('"') || says == "no library" {
            404
        } else {
            400
        };
        assert_eq!((status, &error["error"]["param"]), (expected, &json!(param)), "{body}: {error}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(error["error"]["message"].as_str().unwrap().contains(says), "{body}: {error}");
        // A stream is refused in the same way.
        body["stream"] = if field == "stream" { "yes".into() } else { true.into() };
        if field != "stream_options" {
            assert_eq!(server.post(path, body).await.0, expected);
        }
    }
    let long = server.post(TEXT, json!({ "prompt": vec![0; 96] })).await.1;
    assert_eq!(long["error"]["code"], "context_length_exceeded");
    let two = json!({ "prompt": "a", "max_tokens": 2, "max_completion_tokens": 3 });
    assert_eq!(server.post(TEXT, two).await.1["error"]["param"], "max_tokens");
    let steered = json!({ "prompt": "a", "logprobs": 2, "stir": { "library": "one" } });
    assert_eq!(server.post(TEXT, steered).await.1["error"]["param"], "logprobs");
    for path in [CHAT, TEXT] {
        assert_eq!(server.post(path, good(path)).await.0, 200);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_addresses_that_are_none_are_refused_in_json() {
    let server = serve(ToyEngine::new(1), ServeConfig { body_limit: 100, ..ServeConfig::default() }).await;
    for (body, status) in [("", 400), ("{", 400), ("[]", 400), ("7", 400), ("\u{0}", 400)] {
        let sent = server.client.post(server.at(TEXT)).header("content-type", "application/json").body(body).send();
        let (found, error) = read(sent.await.unwrap()).await;
        assert_eq!(found, status, "{body}");
        assert!(error["error"]["message"].as_str().unwrap().contains("JSON"), "{error}");
    }
    let deep = "[".repeat(90) + &"]".repeat(10);
    for (body, status, says) in [("x".repeat(101), 413, "100 bytes"), (deep, 400, "JSON")] {
        let sent = server.client.post(server.at(TEXT)).header("content-type", "application/json").body(body).send();
        let (found, error) = read(sent.await.unwrap()).await;
        assert_eq!(found, status);
        assert!(error["error"]["message"].as_str().unwrap().contains(says), "{error}");
    }
    let sent = server.client.post(server.at(TEXT)).body("{}").send().await.unwrap();
    assert_eq!(read(sent).await.0, 415);
    let missing: Value = serde_json::from_str(&server.get("/v1/nothing").await.1).unwrap();
    assert_eq!(missing["error"]["type"], "invalid_request_error");
    for path in ["/v1/models/%ff", "/v1/libraries/%ff"] {
        let (status, error) = server.get(path).await;
        assert!(status == 400 && error.contains("no text in UTF-8\""), "{error}");
    }
    let (status, method) = server.get(CHAT).await;
    assert!(status == 405 && method.contains("error"), "{method}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_guards_all_but_the_page_and_the_health() {
    let config = ServeConfig { api_key: Some(ApiKey::new("secret")), ..ServeConfig::default() };
    let server = serve(ToyEngine::new(1), config).await;
    for path in ["/", "/healthz"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    let ask = |key: Option<&str>, path: &str| {
        let request = server.client.get(server.at(path));
        match key {
            Some(key) => request.header("authorization", key),
            None => request,
        }
    };
    for path in ["/v1/models", "/v1/libraries", "/metrics"] {
        for wrong in [
            None,
            Some(""),
            Some("secret"),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer secre"),
            Some("Bearer secrets"),
            Some("Basic secret"),
        ] {
            let response = ask(wrong, path).send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let (status, error) = read(response).await;
            assert_eq!((status, &error["error"]["code"]), (401, &json!("invalid_api_key")), "{path} {wrong:?}");
        }
        for right in ["Bearer secret", "bearer secret"] {
            assert_eq!(ask(Some(right), path).send().await.unwrap().status(), 200, "{path}");
        }
    }
    assert_eq!(server.post(TEXT, json!({ "prompt": "a" })).await.0, 401);
    assert_eq!(server.client.put(server.at("/v1/libraries/x")).body("x").send().await.unwrap().status(), 401);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_a_model_without_a_template() {
    let server = Server::new(Model::new("org/toy", ToyEngine::new(1)), ServeConfig::default()).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server.run(listener, std::future::pending()));
    let get = async |path: &str| read(reqwest::get(format!("{url}{path}")).await.unwrap()).await;
    let (_, models) = get("/v1/models").await;
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("org/toy")));
    assert_eq!(models["data"][0]["max_model_len"], 96);
    assert_eq!(models["data"][0]["max_tokens"], ServeConfig::default().max_tokens);
    assert_eq!(get("/v1/models/org/toy").await, (200, models["data"][0].clone()));
    assert_eq!(get("/v1/models/org/other").await.0, 404);
    let body = json!({ "messages": [{ "role": "user", "content": "a" }] }).to_string();
    let sent =
        reqwest::Client::new().post(format!("{url}{CHAT}")).header("content-type", "application/json").body(body);
    let (status, error) = read(sent.send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(error["error"]["message"].as_str().unwrap().contains("no chat template"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_page_may_have_pointed_here_needs_a_key() {
    for (key, foreign) in [(None, 421), (Some(ApiKey::new("secret")), 200)] {
        let server = serve(ToyEngine::new(1), ServeConfig { api_key: key, ..ServeConfig::default() }).await;
        for (host, status) in [
            ("evil.example", foreign),
            ("evil.example:8000", foreign),
            ("localhost.evil.example", foreign),
            ("127.0.0.1.evil.example", foreign),
            ("LOCALHOST:1", 200),
            ("127.0.0.1:8000", 200),
            ("[::1]:8000", 200),
        ] {
            let request = server.client.get(server.at("/v1/models")).header("authorization", "Bearer secret");
            let (found, answer) = read(request.header("host", host).send().await.unwrap()).await;
            assert_eq!(found, status, "{host} {answer}");
        }
        server.end().await;
    }
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let default = ServeConfig::default;
    for (config, setting) in [
        (ServeConfig { max_batch: 0, ..default() }, "max_batch"),
        (ServeConfig { max_tokens: 0, ..default() }, "max_tokens"),
        (ServeConfig { queue: usize::MAX, ..default() }, "max_batch + queue"),
        (ServeConfig { time_limit: std::time::Duration::MAX, ..default() }, "time_limit"),
        (ServeConfig { api_key: Some(ApiKey::new("")), ..default() }, "api_key"),
    ] {
        let error = Server::new(Model::new("toy", ToyEngine::new(1)), config).unwrap_err();
        assert!(matches!(error, ServeError::Setting(error) if error.setting == setting), "{setting}");
    }
}

//! The page is whole in itself, and a browser is told to hold it to that. `tests/browser/run` opens it in one.

use crate::common::serve;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use stir_core::toy::ToyEngine;
use stir_serve::{ApiKey, ServeConfig};

/// What is between the only `start` of `page` and the `end` after it.
fn only<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let [_, rest] = page.split(start).collect::<Vec<_>>()[..] else { panic!("{start} must be there once") };
    rest.split_once(end).unwrap().0
}

#[tokio::test]
async fn the_page_may_run_what_it_brings_and_ask_its_server_alone() {
    let config = ServeConfig { api_key: Some(ApiKey::new("secret")), ..ServeConfig::default() };
    let server = serve(ToyEngine::new(1), config).await;
    let response = server.client.get(server.at("/")).send().await.unwrap();
    assert_eq!(response.status(), 200, "the page is open to those without the key");
    let headers = response.headers().clone();
    let page = response.text().await.unwrap();
    let hash = |name: &str| {
        let content = only(&page, &format!("<{name}>"), &format!("</{name}>"));
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(content)))
    };
    for (name, expected) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(headers[name], expected);
    }
    let policy: Vec<&str> = headers["content-security-policy"].to_str().unwrap().split("; ").collect();
    let (script, style) = (format!("script-src {}", hash("script")), format!("style-src {}", hash("style")));
    let expected = [
        "default-src 'none'",
        &script,
        &style,
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ];
    assert_eq!(policy, expected);
    // What the policy would keep from working is not there.
    for foreign in ["<script ", "<style ", " style=", " onclick=", " src=", "<base", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    server.end().await;
}

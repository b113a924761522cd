//! Attacks by a hostile hub: each ends in its own error, and leaves nothing behind that is not verified.

use std::time::{Duration, Instant};

use crate::support::{COMMIT, FakeHub, Fault, get, git, tree};
use stir_hub::{Files, HubError, Options, Origin, Token};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn status(status: u16, code: &str) -> Fault {
    Fault::Status(status, vec![("X-Error-Code", code.into())])
}

fn everything(error: &HubError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[test]
fn access_that_is_refused() {
    let hub = FakeHub::new();
    let secret = Options { token: Some(Token::new("hf_secret").unwrap()), ..hub.options() };
    for (options, sent, hint) in [(hub.options(), false, "no token was sent"), (secret, true, "token that was sent")] {
        for (code, gate) in [("GatedRepo", true), ("", false)] {
            for (at, number) in [("listing", 401), ("listing", 403), ("config.json", 401), ("config.json", 403)] {
                hub.fault(if at == "listing" { "GET" } else { "HEAD" }, at, [status(number, code)]);
                let error = get(&options).unwrap_err();
                assert!(
                    matches!(error, HubError::Denied { status, token_sent, gated, .. }
                        if status == number && token_sent == sent && gated == gate),
                    "{error:?}"
                );
                let text = everything(&error);
                assert!(text.contains(hint) && text.contains("gated, ") == gate, "{text}");
                assert!(!text.contains("hf_secret"), "{text}");
            }
        }
    }
    assert_eq!(tree(&hub.repo_dir()), [""; 0]);
}

#[test]
fn what_is_not_there() {
    let hub = FakeHub::new();
    let other = stir_hub::snapshot("org/other", &hub.options(), |_| std::ops::ControlFlow::Continue(()));
    assert!(matches!(other, Err(HubError::NoRepo { repo }) if repo == "org/other"));
    let revision = get(&Options { revision: "v2".into(), ..hub.options() });
    assert!(matches!(revision, Err(HubError::NoRevision { revision, .. }) if revision == "v2"));
    hub.list_too("tokenizer_config.json");
    assert!(matches!(hub.get(), Err(HubError::NoFile { file, .. }) if file == "tokenizer_config.json"));
    for name in ["config.json", WEIGHTS] {
        let hub = FakeHub::new();
        hub.remove(name);
        assert!(matches!(hub.get(), Err(HubError::NoFile { file, .. }) if file == name));
        assert_eq!(tree(hub.cache.path()), [""; 0], "nothing is brought in vain");
    }
    let hub = FakeHub::new();
    hub.remove(WEIGHTS);
    hub.put(INDEX, br#"{"weight_map": {"a": "model-1.safetensors"}}"#, false);
    assert!(matches!(hub.get(), Err(HubError::NoFile { file, .. }) if file == "model-1.safetensors"));
}

#[test]
fn bad_names_of_repositories_and_revisions_are_not_asked_for() {
    let hub = FakeHub::new();
    for id in ["../x", "a/b/c", "", "a/..", "/etc", "a\\b", "a/b?x=1"] {
        let refused = stir_hub::snapshot(id, &hub.options(), |_| std::ops::ControlFlow::Continue(()));
        assert!(matches!(refused, Err(HubError::RepoId { .. })), "{id:?}");
    }
    for revision in ["../../x", "", "/x", "a\nb"] {
        let refused = get(&Options { revision: revision.into(), ..hub.options() });
        assert!(matches!(refused, Err(HubError::Revision { .. })), "{revision:?}");
    }
    for endpoint in ["", "huggingface.co", "ftp://x", "http://", "http://user:pw@x", "http://x?y"] {
        let refused = get(&Options { endpoint: endpoint.into(), ..hub.options() });
        let error = refused.unwrap_err();
        assert!(matches!(error, HubError::Option { name: "HF_ENDPOINT", .. }), "{endpoint:?}");
        assert!(!everything(&error).contains("pw"));
    }
    assert!(hub.seen().is_empty() && tree(hub.cache.path()).is_empty());
}

const HOSTILE: [&str; 12] =
    ["../x", "/etc/x", "a/../../x", "..", ".", "", "a//b", "a/", "a\\..\\x", "C:\\x", "C:/x", "a\0b"];

#[test]
fn hostile_names_in_the_listing() {
    for name in HOSTILE {
        let hub = FakeHub::new();
        hub.list_too(name);
        for files in [Files::Decoder, Files::Matching(vec!["*".into()])] {
            let error = get(&Options { files, ..hub.options() }).unwrap_err();
            assert!(
                matches!(&error, HubError::FileName { name: named, origin: Origin::Listing, .. } if named == name),
                "{error:?}"
            );
        }
        assert_eq!(tree(hub.cache.path()), [""; 0], "{name:?}");
    }
}

#[test]
fn hostile_names_in_the_index() {
    for name in HOSTILE.into_iter().chain(["evil.bin", "x.safetensors/../../y.safetensors", "../../../x.safetensors"]) {
        let hub = FakeHub::new();
        hub.remove(WEIGHTS);
        let index = serde_json::json!({ "weight_map": { "a": "good.safetensors", "b": name } });
        hub.put(INDEX, index.to_string().as_bytes(), false);
        hub.put("good.safetensors", b"good", true);
        let error = hub.get().unwrap_err();
        assert!(
            matches!(&error, HubError::FileName { name: named, origin: Origin::Index, .. } if named == name),
            "{error:?}"
        );
        let dir = hub.repo_dir().join("snapshots").join(COMMIT);
        assert_eq!(tree(&dir), ["config.json", INDEX, "tokenizer.json"], "no shard is brought");
    }
}

#[test]
fn listings_and_indexes_that_are_none() {
    let error = |body: &[u8]| {
        let hub = FakeHub::new();
        hub.fault("GET", "listing", [Fault::Body(body.to_vec())]);
        let error = hub.get().unwrap_err();
        assert_eq!(tree(hub.cache.path()), [""; 0]);
        error
    };
    for body in ["", "{", "[]", "null", r#"{"siblings": []}"#, r#"{"sha": "x", "siblings": [{"name": 1}]}"#, "<html>"] {
        assert!(matches!(error(body.as_bytes()), HubError::Json { .. }), "{body}");
    }
    for sha in ["", "main", "../../../../../../../../../../../../../x", &"A".repeat(40)] {
        let body = serde_json::json!({ "sha": sha, "siblings": [] }).to_string();
        assert!(matches!(error(body.as_bytes()), HubError::Protocol { .. }), "{sha}");
    }
    assert!(matches!(error(&vec![b' '; (64 << 20) + 1]), HubError::TooLarge { .. }));
    let deep = "[".repeat(1 << 20);
    assert!(matches!(error(deep.as_bytes()), HubError::Json { .. }));
    for index in ["", "[]", r#"{"weight_map": [1]}"#, r#"{"weight_map": {"a": 1}}"#] {
        let hub = FakeHub::new();
        hub.remove(WEIGHTS);
        hub.put(INDEX, index.as_bytes(), false);
        assert!(matches!(hub.get(), Err(HubError::Json { .. })), "{index}");
    }
    // A commit that is asked for is the one that must come.
    let hub = FakeHub::new();
    let body = serde_json::json!({ "sha": "b".repeat(40), "siblings": [] }).to_string();
    hub.fault("GET", "listing", [Fault::Body(body.into_bytes())]);
    let pinned = get(&Options { revision: COMMIT.into(), ..hub.options() });
    assert!(matches!(pinned, Err(HubError::Protocol { .. })));
}

#[test]
fn listings_without_end() {
    let hub = FakeHub::new();
    hub.fault("GET", "listing", [Fault::Endless]);
    assert!(matches!(hub.get(), Err(HubError::TooLarge { .. })));
}

/// No file of the snapshot and no partial one may stay.
fn nothing_of(hub: &FakeHub, name: &str) {
    assert!(!hub.partial(name).exists());
    assert!(!hub.repo_dir().join("snapshots").join(COMMIT).join(name).exists());
    assert!(!hub.repo_dir().join("blobs").join(hub.file(name).etag()).exists());
    assert!(!hub.repo_dir().join("refs/main").exists());
}

#[test]
fn wrong_bytes() {
    for name in [WEIGHTS, "config.json"] {
        let hub = FakeHub::new();
        let mut content = hub.file(name).content;
        content[7] ^= 1;
        hub.fault("GET", name, [Fault::Body(content.clone())]);
        let error = hub.get().unwrap_err();
        assert!(
            matches!(&error, HubError::Checksum { file, expected, .. } if file == name && *expected == hub.file(name).etag()),
            "{error:?}"
        );
        nothing_of(&hub, name);
        assert!(hub.get().is_ok(), "the next call begins anew");
    }
}

#[test]
fn wrong_lengths() {
    for name in [WEIGHTS, "config.json"] {
        for change in [-1, 1] {
            let hub = FakeHub::new();
            let mut content = hub.file(name).content;
            let length = content.len();
            content.resize(length.checked_add_signed(change).unwrap(), 0);
            hub.fault("GET", name, [Fault::Body(content)]);
            let error = hub.get().unwrap_err();
            assert!(
                matches!(&error, HubError::Size { file, expected, found } if file == name
                    && *expected == length as u64 && *found == length.checked_add_signed(change).unwrap() as u64),
                "{error:?}"
            );
            nothing_of(&hub, name);
        }
    }
}

#[test]
fn bodies_without_end() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Endless]);
    assert!(matches!(hub.get(), Err(HubError::Size { expected: 3_145_728, .. })));
    nothing_of(&hub, WEIGHTS);
    let hub = FakeHub::new();
    let unsized_head = || Fault::Headers(vec![("Content-Length", String::new())]);
    hub.fault("HEAD", "config.json", [unsized_head(), unsized_head()]);
    hub.fault("GET", "config.json", [Fault::Endless]);
    assert!(matches!(hub.get(), Err(HubError::TooLarge { location, .. }) if location == "config.json"));
    nothing_of(&hub, "config.json");
}

#[test]
fn files_that_cannot_be_verified() {
    let replaced = |etag: &str| Fault::Headers(vec![("X-Linked-Etag", etag.into())]);
    for etag in ["\"d41d8cd98f00b204e9800998ecf8427e\"", "\"../../../x\"", "x"] {
        let hub = FakeHub::new();
        hub.fault("HEAD", WEIGHTS, [replaced(etag)]);
        assert!(matches!(hub.get(), Err(HubError::NoChecksum { file, .. }) if file == WEIGHTS), "{etag}");
        nothing_of(&hub, WEIGHTS);
    }
    let hub = FakeHub::new();
    let none = || Fault::Headers(vec![("ETag", String::new())]);
    hub.fault("HEAD", "config.json", [none(), none()]);
    assert!(matches!(hub.get(), Err(HubError::Protocol { .. })));
    // Described as one file, sent as another: what the answer calls itself does not matter, its bytes do.
    let hub = FakeHub::new();
    let another = |content: &[u8]| Fault::Headers(vec![("ETag", format!("\"{}\"", git(content)))]);
    hub.fault("GET", "config.json", [another(b"{}")]);
    assert_eq!(std::fs::read(hub.get().unwrap().join("config.json")).unwrap(), hub.file("config.json").content);
}

#[test]
fn redirects_are_not_followed_anywhere() {
    let away = |to: &str| Fault::Headers(vec![("Location", to.into()), ("X-Linked-Etag", String::new())]);
    let token = Some(Token::new("hf_secret").unwrap());
    // In a circle.
    let hub = FakeHub::new();
    let circle = format!("/org/model/resolve/{COMMIT}/config.json");
    hub.fault("HEAD", "config.json", vec![away(&circle); 20]);
    assert!(matches!(hub.get(), Err(HubError::Protocol { .. })));
    assert_eq!(hub.seen().len(), 1 + 11);
    // To another port or name: the token does not go along.
    let hub = FakeHub::new();
    let other = FakeHub::new();
    for host in [other.url(), other.url().replace("127.0.0.1", "localhost")] {
        hub.fault("HEAD", "config.json", [away(&format!("{host}/api/resolve-cache/config.json"))]);
        // The answer there states a checksum, as a mirror's would.
        get(&Options { token: token.clone(), ..hub.options() }).unwrap();
        std::fs::remove_dir_all(hub.repo_dir()).unwrap();
        let seen = other.seen();
        assert!(!seen.is_empty() && seen.iter().all(|s| !s.headers.contains_key("authorization")), "{seen:?}");
    }
    for target in ["file:///etc/passwd", "gopher://x", "//", "http://[", "\u{7f}", ""] {
        let hub = FakeHub::new();
        // As often as it is asked: the empty one is a circle.
        hub.fault("HEAD", "config.json", vec![away(target); 20]);
        let start = Instant::now();
        assert!(get(&hub.options()).is_err(), "{target:?}");
        assert!(tree(hub.cache.path()).is_empty());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn signatures_and_tokens_are_in_no_error() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, vec![Fault::Drop; 9]);
    let options = Options { token: Some(Token::new("hf_secret").unwrap()), ..hub.options() };
    let error = get(&options).unwrap_err();
    assert!(matches!(error, HubError::Connection { .. }));
    let text = everything(&error);
    assert!(text.contains("/model.safetensors;") && !text.contains("s3cret") && !text.contains("hf_secret"), "{text}");
    assert!(!format!("{options:?}").contains("hf_secret"));
}

#[test]
fn files_and_folders_of_one_name() {
    let hub = FakeHub::new();
    hub.put("a", b"file", false);
    hub.put("a/b", b"below it", false);
    let clash = get(&Options { files: Files::Matching(vec!["a*".into()]), ..hub.options() });
    assert!(matches!(clash, Err(HubError::Link { .. } | HubError::Io { .. })), "{clash:?}");
}

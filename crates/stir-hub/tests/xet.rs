//! Files over Xet, from a store of chunks on this machine.

use std::ops::ControlFlow;

use crate::support::{FakeHub, Fault, REPO, Seen, get, tree, weights};
use stir_hub::{HubError, Options, Progress, Token, snapshot};

const WEIGHTS: &str = "model.safetensors";

fn hub() -> FakeHub {
    let hub = FakeHub::new();
    hub.over_xet(WEIGHTS);
    hub
}

/// The ranges of the file whose chunks were asked for, and no content over HTTP.
fn asked(seen: &[Seen]) -> Vec<String> {
    assert!(!seen.iter().any(|seen| seen.path.starts_with("/store/model")), "{seen:?}");
    let ours = seen.iter().filter(|seen| seen.path.starts_with("/v2/reconstructions/"));
    ours.map(|seen| seen.headers.get("range").cloned().unwrap_or_default()).collect()
}

#[test]
fn a_file_comes_over_xet() {
    let hub = hub();
    let dir = get(&Options { token: Some(Token::new("hf_secret").unwrap()), ..hub.options() }).unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    let seen = hub.seen();
    assert!(!asked(&seen).is_empty());
    assert!(seen.iter().any(|seen| seen.path.starts_with("/xorb/")));
    for seen in seen {
        // The store of chunks gets its own token, and the chunks themselves are behind signed addresses.
        let expected = match (seen.store, seen.path.starts_with("/v2/")) {
            (false, _) => Some("Bearer hf_secret"),
            (true, true) => Some("Bearer t0ken"),
            (true, false) => None,
        };
        assert_eq!(seen.headers.get("authorization").map(String::as_str), expected, "{seen:?}");
        assert!(!seen.path.contains("telemetry"), "{seen:?}");
    }
    assert_eq!(tree(&hub.repo_dir().join("blobs")).len(), 3);
}

#[test]
fn what_is_here_is_not_asked_for_again() {
    let hub = hub();
    let half = snapshot(REPO, &hub.options(), |progress| match progress {
        Progress::File { name: WEIGHTS, done, .. } if done > 0 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(half, Err(HubError::Cancelled)));
    let kept = std::fs::metadata(hub.partial(WEIGHTS)).unwrap().len();
    assert!(kept > 0);
    if kept == 3 << 20 {
        // All came as one piece: take some of it away.
        let file = std::fs::OpenOptions::new().write(true).open(hub.partial(WEIGHTS)).unwrap();
        file.set_len(1_000_000).unwrap();
    }
    let kept = std::fs::metadata(hub.partial(WEIGHTS)).unwrap().len();
    hub.seen();
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    let asked = asked(&hub.seen());
    assert!(asked.iter().any(|range| range.starts_with(&format!("bytes={kept}-"))), "{asked:?}");
}

#[test]
fn what_comes_over_xet_is_verified_too() {
    let hub = hub();
    // The chunks of another file of the same size.
    let other: Vec<u8> = weights().into_iter().rev().collect();
    let chunks = |content: &[u8]| crate::support::xorb(content);
    hub.fault("GET", "xorb", vec![Fault::Body(chunks(&other)); 9]);
    let error = hub.get().unwrap_err();
    assert!(matches!(&error, HubError::Checksum { file, .. } if file == WEIGHTS), "{error:?}");
    assert!(!hub.partial(WEIGHTS).exists());
}

#[test]
fn a_fault_of_the_store_is_tried_again_and_what_came_is_kept() {
    let hub = hub();
    std::fs::create_dir_all(hub.repo_dir().join("blobs")).unwrap();
    std::fs::write(hub.partial(WEIGHTS), &weights()[..1_234_567]).unwrap();
    hub.fault("GET", "xorb", [Fault::Status(404, vec![])]);
    hub.fault("GET", "token", [Fault::Status(404, vec![])]);
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    let asked = asked(&hub.seen());
    assert!(asked.len() > 1 && asked.iter().all(|range| !range.starts_with("bytes=0-")), "{asked:?}");
}

#[test]
fn without_xet_the_hub_has_it_too() {
    let hub = hub();
    let dir = get(&Options { xet: false, ..hub.options() }).unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(hub.ranges(WEIGHTS), [""]);
}

#[test]
fn no_signature_is_in_an_error() {
    let hub = hub();
    hub.fault("GET", "xorb", vec![Fault::Status(404, vec![]); 99]);
    let error = get(&Options { retries: 0, ..hub.options() }).unwrap_err();
    let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(!text.contains("s3cret"), "{text}");
    assert!(matches!(error, HubError::Cut { done: 0, .. } | HubError::Connection { .. }), "{text}");
}

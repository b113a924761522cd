//! Files that arrive, and files that arrive in the end: retries, resuming, cancelling, several at once.

use std::{
    ops::ControlFlow,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{COMMIT, FakeHub, Fault, REPO, get, git, tree, weights};
use stir_hub::{Files, HubError, Options, Progress, RepoKind, Token, snapshot};

const WEIGHTS: &str = "model.safetensors";

#[test]
fn a_decoder_arrives_in_the_layout_of_python() {
    let hub = FakeHub::new();
    hub.put("chat_template.jinja", b"{{ x }}", false);
    let dir = hub.get().unwrap();
    assert_eq!(dir, hub.repo_dir().join("snapshots").join(COMMIT));
    assert_eq!(tree(&dir), ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]);
    for name in tree(&dir) {
        let file = hub.file(&name);
        assert_eq!(std::fs::read(dir.join(&name)).unwrap(), file.content, "{name}");
        #[cfg(unix)]
        assert_eq!(
            std::fs::read_link(dir.join(&name)).unwrap(),
            std::path::Path::new("../../blobs").join(file.etag()),
            "{name}"
        );
    }
    assert_eq!(std::fs::read_to_string(hub.repo_dir().join("refs/main")).unwrap(), COMMIT);
    assert_eq!(tree(&hub.repo_dir().join("blobs")).len(), 4, "no partial files are left");
}

#[test]
fn what_is_here_is_not_brought_again() {
    let hub = FakeHub::new();
    let dir = hub.get().unwrap();
    hub.seen();
    assert_eq!(hub.get().unwrap(), dir);
    let seen = hub.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].path, "/api/models/org/model/revision/main");
}

#[test]
fn a_new_commit_brings_only_what_has_changed() {
    let hub = FakeHub::new();
    let old = hub.get().unwrap();
    let next = "f".repeat(40);
    hub.set_ref("main", &next);
    hub.put("config.json", b"{\"changed\": 1}", false);
    hub.seen();
    let new = hub.get().unwrap();
    let fetched: Vec<String> = hub.seen().into_iter().filter(|s| s.method == "GET").map(|s| s.path).collect();
    assert_eq!(fetched.len(), 3, "listing, redirect, content: {fetched:?}");
    assert_eq!(std::fs::read(new.join("config.json")).unwrap(), b"{\"changed\": 1}");
    assert_ne!(std::fs::read(old.join("config.json")).unwrap(), b"{\"changed\": 1}");
    assert_eq!(std::fs::read_to_string(hub.repo_dir().join("refs/main")).unwrap(), next);
}

#[test]
fn revisions_are_branches_tags_and_commits() {
    let hub = FakeHub::new();
    let other = "a".repeat(40);
    hub.set_ref("refs/pr/1", &other);
    let at = |revision: &str| get(&Options { revision: revision.into(), ..hub.options() });
    assert!(at("refs/pr/1").unwrap().ends_with(&other));
    assert!(at(COMMIT).unwrap().ends_with(COMMIT));
    assert_eq!(tree(&hub.repo_dir().join("refs")), ["pr/1".replace("pr", "refs/pr")], "a commit needs no reference");
    assert!(matches!(at("v9"), Err(HubError::NoRevision { revision, .. }) if revision == "v9"));
}

#[test]
fn shards_follow_from_the_index() {
    let hub = FakeHub::new();
    hub.remove(WEIGHTS);
    let map = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    hub.put("model.safetensors.index.json", map.as_bytes(), false);
    hub.put("model-1.safetensors", b"first", true);
    hub.put("model-2.safetensors", b"second", true);
    hub.put("model-3.safetensors", b"of another model", true);
    let names =
        ["config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json", "tokenizer.json"];
    assert_eq!(tree(&hub.get().unwrap()), names);
    assert!(get(&hub.offline()).is_ok());
}

#[test]
fn patterns_choose_files_and_datasets_are_repositories_too() {
    let hub = FakeHub::new();
    hub.put("data/a b/é 漢#1.jsonl", b"{}\n", false);
    let files = Files::Matching(vec!["data/*".into(), "README.??".into(), "*.bin".into()]);
    let dir = get(&Options { files: files.clone(), ..hub.options() }).unwrap();
    assert_eq!(tree(&dir), ["README.md", "data/a b/é 漢#1.jsonl"], "a model's *.bin is never brought");
    let dataset = Options { files: files.clone(), kind: RepoKind::Dataset, ..hub.options() };
    let dir = get(&dataset).unwrap();
    assert!(dir.starts_with(hub.cache.path().join("datasets--org--model")));
    assert_eq!(tree(&dir), ["README.md", "data/a b/é 漢#1.jsonl", "pytorch_model.bin"]);
    assert_eq!(get(&Options { offline: true, ..dataset }).unwrap(), dir);
    let none = get(&Options { files: Files::Matching(vec!["*.gguf".into()]), ..hub.options() });
    assert!(matches!(none, Err(HubError::NoMatch { patterns, .. }) if patterns == ["*.gguf"]));
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_its_store() {
    let hub = FakeHub::new();
    let token = Token::new("hf_secret").unwrap();
    get(&Options { token: Some(token), ..hub.options() }).unwrap();
    let seen = hub.seen();
    assert!(seen.iter().any(|s| s.store && s.method == "GET"));
    for request in seen {
        let sent = request.headers.get("authorization").map(String::as_str);
        assert_eq!(sent, if request.store { None } else { Some("Bearer hf_secret") }, "{request:?}");
    }
}

#[test]
fn progress_ends_at_the_total() {
    let hub = FakeHub::new();
    let (mut last, mut listings) = (std::collections::BTreeMap::new(), 0);
    snapshot(REPO, &hub.options(), |progress| {
        match progress {
            Progress::Listing => listings += 1,
            Progress::File { name, done, total } => {
                let before = last.insert(name.to_owned(), (done, total)).unwrap_or_default();
                assert!(done >= before.0 && total.is_none_or(|total| done <= total), "{name} {done}");
            }
            other => panic!("{other:?}"),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(listings >= 1, "once, and while it waits");
    for name in ["config.json", "tokenizer.json", WEIGHTS] {
        let length = hub.file(name).content.len() as u64;
        assert_eq!(last[name], (length, Some(length)), "{name}");
    }
    assert_eq!(last.len(), 3);
}

#[test]
fn a_cut_connection_goes_on_where_it_stopped() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1_000_000), Fault::Drop, Fault::Cut(500_000)]);
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    let ranges = hub.ranges(WEIGHTS);
    // How much of what was sent before a cut arrives is the system's business; that it is not asked for again is ours.
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    let starts: Vec<usize> =
        ranges[1..].iter().map(|r| r["bytes=".len()..].trim_end_matches('-').parse().unwrap()).collect();
    assert_eq!(starts, [1_000_000, 1_000_000, 1_500_000]);
    assert_eq!(ranges[0], "");
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let hub = FakeHub::new();
    let busy = |status| Fault::Status(status, vec![]);
    hub.fault("GET", "listing", [busy(503), Fault::Drop, Fault::Cut(10)]);
    hub.fault("HEAD", "config.json", [busy(500), Fault::Drop]);
    // The last one is a signed address that has expired.
    hub.fault("GET", WEIGHTS, [busy(502), Fault::Status(429, vec![("Retry-After", "1".into())]), busy(403)]);
    let start = Instant::now();
    hub.get().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After is obeyed");
}

#[test]
fn tries_are_bounded_and_what_came_is_kept() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1000), Fault::Cut(10), Fault::Cut(10), Fault::Cut(10)]);
    let cut = hub.get().unwrap_err();
    assert!(matches!(&cut, HubError::Cut { file, done: 1030, total: Some(3145728), .. } if file == WEIGHTS), "{cut:?}");
    assert_eq!(hub.ranges(WEIGHTS).len(), 4);
    assert_eq!(std::fs::metadata(hub.partial(WEIGHTS)).unwrap().len(), 1030);
    assert!(!hub.repo_dir().join("snapshots").join(COMMIT).join(WEIGHTS).exists());
    assert!(matches!(get(&hub.offline()), Err(HubError::NotCached { .. })), "no reference to what is not here in full");
    hub.get().unwrap();
    assert_eq!(hub.ranges(WEIGHTS), ["bytes=1030-"]);

    let hub = FakeHub::new();
    hub.fault("GET", "listing", vec![Fault::Status(503, vec![]); 4]);
    assert!(matches!(hub.get(), Err(HubError::Status { status: 503, .. })));
    assert_eq!(hub.seen().len(), 4);
    let unreachable = get(&Options { endpoint: "http://127.0.0.1:9".into(), ..hub.options() });
    assert!(matches!(unreachable, Err(HubError::Connection { .. })), "{unreachable:?}");
    // The client does not wait for a day.
    hub.fault("GET", "listing", [Fault::Status(429, vec![("Retry-After", "86400".into())])]);
    hub.seen();
    assert!(matches!(hub.get(), Err(HubError::Status { status: 429, .. })));
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn a_stalled_server_is_left() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Stall(2_000_000)]);
    get(&Options { timeout: Duration::from_secs(1), ..hub.options() }).unwrap();
    assert_eq!(hub.ranges(WEIGHTS), ["", "bytes=2000000-"]);
}

#[test]
fn servers_that_do_not_do_ranges_as_asked() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1_000_000), Fault::IgnoreRange]);
    hub.get().unwrap();
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1_000_000), Fault::WrongRange]);
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(hub.ranges(WEIGHTS), ["", "bytes=1000000-", ""]);
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1_000_000), Fault::Status(416, vec![])]);
    hub.get().unwrap();
    assert_eq!(hub.ranges(WEIGHTS), ["", "bytes=1000000-", ""]);
}

/// Files that an earlier process may have left behind.
#[test]
fn partial_files_of_an_earlier_process() {
    let good = weights();
    let mut bad = good[..1000].to_vec();
    bad[500] ^= 1;
    let longer = [&good[..], b"more"].concat();
    for (left, ranges) in [
        (&good[..1000], vec!["bytes=1000-"]),
        (&good[..], vec![]),
        (&bad, vec!["bytes=1000-", ""]),
        (&longer, vec![""]),
        (&[], vec![""]),
    ] {
        let hub = FakeHub::new();
        std::fs::create_dir_all(hub.repo_dir().join("blobs")).unwrap();
        std::fs::write(hub.partial(WEIGHTS), left).unwrap();
        let dir = hub.get().unwrap();
        assert_eq!(hub.ranges(WEIGHTS), ranges, "{} bytes", left.len());
        assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), good);
        assert!(!hub.partial(WEIGHTS).exists());
    }
}

#[test]
fn a_file_without_a_stated_size() {
    let unsized_head = || Fault::Headers(vec![("Content-Length", String::new())]);
    let hub = FakeHub::new();
    // The first HEAD is answered by the redirect, the second by the file itself.
    hub.fault("HEAD", "tokenizer.json", [unsized_head(), unsized_head()]);
    hub.fault("GET", "tokenizer.json", [Fault::Chunked]);
    hub.get().unwrap();

    // What is here of it, some, all or more, is not gone on with: no part can be asked for.
    for left in ["{", "{}", "{}{}"] {
        let hub = FakeHub::new();
        hub.fault("HEAD", "tokenizer.json", [unsized_head(), unsized_head()]);
        std::fs::create_dir_all(hub.repo_dir().join("blobs")).unwrap();
        std::fs::write(hub.partial("tokenizer.json"), left).unwrap();
        let dir = hub.get().unwrap();
        assert_eq!(hub.ranges("tokenizer.json"), [""]);
        assert_eq!(std::fs::read(dir.join("tokenizer.json")).unwrap(), b"{}");
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let hub = FakeHub::new();
    hub.put("special_tokens_map.json", b"", false);
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join("special_tokens_map.json")).unwrap(), b"");
    assert!(hub.repo_dir().join("blobs").join(git(b"")).is_file());
}

#[test]
fn cancelling_keeps_what_is_here() {
    let hub = FakeHub::new();
    let half = snapshot(REPO, &hub.options(), |progress| match progress {
        Progress::File { name: WEIGHTS, done, .. } if done > 1_000_000 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(half, Err(HubError::Cancelled)));
    let kept = std::fs::metadata(hub.partial(WEIGHTS)).unwrap().len();
    assert!((1_000_001..3_145_728).contains(&kept), "{kept}");
    hub.seen();
    let mut first = None;
    snapshot(REPO, &hub.options(), |progress| {
        if let Progress::File { name: WEIGHTS, done, .. } = progress {
            first.get_or_insert(done);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(first, Some(kept));
    assert_eq!(hub.ranges(WEIGHTS), [format!("bytes={kept}-")]);

    // At once, and while it waits for a server that is busy.
    let hub = FakeHub::new();
    assert!(matches!(snapshot(REPO, &hub.options(), |_| ControlFlow::Break(())), Err(HubError::Cancelled)));
    assert!(hub.seen().is_empty());
    hub.fault("GET", "listing", [Fault::Status(429, vec![("Retry-After", "200".into())])]);
    let (start, mut calls) = (Instant::now(), 0);
    let waiting = snapshot(REPO, &hub.options(), |_| {
        calls += 1;
        if calls > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(waiting, Err(HubError::Cancelled)) && start.elapsed() < Duration::from_secs(10));
}

#[test]
fn threads_bring_a_file_once() {
    let hub = FakeHub::new();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| hub.get().unwrap())).collect();
        for dir in all.into_iter().map(|thread| thread.join().unwrap()) {
            assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
        }
    });
    assert_eq!(hub.ranges(WEIGHTS).len(), 1);
    assert_eq!(tree(&hub.repo_dir()).iter().filter(|path| path.contains("incomplete")).count(), 0);
}

const ENDPOINT: &str = "STIR_HUB_TEST_ENDPOINT";
const CACHE: &str = "STIR_HUB_TEST_CACHE";

#[test]
#[ignore = "no test by itself: the process that the next two start"]
fn child() {
    let (endpoint, cache) = (std::env::var(ENDPOINT).unwrap(), std::env::var_os(CACHE).unwrap());
    get(&Options { endpoint, ..Options::new(cache) }).unwrap();
}

fn spawn(hub: &FakeHub) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "download::child", "--ignored"])
        .envs([(ENDPOINT, hub.url()), (CACHE, hub.cache.path().to_str().unwrap().to_owned())])
        .env("HF_TOKEN", "hf_of_the_environment")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_what_the_next_goes_on_with() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Stall(1_000_000)]);
    let mut child = spawn(&hub);
    let start = Instant::now();
    while std::fs::metadata(hub.partial(WEIGHTS)).map_or(0, |found| found.len()) < 1_000_000 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    // It holds the lock: one who comes now waits, and may give up.
    let waiting = snapshot(REPO, &hub.options(), |progress| match progress {
        Progress::File { name: WEIGHTS, done: 0, total: Some(_) } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(waiting, Err(HubError::Cancelled)));
    child.kill().unwrap();
    child.wait().unwrap();
    hub.seen();
    let dir = hub.get().unwrap();
    assert_eq!(hub.ranges(WEIGHTS), ["bytes=1000000-"]);
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
}

#[test]
fn processes_bring_a_file_once() {
    let hub = FakeHub::new();
    let children: Vec<_> = (0..3).map(|_| spawn(&hub)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let seen = hub.seen();
    assert_eq!(seen.iter().filter(|seen| seen.method == "GET" && seen.path.starts_with("/store/model")).count(), 1);
    let sent = seen.iter().filter(|seen| seen.headers.contains_key("authorization")).count();
    assert_eq!(sent, 0, "the options have no token, whatever the environment has");
    assert_eq!(std::fs::read(get(&hub.offline()).unwrap().join(WEIGHTS)).unwrap(), weights());
}

#[tokio::test]
async fn inside_an_asynchronous_program() {
    let hub = FakeHub::new();
    hub.fault("GET", WEIGHTS, [Fault::Cut(1_000_000)]);
    let dir = hub.get().unwrap();
    assert_eq!(std::fs::read(dir.join(WEIGHTS)).unwrap(), weights());
    let stopped = snapshot("org/other", &hub.options(), |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(HubError::Cancelled)));
}

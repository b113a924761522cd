//! The cache as Python lays it out, as others may have damaged it, and offline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{COMMIT, FakeHub, get, git, sha256, tree};
use stir_hub::{Files, HubError, Options};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A cache as Python's `huggingface_hub` 2.4 leaves it: recorded from it, with its locks, tags and listing of trees.
#[cfg(unix)]
fn python_cache(root: &Path, weights: &[u8]) -> PathBuf {
    let repo = root.join("models--org--model");
    for folder in ["blobs", "refs", "trees", &format!("snapshots/{COMMIT}")] {
        fs::create_dir_all(repo.join(folder)).unwrap();
    }
    fs::create_dir_all(root.join(".locks/models--org--model")).unwrap();
    fs::write(root.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(repo.join(format!("trees/{COMMIT}.json")), r#"{"format_version": 1, "files": {}}"#).unwrap();
    for (name, etag, content) in [
        ("config.json", git(b"{}"), &b"{}"[..]),
        (WEIGHTS, sha256(weights), weights),
        ("tokenizer.json", git(b"[]"), b"[]"),
    ] {
        fs::write(root.join(format!(".locks/models--org--model/{etag}.lock")), "").unwrap();
        fs::write(repo.join("blobs").join(&etag), content).unwrap();
        let link = repo.join("snapshots").join(COMMIT).join(name);
        std::os::unix::fs::symlink(format!("../../blobs/{etag}"), link).unwrap();
    }
    repo
}

#[test]
#[cfg(unix)]
fn a_cache_of_python_is_ours() {
    let hub = FakeHub::new();
    hub.put("config.json", b"{}", false);
    hub.put("tokenizer.json", b"[]", false);
    python_cache(hub.cache.path(), &crate::support::weights());
    let offline = get(&hub.offline()).unwrap();
    assert_eq!(fs::read(offline.join("tokenizer.json")).unwrap(), b"[]");
    assert_eq!(hub.get().unwrap(), offline);
    assert_eq!(hub.seen().len(), 1, "the listing, and no file");
}

#[test]
#[cfg(unix)]
fn content_that_python_shares_between_repositories_is_found() {
    let hub = FakeHub::new();
    let repo = python_cache(hub.cache.path(), b"shared");
    let (blob, shared) = (repo.join("blobs").join(sha256(b"shared")), hub.cache.path().join("blobs/ab/abcd"));
    fs::create_dir_all(shared.parent().unwrap()).unwrap();
    fs::rename(&blob, &shared).unwrap();
    std::os::unix::fs::symlink("../../blobs/ab/abcd", &blob).unwrap();
    assert_eq!(fs::read(get(&hub.offline()).unwrap().join(WEIGHTS)).unwrap(), b"shared");
}

#[test]
fn offline_says_what_is_missing() {
    let hub = FakeHub::new();
    let missing = |options: &Options| match get(options) {
        Err(HubError::NotCached { missing, .. }) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&hub.offline()), ["the revision"]);
    let dir = hub.get().unwrap();
    assert_eq!(get(&hub.offline()).unwrap(), dir);
    assert_eq!(get(&Options { revision: COMMIT.into(), ..hub.offline() }).unwrap(), dir);
    assert_eq!(missing(&Options { revision: "v1".into(), ..hub.offline() }), ["the revision"]);
    let named = |names: &[&str]| Options {
        files: Files::Matching(names.iter().map(|&name| name.to_owned()).collect()),
        ..hub.offline()
    };
    assert_eq!(get(&named(&["config.json", "*.safetensors"])).unwrap(), dir);
    assert_eq!(missing(&named(&["config.json", "vocab.json", "*.txt"])), ["vocab.json", "*.txt"]);
    fs::remove_file(dir.join(WEIGHTS)).unwrap();
    fs::remove_file(dir.join("config.json")).unwrap();
    assert_eq!(missing(&hub.offline()), ["config.json", WEIGHTS]);
    fs::write(dir.join(INDEX), r#"{"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}}"#).unwrap();
    assert_eq!(missing(&hub.offline()), ["config.json", "s1.safetensors", "s2.safetensors"]);
    fs::write(dir.join(INDEX), r#"{"weight_map": {"a": "../../../x.safetensors"}}"#).unwrap();
    assert!(matches!(get(&hub.offline()), Err(HubError::FileName { .. })));
    fs::write(hub.repo_dir().join("refs/main"), "../../elsewhere").unwrap();
    assert!(matches!(get(&hub.offline()), Err(HubError::Damaged { .. })));
    assert_eq!(hub.get().unwrap(), dir, "online, all of it is repaired");
}

#[test]
fn without_links_a_snapshot_holds_files() {
    let hub = FakeHub::new();
    let dir = get(&Options { symlinks: false, ..hub.options() }).unwrap();
    for name in tree(&dir) {
        assert!(fs::symlink_metadata(dir.join(&name)).unwrap().is_file(), "{name}");
        assert_eq!(fs::read(dir.join(&name)).unwrap(), hub.file(&name).content);
    }
    assert_eq!(get(&hub.offline()).unwrap(), dir);
    hub.seen();
    hub.get().unwrap();
    assert_eq!(hub.seen().len(), 1);
}

#[test]
#[cfg(unix)]
fn links_that_lead_elsewhere_are_neither_read_nor_written_through() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();

    // A file of the snapshot, a blob, and a partial file.
    let hub = FakeHub::new();
    let dir = hub.get().unwrap();
    fs::remove_file(dir.join("config.json")).unwrap();
    symlink(&secret, dir.join("config.json")).unwrap();
    assert!(matches!(get(&hub.offline()), Err(HubError::NotCached { missing, .. }) if missing == ["config.json"]));
    let blob = hub.repo_dir().join("blobs").join(hub.file(WEIGHTS).etag());
    fs::remove_file(&blob).unwrap();
    symlink(&secret, &blob).unwrap();
    symlink(&secret, hub.partial(WEIGHTS)).unwrap();
    assert_eq!(hub.get().unwrap(), dir);
    for name in ["config.json", WEIGHTS] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), hub.file(name).content);
    }
    assert!(fs::symlink_metadata(&blob).unwrap().is_file());

    // A folder of the snapshot.
    hub.put("sub/x.json", b"x", false);
    symlink(outside.path(), dir.join("sub")).unwrap();
    let files = Files::Matching(vec!["sub/*".into()]);
    let through = get(&Options { files: files.clone(), ..hub.options() });
    assert!(matches!(&through, Err(HubError::Link { path }) if path.ends_with("sub")), "{through:?}");
    assert!(matches!(get(&Options { files, ..hub.offline() }), Err(HubError::NotCached { .. })));

    // The folder of a commit.
    let hub = FakeHub::new();
    fs::create_dir_all(hub.repo_dir().join("snapshots")).unwrap();
    symlink(outside.path(), hub.repo_dir().join("snapshots").join(COMMIT)).unwrap();
    assert!(matches!(hub.get(), Err(HubError::Link { .. })));
    assert_eq!(tree(outside.path()), ["secret"]);
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

#[test]
#[cfg(unix)]
fn links_that_a_user_has_set_are_followed() {
    let hub = FakeHub::new();
    let disk = tempfile::tempdir().unwrap();
    fs::create_dir_all(hub.repo_dir()).unwrap();
    fs::create_dir(disk.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink(disk.path().join("blobs"), hub.repo_dir().join("blobs")).unwrap();
    let dir = hub.get().unwrap();
    // Relative links lead through the linked folder.
    assert_eq!(fs::read(dir.join("config.json")).unwrap(), hub.file("config.json").content);
    assert_eq!(get(&hub.offline()).unwrap(), dir);
    assert_eq!(tree(&disk.path().join("blobs")).len(), 3);
}

#[test]
fn things_that_stand_in_the_way_are_named() {
    for path in ["", "models--org--model", "models--org--model/blobs", "models--org--model/snapshots", ".locks"] {
        let hub = FakeHub::new();
        let cache = hub.cache.path().join("cache");
        let blocked = cache.join(path);
        fs::create_dir_all(blocked.parent().unwrap()).unwrap();
        fs::write(if path.is_empty() { &cache } else { &blocked }, "a file").unwrap();
        let error = get(&Options { cache: cache.clone(), ..hub.options() }).unwrap_err();
        assert!(matches!(&error, HubError::Io { path, .. } if path.starts_with(&cache)), "{path}: {error:?}");
    }
    // Folders where files should be.
    for folder in ["refs/main", "blobs/CONFIG", "blobs/CONFIG.incomplete", "snapshots/COMMIT/config.json"] {
        let hub = FakeHub::new();
        let folder = folder.replace("CONFIG", &hub.file("config.json").etag()).replace("COMMIT", COMMIT);
        fs::create_dir_all(hub.repo_dir().join(&folder).join("x")).unwrap();
        let error = hub.get().unwrap_err();
        assert!(matches!(&error, HubError::Io { path, .. } if path.ends_with(&folder)), "{folder}: {error:?}");
    }
}

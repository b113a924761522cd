//! A small hub on this machine: a listing, files behind redirects as the real one has them, and faults on demand.

#![allow(dead_code, reason = "the tests of other crates use a part of it")]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use sha1::{Digest, Sha1};
use sha2::Sha256;
use stir_hub::{HubError, Options, Progress, snapshot};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "org/model";

/// The fault of one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The connection ends before the answer.
    Drop,
    /// A status with headers, and no body.
    Status(u16, Vec<(&'static str, String)>),
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// A range that begins elsewhere.
    WrongRange,
    /// Another body of its own length.
    Body(Vec<u8>),
    /// The body in chunks, without a length.
    Chunked,
    /// A body in chunks that does not end.
    Endless,
    /// So many bytes, and then nothing for a while.
    Stall(usize),
    /// Headers that replace those of the same name; an empty value removes one.
    Headers(Vec<(&'static str, String)>),
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// True if it came to the store that large files are redirected to.
    pub store: bool,
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

#[derive(Clone)]
pub struct HubFile {
    pub content: Vec<u8>,
    pub lfs: bool,
    etag: String,
}

impl HubFile {
    pub fn etag(&self) -> String {
        self.etag.clone()
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, HubFile>,
    /// Names in the listing that are not files.
    extra: Vec<String>,
    /// Files that the hub also has as chunks of Xet.
    xet: Vec<String>,
    refs: BTreeMap<String, String>,
    faults: HashMap<(String, String), VecDeque<Fault>>,
    seen: Vec<Seen>,
    repo: String,
    hub: String,
    store: String,
}

pub struct FakeHub {
    state: Arc<Mutex<State>>,
    pub cache: tempfile::TempDir,
}

impl FakeHub {
    /// A repository with a decoder's files.
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State { repo: REPO.to_owned(), ..State::default() }));
        let hub = Self { state: state.clone(), cache: tempfile::tempdir().unwrap() };
        for store in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            let mut locked = state.lock().unwrap();
            if store {
                locked.store = address
            } else {
                locked.hub = address
            }
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    // A client that goes away is no fault of the server's.
                    std::thread::spawn(move || drop(answer(stream, store, &state)));
                }
            });
        }
        hub.set_ref("main", COMMIT);
        hub.put("config.json", b"{\"model_type\": \"qwen2\"}", false);
        hub.put("tokenizer.json", b"{}", false);
        hub.put("README.md", b"# not for decoders", false);
        hub.put("pytorch_model.bin", b"never", true);
        hub.put("model.safetensors", &weights(), true);
        hub
    }

    /// Lets the repository go by another name.
    pub fn rename(&self, repo: &str) {
        self.state.lock().unwrap().repo = repo.to_owned();
    }

    pub fn put(&self, name: &str, content: &[u8], lfs: bool) {
        let etag = if lfs { sha256(content) } else { git(content) };
        self.state.lock().unwrap().files.insert(name.to_owned(), HubFile { content: content.to_vec(), lfs, etag });
    }

    pub fn remove(&self, name: &str) {
        self.state.lock().unwrap().files.remove(name);
    }

    pub fn list_too(&self, name: &str) {
        self.state.lock().unwrap().extra.push(name.to_owned());
    }

    /// Lets a file be had over Xet. Faults of its chunks are those of `xorb`.
    pub fn over_xet(&self, name: &str) {
        self.state.lock().unwrap().xet.push(name.to_owned());
    }

    pub fn set_ref(&self, name: &str, commit: &str) {
        self.state.lock().unwrap().refs.insert(name.to_owned(), commit.to_owned());
    }

    /// The next answers to `method` for `file` (`listing` for the list of files) go wrong like this, in order.
    pub fn fault(&self, method: &str, file: &str, faults: impl IntoIterator<Item = Fault>) {
        let key = (method.to_owned(), file.to_owned());
        self.state.lock().unwrap().faults.entry(key).or_default().extend(faults);
    }

    pub fn file(&self, name: &str) -> HubFile {
        self.state.lock().unwrap().files[name].clone()
    }

    /// Requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// The `Range` headers of the requests for the content of a file since the last call, each up to its end; empty
    /// without one.
    pub fn ranges(&self, name: &str) -> Vec<String> {
        let end = format!("-{}", self.file(name).content.len() - 1);
        let ours = |seen: &Seen| seen.method == "GET" && content_of(&seen.path) == Some(name.to_owned());
        let range = |seen: Seen| match seen.headers.get("range") {
            Some(range) => format!("{}-", range.strip_suffix(&end).expect("the rest of the file")),
            None => String::new(),
        };
        self.seen().into_iter().filter(|seen| ours(seen)).map(range).collect()
    }

    pub fn url(&self) -> String {
        self.state.lock().unwrap().hub.clone()
    }

    pub fn options(&self) -> Options {
        Options {
            endpoint: self.url(),
            retries: 3,
            backoff: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            ..Options::new(self.cache.path())
        }
    }

    pub fn offline(&self) -> Options {
        Options { offline: true, endpoint: "http://127.0.0.1:9".into(), ..self.options() }
    }

    pub fn get(&self) -> Result<PathBuf, HubError> {
        get(&self.options())
    }

    pub fn repo_dir(&self) -> PathBuf {
        self.cache.path().join("models--org--model")
    }

    pub fn partial(&self, name: &str) -> PathBuf {
        self.repo_dir().join("blobs").join(format!("{}.incomplete", self.file(name).etag()))
    }
}

pub fn get(options: &Options) -> Result<PathBuf, HubError> {
    snapshot(REPO, options, |_: Progress<'_>| ControlFlow::Continue(()))
}

/// 3 MiB that do not repeat, so that misplaced bytes show.
pub fn weights() -> Vec<u8> {
    (0..3 * 1024 * 256_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

pub fn git(content: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", content.len())).chain_update(content).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All files below a folder, as paths relative to it, links not followed.
pub fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// The file whose bytes an address names, if any.
fn content_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/store/").or_else(|| path.strip_prefix("/api/resolve-cache/"))?;
    Some(unescape(rest.split('?').next().unwrap()))
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn answer(mut stream: TcpStream, store: bool, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    for line in lines {
        match line?.split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let seen = Seen { store, method: method.clone(), path: path.clone(), headers: headers.clone() };
    let mut locked = state.lock().unwrap();
    locked.seen.push(seen);
    let range = headers.get("range").map(|range| parse(range));
    let answer = route(&locked, &path, range.clone());
    let key = (method.clone(), answer.name.clone());
    // A fault of a file is one of its content; a redirect on the way to it goes well.
    let here = answer.is_end || method == "HEAD";
    let fault = if here { locked.faults.get_mut(&key).and_then(VecDeque::pop_front) } else { None };
    drop(locked);
    send(&mut stream, &method, range, answer, fault)
}

struct Answer {
    name: String,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    is_end: bool,
}

/// First byte and the one after the last of `bytes=10-19` and `bytes=10-`.
fn parse(range: &str) -> Range<usize> {
    let (start, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    start.parse().unwrap()..last.parse().map_or(usize::MAX, |last: usize| last + 1)
}

/// A chunk of Xet, of this many bytes but for the last, and its header: version, lengths packed and unpacked, not
/// compressed.
const CHUNK: usize = 1 << 16;
const CHUNK_HEADER: usize = 8;

pub fn xorb(content: &[u8]) -> Vec<u8> {
    let chunk = |chunk: &[u8]| {
        let length = &chunk.len().to_le_bytes()[..3];
        [&[0], length, &[0], length, chunk].concat()
    };
    content.chunks(CHUNK).flat_map(chunk).collect()
}

/// Where the bytes of a file are among its chunks.
fn reconstruction(state: &State, hash: &str, range: Option<Range<usize>>) -> Answer {
    let name = state.xet.iter().find(|name| sha256(name.as_bytes()) == hash).unwrap();
    let (length, range) = (state.files[name].content.len(), range.unwrap_or(0..usize::MAX));
    let answer = |status, body: String| Answer {
        name: "reconstruction".into(),
        status,
        headers: vec![],
        body: body.into(),
        is_end: true,
    };
    if range.start >= length {
        return answer(416, String::new());
    }
    let (start, end) = (range.start / CHUNK, range.end.min(length).div_ceil(CHUNK));
    let place = |chunk: usize| (chunk * CHUNK).min(length);
    let packed = |chunk: usize| place(chunk) + chunk * CHUNK_HEADER;
    let url = format!("{}/xorb/{hash}?signature=s3cret", state.store);
    let chunks = serde_json::json!({ "start": start, "end": end });
    let bytes = serde_json::json!({ "start": packed(start), "end": packed(end) - 1 });
    let body = serde_json::json!({
        "offset_into_first_range": range.start - place(start),
        "terms": [{ "hash": hash, "unpacked_length": place(end) - place(start), "range": chunks }],
        "xorbs": { hash: [{ "url": url, "ranges": [{ "chunks": chunks, "bytes": bytes }] }] },
    });
    answer(200, body.to_string())
}

fn route(state: &State, path: &str, range: Option<Range<usize>>) -> Answer {
    let missing = |name: &str, code: &str| {
        let headers = vec![("X-Error-Code", code.to_owned())];
        Answer { name: name.to_owned(), status: 404, headers, body: Vec::new(), is_end: true }
    };
    if path.contains("/xet-read-token/") {
        let body = serde_json::json!({ "accessToken": "t0ken", "exp": 4_000_000_000_u64, "casUrl": state.store });
        let body = body.to_string().into_bytes();
        return Answer { name: "token".into(), status: 200, headers: vec![], body, is_end: true };
    }
    if let Some(hash) = path.strip_prefix("/v2/reconstructions/") {
        return reconstruction(state, hash, range);
    }
    if let Some(rest) = path.strip_prefix("/xorb/") {
        let name = state.xet.iter().find(|name| rest.starts_with(&sha256(name.as_bytes()))).unwrap();
        let body = xorb(&state.files[name].content);
        return Answer { name: "xorb".into(), status: 200, headers: vec![], body, is_end: true };
    }
    let is_listing = |kind: &str| path.starts_with(&format!("/api/{kind}/{}/", state.repo));
    if is_listing("datasets") || is_listing("models") {
        let revision = unescape(path.rsplit("/revision/").next().unwrap());
        let is_commit = state.refs.values().any(|commit| *commit == revision);
        let Some(commit) = state.refs.get(&revision).or(is_commit.then_some(&revision)) else {
            return missing("listing", "RevisionNotFound");
        };
        let names = state.files.keys().chain(&state.extra).map(|name| serde_json::json!({ "rfilename": name }));
        let body =
            serde_json::json!({ "id": state.repo, "sha": commit, "siblings": names.collect::<Vec<_>>(), "tags": [] });
        let body = body.to_string().into_bytes();
        return Answer { name: "listing".into(), status: 200, headers: vec![], body, is_end: true };
    }
    if let Some(name) = content_of(path) {
        let file = &state.files[&name];
        // The store's own tag is no checksum of ours.
        let etag =
            if file.lfs { "\"d41d8cd98f00b204e9800998ecf8427e-2\"".into() } else { format!("\"{}\"", file.etag()) };
        return Answer { name, status: 200, headers: vec![("ETag", etag)], body: file.content.clone(), is_end: true };
    }
    let path = path.strip_prefix("/datasets").unwrap_or(path);
    let files = format!("/{}/resolve/", state.repo);
    let Some(rest) = path.strip_prefix(&files) else { return missing("listing", "RepoNotFound") };
    let (revision, name) = rest.split_once('/').unwrap();
    let name = unescape(name);
    let Some(file) = state.files.get(&name) else { return missing(&name, "EntryNotFound") };
    let escaped = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
    let mut headers = vec![("X-Repo-Commit", revision.to_owned())];
    if state.xet.contains(&name) {
        headers.push(("X-Xet-Hash", sha256(name.as_bytes())));
    }
    let status = if file.lfs {
        headers.push(("X-Linked-Etag", format!("\"{}\"", file.etag())));
        headers.push(("X-Linked-Size", file.content.len().to_string()));
        headers.push(("Location", format!("{}/store/{escaped}?signature=s3cret", state.store)));
        302
    } else {
        headers.push(("Location", format!("/api/resolve-cache/{escaped}?etag=x")));
        307
    };
    Answer { name, status, headers, body: b"redirecting".to_vec(), is_end: false }
}

fn send(
    stream: &mut TcpStream,
    method: &str,
    range: Option<Range<usize>>,
    mut answer: Answer,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let mut replaced = Vec::new();
    let (mut cut, mut stall, mut chunked, mut endless, mut shift) = (usize::MAX, false, false, false, 0);
    let mut range = range.filter(|_| answer.is_end && answer.status == 200 && answer.name != "reconstruction");
    match fault {
        Some(Fault::Drop) => return Ok(()),
        Some(Fault::Status(status, headers)) => answer = Answer { status, headers, body: vec![], ..answer },
        Some(Fault::Cut(n)) => cut = n,
        Some(Fault::Stall(n)) => (cut, stall) = (n, true),
        Some(Fault::IgnoreRange) => range = None,
        Some(Fault::WrongRange) => shift = 1,
        Some(Fault::Body(body)) => answer.body = body,
        Some(Fault::Chunked) => chunked = true,
        Some(Fault::Endless) => (chunked, endless) = (true, true),
        Some(Fault::Headers(headers)) => replaced = headers,
        None => {}
    }
    let mut body = answer.body;
    if let Some(range) = range.filter(|_| answer.status == 200) {
        let (start, end, total) = (range.start, range.end.min(body.len()), body.len());
        if start >= total {
            (answer.status, body) = (416, Vec::new());
            answer.headers.push(("Content-Range", format!("bytes */{total}")));
        } else {
            (answer.status, body) = (206, body[start - shift..end].to_vec());
            answer.headers.push(("Content-Range", format!("bytes {}-{}/{total}", start - shift, end - 1)));
        }
    }
    let length =
        if chunked { ("Transfer-Encoding", "chunked".into()) } else { ("Content-Length", body.len().to_string()) };
    answer.headers.push(length);
    answer.headers.retain(|(name, _)| !replaced.iter().any(|(other, _)| other == name));
    answer.headers.extend(replaced.into_iter().filter(|(_, value)| !value.is_empty()));
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if method == "HEAD" {
        return Ok(());
    }
    if chunked {
        let chunk = if endless { vec![b'x'; 1 << 20] } else { body };
        loop {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            stream.write_all(&chunk)?;
            stream.write_all(b"\r\n")?;
            if !endless {
                return stream.write_all(b"0\r\n\r\n");
            }
        }
    }
    stream.write_all(&body[..cut.min(body.len())])?;
    stream.flush()?;
    if stall {
        std::thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

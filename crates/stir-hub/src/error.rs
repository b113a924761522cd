use std::path::{Path, PathBuf};

use stir_files::FileError;

/// The reason why a repository could not be brought to a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text is not the name of a repository.
    #[error("{id:?} is not a repository of the hub: {reason}")]
    RepoId {
        /// The text.
        id: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The text is not the name of a branch, tag or commit.
    #[error("{revision:?} is not a revision: {reason}")]
    Revision {
        /// The text.
        revision: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An environment variable or option cannot be used. Its value is not repeated: it may hold a secret.
    #[error("{name} cannot be used: {reason}")]
    Option {
        /// The variable or field.
        name: &'static str,
        /// The fault.
        reason: &'static str,
    },
    /// A file's name would lead outside the snapshot's folder, or cannot be written on some systems.
    #[error("{origin} of {repo} names the file {name:?}, which is refused: {reason}")]
    FileName {
        /// The repository.
        repo: String,
        /// The name.
        name: String,
        /// The list that has the name.
        origin: Origin,
        /// The rule that the name breaks.
        reason: &'static str,
    },
    /// The hub refused access.
    #[error("{repo}: the hub refused access with {status}: {}", why_denied(*token_sent, *gated))]
    Denied {
        /// The repository.
        repo: String,
        /// The status of the answer, 401 or 403.
        status: u16,
        /// True if the request carried a token.
        token_sent: bool,
        /// True if the hub said that the repository is gated.
        gated: bool,
    },
    /// The hub has no such repository.
    #[error("the hub has no repository {repo}")]
    NoRepo {
        /// The repository.
        repo: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision}")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// The repository lacks a file that is needed, or that an index names.
    #[error("{repo} has no file {file} at {revision}")]
    NoFile {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
    },
    /// No file of the repository has a name that was asked for.
    #[error("no file of {repo} at {revision} matches {patterns:?}")]
    NoMatch {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// A repository of GGUF files has none for the tag, or several, or several and no tag was given.
    #[error(
        "{repo} at {revision} has {} GGUF model{}; {}",
        if *several { "more than one" } else { "no" },
        tag.as_ref().map(|tag| format!(" that {tag} names")).unwrap_or_default(),
        to_choose(repo, known)
    )]
    Quantisation {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The tag that was given.
        tag: Option<String>,
        /// True if more than one model is meant; otherwise none is.
        several: bool,
        /// The tags there are: quantisations, or names of files without their ending where several share one.
        known: Vec<String>,
    },
    /// No request can be made on this system: it lacks certificates or threads, say.
    #[error("no client of the hub can be made")]
    Client {
        /// The fault.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub did not answer.
    #[error("there is no connection to {url}; HF_HUB_OFFLINE=1 uses the cache alone")]
    Connection {
        /// The address, without its query.
        url: String,
        /// The fault of the connection.
        source: ConnectionError,
    },
    /// The answer is neither the file nor a known refusal.
    #[error("{url} answered with status {status}")]
    Status {
        /// The address, without its query.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer is not one that a hub gives.
    #[error("{url} is not the answer of a hub: {reason}")]
    Protocol {
        /// The address, without its query.
        url: String,
        /// The fault of the answer.
        reason: &'static str,
    },
    /// An answer or an index is not the JSON that it should be.
    #[error("{location} is not the JSON it should be")]
    Json {
        /// The address or path.
        location: String,
        /// The fault of the JSON.
        source: JsonError,
    },
    /// An answer or file of unstated size has more bytes than are read of one.
    #[error("{location} holds more than {limit} bytes")]
    TooLarge {
        /// The address, path or file.
        location: String,
        /// The number of bytes that are read at most.
        limit: u64,
    },
    /// The connection broke, and broke again until no try was left. What was received is kept for the next call.
    #[error("the connection broke after {done} bytes of {file}{}", of_total(*total))]
    Cut {
        /// The file, or the listing's address.
        file: String,
        /// The number of bytes that have been received.
        done: u64,
        /// The size of the file in bytes, if known.
        total: Option<u64>,
        /// The fault of the connection; `None` when it just ended.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A file's length is not the one that the hub stated. The file has been removed.
    #[error("{file} has {found} bytes where the hub stated {expected}")]
    Size {
        /// The file.
        file: String,
        /// The number of bytes that the hub stated.
        expected: u64,
        /// The number of bytes received or announced.
        found: u64,
    },
    /// A file's checksum is not the one that the hub stated. The file has been removed.
    #[error("{file} has the checksum {found} where the hub stated {expected}")]
    Checksum {
        /// The file.
        file: String,
        /// The checksum that the hub stated.
        expected: String,
        /// The checksum of the received bytes.
        found: String,
    },
    /// The hub stated no checksum of a file that can be computed here.
    #[error("{file} cannot be verified: the hub stated {etag:?} in place of a SHA-256 or Git checksum")]
    NoChecksum {
        /// The file.
        file: String,
        /// The text that the hub stated.
        etag: String,
    },
    /// The cache lacks files, and no connection is allowed.
    #[error("no connection is allowed (offline), and {} does not hold {} of {repo} at {revision}", cache.display(), missing.join(", "))]
    NotCached {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
        /// The files or patterns, or the revision itself; at least one.
        missing: Vec<String>,
    },
    /// A folder of the cache is a symbolic link: writing through it would write elsewhere.
    #[error("{} is a symbolic link; nothing is written through it", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file of the cache is damaged.
    #[error("{} does not hold {expected}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The content that it should have.
        expected: &'static str,
    },
    /// A file or folder could not be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal of the system.
        source: std::io::Error,
    },
    /// The progress callback asked to stop. What was received is kept for the next call.
    #[error("the download was cancelled")]
    Cancelled,
    /// A file could not be locked against other processes.
    #[error("cannot keep other processes away from a download")]
    Lock {
        /// The refusal.
        source: FileError,
    },
}

/// The fault of a connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConnectionError(pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// A fault in JSON text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(pub(crate) serde_json::Error);

/// The origin of a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The hub's list of a repository's files.
    Listing,
    /// `model.safetensors.index.json`.
    Index,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Listing => "the listing",
            Self::Index => "model.safetensors.index.json",
        })
    }
}

impl HubError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

fn why_denied(token_sent: bool, gated: bool) -> &'static str {
    match (gated, token_sent) {
        (true, true) => "it is gated, and the owner of the token that was sent has not been given access on its page",
        (true, false) => "it is gated, and no token was sent; ask for access on its page and set HF_TOKEN",
        (false, true) => "it is private or does not exist, or the token that was sent is not valid for it",
        (false, false) => "it is private or does not exist, and no token was sent; HF_TOKEN sets one",
    }
}

fn to_choose(repo: &str, known: &[String]) -> String {
    match known {
        [] => "nor any under another name".to_owned(),
        known => format!("{repo}:TAG chooses one, TAG being {}", known.join(", ")),
    }
}

fn of_total(total: Option<u64>) -> String {
    total.map(|total| format!(" (of {total})")).unwrap_or_default()
}

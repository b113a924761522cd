use std::path::{Path, PathBuf};

/// What can go wrong between a repository's name and its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Not a name of a repository.
    #[error("{id:?} is not a repository of the hub: {reason}")]
    RepoId {
        /// What was asked for.
        id: String,
        /// Why it cannot be one.
        reason: &'static str,
    },
    /// Not a branch, tag or commit.
    #[error("{revision:?} is not a revision: {reason}")]
    Revision {
        /// What was asked for.
        revision: String,
        /// Why it cannot be one.
        reason: &'static str,
    },
    /// An environment variable or option that cannot be used. Its value is not repeated: it may hold a secret.
    #[error("{name}: {reason}")]
    Option {
        /// The variable or field.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file name that would be written outside the snapshot's folder, or nowhere on some systems.
    #[error("{origin} of {repo} names the file {name:?}, which is refused: {reason}")]
    FileName {
        /// The repository.
        repo: String,
        /// The name.
        name: String,
        /// Where it stands.
        origin: Origin,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The hub did not let us in.
    #[error("{repo}: the hub refused access with {status}: {}", why_denied(*token_sent, *gated))]
    Denied {
        /// The repository.
        repo: String,
        /// 401 or 403.
        status: u16,
        /// Whether the request carried a token.
        token_sent: bool,
        /// Whether the hub said that the repository is gated.
        gated: bool,
    },
    /// No such repository.
    #[error("the hub has no repository {repo}")]
    NoRepo {
        /// The repository.
        repo: String,
    },
    /// No such branch, tag or commit.
    #[error("{repo} has no revision {revision}")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// A file that is needed, or that an index names, and the repository lacks.
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
    /// No answer.
    #[error("no connection to {url}; HF_HUB_OFFLINE=1 uses the cache alone")]
    Connection {
        /// The address, without its query.
        url: String,
        /// What the connection said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// An answer that is neither the file nor a known refusal.
    #[error("{url} answered with status {status}")]
    Status {
        /// The address, without its query.
        url: String,
        /// The status.
        status: u16,
    },
    /// An answer that a hub does not give.
    #[error("{url} is not the answer of a hub: {reason}")]
    Protocol {
        /// The address, without its query.
        url: String,
        /// What is missing or wrong.
        reason: &'static str,
    },
    /// An answer or index that is not the JSON it should be.
    #[error("{location} is not the JSON it should be")]
    Json {
        /// Address or path.
        location: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// More bytes than are read of something whose size nobody has stated.
    #[error("{location} holds more than {limit} bytes")]
    TooLarge {
        /// Address, path or file.
        location: String,
        /// Bytes that are read at most.
        limit: u64,
    },
    /// The connection broke, and broke again until no try was left. What was received is kept for the next call.
    #[error("the connection broke after {done} bytes of {file}{}", of_total(*total))]
    Cut {
        /// The file, or the listing's address.
        file: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the file, if known.
        total: Option<u64>,
        /// What the connection said; nothing if it just ended.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A file whose length is not the one that the hub stated. It has been removed.
    #[error("{file} has {found} bytes where the hub stated {expected}")]
    Size {
        /// The file.
        file: String,
        /// Bytes the hub stated.
        expected: u64,
        /// Bytes received or announced.
        found: u64,
    },
    /// A file whose bytes are not those that the hub stated. It has been removed.
    #[error("{file} has the checksum {found} where the hub stated {expected}")]
    Checksum {
        /// The file.
        file: String,
        /// Checksum the hub stated.
        expected: String,
        /// Checksum of what was received.
        found: String,
    },
    /// A file for which the hub stated no checksum that we know how to compute.
    #[error("{file}: the hub stated {etag:?} in place of a SHA-256 or Git checksum, so that it cannot be verified")]
    NoChecksum {
        /// The file.
        file: String,
        /// What the hub stated.
        etag: String,
    },
    /// Files that the cache lacks, and no connection was allowed.
    #[error("offline, and {} does not hold {} of {repo} at {revision}", cache.display(), missing.join(", "))]
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
    /// A symbolic link in the cache where a folder of ours should be: writing through it would write elsewhere.
    #[error("{} is a symbolic link; nothing is written through it", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file of the cache that says something it cannot say.
    #[error("{} does not hold {expected}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should stand there.
        expected: &'static str,
    },
    /// A file or folder could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The progress callback asked to stop. What was received is kept for the next call.
    #[error("cancelled")]
    Cancelled,
}

/// Where a file's name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

fn of_total(total: Option<u64>) -> String {
    total.map(|total| format!(" (of {total})")).unwrap_or_default()
}

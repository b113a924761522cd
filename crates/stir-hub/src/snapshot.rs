//! The files to download, their order, and the message when one is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    Files, HubError, Options, Origin, RepoKind,
    background::Alive,
    cache::{Cache, is_commit},
    client::{Client, Subject, shown},
    download::Remote,
    error::JsonError,
    names,
    retry::Retry,
};

const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Further files of a decoder's folder that loading reads if they are there.
const OPTIONAL: [&str; 6] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// Weights that are never brought.
const REFUSED: [&str; 7] = ["*.bin", "*.pth", "*.pt", "*.ckpt", "*.h5", "*.msgpack", "consolidated*"];

/// Most bytes of a listing, and of an index of shards.
const LARGEST_JSON: u64 = 64 << 20;

/// The state of a call of [`snapshot`]. Files that are in the cache are not reported.
///
/// ```
/// use stir_hub::Progress;
///
/// let show = |progress: Progress<'_>| match progress {
///     Progress::Listing => "asking the hub".to_owned(),
///     Progress::File { name, done, total: Some(total) } => format!("{name} {}%", done * 100 / total.max(1)),
///     Progress::File { name, done, total: None } => format!("{name} {done} bytes"),
///     _ => "working".to_owned(),
/// };
/// assert_eq!(show(Progress::File { name: "model.safetensors", done: 1, total: Some(4) }), "model.safetensors 25%");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The hub is being asked for the files of the repository, or about one of them.
    Listing,
    /// A file is being received, or waited for. It begins with what an earlier call has left of it; `done` falls back
    /// if the server sends the whole file again.
    File {
        /// The file's path in the repository.
        name: &'a str,
        /// The number of bytes that have been received.
        done: u64,
        /// The size of the file in bytes, if the hub states it.
        total: Option<u64>,
    },
}

/// Returns the folder with the files of the repository `id` at one commit; brings those that are not in the cache.
///
/// The commit is the one that [`Options::revision`] is at now; with [`Options::offline`], the one it was at when it
/// was last brought in full. A repository that is in the cache costs one small request.
///
/// `progress` is called for each piece that is received and about ten times a second while waiting; breaking ends
/// the call with [`HubError::Cancelled`] and keeps what has been received.
///
/// ```
/// use std::ops::ControlFlow;
/// use stir_hub::{HubError, Options, snapshot};
///
/// let cache = tempfile::tempdir()?;
/// let options = Options { offline: true, ..Options::new(cache.path()) };
/// let missing = snapshot("Qwen/Qwen2.5-1.5B-Instruct", &options, |_| ControlFlow::Continue(()));
/// assert!(matches!(missing, Err(HubError::NotCached { .. })));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Every [`HubError`]. Files that were received and verified stay in the cache whatever happens.
pub fn snapshot(
    id: &str,
    options: &Options,
    mut progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<PathBuf, HubError> {
    let cache = checked(id, options)?;
    if options.offline {
        return cached(id, options, &cache);
    }
    let mut visit = Visit::new(id, options, cache, &mut progress)?;
    let (commit, names) = visit.list()?;
    visit.bring_all(&commit, &names)
}

/// Returns the cache of a repository; refuses a repository or revision that there cannot be.
pub(crate) fn checked(id: &str, options: &Options) -> Result<Cache, HubError> {
    names::check_repo_id(id)?;
    names::check_revision(&options.revision)?;
    Ok(Cache::new(options, id))
}

/// A repository of a hub, being brought.
pub(crate) struct Visit<'a> {
    id: &'a str,
    options: &'a Options,
    cache: Cache,
    client: Client<'a>,
    progress: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(
        id: &'a str,
        options: &'a Options,
        cache: Cache,
        progress: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self, HubError> {
        Ok(Self { id, options, cache, client: Client::new(options)?, progress })
    }

    /// Brings the files that the options ask for, and returns their folder.
    pub(crate) fn bring_all(&mut self, commit: &str, names: &BTreeSet<String>) -> Result<PathBuf, HubError> {
        for name in choose(self.id, self.options, names)? {
            self.bring(commit, name)?;
        }
        if self.options.files == Files::Decoder && !names.contains(WEIGHTS) {
            let shards = shards(self.id, &self.cache.snapshot(commit).join(INDEX))?;
            if let Some(file) = shards.iter().find(|shard| !names.contains(*shard)) {
                return Err(no_file(self.id, commit, file));
            }
            for shard in &shards {
                self.bring(commit, shard)?;
            }
        }
        self.finish(commit)
    }

    /// Notes the commit, and returns its folder. Last, so that offline a revision means the commit that is here in full.
    pub(crate) fn finish(&self, commit: &str) -> Result<PathBuf, HubError> {
        self.cache.set_commit(&self.options.revision, commit)?;
        Ok(self.cache.snapshot(commit))
    }

    /// Returns the commit the revision is at, and the names of its files, all of them checked.
    pub(crate) fn list(&mut self) -> Result<(String, BTreeSet<String>), HubError> {
        #[derive(Deserialize)]
        struct Listing {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let subject = Subject { repo: self.id, revision: &self.options.revision, file: None };
        let url = self.client.api_url(self.id, ["revision", &self.options.revision]);
        let mut alive = || (self.progress)(Progress::Listing);
        if alive().is_break() {
            return Err(HubError::Cancelled);
        }
        let ask = |alive: Alive<'_>| self.client.get_small(&url, LARGEST_JSON, subject, alive);
        let text = Retry::run(self.options, &mut alive, ask)?;
        let url = shown(&url);
        let listing: Listing = serde_json::from_slice(&text)
            .map_err(|source| HubError::Json { location: url.clone(), source: JsonError(source) })?;
        if !is_commit(&listing.sha) {
            return Err(HubError::Protocol { url, reason: "it states no commit" });
        }
        if is_commit(&self.options.revision) && self.options.revision != listing.sha {
            return Err(HubError::Protocol { url, reason: "it states another commit than was asked for" });
        }
        let names: BTreeSet<String> = listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        names.iter().try_for_each(|name| names::check_file(self.id, name, Origin::Listing))?;
        Ok((listing.sha, names))
    }

    /// Puts one file into the snapshot.
    pub(crate) fn bring(&mut self, commit: &str, name: &str) -> Result<(), HubError> {
        if self.cache.has(commit, name)? {
            return Ok(());
        }
        // By commit, so that all files are of one, even if the branch moves meanwhile.
        let subject = Subject { repo: self.id, revision: commit, file: Some(name) };
        let ask = |alive: Alive<'_>| Remote::ask(&self.client, subject, name, alive);
        let remote = Retry::run(self.options, &mut || (self.progress)(Progress::Listing), ask)?;
        let mut report = |done, total| (self.progress)(Progress::File { name, done, total });
        if !self.cache.has_blob(&remote.checksum)? {
            remote.fetch(&self.client, self.options, &self.cache, &mut report)?;
        }
        self.cache.link(commit, name, &remote.checksum)
    }
}

/// Returns the names to bring from a listing, weights last: a snapshot with weights has the rest. Shards are not among
/// them.
fn choose<'n>(id: &str, options: &Options, names: &'n BTreeSet<String>) -> Result<Vec<&'n str>, HubError> {
    let revision = &options.revision;
    let listed = |name: &str| names.get(name).map(String::as_str);
    match &options.files {
        Files::Decoder => {
            let config = listed(CONFIG).ok_or_else(|| no_file(id, revision, CONFIG))?;
            let weights = listed(WEIGHTS).or_else(|| listed(INDEX)).ok_or_else(|| no_file(id, revision, WEIGHTS))?;
            Ok([config].into_iter().chain(OPTIONAL.into_iter().filter_map(listed)).chain([weights]).collect())
        }
        Files::Matching(patterns) => {
            let wanted = |name: &&str| patterns.iter().any(|pattern| names::matches(pattern, name));
            let chosen: Vec<&str> =
                names.iter().map(String::as_str).filter(wanted).filter(|name| !refused(options.kind, name)).collect();
            if chosen.is_empty() {
                let (repo, revision) = (id.to_owned(), revision.clone());
                return Err(HubError::NoMatch { repo, revision, patterns: patterns.clone() });
            }
            Ok(chosen)
        }
    }
}

/// Returns whether a file is never brought, whatever is asked for.
fn refused(kind: RepoKind, name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    kind == RepoKind::Model && REFUSED.iter().any(|pattern| names::matches(pattern, file))
}

/// Returns the files that an index of shards names, all of them checked.
fn shards(id: &str, index: &Path) -> Result<BTreeSet<String>, HubError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let length = std::fs::metadata(index).map_err(HubError::io(index))?.len();
    let location = index.display().to_string();
    if length > LARGEST_JSON {
        return Err(HubError::TooLarge { location, limit: LARGEST_JSON });
    }
    let text = std::fs::read(index).map_err(HubError::io(index))?;
    let index: Index =
        serde_json::from_slice(&text).map_err(|source| HubError::Json { location, source: JsonError(source) })?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &shards {
        names::check_file(id, name, Origin::Index)?;
        if !name.ends_with(".safetensors") {
            let reason = "it is no safetensors file";
            return Err(HubError::FileName { repo: id.to_owned(), name: name.clone(), origin: Origin::Index, reason });
        }
    }
    Ok(shards)
}

/// Returns the snapshot's folder, from the cache alone.
fn cached(id: &str, options: &Options, cache: &Cache) -> Result<PathBuf, HubError> {
    let commit = cached_commit(id, options, cache)?;
    let missing = match &options.files {
        Files::Decoder => missing_of_decoder(id, cache, &commit)?,
        // How many files a pattern with stars names is not known here; too few is none.
        Files::Matching(patterns) => {
            let names = cache.names(&commit)?;
            let unmet = |pattern: &&String| !names.iter().any(|name| names::matches(pattern, name));
            patterns.iter().filter(unmet).cloned().collect()
        }
    };
    if missing.is_empty() { Ok(cache.snapshot(&commit)) } else { Err(not_cached(id, options, missing)) }
}

/// Returns the commit that a revision was at when it was last brought.
pub(crate) fn cached_commit(id: &str, options: &Options, cache: &Cache) -> Result<String, HubError> {
    cache.commit(&options.revision)?.ok_or_else(|| not_cached(id, options, vec!["the revision".to_owned()]))
}

pub(crate) fn not_cached(id: &str, options: &Options, missing: Vec<String>) -> HubError {
    let (repo, revision, cache) = (id.to_owned(), options.revision.clone(), options.cache.clone());
    HubError::NotCached { repo, revision, cache, missing }
}

pub(crate) fn missing_of_decoder(id: &str, cache: &Cache, commit: &str) -> Result<Vec<String>, HubError> {
    let mut needed = vec![CONFIG.to_owned()];
    if !cache.has(commit, WEIGHTS)? && cache.has(commit, INDEX)? {
        needed.extend(shards(id, &cache.snapshot(commit).join(INDEX))?);
    } else {
        needed.push(WEIGHTS.to_owned());
    }
    let mut missing = Vec::new();
    for name in needed {
        if !cache.has(commit, &name)? {
            missing.push(name);
        }
    }
    Ok(missing)
}

fn no_file(repo: &str, revision: &str, file: &str) -> HubError {
    HubError::NoFile { repo: repo.to_owned(), revision: revision.to_owned(), file: file.to_owned() }
}

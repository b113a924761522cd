//! One repository's part of the cache, in the layout of Python's `huggingface_hub`:
//!
//! ```text
//! CACHE/models--OWNER--NAME/blobs/CHECKSUM               the content, once
//!                           refs/main                    the commit it was at last
//!                           snapshots/COMMIT/config.json -> ../../blobs/CHECKSUM
//! CACHE/.locks/models--OWNER--NAME/CHECKSUM.lock
//! ```

use std::{
    fs,
    io::ErrorKind,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use stir_files::{FileError, FileLock, place_atomically, unused_name, write_atomically};

use crate::{HubError, Options, checksum::Checksum};

/// The pause between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Cache {
    root: PathBuf,
    /// The repository's folder.
    repo: PathBuf,
    folder: String,
    symlinks: bool,
}

impl Cache {
    /// Returns the cache of a repository. `id` has been checked.
    pub(crate) fn new(options: &Options, id: &str) -> Self {
        let folder = format!("{}--{}", options.kind.plural(), id.replace('/', "--"));
        let root = options.cache.clone();
        Self { repo: root.join(&folder), root, folder, symlinks: options.symlinks }
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// Returns the commit that a branch or tag was at when it was last brought.
    pub(crate) fn commit(&self, revision: &str) -> Result<Option<String>, HubError> {
        if is_commit(revision) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.repo.join("refs").join(revision);
        match fs::read_to_string(&path) {
            Ok(text) if is_commit(text.trim()) => Ok(Some(text.trim().to_owned())),
            Ok(_) => Err(HubError::Damaged { path, expected: "a commit" }),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(HubError::io(&path)(error)),
        }
    }

    /// Notes the commit that a branch or tag is at.
    pub(crate) fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        // What is noted already is left alone: the cache may be read-only. What is damaged is replaced.
        if is_commit(revision) || matches!(self.commit(revision), Ok(Some(noted)) if noted == commit) {
            return Ok(());
        }
        let path = self.repo.join("refs").join(revision);
        self.make_parents(&path, "refs")?;
        write_atomically(&path, commit).map_err(HubError::io(&path))
    }

    /// Returns whether a snapshot holds a file. A link that leads out of the cache's blobs is as good as no file.
    pub(crate) fn has(&self, commit: &str, name: &str) -> Result<bool, HubError> {
        self.holds(&self.snapshot(commit).join(name), Some(commit))
    }

    /// Returns whether a blob is here, whole.
    pub(crate) fn has_blob(&self, checksum: &Checksum) -> Result<bool, HubError> {
        self.holds(&self.blob(checksum), None)
    }

    pub(crate) fn blob(&self, checksum: &Checksum) -> PathBuf {
        self.repo.join("blobs").join(checksum.hex())
    }

    /// Returns the file that a blob is received into, and its folder made.
    pub(crate) fn partial(&self, checksum: &Checksum, lock: &FileLock) -> Result<PathBuf, HubError> {
        let path = self.repo.join("blobs").join(format!("{}.incomplete", checksum.hex()));
        fs::create_dir_all(self.repo.join("blobs")).map_err(HubError::io(&self.repo.join("blobs")))?;
        // Without a lock, two processes must not write into one file: each begins its own.
        Ok(if lock.is_exclusive() { path } else { unused_name(&path) })
    }

    /// Puts a blob that is here under its name into a snapshot.
    pub(crate) fn link(&self, commit: &str, name: &str, checksum: &Checksum) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(name);
        self.make_parents(&path, "snapshots")?;
        let blob = self.blob(checksum);
        let up = "../".repeat(name.split('/').count() + 1);
        let target = format!("{up}blobs/{}", checksum.hex());
        let link = |temporary: &Path| {
            if self.symlinks { symlink(Path::new(&target), temporary) } else { Err(ErrorKind::Unsupported.into()) }
        };
        place_atomically(&path, |temporary| {
            link(temporary)
                .or_else(|_| fs::canonicalize(&blob).and_then(|blob| fs::hard_link(blob, temporary)))
                .or_else(|_| fs::copy(&blob, temporary).map(drop))
        })
        .map_err(HubError::io(&path))
    }

    /// Returns the names of a snapshot's files.
    pub(crate) fn names(&self, commit: &str) -> Result<Vec<String>, HubError> {
        let (root, mut names) = (self.snapshot(commit), Vec::new());
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(HubError::io(&path)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(HubError::io(&path))?;
                // A name that is not UTF-8 is not from a hub.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match entry.file_type().map_err(HubError::io(&path))?.is_dir() {
                    true => folders.push(name),
                    false if self.has(commit, &name)? => names.push(name),
                    false => {}
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Waits until no other process or thread is bringing this blob; `alive` is asked meanwhile.
    pub(crate) fn lock(
        &self,
        checksum: &Checksum,
        alive: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<FileLock, HubError> {
        let folder = self.root.join(".locks").join(&self.folder);
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        let path = folder.join(format!("{}.lock", checksum.hex()));
        loop {
            match FileLock::acquire(&path) {
                Ok(lock) => return Ok(lock),
                Err(FileError::InUse { .. }) if alive().is_break() => return Err(HubError::Cancelled),
                Err(FileError::InUse { .. }) => std::thread::sleep(LOOK),
                Err(source) => return Err(HubError::Lock { source }),
            }
        }
    }

    /// Returns whether `path` is, or leads to, a file among this cache's blobs or in the snapshot of `commit`.
    fn holds(&self, path: &Path, commit: Option<&str>) -> Result<bool, HubError> {
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if absent(&error) => return Ok(false),
            Err(error) => return Err(HubError::io(path)(error)),
        };
        // The folder of blobs next to the repositories is where Python keeps content that several of them share.
        let homes = [Some(self.repo.join("blobs")), Some(self.root.join("blobs")), commit.map(|c| self.snapshot(c))];
        let mut homes = homes.into_iter().flatten().filter_map(|home| fs::canonicalize(home).ok());
        Ok(homes.any(|home| target.starts_with(home)) && target.is_file())
    }

    /// Makes the folders above `path`, which is in the repository's folder `top`. The cache, the repository and
    /// `top` may be links that a user has set; below them links are not ours.
    fn make_parents(&self, path: &Path, top: &str) -> Result<(), HubError> {
        let mut folder = self.repo.join(top);
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        let parents = path.parent().and_then(|parent| parent.strip_prefix(&folder).ok()).unwrap_or(Path::new(""));
        for part in parents.to_owned().components() {
            folder.push(part);
            match fs::symlink_metadata(&folder) {
                Ok(found) if found.is_symlink() => return Err(HubError::Link { path: folder }),
                Ok(found) if found.is_dir() => {}
                // A file in its place makes this fail, as it should.
                _ => fs::create_dir_all(&folder).map_err(HubError::io(&folder))?,
            }
        }
        Ok(())
    }
}

/// Returns whether a revision is a commit in full.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn absent(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target.to_string_lossy().replace('/', "\\"), link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

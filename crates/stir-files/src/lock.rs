use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::Path,
};

use crate::FileError;

/// The number of times that a file may be replaced between its opening and its locking.
const TRIES: usize = 100;

/// A lock on a file against other processes, held until it is dropped or the process ends.
///
/// File systems without locks (some network ones) are no reason to stop: the lock is then not
/// [exclusive](Self::is_exclusive).
///
/// ```
/// use stir_files::{FileError, FileLock};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("lock");
/// let lock = FileLock::acquire(&path)?;
/// assert!(matches!(FileLock::acquire(&path), Err(FileError::InUse { .. })));
/// drop(lock);
/// assert!(FileLock::acquire(&path).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileLock {
    file: File,
    exclusive: bool,
}

impl FileLock {
    /// Takes the lock of the file at `path`, which is created when it is missing. Does not wait.
    ///
    /// # Errors
    /// [`FileError::InUse`] when another process (or another lock of this one) has it, and [`FileError::Io`].
    pub fn acquire(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let mut tries = 0;
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let file = file.map_err(FileError::io("open", path))?;
            let exclusive = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => return Err(FileError::InUse { path: path.to_owned() }),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    tracing::warn!(path = %path.display(), "the file system has no locks: the file is used without one");
                    false
                }
                Err(TryLockError::Error(source)) => return Err(FileError::io("lock", path)(source)),
            };
            tries += 1;
            // A process that has just finished may have replaced the file after it was opened here.
            if tries == TRIES || is_at(&file, path)? {
                return Ok(Self { file, exclusive });
            }
        }
    }

    /// Returns whether the lock keeps other processes away.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Returns whether the open `file` still has the name `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> Result<bool, FileError> {
    use std::os::unix::fs::MetadataExt;

    let open = file.metadata().map_err(FileError::io("read", path))?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// Returns `true`: elsewhere than on Unix a file's identity is not known.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> Result<bool, FileError> {
    Ok(true)
}

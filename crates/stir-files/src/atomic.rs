use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::FileError;

/// The number of names to try before a folder in which all of them exist counts as an error.
const TRIES: usize = 64;

/// Writes a file in one step: a reader sees the old content or the new one, whole, even after a crash.
///
/// The bytes go to a temporary file in the same folder, to disk, and take the file's name; then the folder goes to disk
/// where the platform allows it. Writers in several processes never share a temporary file. When writing fails, the
/// temporary file is removed and the old content stays.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("table.csv");
/// stir_files::write_atomically(&path, "a,b\n")?;
/// assert_eq!(std::fs::read_to_string(&path)?, "a,b\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The first operation that the file system refuses.
pub fn write_atomically(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write_atomically_with(path, |writer| writer.write_all(bytes.as_ref()))
}

/// Writes a file in one step, as [`write_atomically`] does, with content that `write` produces.
///
/// ```
/// use std::io::Write;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("numbers");
/// stir_files::write_atomically_with(&path, |writer| (0..3).try_for_each(|n| writeln!(writer, "{n}")))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "0\n1\n2\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The error of `write`, or the first operation that the file system refuses.
pub fn write_atomically_with(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    let mut file = None;
    let temporary = first_unused(path, |name| {
        file = Some(File::create_new(name)?);
        Ok(())
    })?;
    let written = file.map_or(Ok(()), |file| {
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    });
    settle(&temporary, path, written)
}

/// Checks, before the work begins whose result goes to `path`, that [`write_atomically`] can write it: that it is no
/// folder, device or pipe, and in a folder that takes files.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// assert!(stir_files::check_writable(folder.path().join("x")).is_ok());
/// assert!(stir_files::check_writable(folder.path().join("none/x")).is_err());
/// assert!(stir_files::check_writable(folder.path()).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`FileError::Io`] with what the file system refuses.
pub fn check_writable(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    let try_out = || match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => Err(io::Error::new(ErrorKind::InvalidInput, "it is a device or a pipe")),
        _ => fs::remove_file(first_unused(path, |name| File::create_new(name).map(drop))?),
    };
    try_out().map_err(FileError::io("write", path))
}

/// Puts something other than written bytes (a link, a copy) in place of `path` in one step: `make` makes it under the
/// unused name that it is given, in the same folder, and it is then renamed.
///
/// `make` is called again with another name when it fails with [`ErrorKind::AlreadyExists`].
///
/// # Errors
/// The error of `make`, or of the renaming.
pub fn place_atomically(path: impl AsRef<Path>, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let path = path.as_ref();
    let temporary = first_unused(path, make)?;
    settle(&temporary, path, Ok(()))
}

/// Returns a name in the folder of `path` that no other process or thread uses. It is never longer than what file
/// systems allow, whatever the length of `path`'s own name.
pub fn unused_name(path: impl AsRef<Path>) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = path.as_ref();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(40).collect();
    let (process, count) = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // Processes on two machines, or in two containers, may have one number and one folder.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    path.with_file_name(format!("{short}.{process:x}-{count:x}-{nanos:x}.tmp"))
}

/// Returns `path` with `suffix` at the end of its name.
///
/// ```
/// use std::path::Path;
/// assert_eq!(stir_files::with_suffix("out.jsonl", ".settings.json"), Path::new("out.jsonl.settings.json"));
/// ```
pub fn with_suffix(path: impl AsRef<Path>, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_ref());
    name.push(suffix);
    name.into()
}

/// Calls `make` with unused names until one of them is free; returns the name.
fn first_unused(path: &Path, mut make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    for _ in 0..TRIES {
        let name = unused_name(path);
        match make(&name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let _ = fs::remove_file(&name);
                return Err(error);
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Renames what was `written` under a temporary name, or removes it.
fn settle(temporary: &Path, path: &Path, written: io::Result<()>) -> io::Result<()> {
    if let Err(error) = written.and_then(|()| fs::rename(temporary, path)) {
        // The first error is the one to report.
        let _ = fs::remove_file(temporary);
        return Err(error);
    }
    sync_folder(path)
}

/// Puts the new name on disk. A folder that cannot be opened or synchronised is no reason to fail: the content is safe.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Does nothing: only Unix opens folders as files.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failure_leaves_the_old_content_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_atomically(&path, "old").unwrap();
        let failed = write_atomically_with(&path, |writer| {
            writer.write_all(&[1; 100_000])?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["x".to_owned()]));
        // A folder in the way.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("in")).unwrap();
        assert!(write_atomically(&taken, "new").is_err());
        assert!(place_atomically(&taken, |name| fs::write(name, "new")).is_err());
        assert_eq!(names(folder.path()).len(), 2);
        assert!(write_atomically(folder.path().join("none/x"), "").is_err());
        assert!(write_atomically(folder.path(), "").is_err());
    }

    #[test]
    fn writers_at_one_time_never_share_a_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let contents: Vec<Vec<u8>> = (0..8).map(|writer| vec![writer; 100_000]).collect();
        thread::scope(|scope| {
            for content in &contents {
                let path = &path;
                scope.spawn(move || (0..5).for_each(|_| write_atomically(path, content).unwrap()));
            }
            for _ in 0..200 {
                assert!(fs::read(&path).map_or(true, |found| contents.contains(&found)));
            }
        });
        assert_eq!(names(folder.path()), ["x"]);
        let unused: HashSet<PathBuf> = (0..100).map(|_| unused_name(&path)).collect();
        assert_eq!(unused.len(), 100);
    }

    #[test]
    fn names_of_any_length_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ß".repeat(120));
        write_atomically(&path, "long").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"long");
        // Files that differ only in what follows the last dot.
        for ending in ["csv", "json", "md"] {
            write_atomically(folder.path().join("table").with_extension(ending), ending).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn a_taken_name_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut tried = Vec::new();
        place_atomically(&path, |name| {
            tried.push(name.to_owned());
            if tried.len() < 3 { Err(ErrorKind::AlreadyExists.into()) } else { fs::write(name, "x") }
        })
        .unwrap();
        assert!(tried.len() == 3 && tried[0] != tried[1] && path.exists());
    }
}

//! The records of the parts of a run, put together.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{MergeError, Part, Seal, assemble};
use crate::{FileError, FileLock, Lines, Settings, write_atomically_with};

/// Puts the records of all parts of a run into `out`: the file and the settings next to it are, byte for byte, those of the
/// run in one piece. Records are copied as they are, so what was measured (the seconds of an answer) is what each part
/// measured.
///
/// Returns the number of records. The order of `shards` does not matter.
///
/// # Errors
/// [`MergeError`] for parts that do not make up one run, are not finished, or were made under different settings, and
/// [`FileError::Settings`] if `out` holds records of other settings; `out` is then as it was.
pub fn merge_logs(out: impl AsRef<Path>, shards: &[impl AsRef<Path>]) -> Result<usize, MergeError> {
    let out = out.as_ref();
    let opened = shards.iter().map(|path| open(path.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let mut parts = assemble(opened)?;
    let locks = parts.iter().map(Part::hold).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = parts.split_first() else { return Err(MergeError::Nothing) };
    for Part { path, content, .. } in others {
        if let Some((field, other_value, value)) = first.content.settings.difference(&content.settings) {
            let (other, path) = (first.path.clone(), path.clone());
            return Err(MergeError::Settings { field, other, other_value, path, value });
        }
    }
    let (settings, total) = (first.content.settings.clone(), first.share.total);
    settings.check_output(out)?;
    let mut merged = Ok(0);
    // A file of records appears only once it is whole, and never without its settings.
    let written = write_atomically_with(out, |writer| {
        merged = interleave(&mut parts, total, out, writer);
        if merged.is_ok()
            && let Err(error) = settings.write(Settings::path(out))
        {
            merged = Err(error.into());
        }
        if merged.is_ok() { Ok(()) } else { Err(ErrorKind::Other.into()) }
    });
    drop(locks);
    let records = merged?;
    written.map_err(FileError::io("write", out))?;
    Ok(records)
}

/// Puts the records in the folders of all parts of a run together, file by file ([`merge_logs`]): those that have a
/// [`Seal`]. Every folder must have the same files. Returns the files written into the folder `out`, which is made where
/// there is none, in order of name.
///
/// # Errors
/// [`MergeError`]; files before the one that it names are then written.
pub fn merge_folders(out: impl AsRef<Path>, shards: &[impl AsRef<Path>]) -> Result<Vec<PathBuf>, MergeError> {
    let (out, mut names) = (out.as_ref(), BTreeSet::new());
    for folder in shards {
        names.extend(sealed(folder.as_ref())?);
    }
    if names.is_empty() {
        return Err(match shards.first() {
            Some(first) => MergeError::Unfinished { path: first.as_ref().to_owned() },
            None => MergeError::Nothing,
        });
    }
    let is_new = !out.exists();
    fs::create_dir_all(out).map_err(FileError::io("create", out))?;
    for name in &names {
        let parts: Vec<PathBuf> = shards.iter().map(|folder| folder.as_ref().join(name)).collect();
        if let Err(error) = merge_logs(out.join(name), &parts) {
            if is_new {
                // Stays if something is in it.
                let _ = fs::remove_dir(out);
            }
            return Err(error);
        }
    }
    Ok(names.into_iter().map(|name| out.join(name)).collect())
}

/// Returns the names of the sealed records in a folder.
fn sealed(folder: &Path) -> Result<Vec<String>, FileError> {
    let io = || FileError::io("read", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io())? {
        let name = entry.map_err(io())?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(Seal::SUFFIX)).map(ToOwned::to_owned));
    }
    Ok(names)
}

/// Writes the records in the order of the whole run; returns their number.
fn interleave(
    parts: &mut [Part<Records>],
    total: usize,
    out: &Path,
    writer: &mut impl Write,
) -> Result<usize, MergeError> {
    let (count, mut written) = (parts.len(), 0);
    for part in parts.iter_mut() {
        part.content.advance()?;
    }
    for place in 0..total {
        let Part { share, content, .. } = &mut parts[place % count];
        let problem = share.problems.get(place / count);
        // A problem that could not be done has no records.
        while content.problem.is_some() && content.problem.as_ref() == problem {
            writer.write_all(content.lines.bytes()).map_err(FileError::io("write", out))?;
            written += 1;
            content.advance()?;
        }
    }
    match parts.iter_mut().find_map(|part| Some((part.content.problem.take()?, part.content.record, &part.path))) {
        Some((id, record, path)) => Err(MergeError::Stray { path: path.clone(), record, id }),
        None => Ok(written),
    }
}

/// The records of a part.
#[derive(Debug)]
struct Records {
    /// Those of the whole run.
    settings: Settings,
    lines: Lines,
    /// The problem of the current line; `None` before the first and after the last.
    problem: Option<String>,
    /// The number of the current record, from 1.
    record: usize,
    /// The number of bytes when the part came to its end.
    sealed: u64,
}

impl Records {
    fn advance(&mut self) -> Result<(), FileError> {
        #[derive(Deserialize)]
        struct Record {
            id: String,
        }
        self.problem = None;
        if self.lines.advance()?.is_some() {
            self.record += 1;
            self.problem = Some(self.lines.parse_own::<Record>()?.id);
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Part<Records>, MergeError> {
    let (lines, path) = (Lines::open(path)?, path.to_owned());
    let Some((settings, shard)) = Settings::read_shard(&path)? else { return Err(MergeError::NotAShard { path }) };
    let Some(Seal { share, bytes: sealed }) = Seal::read(&path)?.filter(|seal| seal.share.shard == shard) else {
        return Err(MergeError::Unfinished { path });
    };
    Ok(Part { path, share, content: Records { settings, lines, problem: None, record: 0, sealed } })
}

impl Part<Records> {
    /// Keeps other processes from the records, which must be those that were sealed.
    fn hold(&self) -> Result<FileLock, MergeError> {
        let lock = FileLock::acquire(&self.path)?;
        let found = fs::metadata(&self.path).map_err(FileError::io("open", &self.path))?.len();
        let sealed = self.content.sealed;
        if found == sealed { Ok(lock) } else { Err(MergeError::Changed { path: self.path.clone(), found, sealed }) }
    }
}

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Debug},
    fs::{self, File},
    hash::Hash,
    io::{Seek, SeekFrom, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
    vec,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    FileError, FileLock, Lines, Seal, Settings, Share,
    atomic::write_atomically_with,
    json_line,
    lines::{LineSpan, parse_at, read_at},
};

/// A JSONL file that is written record by record, survives being killed, and ends in order.
///
/// A run names its [`Settings`] and the keys of its records, in the order of the finished file. Records are appended to
/// the file as they come, in any order, and the settings are in `FILE.settings.json` before the first of them. A run
/// that is opened again under the same settings keeps what is there; [`finish`](Self::finish) puts the records in order,
/// in one step. So the file ends in the same bytes however often the run was stopped.
///
/// - A last line that a killed process left unfinished is cut off; one that only lacks its line feed is kept.
/// - Any other line that is not a record of the run, or repeats one, is an error, and so are other settings. The file is
///   then left as it is.
/// - The file is locked while the log is open: a second process is refused.
/// - When writing fails (the disk is full), the earlier records stay whole.
///
/// ```
/// use stir_files::{RecordLog, Settings, read_lines};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("answers.jsonl");
/// let open = || {
///     let settings = Settings::new(&[("k_scale", 0.75)])?;
///     RecordLog::open(&path, &settings, [1, 2], |record: &(u8, String)| record.0)
/// };
///
/// let mut log = open()?;
/// log.push(&(2, "two".to_owned()))?;
/// drop(log); // killed
///
/// let mut log = open()?;
/// assert_eq!(log.missing().collect::<Vec<_>>(), [0]);
/// log.push(&(1, "one".to_owned()))?;
/// log.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "[1,\"one\"]\n[2,\"two\"]\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RecordLog<R, K> {
    path: PathBuf,
    lock: FileLock,
    /// The place of every record in the finished file.
    places: HashMap<K, usize>,
    key: fn(&R) -> K,
    /// The lines in the file, by place.
    spans: BTreeMap<usize, LineSpan>,
    /// The number of lines, and of bytes, up to the end of the last whole record.
    lines: usize,
    end: u64,
    /// True if there may be bytes behind the end, of a record that could not be written.
    torn: bool,
    /// What this part of a run was asked, if it is one.
    share: Option<Share>,
}

impl<R: Serialize + DeserializeOwned, K: Debug + Eq + Hash> RecordLog<R, K> {
    /// Opens `path`, or begins it. `keys` are those of all records that there will be, in the order of the finished
    /// file; `key` returns the key of a record.
    ///
    /// # Errors
    /// [`FileError::DuplicateKey`], [`FileError::InUse`], [`FileError::Settings`], [`FileError::NoSettings`] and
    /// [`FileError::BrokenSettings`] when the file was not begun under `settings`, [`FileError::Line`],
    /// [`FileError::Unasked`] and [`FileError::DuplicateRecord`] for a line that such a run does not write, and
    /// [`FileError::Io`].
    pub fn open(
        path: impl AsRef<Path>,
        settings: &Settings,
        keys: impl IntoIterator<Item = K>,
        key: fn(&R) -> K,
    ) -> Result<Self, FileError> {
        let (path, places) = (path.as_ref().to_owned(), places(keys)?);
        let lock = FileLock::acquire(&path)?;
        let mut log =
            Self { path, lock, places, key, spans: BTreeMap::new(), lines: 0, end: 0, torn: false, share: None };
        let scan = log.scan()?;
        // Settings come first: of two faults, they are the one that explains the other.
        log.guard(settings, &scan)?;
        log.index(&scan)?;
        log.repair(&scan)?;
        Ok(log)
    }

    /// Says that the log is one part of a run: [`finish`](Self::finish) seals it, so that
    /// [`merge_logs`](crate::merge_logs) takes it. An earlier seal is removed until then. The log's keys may be those of the
    /// whole run, of which the part has some.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn sealed(mut self, share: Share) -> Result<Self, FileError> {
        Seal::remove(&self.path)?;
        self.share = Some(share);
        Ok(self)
    }

    /// Finds where the last whole record ends. Of the lines only the last is read, if it lacks its line feed.
    fn scan(&self) -> Result<Scan, FileError> {
        let mut lines = self.reader()?;
        let mut scan = Scan { records: 0, lines: 0, end: 0, terminated: true, torn: false };
        while let Some(span) = lines.advance()? {
            let terminated = lines.bytes().ends_with(b"\n");
            if !terminated && lines.parse_own::<R>().is_err() {
                scan.torn = true;
                break;
            }
            let (records, end) = (scan.records + 1, span.start + span.len);
            scan = Scan { records, lines: span.line, end, terminated, torn: false };
        }
        Ok(scan)
    }

    /// Checks the settings that the file was begun under, or writes them where nothing is lost by that.
    fn guard(&self, settings: &Settings, scan: &Scan) -> Result<(), FileError> {
        let path = Settings::path(&self.path);
        match settings.are_those_of(&self.path, &path) {
            Ok(true) => Ok(()),
            // Settings are written before the first byte of a record: this file is not a log.
            Ok(false) if scan.records > 0 || scan.torn => {
                Err(FileError::NoSettings { path: self.path.clone(), settings: path, records: scan.records })
            }
            Err(FileError::Settings { .. } | FileError::BrokenSettings { .. }) | Ok(false) if scan.records == 0 => {
                settings.write(&path)
            }
            compared => compared.map(drop),
        }
    }

    /// Reads the whole records.
    fn index(&mut self, scan: &Scan) -> Result<(), FileError> {
        let mut lines = self.reader()?;
        for _ in 0..scan.records {
            let Some(span) = lines.advance()? else { break };
            let key = (self.key)(&lines.parse_own()?);
            let place = self.place(&key, span.line)?;
            self.spans.insert(place, span);
        }
        Ok(())
    }

    /// Returns the place of a record that is part of the run and not there yet.
    fn place(&self, key: &K, line: usize) -> Result<usize, FileError> {
        let (path, text) = (|| self.path.clone(), || format!("{key:?}"));
        match self.places.get(key) {
            None => Err(FileError::Unasked { path: path(), line, key: text() }),
            Some(place) if self.contains(*place) => Err(FileError::DuplicateRecord { path: path(), line, key: text() }),
            Some(place) => Ok(*place),
        }
    }

    /// Cuts off an unfinished last line and closes a last record that lacks only its line feed.
    fn repair(&mut self, scan: &Scan) -> Result<(), FileError> {
        (self.lines, self.end, self.torn) = (scan.lines, scan.end, scan.torn);
        if scan.torn {
            tracing::warn!(path = %self.path.display(), line = scan.lines + 1, "cut off a record that is not whole");
        }
        self.cut()?;
        if !scan.terminated {
            self.write(b"\n")?;
            if let Some(last) = self.spans.values_mut().max_by_key(|span| span.start) {
                last.len += 1;
            }
        }
        Ok(())
    }

    /// Removes what is behind the last whole record, if anything may be.
    fn cut(&mut self) -> Result<(), FileError> {
        if self.torn {
            self.lock.file().set_len(self.end).map_err(FileError::io("write", &self.path))?;
            self.torn = false;
        }
        Ok(())
    }

    /// Writes whole bytes at the end, or leaves the file as it was.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.cut()?;
        let mut file = self.lock.file();
        if let Err(source) = file.seek(SeekFrom::Start(self.end)).and_then(|_| file.write_all(bytes)) {
            self.torn = true;
            // The next write, or the next run, cuts it off where this does not.
            let _ = self.cut();
            return Err(FileError::io("write", &self.path)(source));
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Appends a record. Once this returns, only a crash of the machine can lose it.
    ///
    /// # Errors
    /// [`FileError::Unasked`] and [`FileError::DuplicateRecord`] for a record that is not missing,
    /// [`FileError::Unwritable`], and [`FileError::Io`]; the records that are there stay whole.
    pub fn push(&mut self, record: &R) -> Result<(), FileError> {
        let (line, start) = (self.lines + 1, self.end);
        let place = self.place(&(self.key)(record), line)?;
        let bytes = json_line(record)?;
        self.write(&bytes)?;
        self.lines = line;
        self.spans.insert(place, LineSpan { line, start, len: bytes.len() as u64 });
        Ok(())
    }

    /// Puts the records in order, in one step, and releases the lock. Records may be missing: a later run adds them.
    ///
    /// Returns the records.
    ///
    /// # Errors
    /// [`FileError::Io`]; the file stays as it is.
    pub fn finish(mut self) -> Result<Records<R>, FileError> {
        self.cut()?;
        let records = self.records()?;
        self.order()?;
        if let Some(share) = self.share.take() {
            let bytes = fs::metadata(&self.path).map_err(FileError::io("read", &self.path))?.len();
            Seal { share, bytes }.write(&self.path)?;
        }
        Ok(records)
    }

    /// Puts the records in order.
    fn order(&self) -> Result<(), FileError> {
        if self.spans.values().is_sorted_by_key(|span| span.start) {
            self.lock.file().sync_all().map_err(FileError::io("write", &self.path))?;
            return Ok(());
        }
        let (mut refused, mut line) = (None, Vec::new());
        let written = write_atomically_with(&self.path, |copy| {
            for span in self.spans.values() {
                if let Err(error) = read_at(self.lock.file(), *span, &self.path, &mut line) {
                    refused = Some(error);
                    return Err(std::io::ErrorKind::Other.into());
                }
                copy.write_all(&line)?;
            }
            Ok(())
        });
        match refused {
            Some(error) => Err(error),
            None => written.map_err(FileError::io("write", &self.path)),
        }
    }

    /// Returns the records that are there, in the order of the finished file. They are read as they are asked for.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file system refuses.
    pub fn records(&self) -> Result<Records<R>, FileError> {
        let file = self.lock.file().try_clone().map_err(FileError::io("read", &self.path))?;
        let spans: Vec<LineSpan> = self.spans.values().copied().collect();
        Ok(Records { path: self.path.clone(), file, spans: spans.into_iter(), record: PhantomData })
    }

    fn reader(&self) -> Result<Lines, FileError> {
        let file = self.lock.file().try_clone().and_then(|mut file| file.rewind().map(|()| file));
        Ok(Lines::over(file.map_err(FileError::io("read", &self.path))?, &self.path))
    }
}

impl<R, K> RecordLog<R, K> {
    /// Returns whether the record at `place` of the finished file is there. Places count from 0 in the order of the keys.
    pub fn contains(&self, place: usize) -> bool {
        self.spans.contains_key(&place)
    }

    /// Returns the places whose records are missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.places.len()).filter(|&place| !self.contains(place))
    }

    /// Returns the number of records that are there.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether no record is there.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns whether every record is there.
    pub fn is_complete(&self) -> bool {
        self.len() == self.places.len()
    }
}

impl<R, K> Debug for RecordLog<R, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (there, all) = (self.len(), self.places.len());
        f.debug_struct("RecordLog").field("path", &self.path).field("records", &there).field("of", &all).finish()
    }
}

/// The records of a [`RecordLog`], in the order of the finished file.
#[derive(Debug)]
pub struct Records<R> {
    path: PathBuf,
    file: File,
    spans: vec::IntoIter<LineSpan>,
    record: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Iterator for Records<R> {
    type Item = Result<R, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.spans.next().map(|span| parse_at(&self.file, span, &self.path))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

/// The result of a first look at a file.
struct Scan {
    /// The number of whole records, and of lines up to the last of them.
    records: usize,
    lines: usize,
    /// The number of bytes up to the end of the last whole record.
    end: u64,
    /// True if it ends in a line feed.
    terminated: bool,
    /// True if an unfinished line follows.
    torn: bool,
}

fn places<K: Debug + Eq + Hash>(keys: impl IntoIterator<Item = K>) -> Result<HashMap<K, usize>, FileError> {
    let mut places = HashMap::new();
    for (second, key) in keys.into_iter().enumerate() {
        if let Some(&first) = places.get(&key) {
            return Err(FileError::DuplicateKey { key: format!("{key:?}"), first, second });
        }
        places.insert(key, second);
    }
    Ok(places)
}

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{FileError, error::JsonError, mend_surrogates};

/// A cursor over the lines of a JSONL file that knows where it is.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.jsonl");
/// std::fs::write(&path, "1\n\n[]\n")?;
/// let mut lines = stir_files::Lines::open(&path)?;
/// assert_eq!(lines.advance()?.map(|at| at.line), Some(1));
/// assert_eq!(lines.parse::<u8>()?, 1);
/// assert_eq!(lines.advance()?.map(|at| at.line), Some(3));
/// assert!(lines.parse::<u8>().unwrap_err().to_string().ends_with("x.jsonl, line 3 is not a valid record"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
    end: u64,
    buffer: Vec<u8>,
}

/// The place of a line in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineSpan {
    /// The number of the line, from 1.
    pub line: usize,
    /// The offset of its first byte.
    pub start: u64,
    /// The number of its bytes, with the line feed if there is one.
    pub len: u64,
}

impl Lines {
    /// Opens a file before its first line.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(FileError::io("open", path))?;
        Ok(Self::over(file, path))
    }

    /// Reads an open `file` whose cursor is at its start.
    pub(crate) fn over(file: File, path: &Path) -> Self {
        Self { path: path.to_owned(), reader: BufReader::new(file), line: 0, end: 0, buffer: Vec::new() }
    }

    /// Returns the path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves to the next line that is not blank; returns `None` at the end of the file.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file cannot be read.
    pub fn advance(&mut self) -> Result<Option<LineSpan>, FileError> {
        loop {
            self.buffer.clear();
            let read = self.reader.read_until(b'\n', &mut self.buffer);
            let len = read.map_err(FileError::io("read", &self.path))? as u64;
            if len == 0 {
                return Ok(None);
            }
            let start = self.end;
            self.end += len;
            self.line += 1;
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(LineSpan { line: self.line, start, len }));
            }
        }
    }

    /// Moves to a line found earlier: the next [`advance`](Self::advance) returns it.
    ///
    /// # Errors
    /// [`FileError::Io`] when the file system refuses.
    pub fn go_to(&mut self, span: LineSpan) -> Result<(), FileError> {
        self.reader.seek(SeekFrom::Start(span.start)).map_err(FileError::io("read", &self.path))?;
        (self.line, self.end) = (span.line - 1, span.start);
        Ok(())
    }

    /// Returns the current line's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads the current line as a `T`. The file may come from another program: half a character is read as U+FFFD, as
    /// [`mend_surrogates`] does it.
    ///
    /// # Errors
    /// [`FileError::Line`] when it is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        parse(&mend_surrogates(&self.buffer), &self.path, self.line)
    }

    /// Reads the current line of a file of our own, as it is.
    pub(crate) fn parse_own<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        parse(&self.buffer, &self.path, self.line)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, line: usize) -> Result<T, FileError> {
    serde_json::from_slice(bytes).map_err(|source| FileError::Line {
        path: path.to_owned(),
        line,
        source: JsonError(source),
    })
}

/// Reads the line at `span` of an open file, wherever its cursor is.
pub(crate) fn read_at(mut file: &File, span: LineSpan, path: &Path, buffer: &mut Vec<u8>) -> Result<(), FileError> {
    buffer.resize(span.len as usize, 0);
    let read = file.seek(SeekFrom::Start(span.start)).and_then(|_| file.read_exact(buffer));
    read.map_err(FileError::io("read", path))
}

pub(crate) fn parse_at<T: DeserializeOwned>(file: &File, span: LineSpan, path: &Path) -> Result<T, FileError> {
    let mut buffer = Vec::new();
    read_at(file, span, path, &mut buffer)?;
    parse(&buffer, path, span.line)
}

/// Reads every line of a JSONL file as a `T`. Blank lines are skipped.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.jsonl");
/// std::fs::write(&path, "1\n2\n")?;
/// assert_eq!(stir_files::read_lines::<u8>(&path)?, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FileError::Io`], and [`FileError::Line`] for the first line that is not a `T`.
pub fn read_lines<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<T>, FileError> {
    let (mut lines, mut found) = (Lines::open(path)?, Vec::new());
    while lines.advance()?.is_some() {
        found.push(lines.parse()?);
    }
    Ok(found)
}

/// Returns a value as one line of JSON, with its line feed.
///
/// # Errors
/// [`FileError::Unwritable`] when JSON cannot hold the value.
pub fn json_line(value: &impl Serialize) -> Result<Vec<u8>, FileError> {
    let mut line = serde_json::to_vec(value).map_err(FileError::unwritable)?;
    line.push(b'\n');
    Ok(line)
}

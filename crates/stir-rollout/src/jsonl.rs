//! Reading a file of one JSON object per line.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::RolloutError;

/// A cursor over the lines of a file that knows where it is.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
    end: u64,
    buffer: Vec<u8>,
}

/// Where a line lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// First byte.
    pub(crate) start: u64,
    /// Bytes, the line feed among them if there is one.
    pub(crate) len: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, RolloutError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        Ok(Self::over(file, path))
    }

    /// The lines of `file` from where it stands, which must be its start.
    pub(crate) fn over(file: File, path: &Path) -> Self {
        Self { path: path.to_owned(), reader: BufReader::new(file), line: 0, end: 0, buffer: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the next line that is not blank; `None` at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<Option<Place>, RolloutError> {
        loop {
            self.buffer.clear();
            let len = self.reader.read_until(b'\n', &mut self.buffer).map_err(io_error("read", &self.path))? as u64;
            if len == 0 {
                return Ok(None);
            }
            let start = self.end;
            self.end += len;
            self.line += 1;
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(Place { line: self.line, start, len }));
            }
        }
    }

    /// Goes back to a line found earlier.
    pub(crate) fn go_to(&mut self, place: Place) -> Result<(), RolloutError> {
        self.reader.seek(SeekFrom::Start(place.start)).map_err(io_error("read", &self.path))?;
        (self.line, self.end) = (place.line - 1, place.start);
        Ok(())
    }

    /// The current line's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The current line as a `T`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, RolloutError> {
        serde_json::from_slice(&self.buffer).map_err(|source| RolloutError::Line {
            path: self.path.clone(),
            line: self.line,
            source,
        })
    }
}

pub(crate) fn io_error<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> RolloutError + 'p {
    move |source| RolloutError::Io { action, path: path.to_owned(), source }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text or a number")]
enum TextOrNumber {
    Text(String),
    Number(serde_json::Number),
}

impl From<TextOrNumber> for String {
    fn from(value: TextOrNumber) -> Self {
        match value {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Number(number) => number.to_string(),
        }
    }
}

/// Data sets write ids and answers as text or as numbers; both are text here.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(TextOrNumber::deserialize(deserializer)?.into())
}

/// As [`text`], where `null` is nothing.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<TextOrNumber>::deserialize(deserializer)?.map(String::from))
}

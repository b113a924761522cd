//! Files of rows: parquet, JSON lines, a JSON array.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    path::Path,
};

use serde_json::{Map, Value};
use stir_files::mend_surrogates;

use super::error::{Place, TaskError};
use crate::FormatError;

/// The fields of one row.
pub(super) type Row = Map<String, Value>;

/// Returns the rows of a file with their places, whichever kind of file it is; its content tells.
pub(super) fn read(path: &Path) -> Result<Vec<(Place, Row)>, TaskError> {
    let io = |error| TaskError::io(path)(error);
    let mut file = File::open(path).map_err(io)?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(64).read_to_end(&mut start).map_err(io)?;
    file.rewind().map_err(io)?;
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace() && !BOM.contains(byte));
    if start.starts_with(b"PAR1") {
        parquet(path, file)
    } else if first == Some(&b'[') {
        array(path, file)
    } else {
        lines(path, file)
    }
}

/// The bytes that some programs begin a text file with.
const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: File) -> Result<Vec<(Place, Row)>, TaskError> {
    #[derive(Debug, thiserror::Error)]
    #[error("stir-eval was built without the feature parquet")]
    struct NotBuilt;
    Err(TaskError::Parquet { path: path.to_owned(), source: FormatError::new(NotBuilt) })
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, file: File) -> Result<Vec<(Place, Row)>, TaskError> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let refused = |source| TaskError::Parquet { path: path.to_owned(), source: FormatError::new(source) };
    let reader = SerializedFileReader::new(file).map_err(refused)?;
    let rows = reader.get_row_iter(None).map_err(refused)?;
    let row = |(i, row): (usize, Result<parquet::record::Row, _>)| {
        object(Place { path: path.to_owned(), row: i + 1 }, row.map_err(refused)?.to_json_value())
    };
    rows.enumerate().map(row).collect()
}

fn array(path: &Path, file: File) -> Result<Vec<(Place, Row)>, TaskError> {
    let mut text = Vec::new();
    BufReader::new(file).read_to_end(&mut text).map_err(TaskError::io(path))?;
    let text = text.strip_prefix(BOM).unwrap_or(&text);
    let values: Vec<Value> = serde_json::from_slice(&mend_surrogates(text)).map_err(|source| TaskError::Json {
        path: path.to_owned(),
        line: source.line(),
        source: FormatError::new(source),
    })?;
    let rows = values.into_iter().enumerate();
    rows.map(|(i, value)| object(Place { path: path.to_owned(), row: i + 1 }, value)).collect()
}

/// Returns the lines of a file. Blank ones are skipped and counted.
fn lines(path: &Path, file: File) -> Result<Vec<(Place, Row)>, TaskError> {
    let (mut reader, mut rows, mut line) = (BufReader::new(file), Vec::new(), Vec::new());
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(TaskError::io(path))? == 0 {
            break;
        }
        let text = line.strip_prefix(BOM).filter(|_| number == 1).unwrap_or(&line);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value = serde_json::from_slice(&mend_surrogates(text)).map_err(|source| TaskError::Json {
            path: path.to_owned(),
            line: number,
            source: FormatError::new(source),
        })?;
        rows.push(object(Place { path: path.to_owned(), row: number }, value)?);
    }
    Ok(rows)
}

fn object(place: Place, value: Value) -> Result<(Place, Row), TaskError> {
    match value {
        Value::Object(row) => Ok((place, row)),
        _ => Err(TaskError::NotAnObject { place }),
    }
}

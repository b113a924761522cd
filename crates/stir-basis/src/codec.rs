//! The files: mined pairs, and libraries. Nothing else names the encoding of the payload.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic: `STIRCAND` or `STIRLIBR` |
//! | 4 | format version, little-endian |
//! | 8 | length of the payload, little-endian |
//! | 32 | BLAKE3 of the payload |
//! | rest | payload: bincode 2, standard configuration |
//!
//! Version 1 is read too; `v1` has what it holds.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bincode::error::DecodeError;
use serde::{Serialize, de::DeserializeOwned};

use crate::content::ContentError;

const VERSION: u32 = 2;
const HEADER: usize = 8 + 4 + 8 + 32;
/// A damaged length must not make a reader ask for all memory. 4 GiB hold 65,000 pairs of width 8192.
const MAX_PAYLOAD: usize = u32::MAX as usize;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// The pairs of a mining run, [`MinedPairs`](crate::MinedPairs).
    MinedPairs,
    /// A [`Library`](crate::Library).
    Library,
}

/// What a kind of file holds.
pub(crate) trait Content: Serialize + DeserializeOwned {
    const KIND: FileKind;
    /// The same in version 1 of the format.
    type V1: DeserializeOwned + Into<Self>;
}

/// A report of the encoder or decoder of a payload.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Encode(#[from] bincode::error::EncodeError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafeTensorError),
}

impl FileKind {
    const ALL: [Self; 2] = [Self::MinedPairs, Self::Library];

    fn magic(self) -> [u8; 8] {
        match self {
            Self::MinedPairs => *b"STIRCAND",
            Self::Library => *b"STIRLIBR",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MinedPairs => "a file of mined pairs",
            Self::Library => "a library file",
        })
    }
}

/// A fault of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not a file of ours, or it is one of the other kind.
    #[error("{}: expected {expected}, found {}", path.display(), FoundKind(*found))]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind that was to be read.
        expected: FileKind,
        /// The kind that the file says it is; `None` when it is none of ours.
        found: Option<FileKind>,
    },
    /// It was written by a version of the format that this build does not know.
    #[error("{} has format version {found}, and this build reads 1 to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// It was cut short, or is followed by bytes that do not belong to it.
    #[error("{} is {found} bytes long and should be {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The bytes that the header promises, header included.
        expected: u64,
        /// The bytes that are there.
        found: u64,
    },
    /// The payload is larger than a reader accepts.
    #[error("{} has a payload of {bytes} bytes, and at most {limit} are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size of the payload.
        bytes: u64,
        /// The largest size that is accepted.
        limit: u64,
    },
    /// The payload changed after it was written.
    #[error("{} is damaged: its checksum does not match", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// The payload cannot be encoded or decoded.
    #[error("the payload of {} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The report of the encoder or decoder.
        source: PayloadError,
    },
    /// The payload holds a value that breaks a rule of its type.
    #[error("{} holds a value that breaks a rule", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The rule that is broken.
        source: ContentError,
    },
}

struct FoundKind(Option<FileKind>);

impl fmt::Display for FoundKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => kind.fmt(f),
            None => f.write_str("another kind of file"),
        }
    }
}

/// Writes `value`, replacing what was there only once all is written.
pub(crate) fn write(path: &Path, value: &impl Content) -> Result<(), FileError> {
    replace(path, &encode(path, value)?)
}

/// Says which file it is whose content breaks a rule.
pub(crate) fn consistent<T>(path: &Path, result: Result<T, ContentError>) -> Result<T, FileError> {
    result.map_err(|source| FileError::Inconsistent { path: path.to_owned(), source })
}

pub(crate) fn malformed(path: &Path, fault: impl Into<Fault>) -> FileError {
    FileError::Malformed { path: path.to_owned(), source: PayloadError(fault.into()) }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    |source| FileError::Io { path: path.to_owned(), source }
}

/// Returns header and payload.
fn encode<T: Content>(path: &Path, value: &T) -> Result<Vec<u8>, FileError> {
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| malformed(path, e))?;
    limit(path, payload.len() as u64)?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(T::KIND.magic());
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(blake3::hash(&payload).as_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// Reads what [`write`] wrote, in this version of the format or an earlier one.
pub(crate) fn read<T: Content>(path: &Path) -> Result<T, FileError> {
    let file = File::open(path).map_err(io_at(path))?;
    let size = file.metadata().map_err(io_at(path))?.len();
    let mut header = Vec::with_capacity(HEADER);
    (&file).take(HEADER as u64).read_to_end(&mut header).map_err(io_at(path))?;
    let (version, promised) = check_header(path, T::KIND, &header, size)?;

    let mut payload = Vec::new();
    (&file).take(promised).read_to_end(&mut payload).map_err(io_at(path))?;
    open(path, version, &header, &payload)
}

/// Reads the content of a file that is in memory; errors call it `path`.
pub(crate) fn parse<T: Content>(path: &Path, bytes: &[u8]) -> Result<T, FileError> {
    let (header, payload) = bytes.split_at(HEADER.min(bytes.len()));
    let (version, _) = check_header(path, T::KIND, header, bytes.len() as u64)?;
    open(path, version, header, payload)
}

/// Verifies a payload by its header, and decodes it.
fn open<T: Content>(path: &Path, version: u32, header: &[u8], payload: &[u8]) -> Result<T, FileError> {
    if *blake3::hash(payload).as_bytes() != header[20..] {
        return Err(FileError::Checksum { path: path.to_owned() });
    }
    if version == 1 { Ok(decode::<T::V1>(path, payload)?.into()) } else { decode(path, payload) }
}

/// Decodes a payload. The decoder makes room for a text before it looks whether the text is there, within a limit that is a
/// constant: one of several, by the length of the payload, whose bytes count for eight at most (small numbers take one).
fn decode<T: DeserializeOwned>(path: &Path, payload: &[u8]) -> Result<T, FileError> {
    let decoded = match payload.len().saturating_mul(8) {
        most if most <= 1 << 16 => decode_within::<T, { 1 << 16 }>(payload),
        most if most <= 1 << 20 => decode_within::<T, { 1 << 20 }>(payload),
        most if most <= 1 << 24 => decode_within::<T, { 1 << 24 }>(payload),
        most if most <= 1 << 28 => decode_within::<T, { 1 << 28 }>(payload),
        _ => decode_within::<T, MAX_PAYLOAD>(payload),
    };
    let (value, used) = decoded.map_err(|e| malformed(path, e))?;
    if used < payload.len() {
        return Err(malformed(path, Fault::LeftOver(payload.len() - used)));
    }
    Ok(value)
}

fn decode_within<T: DeserializeOwned, const LIMIT: usize>(payload: &[u8]) -> Result<(T, usize), DecodeError> {
    bincode::serde::decode_from_slice(payload, bincode::config::standard().with_limit::<LIMIT>())
}

/// Returns the format version and the length of the payload of a file of `size` bytes that starts with `header`.
fn check_header(path: &Path, kind: FileKind, header: &[u8], size: u64) -> Result<(u32, u64), FileError> {
    let path_owned = || path.to_owned();
    let found = FileKind::ALL.into_iter().find(|kind| header.starts_with(&kind.magic()));
    if found != Some(kind) {
        return Err(FileError::Kind { path: path_owned(), expected: kind, found });
    }
    let (Some(&version), Some(&length)) = (header[8..].first_chunk(), header.get(12..).and_then(<[u8]>::first_chunk))
    else {
        return Err(FileError::Length { path: path_owned(), expected: HEADER as u64, found: size });
    };
    let (version, length) = (u32::from_le_bytes(version), u64::from_le_bytes(length));
    if !(1..=VERSION).contains(&version) {
        return Err(FileError::Version { path: path_owned(), found: version, supported: VERSION });
    }
    limit(path, length)?;
    let expected = HEADER as u64 + length;
    if size != expected {
        return Err(FileError::Length { path: path_owned(), expected, found: size });
    }
    Ok((version, length))
}

fn limit(path: &Path, bytes: u64) -> Result<(), FileError> {
    let limit = MAX_PAYLOAD as u64;
    if bytes <= limit { Ok(()) } else { Err(FileError::TooLarge { path: path.to_owned(), bytes, limit }) }
}

/// Writes a file in one step: a reader sees the old file or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    stir_files::write_atomically(path, bytes).map_err(io_at(path))
}

//! The files: candidates, and libraries. The only module that names the encoding of the payload.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic: `STIRCAND` or `STIRLIBR` |
//! | 4 | format version, little-endian |
//! | 8 | length of the payload, little-endian |
//! | 32 | BLAKE3 of the payload |
//! | ... | payload: bincode 2, standard configuration |

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{BasisError, Candidates, Library, error::ContentError, library::Stored};

const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8 + 32;
/// A damaged length must not make a reader ask for all memory. 4 GiB hold 65,000 pairs of width 8192.
const MAX_PAYLOAD: usize = u32::MAX as usize;

/// The two kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// [`Candidates`].
    Candidates,
    /// A [`Library`].
    Library,
}

/// What the encoding of a payload reports.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Encode(#[from] bincode::error::EncodeError),
    #[error(transparent)]
    Decode(#[from] bincode::error::DecodeError),
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

impl FileKind {
    const ALL: [Self; 2] = [Self::Candidates, Self::Library];

    fn magic(self) -> [u8; 8] {
        match self {
            Self::Candidates => *b"STIRCAND",
            Self::Library => *b"STIRLIBR",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Candidates => "a file of candidates",
            Self::Library => "a library file",
        })
    }
}

impl Candidates {
    /// Writes the candidates to `path`, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`BasisError::Inconsistent`] for content that [`load`](Self::load) would refuse, [`BasisError::Io`],
    /// [`BasisError::TooLarge`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), BasisError> {
        let path = path.as_ref();
        consistent(path, self.validate_for_file())?;
        replace(path, &encode(path, FileKind::Candidates, self)?)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`BasisError`] naming the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BasisError> {
        let path = path.as_ref();
        let candidates: Self = read(path, FileKind::Candidates)?;
        consistent(path, candidates.validate_for_file())?;
        Ok(candidates)
    }
}

impl Library {
    /// Writes the library to `path`, replacing what was there only once all is written.
    ///
    /// # Errors
    /// [`BasisError::Io`], [`BasisError::TooLarge`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), BasisError> {
        let path = path.as_ref();
        replace(path, &encode(path, FileKind::Library, self.stored())?)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`BasisError`] naming the file and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BasisError> {
        let path = path.as_ref();
        let stored: Stored = read(path, FileKind::Library)?;
        consistent(path, Self::from_stored(stored))
    }
}

fn consistent<T>(path: &Path, result: Result<T, ContentError>) -> Result<T, BasisError> {
    result.map_err(|source| BasisError::Inconsistent { path: path.to_owned(), source })
}

fn malformed(path: &Path, fault: impl Into<Fault>) -> BasisError {
    BasisError::Malformed { path: path.to_owned(), source: PayloadError(fault.into()) }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> BasisError + '_ {
    |source| BasisError::Io { path: path.to_owned(), source }
}

/// Header and payload.
fn encode(path: &Path, kind: FileKind, value: &impl Serialize) -> Result<Vec<u8>, BasisError> {
    let payload = bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| malformed(path, e))?;
    limit(path, payload.len() as u64)?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(kind.magic());
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(blake3::hash(&payload).as_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

fn read<T: DeserializeOwned>(path: &Path, kind: FileKind) -> Result<T, BasisError> {
    let file = File::open(path).map_err(io_at(path))?;
    let size = file.metadata().map_err(io_at(path))?.len();
    let mut header = Vec::with_capacity(HEADER);
    (&file).take(HEADER as u64).read_to_end(&mut header).map_err(io_at(path))?;
    let promised = check_header(path, kind, &header, size)?;

    let mut payload = Vec::new();
    (&file).take(promised).read_to_end(&mut payload).map_err(io_at(path))?;
    if *blake3::hash(&payload).as_bytes() != header[20..] {
        return Err(BasisError::Checksum { path: path.to_owned() });
    }
    let config = bincode::config::standard().with_limit::<MAX_PAYLOAD>();
    let (value, used) = bincode::serde::decode_from_slice(&payload, config).map_err(|e| malformed(path, e))?;
    if used < payload.len() {
        return Err(malformed(path, Fault::LeftOver(payload.len() - used)));
    }
    Ok(value)
}

/// The length of the payload of a file of `size` bytes that starts with `header`.
fn check_header(path: &Path, kind: FileKind, header: &[u8], size: u64) -> Result<u64, BasisError> {
    let path_owned = || path.to_owned();
    let found = FileKind::ALL.into_iter().find(|kind| header.starts_with(&kind.magic()));
    if found != Some(kind) {
        return Err(BasisError::Kind { path: path_owned(), expected: kind, found });
    }
    let (Some(&version), Some(&length)) = (header[8..].first_chunk(), header.get(12..).and_then(<[u8]>::first_chunk))
    else {
        return Err(BasisError::Length { path: path_owned(), expected: HEADER as u64, found: size });
    };
    let (version, length) = (u32::from_le_bytes(version), u64::from_le_bytes(length));
    if version != VERSION {
        return Err(BasisError::Version { path: path_owned(), found: version, supported: VERSION });
    }
    limit(path, length)?;
    let expected = HEADER as u64 + length;
    if size == expected { Ok(length) } else { Err(BasisError::Length { path: path_owned(), expected, found: size }) }
}

fn limit(path: &Path, bytes: u64) -> Result<(), BasisError> {
    let limit = MAX_PAYLOAD as u64;
    if bytes <= limit { Ok(()) } else { Err(BasisError::TooLarge { path: path.to_owned(), bytes, limit }) }
}

/// Writes a file in one step: a reader sees the old file or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BasisError> {
    stir_files::write_atomically(path, bytes).map_err(io_at(path))
}

//! The two checksums a hub states as a file's `ETag`: SHA-256 of large files, and Git's object id of small ones.

use std::{fs::File, io::Read, path::Path};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::HubError;

/// A file's checksum as the hub states it, which is also the name of its blob in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// SHA-1 of `blob LENGTH\0` and the content, which is how Git names it.
    Git(String),
    /// SHA-256 of the content.
    Sha256(String),
}

impl Checksum {
    /// Reads the value of an `ETag` header, weak or not.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let hex = etag.trim().trim_start_matches("W/").trim_matches('"');
        let lowercase_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        match hex.len() {
            40 if hex.bytes().all(lowercase_hex) => Some(Self::Git(hex.to_owned())),
            64 if hex.bytes().all(lowercase_hex) => Some(Self::Sha256(hex.to_owned())),
            _ => None,
        }
    }

    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Git(hex) | Self::Sha256(hex) => hex,
        }
    }

    /// Returns the same checksum of a file that is here. It is read back, so that what is on the disk is what is
    /// verified.
    pub(crate) fn of_file(&self, path: &Path) -> Result<String, HubError> {
        let mut file = File::open(path).map_err(HubError::io(path))?;
        let length = file.metadata().map_err(HubError::io(path))?.len();
        match self {
            Self::Git(_) => digest(Sha1::new_with_prefix(format!("blob {length}\0")), &mut file),
            Self::Sha256(_) => digest(Sha256::new(), &mut file),
        }
        .map_err(HubError::io(path))
    }
}

fn digest(mut hasher: impl Digest, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "hello\n").unwrap();
        // `printf 'hello\n' | git hash-object --stdin` and `| sha256sum`.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for hex in [git, sha] {
            let checksum = Checksum::from_etag(&format!("\"{hex}\"")).unwrap();
            assert_eq!(checksum.of_file(&path).unwrap(), hex);
            assert_eq!(checksum.hex(), hex);
            assert_eq!(Checksum::from_etag(&format!("W/\"{hex}\"")), Some(checksum));
        }
    }

    #[test]
    fn other_etags() {
        let upper = "A".repeat(40);
        for etag in ["", "\"\"", "\"abc\"", &"0".repeat(32), "../../../../../../../../../../../../../x", &upper] {
            assert_eq!(Checksum::from_etag(etag), None, "{etag}");
        }
    }
}

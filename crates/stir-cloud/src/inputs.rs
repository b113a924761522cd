//! The inputs of a command that are in a store.

use std::{fs, path::Path};

use stir_files::{FileError, Seal, Settings};
use tracing::info;

use crate::{CloudError, Place, copy, results::is_below};

/// Downloads what the words of a command name by address, each to a folder of its own below `folder`; returns the words with
/// the paths of the copies in the place of the addresses.
pub(crate) async fn download(words: &[String], folder: &Path) -> Result<Vec<String>, CloudError> {
    let mut local = Vec::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        if !["s3://", "gs://", "az://", "file://"].iter().any(|scheme| word.starts_with(scheme)) {
            local.push(word.clone());
            continue;
        }
        info!(input = word, "an input is downloaded");
        let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let copied = folder.join(place.to_string()).join(name);
        if word.ends_with('/') {
            tree(word, &copied).await?;
        } else {
            copy(word, &copied.display().to_string()).await?;
            along(word, &copied).await?;
        }
        local.push(copied.display().to_string());
    }
    Ok(local)
}

/// Downloads the files that lie next to the one at an address and say what it is, if there are any.
async fn along(address: &str, copied: &Path) -> Result<(), CloudError> {
    let Some((folder, name)) = address.rsplit_once('/') else { return Ok(()) };
    let place = Place::open(folder)?;
    for (beside, path) in [(Settings::path(name), Settings::path(copied)), (Seal::path(name), Seal::path(copied))] {
        if let Some((bytes, _)) = place.read(&beside.to_string_lossy()).await? {
            fs::write(&path, bytes).map_err(|source| FileError::Io { action: "write", path, source })?;
        }
    }
    Ok(())
}

/// Downloads all objects below an address.
async fn tree(address: &str, folder: &Path) -> Result<(), CloudError> {
    let place = Place::open(address)?;
    let objects = place.list("").await?;
    let foreign = |what| CloudError::Foreign { path: address.to_owned(), what };
    if objects.is_empty() {
        return Err(foreign("there is no object below it"));
    }
    for (path, _) in objects {
        if !is_below(&path) {
            return Err(foreign("an object has no plain name"));
        }
        place.download(&path, &folder.join(&path), None).await?;
    }
    Ok(())
}

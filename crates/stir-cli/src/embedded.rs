//! The small model that comes with the program.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr};

use crate::files::write_atomically;

/// The name of the model in reports.
pub(crate) const NAME: &str = "tiny";

const FILES: [(&str, &[u8]); 5] = [
    ("chat_template.jinja", include_bytes!("../assets/tiny/chat_template.jinja")),
    ("config.json", include_bytes!("../assets/tiny/config.json")),
    ("model.safetensors", include_bytes!("../assets/tiny/model.safetensors")),
    ("tokenizer.json", include_bytes!("../assets/tiny/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../assets/tiny/tokenizer_config.json")),
];

/// Returns a folder that holds the model; it is written to the user's cache where it is not there yet.
pub(crate) fn folder() -> Result<PathBuf> {
    let mut hash = blake3::Hasher::new();
    for (name, bytes) in FILES {
        hash.update(name.as_bytes()).update(&[0]).update(bytes);
    }
    let digest = hash.finalize().to_hex();
    let place = |cache: PathBuf| cache.join("stir").join(&digest[..16]).join(NAME);
    // Where the cache cannot be written, as in a container, the temporary folder will do.
    let cached = user_cache().map(place).filter(|dir| write(dir).is_ok());
    match cached {
        Some(dir) => Ok(dir),
        None => {
            let dir = place(std::env::temp_dir());
            write(&dir).wrap_err("the model that comes with the program could not be written")?;
            Ok(dir)
        }
    }
}

/// Returns the folder of what the user's programs can make again, as the system has it.
fn user_cache() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match cfg!(windows) {
        true => folder("LOCALAPPDATA"),
        // A path that is not absolute says nothing, as the XDG rules have it.
        false => folder("XDG_CACHE_HOME")
            .filter(|cache| cache.is_absolute())
            .or_else(|| Some(folder("HOME")?.join(".cache"))),
    }
}

/// Writes the files that `dir` does not hold yet.
fn write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).into_diagnostic().wrap_err_with(|| dir.display().to_string())?;
    for (name, bytes) in FILES {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(there) if there == bytes => {}
            Ok(_) => write_atomically(&path, bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => write_atomically(&path, bytes)?,
            Err(error) => return Err(error).into_diagnostic().wrap_err_with(|| path.display().to_string()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_written_once_and_mended() {
        let folder = tempfile::TempDir::new().unwrap();
        let dir = folder.path().join("a/tiny");
        write(&dir).unwrap();
        let config = dir.join("config.json");
        let written = || fs::metadata(&config).unwrap().modified().unwrap();
        let first = written();
        write(&dir).unwrap();
        assert_eq!(written(), first);
        fs::write(&config, "{").unwrap();
        write(&dir).unwrap();
        assert_eq!(fs::read(&config).unwrap(), FILES[1].1);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), FILES.len());
    }
}

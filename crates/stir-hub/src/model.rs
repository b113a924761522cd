//! A model by its name, whether its repository holds safetensors or GGUF files.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use crate::{
    Files, HubError, Options, Progress, RepoKind,
    cache::Cache,
    gguf,
    names::ModelName,
    snapshot::{INDEX, Visit, WEIGHTS, cached_commit, checked, missing_of_decoder, not_cached},
};

/// Returns what a model is loaded from: the folder of a repository with safetensors, or the first `.gguf` file.
///
/// The name is `OWNER/NAME`, with `@REVISION` where another than [`Options::revision`] is meant, with `:TAG` for a GGUF
/// file, and with `hf.co/` before it or not: `Qwen/Qwen3-0.6B`, `org/name@v1:Q4_K_M`. A tag is the quantisation that a
/// file's name carries, or all of the name before `.gguf`, in any case of letters. Without a tag safetensors are
/// preferred, and a single GGUF model needs none. Of a model in several files, all are brought.
///
/// Otherwise it does what [`snapshot`](crate::snapshot) does; the kind and the files of the options are not looked at.
///
/// ```
/// use std::ops::ControlFlow;
/// use stir_hub::{HubError, Options, model};
///
/// let cache = tempfile::tempdir()?;
/// let options = Options { offline: true, ..Options::new(cache.path()) };
/// let missing = model("Qwen/Qwen3-0.6B-GGUF:Q8_0", &options, |_| ControlFlow::Continue(()));
/// assert!(matches!(missing, Err(HubError::NotCached { repo, .. }) if repo == "Qwen/Qwen3-0.6B-GGUF"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`HubError::Quantisation`] when the tag, or its absence, does not choose one GGUF model; otherwise those of
/// [`snapshot`](crate::snapshot).
pub fn model(
    name: &str,
    options: &Options,
    mut progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<PathBuf, HubError> {
    let ModelName { id, revision, tag } = name.into();
    let revision = revision.unwrap_or(&options.revision).to_owned();
    let options = &Options { kind: RepoKind::Model, files: Files::Decoder, revision, ..options.clone() };
    let cache = checked(id, options)?;
    if options.offline {
        return cached(id, options, &cache, tag);
    }
    let mut visit = Visit::new(id, options, cache, &mut progress)?;
    let (commit, names) = visit.list()?;
    let listed = || names.iter().map(String::as_str);
    if tag.is_none() && (listed().any(|name| name == WEIGHTS || name == INDEX) || !listed().any(gguf::is_model)) {
        return visit.bring_all(&commit, &names);
    }
    let files = gguf::choose((id, &options.revision), listed(), tag)?;
    for file in &files {
        visit.bring(&commit, file)?;
    }
    Ok(first_of(&visit.finish(&commit)?, &files))
}

/// Returns the folder or file from the cache alone.
fn cached(id: &str, options: &Options, cache: &Cache, tag: Option<&str>) -> Result<PathBuf, HubError> {
    let commit = cached_commit(id, options, cache)?;
    let lacks = |missing| Err(not_cached(id, options, missing));
    let names = cache.names(&commit)?;
    let names = || names.iter().map(String::as_str);
    if tag.is_none() {
        let missing = missing_of_decoder(id, cache, &commit)?;
        if missing.is_empty() {
            return Ok(cache.snapshot(&commit));
        } else if !names().any(gguf::is_model) {
            return lacks(missing);
        }
    }
    match gguf::choose((id, &options.revision), names(), tag) {
        Ok(files) => Ok(first_of(&cache.snapshot(&commit), &files)),
        // There may be more on the hub.
        Err(HubError::NoFile { file, .. }) => lacks(vec![file]),
        Err(HubError::Quantisation { tag: Some(tag), several: false, .. }) => lacks(vec![tag]),
        Err(error) => Err(error),
    }
}

fn first_of(folder: &Path, files: &[&str]) -> PathBuf {
    files.first().map_or_else(|| folder.to_owned(), |file| folder.join(file))
}

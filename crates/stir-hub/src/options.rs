use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::HubError;

/// The choice of files, the hub and the cache of a call of [`snapshot`](crate::snapshot).
///
/// [`Options::from_env`] obeys the environment as Python's `huggingface_hub` does; [`Options::new`] looks at nothing.
/// The fields are plain and may be changed; [`snapshot`](crate::snapshot) checks them.
///
/// ```
/// use stir_hub::{Files, Options, RepoKind};
///
/// let options = Options {
///     kind: RepoKind::Dataset,
///     revision: "refs/convert/parquet".into(),
///     files: Files::Matching(vec!["main/test/*.parquet".into()]),
///     ..Options::new("/var/cache/models")
/// };
/// assert_eq!(options.endpoint, "https://huggingface.co");
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// The kind of the repository.
    pub kind: RepoKind,
    /// The branch, tag or commit; `main` by default.
    pub revision: String,
    /// The files to bring.
    pub files: Files,
    /// The folder with `models--OWNER--NAME` and the like.
    pub cache: PathBuf,
    /// The hub's address; `https://huggingface.co` by default.
    pub endpoint: String,
    /// The token that is sent to the endpoint, and nowhere else.
    pub token: Option<Token>,
    /// True to use the cache alone.
    pub offline: bool,
    /// True to bring over Xet what the hub has there. Some networks let only the hub itself through.
    pub xet: bool,
    /// True to let snapshots link to blobs. Otherwise, and where that is not possible, they hold hard links or copies.
    pub symlinks: bool,
    /// The number of times that a broken connection, or an answer that says "later", is tried again without progress.
    pub retries: u32,
    /// The pause before the first retry. It doubles from one to the next, up to 16 times this; a hub that says how
    /// long to wait is obeyed, up to five minutes.
    pub backoff: Duration,
    /// The longest wait for a connection, and for each next piece of an answer.
    pub timeout: Duration,
}

impl Options {
    /// Brings the files of a decoder from `main` of the public hub, without a token, into `cache`.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            kind: RepoKind::Model,
            revision: "main".to_owned(),
            files: Files::Decoder,
            cache: cache.into(),
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            offline: false,
            xet: true,
            symlinks: true,
            retries: 5,
            backoff: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
        }
    }

    /// Starts from [`new`](Self::new) and obeys the environment.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE` | the cache; else `hub` in the next |
    /// | `HF_HOME` | else `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache` |
    /// | `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN` | the token; else the content of the next |
    /// | `HF_TOKEN_PATH` | a file; else `token` in `HF_HOME` |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | no token unless it is set on the options |
    /// | `HF_ENDPOINT` | the hub's address |
    /// | `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE` | the cache only |
    /// | `HF_HUB_DISABLE_SYMLINKS` | no symbolic links |
    /// | `HF_HUB_DISABLE_XET` | no Xet |
    ///
    /// Switches are on for `1`, `on`, `yes` and `true`. An empty variable is as good as none.
    ///
    /// # Errors
    /// [`HubError::Option`] when there is no home folder or a variable cannot be used, and [`HubError::Io`] when the
    /// token's file cannot be read.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_env_with(|name| std::env::var_os(name))
    }

    /// Does the same as [`from_env`](Self::from_env) with a custom environment.
    ///
    /// ```
    /// use stir_hub::Options;
    ///
    /// let options = Options::from_env_with(|name| match name {
    ///     "HF_HOME" => Some("/data/hf".into()),
    ///     "HF_HUB_OFFLINE" => Some("1".into()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(options.cache, std::path::Path::new("/data/hf/hub"));
    /// assert!(options.offline && options.token.is_none());
    /// # Ok::<(), stir_hub::HubError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`from_env`](Self::from_env).
    pub fn from_env_with(read: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let read = |name: &str| read(name).filter(|value| !value.is_empty());
        let user = read(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
        let path = |name| read(name).map(|value| from_home(Path::new(&value), user.as_deref()));
        let home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| user.as_ref().map(|user| user.join(".cache").join("huggingface")));
        let in_home = |name: &str| {
            let reason = "not set, and there is no home folder either";
            home.as_ref().map(|home| home.join(name)).ok_or(HubError::Option { name: "HF_HOME", reason })
        };
        let on = |name| {
            let value = read(name).map(|value| value.to_string_lossy().to_uppercase());
            value.map(|value| matches!(value.as_str(), "1" | "ON" | "YES" | "TRUE"))
        };
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let mut options = Self::new(cache.map_or_else(|| in_home("hub"), Ok)?);
        options.offline = on("HF_HUB_OFFLINE").or_else(|| on("TRANSFORMERS_OFFLINE")).unwrap_or(false);
        options.symlinks = !on("HF_HUB_DISABLE_SYMLINKS").unwrap_or(false);
        options.xet = !on("HF_HUB_DISABLE_XET").unwrap_or(false);
        if let Some(endpoint) = read("HF_ENDPOINT") {
            let reason = "not UTF-8";
            options.endpoint = endpoint.into_string().map_err(|_| HubError::Option { name: "HF_ENDPOINT", reason })?;
        }
        // Offline none is sent, so a file that cannot be read does not matter.
        if !options.offline && !on("HF_HUB_DISABLE_IMPLICIT_TOKEN").unwrap_or(false) {
            let token = read("HF_TOKEN").or_else(|| read("HUGGING_FACE_HUB_TOKEN"));
            options.token = match (token, path("HF_TOKEN_PATH"), in_home("token")) {
                (Some(token), ..) => {
                    let reason = "not UTF-8";
                    let token = token.into_string().map_err(|_| HubError::Option { name: "HF_TOKEN", reason })?;
                    some_token(&token)?
                }
                (None, Some(file), _) | (None, None, Ok(file)) => token_of_file(&file)?,
                (None, None, Err(_)) => None,
            };
        }
        Ok(options)
    }
}

/// The choice of files of a repository.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Files {
    /// The files that loading a decoder needs: `config.json`, `generation_config.json`, the tokenizer's files, the chat
    /// template, and the weights: `model.safetensors`, or else `model.safetensors.index.json` with its shards.
    /// `config.json` and the weights must be there.
    #[default]
    Decoder,
    /// The files whose path matches one of these shell patterns: `*` matches any characters, `/` included, and
    /// `?` for one. Of a model's repository, weights in other formats than safetensors and GGUF (`*.bin`, `*.pth`, `*.pt`,
    /// `*.ckpt`, `*.h5`, `*.msgpack`, `consolidated*`) are never brought: nothing here reads them, and
    /// some run code when read.
    Matching(Vec<String>),
}

/// The kind of a repository.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepoKind {
    /// A model.
    #[default]
    Model,
    /// A dataset.
    Dataset,
}

impl RepoKind {
    /// Returns the hub's word for several of them, as in its addresses and in the cache's folders.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A user access token. It is never shown.
///
/// ```
/// let token = stir_hub::Token::new("hf_secret")?;
/// assert_eq!(format!("{token:?}"), "Token(..)");
/// # Ok::<(), stir_hub::HubError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token; white space around it is dropped.
    ///
    /// # Errors
    /// [`HubError::Option`] when it is empty or has characters that a header cannot have.
    pub fn new(token: &str) -> Result<Self, HubError> {
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "empty, or holds characters that no token has";
            return Err(HubError::Option { name: "HF_TOKEN", reason });
        }
        Ok(Self(token.to_owned()))
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Returns `path` with a leading `~` replaced.
fn from_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

fn some_token(text: &str) -> Result<Option<Token>, HubError> {
    if text.trim().is_empty() { Ok(None) } else { Token::new(text).map(Some) }
}

fn token_of_file(path: &Path) -> Result<Option<Token>, HubError> {
    match std::fs::read_to_string(path) {
        Ok(text) => some_token(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HubError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Options, HubError> {
        Options::from_env_with(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.into()))
    }

    #[test]
    #[cfg(unix)]
    fn the_cache_is_found_as_python_finds_it() {
        let home = ("HOME", "/home/u");
        for (variables, cache) in [
            (vec![], "/home/u/.cache/huggingface/hub"),
            (vec![("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
            (vec![("HF_HOME", "/hf"), ("XDG_CACHE_HOME", "/xdg")], "/hf/hub"),
            (vec![("HF_HOME", "~/hf")], "/home/u/hf/hub"),
            (vec![("HF_HOME", "")], "/home/u/.cache/huggingface/hub"),
            (vec![("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/hf")], "/old"),
            (vec![("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/new"),
        ] {
            let options = with(&[variables.as_slice(), &[home]].concat()).unwrap();
            assert_eq!(options.cache, Path::new(cache), "{variables:?}");
        }
        assert!(matches!(with(&[]), Err(HubError::Option { name: "HF_HOME", .. })));
        assert_eq!(with(&[("HF_HUB_CACHE", "/x")]).unwrap().token, None);
    }

    #[test]
    fn switches() {
        for (value, on) in
            [("1", true), ("TRUE", true), ("yes", true), ("On", true), ("0", false), ("no", false), ("", false)]
        {
            let switches =
                ["HF_HUB_OFFLINE", "HF_HUB_DISABLE_SYMLINKS", "HF_HUB_DISABLE_XET"].map(|name| (name, value));
            let options = with(&[&[("HF_HUB_CACHE", "x")], &switches[..]].concat()).unwrap();
            assert_eq!((options.offline, options.symlinks, options.xet), (on, !on, !on), "{value:?}");
        }
        assert!(with(&[("HF_HUB_CACHE", "x"), ("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline);
        let endpoint = with(&[("HF_HUB_CACHE", "x"), ("HF_ENDPOINT", "http://h:1")]).unwrap().endpoint;
        assert_eq!(endpoint, "http://h:1");
    }

    #[test]
    fn the_token_is_found_as_python_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let other = dir.path().join("other");
        let other = other.to_str().unwrap();
        let secret = |variables: &[(&str, &str)]| {
            with(&[&[("HF_HOME", home)], variables].concat()).map(|options| options.token.map(|t| t.0))
        };
        assert_eq!(secret(&[]).unwrap(), None);
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(other, " \n").unwrap();
        assert_eq!(secret(&[]).unwrap().as_deref(), Some("hf_file"));
        assert_eq!(
            secret(&[("HF_TOKEN", " hf_env\r\n"), ("HF_TOKEN_PATH", other)]).unwrap().as_deref(),
            Some("hf_env")
        );
        assert_eq!(secret(&[("HUGGING_FACE_HUB_TOKEN", "hf_old")]).unwrap().as_deref(), Some("hf_old"));
        assert_eq!(secret(&[("HF_TOKEN_PATH", other)]).unwrap(), None);
        assert_eq!(secret(&[("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap(), None);
        assert_eq!(secret(&[("HF_TOKEN_PATH", home), ("HF_HUB_OFFLINE", "1")]).unwrap(), None);
        assert!(matches!(secret(&[("HF_TOKEN_PATH", home)]), Err(HubError::Io { path, .. }) if path == dir.path()));
        let broken = secret(&[("HF_TOKEN", "hf_a\r\nX-Evil: 1")]).unwrap_err();
        assert!(matches!(broken, HubError::Option { name: "HF_TOKEN", .. }));
        assert!(!format!("{broken} {broken:?}").contains("hf_a"));
    }

    #[test]
    fn options_do_not_show_the_token() {
        let options = Options { token: Some(Token::new("hf_secret").unwrap()), ..Options::new("x") };
        assert!(!format!("{options:?}").contains("secret"));
    }
}

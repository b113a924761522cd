//! A folder of such files, searched by tokens.

use std::{fs, path::Path, path::PathBuf};

use safetensors::Dtype;
use stir_core::{ModelShape, TokenId, Vocab};

use super::{StatesError, file::StatesFile};

/// How much of a text an error shows, in characters.
const SHOWN: usize = 60;

#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// By rising tokens: those that begin with the same ones are neighbours.
    files: Vec<StatesFile>,
}

impl Folder {
    pub(super) fn open(dir: &Path, layers: usize, shape: ModelShape) -> Result<Self, StatesError> {
        let io = |source| StatesError::Io { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            // vLLM keeps FILE.lock next to each.
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(StatesError::NoFiles { dir: dir.to_owned() });
        }
        let files = paths.iter().map(|path| StatesFile::open(path, layers, shape));
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.tokens.cmp(&b.tokens));
        Ok(Self { dir: dir.to_owned(), files })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn types(&self) -> impl Iterator<Item = Dtype> {
        self.files.iter().map(|file| file.dtype)
    }

    /// Returns the first file that begins with `tokens`.
    pub(super) fn find(&self, tokens: &[TokenId]) -> Option<&StatesFile> {
        self.files.get(self.place(tokens)).filter(|file| file.tokens.starts_with(tokens))
    }

    /// Returns the place that `tokens` have, or would have, in the order.
    fn place(&self, tokens: &[TokenId]) -> usize {
        self.files.partition_point(|file| *file.tokens < *tokens)
    }

    /// Returns the error of tokens (at least one) that no file begins with.
    pub(super) fn missing(&self, tokens: &[TokenId], vocab: &Vocab) -> StatesError {
        let agreed = |file: &StatesFile| file.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        // One of the two neighbours agrees for as long as any.
        let place = self.place(tokens);
        let neighbours = &self.files[place.saturating_sub(1)..(place + 1).min(self.files.len())];
        let text: Vec<char> = vocab.text(tokens).chars().collect();
        let text = text[text.len().saturating_sub(SHOWN)..].iter().collect();
        let (dir, tokens_len) = (self.dir.clone(), tokens.len());
        match neighbours.iter().max_by_key(|file| agreed(file)) {
            Some(file) => {
                let agreed = agreed(file);
                StatesError::NoStates {
                    dir,
                    tokens: tokens_len,
                    text,
                    nearest: file.path.clone(),
                    agreed,
                    found: file.tokens.get(agreed).copied(),
                    expected: tokens.get(agreed).copied().unwrap_or_default(),
                }
            }
            None => StatesError::NoFiles { dir },
        }
    }
}

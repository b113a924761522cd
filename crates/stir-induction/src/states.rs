//! An engine whose hidden states were written to files before.

mod error;
mod file;
mod folder;

use std::{collections::BTreeSet, path::Path};

use stir_core::{Engine, Fingerprint, HookPoint, ModelShape, Output, Row, Session, Text, TokenId, Vocab};
use stir_rollout::Tokens;
use tracing::info;

pub use error::StatesError;
use folder::Folder;

/// Hidden states that another engine wrote to files, as an [`Engine`] that can be mined: nothing is computed.
///
/// The files are those of vLLM's `ExampleHiddenStatesConnector`: one safetensors file for each request, with
/// `hidden_states`, `[tokens, layers, hidden_size]` in F32, F16 or BF16, and `token_ids`, `[tokens]` in I64. Which layers
/// they are of is not written in them. The id of a layer there is a number of layers run: 0 is the embedding, `l + 1` is
/// [`HookPoint::ResidPost`] of `l`.
///
/// A text is found by its tokens. The state at a token depends on that token and those before it alone, so any file
/// whose tokens begin with the text has it. In memory are four bytes for each token of the folder; states are read from
/// their place in a file when they are asked for.
#[derive(Debug)]
pub struct StoredStates<T> {
    tokens: T,
    fingerprint: Fingerprint,
    ids: Vec<usize>,
    folder: Folder,
}

/// A text whose states may be asked for.
#[derive(Debug, Clone, Default)]
pub struct StoredSession {
    tokens: Vec<TokenId>,
}

impl<T: Tokens> StoredStates<T> {
    /// Opens all files of a folder whose names end in `.safetensors`; reads their headers and tokens. `ids` are the ids
    /// of the layers that they hold, and `tokens` and `fingerprint` describe the model that computed them.
    ///
    /// # Errors
    /// [`StatesError::LayerIds`] unless `ids` rise from 0 or more to `n_layers` or less. A folder without such files, a
    /// file that is cut off or of another layout, number type, width or number of layers, and a token outside the
    /// vocabulary.
    pub fn open(
        dir: impl AsRef<Path>,
        ids: impl Into<Vec<usize>>,
        tokens: T,
        fingerprint: Fingerprint,
    ) -> Result<Self, StatesError> {
        let (ids, shape) = (ids.into(), tokens.shape());
        let rising = ids.windows(2).all(|pair| pair[0] < pair[1]);
        if ids.is_empty() || !rising || ids.iter().any(|&id| id > shape.n_layers) {
            return Err(StatesError::LayerIds { ids, n_layers: shape.n_layers });
        }
        let folder = Folder::open(dir.as_ref(), ids.len(), shape)?;
        info!(files = folder.len(), ?ids, "the folder of states is open");
        Ok(Self { tokens, fingerprint, ids, folder })
    }

    /// Returns the number of files.
    pub fn files(&self) -> usize {
        self.folder.len()
    }

    /// Returns the ids of the layers that the files hold, as they were given.
    pub fn layer_ids(&self) -> &[usize] {
        &self.ids
    }

    /// Returns the place of a point's layer among those of the files.
    fn slot(&self, point: HookPoint) -> Result<usize, StatesError> {
        let id = match point {
            HookPoint::ResidPre(layer) => Some(layer),
            HookPoint::ResidPost(layer) => layer.checked_add(1),
            _ => None,
        };
        let slot = id.and_then(|id| self.ids.binary_search(&id).ok());
        slot.ok_or_else(|| StatesError::Layer { point, id, ids: self.ids.clone() })
    }

    fn answer(&self, row: &mut Row<'_, StoredSession>) -> Result<Output, StatesError> {
        let (tokens, ModelShape { vocab_size, max_context, .. }) = (&mut row.session.tokens, self.tokens.shape());
        let refuse = |what| Err(StatesError::Row { what });
        if row.logits {
            return refuse("logits are wanted");
        } else if !row.additions.is_empty() {
            return refuse("a vector is to be added");
        } else if row.tokens.is_empty() {
            return refuse("there are no tokens");
        } else if row.tokens.iter().any(|&token| token as usize >= vocab_size) {
            return refuse("a token is outside the vocabulary");
        } else if tokens.len() + row.tokens.len() > max_context {
            return refuse("there are more tokens than the context holds");
        }
        tokens.extend_from_slice(row.tokens);
        let slots = row.capture.iter().map(|&point| self.slot(point)).collect::<Result<Vec<_>, _>>()?;
        if slots.is_empty() {
            return Ok(Output::default());
        }
        let file = self.folder.find(tokens).ok_or_else(|| self.folder.missing(tokens, self.tokens.vocab()))?;
        let captures = file.states(tokens.len() - 1, &slots, &self.ids)?;
        Ok(Output { captures, ..Output::default() })
    }
}

impl<T: Tokens + Send> Engine for StoredStates<T> {
    type Session = StoredSession;
    type Error = StatesError;

    fn shape(&self) -> ModelShape {
        self.tokens.shape()
    }

    fn vocab(&self) -> &Vocab {
        self.tokens.vocab()
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Returns the number types of the files: `BF16`.
    fn computation(&self) -> String {
        let types: BTreeSet<String> = self.folder.types().map(|dtype| dtype.to_string()).collect();
        Vec::from_iter(types).join("+")
    }

    fn session(&self) -> StoredSession {
        StoredSession::default()
    }

    /// Reads the states that are captured. A row that wants logits or adds a vector is refused, and so is a capture for
    /// tokens that no file begins with.
    fn forward(&self, rows: &mut [Row<'_, StoredSession>]) -> Result<Vec<Output>, StatesError> {
        rows.iter_mut().map(|row| self.answer(row)).collect()
    }
}

impl<T: Tokens + Send> Text for StoredStates<T> {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, StatesError> {
        self.tokens.encode(text).map_err(|error| StatesError::Tokenizer(Box::new(error)))
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, StatesError> {
        self.tokens.encode_prompt(text).map_err(|error| StatesError::Tokenizer(Box::new(error)))
    }
}

impl Session for StoredSession {
    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn fork(&self) -> Self {
        self.clone()
    }

    fn rewind(&mut self, len: usize) {
        self.tokens.truncate(len);
    }
}

use std::fmt;

use super::{ToyEngine, ToyError, ToySession};
use crate::{Engine, Fingerprint, ModelShape, Output, Row, Text, TokenId, Vocab};

/// A toy engine, and a function that sees the rows and the outputs of every pass, and may alter the outputs.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
/// use stir_core::{Text, prefill, toy::{ToyEngine, Watched}};
/// let encoded = AtomicUsize::new(0);
/// let engine = Watched::new(ToyEngine::new(1), |rows, _| {
///     encoded.fetch_add(rows.iter().map(|row| row.tokens.len()).sum(), Relaxed);
/// });
/// prefill(&engine, &engine.encode("abcd")?)?;
/// assert_eq!(encoded.load(Relaxed), 3);
/// # Ok::<(), stir_core::toy::ToyError>(())
/// ```
pub struct Watched<F> {
    toy: ToyEngine,
    pass: F,
}

impl<F: Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> Watched<F> {
    /// Watches `toy` by `pass`, which is called after every pass.
    pub fn new(toy: ToyEngine, pass: F) -> Self {
        Self { toy, pass }
    }
}

impl<F: Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> Engine for Watched<F> {
    type Session = ToySession;
    type Error = ToyError;

    fn device(&self) -> String {
        self.toy.device()
    }

    fn shape(&self) -> ModelShape {
        self.toy.shape()
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.toy.fingerprint()
    }

    fn vocab(&self) -> &Vocab {
        self.toy.vocab()
    }

    fn session(&self) -> ToySession {
        self.toy.session()
    }

    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        let mut outputs = self.toy.forward(rows)?;
        (self.pass)(rows, &mut outputs);
        Ok(outputs)
    }
}

impl<F: Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> Text for Watched<F> {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        self.toy.encode(text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        self.toy.encode_prompt(text)
    }
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("toy", &self.toy).finish_non_exhaustive()
    }
}

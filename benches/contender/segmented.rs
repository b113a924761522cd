//! A model of random weights writes no text with segments; this makes it.

use stir::{
    core::{Engine, Fingerprint, ModelShape, Output, Row, Session, TokenId, Vocab},
    model::{KvCache, Lm, ModelError},
};

/// The token that ends a segment.
const DELIMITER: TokenId = 0;

/// The engine, except for its logits after answers of 1, 2, .. segments less a token: there they want the delimiter,
/// and anywhere else anything but it; and except for the states it reads, all of which are one, so that what a library
/// says of it is said at every control point. All prompts have one length. This costs a write per row and pass.
pub struct Segmented<'m> {
    lm: &'m Lm,
    vocab: Vocab,
    prompt: usize,
    segment: usize,
    state: Vec<f32>,
}

impl<'m> Segmented<'m> {
    /// Segments of so many tokens after prompts of so many; `state` is what is read anywhere.
    pub fn new(lm: &'m Lm, prompt: usize, segment: usize, state: Vec<f32>) -> Self {
        let bytes = |token| if token == DELIMITER { &b"\n\n"[..] } else { b"x" };
        let vocab = Vocab::new((0..lm.shape().vocab_size as TokenId).map(bytes), []);
        Self { lm, vocab, prompt, segment, state }
    }
}

impl Engine for Segmented<'_> {
    type Session = KvCache;
    type Error = ModelError;

    fn shape(&self) -> ModelShape {
        self.lm.shape()
    }

    fn fingerprint(&self) -> &Fingerprint {
        self.lm.fingerprint()
    }

    fn computation(&self) -> String {
        self.lm.computation()
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn session(&self) -> KvCache {
        self.lm.session()
    }

    fn forward(&self, rows: &mut [Row<'_, KvCache>]) -> Result<Vec<Output>, ModelError> {
        let mut outputs = self.lm.forward(rows)?;
        outputs.iter_mut().flat_map(|output| &mut output.captures).for_each(|state| state.copy_from_slice(&self.state));
        for (row, output) in rows.iter().zip(&mut outputs).filter(|(row, _)| row.logits) {
            // Tokens of the answer, the next one among them.
            let answer = (row.session.len() + 1).saturating_sub(self.prompt);
            let due = answer > 0 && answer.is_multiple_of(self.segment);
            output.logits[DELIMITER as usize] = if due { 1e4 } else { f32::NEG_INFINITY };
        }
        Ok(outputs)
    }
}

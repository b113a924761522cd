use stir_core::{ModelShape, Text, TokenId, Vocab};

/// What is known here of a model that runs elsewhere: its tokenizer and its sizes. No weights are needed.
///
/// Every engine with a tokenizer is one.
pub trait Tokens: Sync {
    /// The error of the tokenizer.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns the model's sizes.
    fn shape(&self) -> ModelShape;

    /// Returns the bytes that each token adds to the text, and the tokens that end a sequence.
    fn vocab(&self) -> &Vocab;

    /// Returns what identifies the tokenizer, as [`Fingerprint::tokenizer`](stir_core::Fingerprint::tokenizer) does.
    fn tokenizer(&self) -> String;

    /// Returns the tokens of a text, as [`Text::encode`] does.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;

    /// Returns the tokens of a whole prompt, as [`Text::encode_prompt`] does.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Self::Error>;
}

impl<E: Text> Tokens for E {
    type Error = E::Error;

    fn shape(&self) -> ModelShape {
        stir_core::Engine::shape(self)
    }

    fn vocab(&self) -> &Vocab {
        stir_core::Engine::vocab(self)
    }

    fn tokenizer(&self) -> String {
        self.fingerprint().tokenizer.clone()
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, E::Error> {
        Text::encode(self, text)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, E::Error> {
        Text::encode_prompt(self, text)
    }
}

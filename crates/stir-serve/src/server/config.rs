use std::{fmt, time::Duration};

use stir_controller::ControllerConfig;
use stir_core::SettingError;
use subtle::ConstantTimeEq;

use crate::worker::MAX_ANSWERS;

/// The settings of a server: its bounds, its key, and what steering is where a request does not say.
///
/// ```
/// use stir_serve::ServeConfig;
/// let config = ServeConfig { max_batch: 16, ..ServeConfig::default() };
/// assert!(config.validate().is_ok());
/// assert!(ServeConfig { max_batch: 0, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ServeConfig {
    /// The number of answers that share a forward pass at most.
    pub max_batch: usize,
    /// The number of answers that may wait for room in a pass; a request past it is refused with 429.
    pub queue: usize,
    /// The most new tokens of an answer, and the number of them where a chat request does not say.
    pub max_tokens: usize,
    /// The time that a request may take, waiting included. An answer that is not finished then ends there.
    pub time_limit: Duration,
    /// The time that answers in progress get to finish once the server is told to end.
    pub drain: Duration,
    /// The largest body of a request, in bytes, other than that of a library.
    pub body_limit: usize,
    /// The largest library that may be uploaded, in bytes.
    pub library_limit: usize,
    /// The number of libraries that the server holds at most.
    pub max_libraries: usize,
    /// The number of positions of prompts that are kept for requests that begin alike; 0 for none. A position takes as
    /// much memory as one of a running answer.
    pub prefix_positions: usize,
    /// The key that requests must name as `Authorization: Bearer KEY`, if any.
    pub api_key: Option<ApiKey>,
    /// The settings of steering that a request starts from.
    /// [`allow_requantised`](ControllerConfig::allow_requantised) is the server's alone.
    pub controller: ControllerConfig,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            max_batch: 16,
            queue: 64,
            max_tokens: 4096,
            time_limit: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            body_limit: 4 << 20,
            library_limit: 256 << 20,
            max_libraries: 32,
            prefix_positions: 16_384,
            api_key: None,
            controller: ControllerConfig::default(),
        }
    }
}

impl ServeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        SettingError::positive("max_batch", self.max_batch)?;
        SettingError::positive("max_tokens", self.max_tokens)?;
        SettingError::positive("body_limit", self.body_limit)?;
        let seconds = self.time_limit.as_secs_f64();
        SettingError::check((1e-3..=1e7).contains(&seconds), "time_limit", seconds, "in [0.001, 10000000] seconds")?;
        let room = self.max_batch.saturating_add(self.queue);
        SettingError::check(room <= MAX_ANSWERS, "max_batch + queue", room, "<= 100000")?;
        let key = self.api_key.as_ref().is_none_or(|key| !key.0.is_empty());
        SettingError::check(key, "api_key", "empty", "at least one character")?;
        self.controller.validate()
    }
}

/// A key that is not shown, and that is compared in a time that depends on its length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Returns the key `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns whether `given` is the key.
    ///
    /// ```
    /// use stir_serve::ApiKey;
    /// assert!(ApiKey::new("secret").is(b"secret") && !ApiKey::new("secret").is(b"secreT"));
    /// assert_eq!(format!("{:?}", ApiKey::new("secret")), "ApiKey(..)");
    /// ```
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

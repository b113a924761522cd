use std::{fmt, time::Duration};

use stir_core::SettingError;

/// A server of completions, and how it is asked. A sample does not depend on anything here but `model`.
///
/// ```
/// use stir_rollout::remote::RemoteServer;
/// let server = RemoteServer { parallel: 64, ..RemoteServer::new("http://node7:8000", "Qwen/Qwen2.5-1.5B-Instruct") };
/// assert!(server.validate().is_ok());
/// assert_eq!(server.completions(), "http://node7:8000/v1/completions");
/// let error = RemoteServer::new("node7:8000", "m").validate().unwrap_err();
/// assert_eq!(error.to_string(), r#"url is node7:8000, must be http://HOST or https://HOST, without user or password"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteServer {
    /// The address, with or without `/v1` at its end.
    pub url: String,
    /// The name that the server has for the model.
    pub model: String,
    /// The key, sent as `Authorization: Bearer KEY`. It is in no error, no event and no file.
    pub key: Option<String>,
    /// The number of requests that are under way at a time, each in a thread of its own.
    pub parallel: usize,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for an answer, which a server sends when it has generated all of it; and for its body.
    pub timeout: Duration,
    /// The number of times that a request is sent at most, while the server cannot be reached, is busy (429) or fails
    /// (5xx).
    pub tries: usize,
    /// The wait before the second try. It doubles from one to the next, up to half a minute, and each is shortened at random
    /// by up to a half, so that requests which failed together do not return together. A server's `Retry-After` is
    /// obeyed, up to ten minutes.
    pub backoff: Duration,
}

impl RemoteServer {
    /// Returns the server at `url` with 16 requests at a time and up to 8 tries, which give it about a minute to come
    /// back; an answer may take half an hour.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        let (connect_timeout, timeout) = (Duration::from_secs(10), Duration::from_secs(1800));
        let (url, model, backoff) = (url.into(), model.into(), Duration::from_millis(500));
        Self { url, model, key: None, parallel: 16, connect_timeout, timeout, tries: 8, backoff }
    }

    /// Returns the address of completions.
    pub fn completions(&self) -> String {
        let base = self.url.trim_end_matches('/');
        format!("{}/v1/completions", base.strip_suffix("/v1").unwrap_or(base))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of bounds.
    pub fn validate(&self) -> Result<(), SettingError> {
        let host = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let host = host.map(|rest| rest.split('/').next().unwrap_or_default());
        let named = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
        // What may be a password is not repeated.
        let shown = if self.url.contains('@') { "an address with a user" } else { &self.url };
        SettingError::check(named, "url", shown, "http://HOST or https://HOST, without user or password")?;
        SettingError::check(!self.model.is_empty(), "model", "empty", "the name of a model")?;
        let key = self.key.as_deref().unwrap_or("k");
        let sendable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        SettingError::check(sendable, "key", "a text", "of ASCII characters without spaces")?;
        SettingError::positive("parallel", self.parallel)?;
        SettingError::positive("tries", self.tries)?;
        for (setting, value) in [("connect_timeout", self.connect_timeout), ("timeout", self.timeout)] {
            SettingError::check(!value.is_zero(), setting, "0", "> 0")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RemoteServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, key, parallel, connect_timeout, timeout, tries, backoff } = self;
        let key = if key.is_some() { "set" } else { "none" };
        f.debug_struct("RemoteServer")
            .field("url", url)
            .field("model", model)
            .field("key", &key)
            .field("parallel", parallel)
            .field("connect_timeout", connect_timeout)
            .field("timeout", timeout)
            .field("tries", tries)
            .field("backoff", backoff)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_named_and_no_secret_is() {
        let default = || RemoteServer::new("http://h:1", "m");
        for (server, field) in [
            (RemoteServer { url: "ftp://h".into(), ..default() }, "url"),
            (RemoteServer { url: "http://".into(), ..default() }, "url"),
            (RemoteServer { url: "http://me:secret@h".into(), ..default() }, "url"),
            (RemoteServer { model: String::new(), ..default() }, "model"),
            (RemoteServer { key: Some("secret\r\nX: y".into()), ..default() }, "key"),
            (RemoteServer { key: Some(String::new()), ..default() }, "key"),
            (RemoteServer { parallel: 0, ..default() }, "parallel"),
            (RemoteServer { tries: 0, ..default() }, "tries"),
            (RemoteServer { timeout: Duration::ZERO, ..default() }, "timeout"),
        ] {
            let error = server.validate().unwrap_err();
            assert_eq!(error.setting, field);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let keyed = RemoteServer { key: Some("secret".into()), ..default() };
        assert!(keyed.validate().is_ok() && !format!("{keyed:?}").contains("secret"));
    }

    #[test]
    fn addresses_may_end_in_several_ways() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            assert_eq!(RemoteServer::new(url, "m").completions(), "http://h:1/v1/completions");
        }
        assert_eq!(RemoteServer::new("https://h/serve/q", "m").completions(), "https://h/serve/q/v1/completions");
    }
}

use std::{
    fmt,
    io::Read,
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use stir_core::SampleRng;
use tracing::warn;
use ureq::{
    Agent,
    http::{HeaderMap, header},
    tls::{RootCerts, TlsConfig},
};

use super::{RemoteServer, ServerError, TransportError};

/// No completion is longer: a token takes a dozen bytes as an id and as text each.
const MAX_BODY: u64 = 16 << 20;
/// Of an error, only the beginning is read.
const MAX_ERROR: u64 = 4 << 10;
/// The longest wait before another try, and the longest that a server may ask for.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Sends requests, again where that may help. Shared by all threads.
pub(super) struct Client<'s> {
    server: &'s RemoteServer,
    agent: Agent,
    pub(super) url: String,
    /// True once no further request is wanted; waiting threads wake up then.
    halted: Mutex<bool>,
    bell: Condvar,
}

/// A try that failed.
struct Failed {
    error: ServerError,
    /// Whether another try may succeed, and the wait that the server asks for.
    again: Option<Duration>,
}

impl<'s> Client<'s> {
    pub(super) fn new(server: &'s RemoteServer) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // Clusters have authorities of their own.
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A redirected POST would lose its body, or send the key elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(server.parallel)
            .max_idle_connections_per_host(server.parallel)
            .timeout_resolve(Some(server.connect_timeout))
            .timeout_connect(Some(server.connect_timeout))
            .timeout_send_request(Some(server.timeout))
            .timeout_send_body(Some(server.timeout))
            .timeout_recv_response(Some(server.timeout))
            .timeout_recv_body(Some(server.timeout))
            .build();
        let (halted, bell) = (Mutex::new(false), Condvar::new());
        Self { server, agent: config.new_agent(), url: server.completions(), halted, bell }
    }

    /// Sends `request` until it is answered. `jitter` varies the waits; `is_final` says for which statuses a second try
    /// is no use although they are usually worth one.
    ///
    /// # Errors
    /// The fault of the last try.
    pub(super) fn post(
        &self,
        request: &[u8],
        jitter: u64,
        is_final: impl Fn(u16) -> bool,
    ) -> Result<Vec<u8>, ServerError> {
        let mut rng = SampleRng::new(jitter, 0);
        let mut backoff = self.server.backoff;
        let mut tries = 1;
        loop {
            let Failed { error, again } = match self.try_once(request, tries) {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            let final_status = matches!(error, ServerError::Status { status, .. } if is_final(status));
            let Some(asked) = again.filter(|_| !final_status && tries < self.server.tries) else { return Err(error) };
            let wait = backoff.min(MAX_BACKOFF).mul_f64(1.0 - 0.5 * rng.uniform()).max(asked.min(MAX_RETRY_AFTER));
            warn!(url = self.url, tries, wait_ms = wait.as_millis() as u64, reason = %Chain(&error), "a request is sent again");
            if self.halted_within(wait) {
                return Err(error);
            }
            (tries, backoff) = (tries + 1, backoff.saturating_mul(2));
        }
    }

    fn try_once(&self, request: &[u8], tries: usize) -> Result<Vec<u8>, Failed> {
        let failed = |source: ureq::Error| self.failed(source, tries);
        let mut post = self.agent.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.server.key {
            post = post.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let mut response = post.send(request).map_err(failed)?;
        let status = response.status().as_u16();
        if status == 200 {
            let read = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
            return read.map_err(failed);
        }
        let mut start = Vec::new();
        // What can be read of it is shown; the status is the error.
        let _ = response.body_mut().as_reader().take(MAX_ERROR).read_to_end(&mut start);
        let again = (status == 429 || status >= 500).then(|| retry_after(response.headers()));
        let body = beginning(&String::from_utf8_lossy(&start));
        Err(Failed { error: ServerError::Status { url: self.url.clone(), status, body, tries }, again })
    }

    fn failed(&self, source: ureq::Error, tries: usize) -> Failed {
        let url = self.url.clone();
        if let ureq::Error::BodyExceedsLimit(limit) = source {
            return Failed { error: ServerError::TooLarge { url, limit }, again: None };
        }
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        let passing = matches!(source, Io(_) | Timeout(_) | HostNotFound | ConnectionFailed | Protocol(_));
        let error = ServerError::Unreachable { url, tries, source: TransportError(source) };
        Failed { error, again: passing.then_some(Duration::ZERO) }
    }

    /// Lets no further request begin, and none be repeated; returns whether it was so already.
    pub(super) fn halt(&self) -> bool {
        let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        self.bell.notify_all();
        mem::replace(&mut *halted, true)
    }

    /// Waits; returns whether the run is halted before the time is over.
    pub(super) fn halted_within(&self, wait: Duration) -> bool {
        let halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(halted, wait, |halted| !*halted);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Returns the wait that a server asks for in seconds. A date is passed over: clocks differ.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Returns the first characters of a text, on one line.
pub(super) fn beginning(text: &str) -> String {
    const SHOWN: usize = 300;
    let line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() { line + ".." } else { line }
}

/// An error with its causes, for an event.
struct Chain<'e>(&'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

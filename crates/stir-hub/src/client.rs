//! Requests to a hub: one at a time, its redirects followed by hand, its refusals told apart.

use std::{io::Read, ops::ControlFlow, time::Duration};

use ureq::{
    Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};

use crate::{HubError, Options, error::ConnectionError, url};

const REDIRECTS: usize = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A pause is cut into such pieces, so that cancelling does not wait for its end.
const PIECE: Duration = Duration::from_millis(100);

/// The part of a repository that a request is about; it decides what a 404 means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub repo: &'a str,
    pub revision: &'a str,
    pub file: Option<&'a str>,
}

/// Why a request failed, and whether to try again.
#[derive(Debug)]
pub(crate) enum Failure {
    Final(HubError),
    Transient { error: HubError, wait: Option<Duration> },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// An answer, with what the hub said on the way to it.
pub(crate) struct Reply {
    pub response: Response<Body>,
    /// The address, without its query.
    pub url: String,
    /// The file's `ETag`: the one the hub states for it or, where it states none and the request is a `HEAD`, that of
    /// the server that answered in the end.
    pub etag: Option<String>,
    /// The file's size as the hub states it for files in a store.
    pub linked_size: Option<u64>,
}

pub(crate) struct Client<'a> {
    options: &'a Options,
    endpoint: &'a str,
    agent: ureq::Agent,
}

impl<'a> Client<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Self, HubError> {
        let endpoint = options.endpoint.trim_end_matches('/');
        let refused = |reason| Err(HubError::Option { name: "HF_ENDPOINT", reason });
        let host = match endpoint.split_once("://") {
            Some(("http" | "https", rest)) => rest.split('/').next().unwrap_or_default(),
            _ => return refused("not an address that begins with http:// or https://"),
        };
        if host.is_empty() || host.contains('@') || endpoint.contains(['?', '#']) {
            return refused("without a host, or with credentials or a query");
        }
        let mut config = ureq::Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("stir-hub/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(options.timeout))
            .timeout_connect(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .timeout_per_read(Some(options.timeout));
        // No proxy reaches this machine as such.
        if ["127.0.0.1", "localhost", "[::1]"].contains(&host.rsplit_once(':').map_or(host, |(name, _)| name)) {
            config = config.proxy(None);
        }
        Ok(Self { options, endpoint, agent: config.build().new_agent() })
    }

    /// Returns the address of a revision's listing.
    pub(crate) fn listing_url(&self, repo: &str, revision: &str) -> String {
        format!("{}/api/{}/{repo}/revision/{}", self.endpoint, self.options.kind.plural(), url::part(revision))
    }

    /// Returns the address of a file.
    pub(crate) fn file_url(&self, repo: &str, revision: &str, file: &str) -> String {
        let kind = match self.options.kind {
            crate::RepoKind::Model => "",
            crate::RepoKind::Dataset => "datasets/",
        };
        format!("{}/{kind}{repo}/resolve/{}/{}", self.endpoint, url::part(revision), url::path(file))
    }

    /// Makes one try: a request and those it is redirected to. `from` asks for the bytes from there on.
    ///
    /// A `HEAD` request ends at the redirect that leaves the endpoint, if the hub has said there what it knows.
    pub(crate) fn send(&self, method: &Method, url: &str, from: u64, subject: Subject<'_>) -> Result<Reply, Failure> {
        let mut target = url.to_owned();
        let (mut linked_etag, mut linked_size) = (None, None);
        for _ in 0..=REDIRECTS {
            let at_home = url::origin(&target) == url::origin(self.endpoint);
            let response = self.once(method, &target, from, at_home)?;
            let (status, headers) = (response.status(), response.headers());
            linked_etag = linked_etag.or_else(|| text(headers, "x-linked-etag"));
            linked_size = linked_size.or_else(|| number(headers, "x-linked-size"));
            let location = if status.is_redirection() { text(headers, "location") } else { None };
            let Some(location) = location else {
                self.check(&response, &target, at_home, from, subject)?;
                let etag = linked_etag.or_else(|| text(headers, "etag").filter(|_| at_home || method == Method::HEAD));
                return Ok(Reply { etag, linked_size, url: url::shown(&target), response });
            };
            let next = url::join(&target, &location);
            let leaves = url::origin(&next) != url::origin(self.endpoint);
            if method == Method::HEAD && leaves && linked_etag.is_some() {
                return Ok(Reply { etag: linked_etag, linked_size, url: url::shown(&target), response });
            }
            if target.starts_with("https://") && !next.starts_with("https://") {
                let reason = "it redirects to an address that is not encrypted";
                return Err(Failure::Final(HubError::Protocol { url: url::shown(&target), reason }));
            }
            target = next;
        }
        let reason = "it redirects in circles";
        Err(Failure::Final(HubError::Protocol { url: url::shown(url), reason }))
    }

    /// Returns the bytes of a small answer.
    pub(crate) fn get_small(&self, url: &str, limit: u64, subject: Subject<'_>) -> Result<Vec<u8>, Failure> {
        let reply = self.send(&Method::GET, url, 0, subject)?;
        let mut bytes = Vec::new();
        match reply.response.into_body().into_reader().take(limit + 1).read_to_end(&mut bytes) {
            Ok(n) if n as u64 > limit => Err(HubError::TooLarge { location: reply.url, limit }.into()),
            Ok(_) => Ok(bytes),
            Err(source) => {
                let (done, source) = (bytes.len() as u64, Some(source));
                let error = HubError::Cut { file: reply.url, done, total: None, source };
                Err(Failure::Transient { error, wait: None })
            }
        }
    }

    fn once(&self, method: &Method, url: &str, from: u64, at_home: bool) -> Result<Response<Body>, Failure> {
        // Compressed answers would have other lengths and ranges than the file.
        let mut request = Request::builder().method(method).uri(url).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.options.token.as_ref().filter(|_| at_home) {
            // Marked, so that no log of the HTTP library shows it.
            if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.secret())) {
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)).map_err(|source| {
            let transient = matches!(
                source,
                ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_)
            );
            let error = HubError::Connection { url: url::shown(url), source: ConnectionError(Box::new(source)) };
            if transient { Failure::Transient { error, wait: None } } else { Failure::Final(error) }
        })
    }

    fn check(
        &self,
        response: &Response<Body>,
        url: &str,
        at_home: bool,
        from: u64,
        subject: Subject<'_>,
    ) -> Result<(), Failure> {
        let Subject { repo, revision, file } = subject;
        let (status, headers) = (response.status(), response.headers());
        let (repo, revision) = (repo.to_owned(), revision.to_owned());
        let code = text(headers, "x-error-code").unwrap_or_default();
        let other = HubError::Status { url: url::shown(url), status: status.as_u16() };
        let refused = match status {
            _ if status.is_success() => return Ok(()),
            // The rest of a file that is all here already; for the caller to decide.
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => return Ok(()),
            // It says "later", or that something is broken now.
            _ if status.is_server_error()
                || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) =>
            {
                let wait = number(headers, "retry-after").map(Duration::from_secs);
                return Err(Failure::Transient { error: other, wait });
            }
            // A signed address that has expired: the hub will give another.
            StatusCode::FORBIDDEN if !at_home => return Err(Failure::Transient { error: other, wait: None }),
            _ if !at_home => other,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Denied {
                repo,
                status: status.as_u16(),
                token_sent: self.options.token.is_some(),
                gated: code == "GatedRepo",
            },
            StatusCode::NOT_FOUND => match (code.as_str(), file) {
                ("RepoNotFound", _) => HubError::NoRepo { repo },
                ("RevisionNotFound", _) => HubError::NoRevision { repo, revision },
                (_, Some(file)) => HubError::NoFile { repo, revision, file: file.to_owned() },
                (_, None) => HubError::NoRepo { repo },
            },
            _ => other,
        };
        Err(Failure::Final(refused))
    }
}

/// The number of further tries, and the waiting time before each.
pub(crate) struct Retry<'a> {
    options: &'a Options,
    tried: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, tried: 0 }
    }

    /// Forgets the tries so far: the last one has brought something.
    pub(crate) fn reset(&mut self) {
        self.tried = 0;
    }

    /// Repeats `attempt` until it succeeds, fails for good, or no try is left; `alive` is asked while waiting.
    pub(crate) fn run<T>(
        options: &'a Options,
        alive: &mut dyn FnMut() -> ControlFlow<()>,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, HubError> {
        let mut retry = Self::new(options);
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) => retry.pause(failure, alive)?,
            }
        }
    }

    /// Waits before the next try, or returns the error if there is none.
    pub(crate) fn pause(
        &mut self,
        failure: Failure,
        alive: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), HubError> {
        let (error, wait) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Transient { error, .. } if self.tried >= self.options.retries => return Err(error),
            Failure::Transient { error, wait } => (error, wait),
        };
        if wait.is_some_and(|wait| wait > LONGEST_PAUSE) {
            return Err(error);
        }
        let backoff = self.options.backoff.saturating_mul(1 << self.tried.min(4));
        self.tried += 1;
        let mut left = wait.unwrap_or(backoff);
        tracing::warn!(%error, tried = self.tried, seconds = left.as_secs_f64(), "a request failed and is tried again");
        while !left.is_zero() {
            if alive().is_break() {
                return Err(HubError::Cancelled);
            }
            std::thread::sleep(left.min(PIECE));
            left = left.saturating_sub(PIECE);
        }
        Ok(())
    }
}

/// Returns a header's value.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns a header's value, if it is a whole number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

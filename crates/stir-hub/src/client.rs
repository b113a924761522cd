//! What the hub says: the listing of a repository, and what it states of a file before it redirects to a store.
//! hf-hub reads listings of any length and loses the statements on the way to the store, so both are asked for here.

use std::time::Duration;

use hf_hub::HFClient;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};

use crate::{
    HubError, Options, RepoKind,
    background::{Alive, Background},
    error::ConnectionError,
    retry::Failure,
};

const REDIRECTS: usize = 10;
/// No header can hold it, so none is sent. Without a token, hf-hub takes the one that it finds in the environment.
const NO_TOKEN: &str = "\n";

/// The part of a repository that a request is about; it decides what a 404 means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub repo: &'a str,
    pub revision: &'a str,
    pub file: Option<&'a str>,
}

/// What the hub states of a file. Of the answers on the way to it, the first that has a header counts.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    pub etag: Option<String>,
    pub size: Option<u64>,
    pub xet: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub options: &'a Options,
    pub hub: HFClient,
    pub background: Background,
    endpoint: Url,
    /// Follows no redirect.
    http: reqwest::Client,
}

impl<'a> Client<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Self, HubError> {
        let refused = |reason| HubError::Option { name: "HF_ENDPOINT", reason };
        let endpoint = Url::parse(options.endpoint.trim_end_matches('/')).ok();
        let endpoint = endpoint.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let endpoint = endpoint.ok_or_else(|| refused("not an address that begins with http:// or https://"))?;
        let credentials = !endpoint.username().is_empty() || endpoint.password().is_some();
        if credentials || endpoint.query().is_some() || endpoint.fragment().is_some() {
            return Err(refused("with credentials or a query"));
        }
        let hub = HFClient::builder()
            .client(http(options, &endpoint, Policy::custom(follow))?)
            .endpoint(endpoint.as_str())
            .token(options.token.as_ref().map_or(NO_TOKEN, |token| token.secret()))
            .cache_enabled(false)
            // Tries are counted here: hf-hub's do not wait as long as a busy hub asks for, and cannot resume.
            .retry_max_attempts(0)
            .build()
            .map_err(|source| HubError::Client { source: Box::new(source) })?;
        let http = http(options, &endpoint, Policy::none())?;
        Ok(Self { options, hub, background: Background::new()?, endpoint, http })
    }

    /// Returns an address below the endpoint; each part is escaped, slashes included.
    fn url<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Returns the address where the hub tells something of a repository: of a `revision` the listing.
    pub(crate) fn api_url(&self, repo: &str, what: [&str; 2]) -> Url {
        self.url(["api", self.options.kind.plural()].into_iter().chain(repo.split('/')).chain(what))
    }

    /// Asks what the hub states of a file; also returns the address that said it.
    pub(crate) fn head(&self, file: &str, subject: Subject<'_>, alive: Alive<'_>) -> Result<(Stated, Url), Failure> {
        let kind = match self.options.kind {
            RepoKind::Model => None,
            RepoKind::Dataset => Some("datasets"),
        };
        let parts = kind.into_iter().chain(subject.repo.split('/')).chain(["resolve", subject.revision]);
        let (_, url, stated) = self.send(&Method::HEAD, self.url(parts.chain(file.split('/'))), subject, alive)?;
        Ok((stated, url))
    }

    /// Returns the bytes of an answer that has at most so many.
    pub(crate) fn get_small(
        &self,
        url: &Url,
        limit: u64,
        subject: Subject<'_>,
        alive: Alive<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let (mut response, url, _) = self.send(&Method::GET, url.clone(), subject, alive)?;
        let mut bytes = Vec::new();
        loop {
            let read = async move { (response.chunk().await, response) };
            let (chunk, rest) = self.background.wait(read, alive)?;
            response = rest;
            match chunk {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(source) => {
                    let (done, source) = (bytes.len() as u64, Some(std::io::Error::other(source.without_url())));
                    let error = HubError::Cut { file: shown(&url), done, total: None, source };
                    return Err(Failure::Transient { error, wait: None });
                }
            }
            if bytes.len() as u64 > limit {
                return Err(HubError::TooLarge { location: shown(&url), limit }.into());
            }
        }
    }

    /// Makes one try: a request and those it is redirected to. A `HEAD` request ends at the redirect that leaves the
    /// endpoint, if the hub has said there what it knows.
    fn send(
        &self,
        method: &Method,
        url: Url,
        subject: Subject<'_>,
        alive: Alive<'_>,
    ) -> Result<(Response, Url, Stated), Failure> {
        let (mut target, mut stated) = (url, Stated::default());
        for _ in 0..=REDIRECTS {
            let at_home = self.at_home(&target);
            let headers = if at_home { self.authorization() } else { HeaderMap::new() };
            let request = self.http.request(method.clone(), target.clone()).headers(headers);
            let response = self
                .background
                .wait(async move { request.send().await }, alive)?
                .map_err(|source| no_answer(&target, source))?;
            let (status, headers) = (response.status(), response.headers());
            stated.etag = stated.etag.or_else(|| text(headers, "x-linked-etag"));
            stated.size = stated.size.or_else(|| number(headers, "x-linked-size"));
            stated.xet = stated.xet.or_else(|| text(headers, "x-xet-hash").filter(|_| at_home));
            let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) else {
                if !status.is_success() {
                    let code = text(headers, "x-error-code").unwrap_or_default();
                    let wait = number(headers, "retry-after").map(Duration::from_secs);
                    return Err(self.refusal(status, &code, wait, &target, subject));
                }
                // The length of a compressed answer is not that of the file.
                let plain = !headers.contains_key(CONTENT_ENCODING);
                stated.etag = stated.etag.or_else(|| text(headers, "etag"));
                stated.size = stated.size.or_else(|| number(headers, "content-length").filter(|_| plain));
                return Ok((response, target, stated));
            };
            let misled = |reason| HubError::Protocol { url: shown(&target), reason };
            let next = location.to_str().ok().and_then(|location| target.join(location).ok());
            let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
            let next = next.ok_or_else(|| misled("it redirects to what is no address"))?;
            if *method == Method::HEAD && !self.at_home(&next) && stated.etag.is_some() {
                return Ok((response, target, stated));
            }
            if target.scheme() == "https" && next.scheme() != "https" {
                return Err(misled("it redirects to an address that is not encrypted").into());
            }
            target = next;
        }
        Err(HubError::Protocol { url: shown(&target), reason: "it redirects in circles" }.into())
    }

    /// Returns the header with the token, for requests to the endpoint.
    pub(crate) fn authorization(&self) -> HeaderMap {
        let token = self.options.token.as_ref();
        let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {}", token.secret())).ok());
        // Marked, so that no log of the HTTP library shows it.
        let marked = value.into_iter().map(|mut value| {
            value.set_sensitive(true);
            (AUTHORIZATION, value)
        });
        marked.collect()
    }

    fn at_home(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// Tells refusals apart.
    pub(crate) fn refusal(
        &self,
        status: StatusCode,
        code: &str,
        wait: Option<Duration>,
        url: &Url,
        subject: Subject<'_>,
    ) -> Failure {
        let (repo, revision) = (subject.repo.to_owned(), subject.revision.to_owned());
        let other = HubError::Status { url: shown(url), status: status.as_u16() };
        Failure::Final(match status {
            // It says "later", or that something is broken now.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Failure::Transient { error: other, wait };
            }
            _ if status.is_server_error() => return Failure::Transient { error: other, wait },
            // A signed address that has expired: the hub will give another.
            StatusCode::FORBIDDEN if !self.at_home(url) => return Failure::Transient { error: other, wait: None },
            _ if !self.at_home(url) => other,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Denied {
                repo,
                status: status.as_u16(),
                token_sent: self.options.token.is_some(),
                gated: code == "GatedRepo",
            },
            StatusCode::NOT_FOUND => match (code, subject.file) {
                ("RepoNotFound", _) => HubError::NoRepo { repo },
                ("RevisionNotFound", _) => HubError::NoRevision { repo, revision },
                (_, Some(file)) => HubError::NoFile { repo, revision, file: file.to_owned() },
                (_, None) => HubError::NoRepo { repo },
            },
            _ => other,
        })
    }
}

/// Makes an HTTP client that keeps the options' times.
fn http(options: &Options, endpoint: &Url, redirects: Policy) -> Result<reqwest::Client, HubError> {
    // Compressed answers would have other lengths and ranges than the file.
    let plain = [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
    let mut builder = reqwest::Client::builder()
        .redirect(redirects)
        .user_agent(concat!("stir-hub/", env!("CARGO_PKG_VERSION")))
        .default_headers(plain.into_iter().collect())
        .connect_timeout(options.timeout)
        .read_timeout(options.timeout);
    // No proxy reaches this machine as such.
    if matches!(endpoint.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|source| HubError::Client { source: Box::new(source) })
}

/// The redirects that hf-hub follows. The token stays with the host it was sent to, by reqwest's own rule.
fn follow(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let encrypted = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
    if attempt.previous().len() > REDIRECTS || (encrypted && attempt.url().scheme() != "https") {
        attempt.stop()
    } else {
        attempt.follow()
    }
}

/// Returns the failure of a request that got no answer.
pub(crate) fn no_answer(url: &Url, source: reqwest::Error) -> Failure {
    let transient = !source.is_builder();
    let source = ConnectionError(Box::new(source.without_url()));
    let error = HubError::Connection { url: shown(url), source };
    if transient { Failure::Transient { error, wait: None } } else { Failure::Final(error) }
}

/// Returns an address as it may be shown: without the query, which is where signatures are.
pub(crate) fn shown(url: &Url) -> String {
    url.as_str().split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// Returns a header's value.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns a header's value, if it is a whole number.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

//! The bytes of a file: over HTTP from hf-hub, over Xet from hf-xet, on which hf-hub is built.

use std::{io, ops::Range, pin::Pin};

use futures_util::{Stream, StreamExt, stream};
use hf_hub::{HFError, HFRepository, repository::RepoType, split_id};
use reqwest::Url;
use xet::xet_session::{XetConfig, XetFileInfo, XetSessionBuilder};

use crate::{
    HubError, RepoKind,
    background::Alive,
    client::{Client, Subject, no_answer, shown},
    download::Remote,
    error::ConnectionError,
    retry::Failure,
};

/// Pieces of a file, in order.
pub(crate) type Content = Pin<Box<dyn Stream<Item = io::Result<bytes::Bytes>> + Send>>;

impl Client<'_> {
    /// Asks for a file's bytes from `kept` on. Returns their number too, where it is known before they come.
    pub(crate) fn content(
        &self,
        remote: &Remote<'_>,
        kept: u64,
        alive: Alive<'_>,
    ) -> Result<(Option<u64>, Content), Failure> {
        let range = remote.size.map(|size| kept..size);
        match (remote.xet.as_ref().filter(|_| self.options.xet), range) {
            (Some(hash), Some(range)) => self.over_xet(remote, hash.clone(), range, alive),
            (_, range) => self.over_http(remote, range.filter(|range| range.start > 0), alive),
        }
    }

    fn over_http(
        &self,
        remote: &Remote<'_>,
        range: Option<Range<u64>>,
        alive: Alive<'_>,
    ) -> Result<(Option<u64>, Content), Failure> {
        let Subject { repo, revision, .. } = remote.subject;
        let (owner, name) = split_id(repo);
        let (file, commit) = (remote.name.to_owned(), revision.to_owned());
        let answer = match self.options.kind {
            RepoKind::Model => self.background.wait(open(self.hub.model(owner, name), file, commit, range), alive),
            RepoKind::Dataset => self.background.wait(open(self.hub.dataset(owner, name), file, commit, range), alive),
        }?;
        answer.map_err(|error| self.refused(error, remote))
    }

    /// hf-hub 1.0.0 looks for a file's Xet hash in the answer of the store, which does not have it, so that it never
    /// uses Xet for a part of a file. The hub states the hash before it redirects to the store.
    fn over_xet(
        &self,
        remote: &Remote<'_>,
        hash: String,
        range: Range<u64>,
        alive: Alive<'_>,
    ) -> Result<(Option<u64>, Content), Failure> {
        let Subject { repo, revision, .. } = remote.subject;
        let token_url = self.api_url(repo, ["xet-read-token", revision]);
        let (headers, timeout) = (self.authorization(), self.options.timeout);
        // For uploads only, but it makes its folders whatever it does; they do not belong in another cache.
        let folder = self.options.cache.join(".locks").join("xet");
        let (missing, size) = (range.end - range.start, range.end);
        let opened = self.background.wait(
            async move {
                let mut config = XetConfig::new();
                config.telemetry.enabled = false;
                config.client.connect_timeout = timeout;
                config.client.read_timeout = timeout;
                let session = XetSessionBuilder::new_with_config(config).with_cache_dir(folder).build()?;
                let group = session.new_download_stream_group()?.with_token_refresh_url(token_url, headers);
                let group = group.build().await?;
                let mut content = group.download_stream(XetFileInfo::new(hash, size), Some(range)).await?;
                content.start();
                // The group goes along: without it the stream ends.
                Ok((content, group))
            },
            alive,
        )?;
        let opened: Result<_, xet::error::XetError> = opened;
        let (content, group) = opened.map_err(|error| {
            let source = ConnectionError(without_queries(&error.to_string()).into());
            let error = HubError::Connection { url: shown(&remote.url), source };
            Failure::Transient { error, wait: None }
        })?;
        let pieces = stream::unfold((content, group), |(mut content, group)| async move {
            let piece = content.next().await.map_err(|error| io::Error::other(without_queries(&error.to_string())));
            piece.transpose().map(|piece| (piece, (content, group)))
        });
        Ok((Some(missing), Box::pin(pieces)))
    }

    /// Says what an error of hf-hub means.
    fn refused(&self, error: HFError, remote: &Remote<'_>) -> Failure {
        let wait = if let HFError::RateLimited { retry_after, .. } = &error { *retry_after } else { None };
        match error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::RateLimited { context, .. }
            | HFError::EntryNotFound { context: Some(context), .. } => {
                let url = Url::parse(&context.url).unwrap_or_else(|_| remote.url.clone());
                let code = context.error_code.as_deref().unwrap_or_default();
                self.refusal(context.status, code, wait, &url, remote.subject)
            }
            HFError::Request { source, url } => {
                let url = url.and_then(|url| Url::parse(&url).ok());
                no_answer(url.as_ref().unwrap_or(&remote.url), source)
            }
            _ => HubError::Protocol { url: shown(&remote.url), reason: "hf-hub cannot read it" }.into(),
        }
    }
}

async fn open<T: RepoType>(
    repo: HFRepository<T>,
    file: String,
    commit: String,
    range: Option<Range<u64>>,
) -> Result<(Option<u64>, Content), HFError> {
    let request = repo.download_file_stream().filename(file).revision(commit).maybe_range(range);
    let (length, pieces) = request.send().await?;
    let plain = |error| match error {
        HFError::Request { source, .. } => io::Error::other(source.without_url()),
        other => io::Error::other(without_queries(&other.to_string())),
    };
    Ok((length, Box::pin(pieces.map(move |piece| piece.map_err(plain)))))
}

/// Cuts the queries from the addresses in a message: signatures are there.
fn without_queries(message: &str) -> String {
    let word = |word: &str| match word.contains("://") {
        true => word.split('?').next().unwrap_or_default().to_owned(),
        false => word.to_owned(),
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_queries;

    #[test]
    fn queries_are_not_shown() {
        let text = "is it? (https://a/b?sig=x&y=z) no";
        assert_eq!(without_queries(text), "is it? (https://a/b no");
    }
}

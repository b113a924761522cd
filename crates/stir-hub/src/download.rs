//! One file's content, from the hub into a blob of the cache.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    ops::ControlFlow,
    path::Path,
};

use futures_util::StreamExt;
use reqwest::Url;

use crate::{
    HubError,
    background::Alive,
    cache::Cache,
    checksum::Checksum,
    client::{Client, Stated, Subject, shown},
    content::Content,
    options::Options,
    retry::{Failure, Retry},
};

/// Most bytes of a file whose size the hub does not state. Such files are small ones that it compresses as it goes.
const UNSIZED: u64 = 256 << 20;
/// A try that has brought so much is no failure: the next one begins to count anew.
const PROGRESS: u64 = 1 << 20;

/// A file of a repository, as the hub describes it.
pub(crate) struct Remote<'a> {
    pub subject: Subject<'a>,
    pub name: &'a str,
    pub url: Url,
    pub checksum: Checksum,
    pub size: Option<u64>,
    /// The file's name among the chunks of Xet, if it is there.
    pub xet: Option<String>,
}

/// Gets the number of bytes that are here; breaks to cancel.
pub(crate) type Report<'r> = &'r mut dyn FnMut(u64, Option<u64>) -> ControlFlow<()>;

impl<'a> Remote<'a> {
    /// Asks the hub about a file.
    pub(crate) fn ask(
        client: &Client<'_>,
        subject: Subject<'a>,
        name: &'a str,
        alive: Alive<'_>,
    ) -> Result<Self, Failure> {
        let subject = Subject { file: Some(name), ..subject };
        let (Stated { etag, size, xet }, url) = client.head(name, subject, alive)?;
        let Some(etag) = etag else {
            return Err(HubError::Protocol { url: shown(&url), reason: "it states no checksum of the file" }.into());
        };
        let Some(checksum) = Checksum::from_etag(&etag) else {
            return Err(HubError::NoChecksum { file: name.to_owned(), etag }.into());
        };
        Ok(Self { subject, name, url, checksum, size, xet })
    }

    /// Brings the content, unless it is here, and verifies it.
    pub(crate) fn fetch(
        &self,
        client: &Client<'_>,
        options: &Options,
        cache: &Cache,
        report: Report<'_>,
    ) -> Result<(), HubError> {
        let lock = cache.lock(&self.checksum, &mut || report(0, self.size))?;
        if cache.has_blob(&self.checksum)? {
            return Ok(());
        }
        let partial = cache.partial(&self.checksum, &lock)?;
        let result = self.fetch_into(&partial, client, options, cache, report);
        if result.is_err() && !lock.is_exclusive() && kept(&partial)? > 0 {
            // Its name is known nowhere else: no later call could resume it.
            remove(&partial)?;
        }
        result
    }

    fn fetch_into(
        &self,
        partial: &Path,
        client: &Client<'_>,
        options: &Options,
        cache: &Cache,
        report: Report<'_>,
    ) -> Result<(), HubError> {
        let mut inherited = kept(partial)? > 0;
        loop {
            self.receive(client, options, partial, report)?;
            let found = self.checksum.of_file(partial)?;
            if found == self.checksum.hex() {
                break;
            }
            remove(partial)?;
            // What an earlier process has left may be damaged: that is no fault of the hub's.
            if !std::mem::take(&mut inherited) {
                let (file, expected) = (self.name.to_owned(), self.checksum.hex().to_owned());
                return Err(HubError::Checksum { file, expected, found });
            }
        }
        let blob = cache.blob(&self.checksum);
        // Without this, a crash may leave the name and not the content.
        File::open(partial).and_then(|file| file.sync_all()).map_err(HubError::io(partial))?;
        fs::rename(partial, &blob).map_err(HubError::io(&blob))
    }

    /// Receives until `partial` holds as many bytes as the file has.
    fn receive(
        &self,
        client: &Client<'_>,
        options: &Options,
        partial: &Path,
        report: Report<'_>,
    ) -> Result<(), HubError> {
        let mut retry = Retry::new(options);
        // Only more than there ever was is progress: a hub may make us begin again and again.
        let mut most = kept(partial)?;
        loop {
            let before = kept(partial)?;
            match self.attempt(client, partial, before, report) {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    let done = kept(partial)?;
                    if done >= most.saturating_add(PROGRESS) {
                        most = done;
                        retry.reset();
                    }
                    retry.pause(failure, &mut || report(done, self.size))?;
                }
            }
        }
    }

    /// Makes one request for the missing bytes.
    fn attempt(&self, client: &Client<'_>, partial: &Path, kept: u64, report: Report<'_>) -> Result<(), Failure> {
        // Of a file of unknown size no part can be asked for.
        let kept = if self.size.is_none_or(|size| kept > size) { 0 } else { kept };
        let file = OpenOptions::new().create(true).append(true).open(partial).map_err(HubError::io(partial))?;
        file.set_len(kept).map_err(HubError::io(partial))?;
        tell(report, kept, self.size)?;
        if self.size == Some(kept) {
            return Ok(());
        }
        let another_part = || {
            // Next time, ask for the whole.
            file.set_len(0).map_err(HubError::io(partial))?;
            let error = HubError::Protocol { url: shown(&self.url), reason: "it sent another part of the file" };
            Err(Failure::Transient { error, wait: None })
        };
        let (announced, content) = match client.content(self, kept, &mut || report(kept, self.size)) {
            Err(Failure::Final(HubError::Status { status: 416, .. })) if kept > 0 => return another_part(),
            answer => answer?,
        };
        match (self.size.map(|size| size - kept), announced) {
            (Some(missing), announced) if kept > 0 && announced != Some(missing) => another_part(),
            (Some(size), Some(found)) if found != size => Err(self.wrong_size(partial, size, found)),
            _ => self.write(client, content, file, partial, kept, report),
        }
    }

    fn write(
        &self,
        client: &Client<'_>,
        mut content: Content,
        mut file: File,
        partial: &Path,
        mut done: u64,
        report: Report<'_>,
    ) -> Result<(), Failure> {
        let cut = |done, source| {
            let error = HubError::Cut { file: self.name.to_owned(), done, total: self.size, source };
            Failure::Transient { error, wait: None }
        };
        loop {
            let read = async move { (content.next().await, content) };
            let (piece, rest) = client.background.wait(read, &mut || report(done, self.size))?;
            content = rest;
            let Some(piece) = piece.transpose().map_err(|source| cut(done, Some(source)))? else {
                return if self.size.is_some_and(|size| done < size) { Err(cut(done, None)) } else { Ok(()) };
            };
            let after = done + piece.len() as u64;
            match self.size {
                Some(expected) if after > expected => return Err(self.wrong_size(partial, expected, after)),
                None if after > UNSIZED => {
                    remove(partial)?;
                    return Err(HubError::TooLarge { location: self.name.to_owned(), limit: UNSIZED }.into());
                }
                _ => {}
            }
            file.write_all(&piece).map_err(HubError::io(partial))?;
            done = after;
            tell(report, done, self.size)?;
        }
    }

    fn wrong_size(&self, partial: &Path, expected: u64, found: u64) -> Failure {
        let error = HubError::Size { file: self.name.to_owned(), expected, found };
        remove(partial).err().unwrap_or(error).into()
    }
}

fn tell(report: Report<'_>, done: u64, total: Option<u64>) -> Result<(), Failure> {
    if report(done, total).is_break() { Err(HubError::Cancelled.into()) } else { Ok(()) }
}

/// Bytes that an earlier try has left. What is no plain file is removed: a link would have us write elsewhere.
fn kept(partial: &Path) -> Result<u64, HubError> {
    match fs::symlink_metadata(partial) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => remove(partial).map(|()| 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(HubError::io(partial)(error)),
    }
}

fn remove(path: &Path) -> Result<(), HubError> {
    fs::remove_file(path).map_err(HubError::io(path))
}

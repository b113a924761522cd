use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    pin::pin,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use object_store::UpdateVersion;
use serde::Serialize;
use stir_files::{FileError, Shard};
use tracing::{info, warn};

use crate::{
    CloudError, Place,
    board::{claim_path, done_path},
    results::{self, Done},
};

/// The content of a claim: like no other, as versions may be digests of contents.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Held {
    shard: Shard,
    worker: String,
    /// Tells this attempt from all others.
    attempt: String,
    /// How often the claim was renewed.
    beats: u64,
}

impl Held {
    pub(crate) fn new(shard: Shard, worker: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (process, count) = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Processes on two machines may have one number and one time. A hasher of the library has a random key.
        let random = RandomState::new().hash_one(count);
        let unique = blake3::hash(format!("{worker}/{process}/{time}/{count}/{random}").as_bytes());
        Self { shard, worker: worker.to_owned(), attempt: unique.to_hex()[..32].to_owned(), beats: 0 }
    }

    pub(crate) fn text(&self) -> Result<Vec<u8>, CloudError> {
        Ok(stir_files::json_line(self)?)
    }
}

/// A shard that this worker has claimed, until it is finished or the lease is over.
#[derive(Debug)]
pub struct Claim {
    place: Place,
    lease: Duration,
    held: Held,
    version: UpdateVersion,
    renewed: Instant,
}

/// What became of a finished shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Its files are in the result.
    Kept,
    /// Another worker had finished it before; these files are of no use.
    Late,
}

impl Claim {
    pub(crate) fn new(place: Place, lease: Duration, held: Held, version: UpdateVersion) -> Self {
        Self { place, lease, held, version, renewed: Instant::now() }
    }

    /// Returns the shard.
    pub fn shard(&self) -> Shard {
        self.held.shard
    }

    /// Renews the claim.
    ///
    /// # Errors
    /// [`CloudError::Lost`] if another worker has taken the shard over, and [`CloudError::Store`].
    pub async fn renew(&mut self) -> Result<(), CloudError> {
        let begun = Instant::now();
        let held = Held { beats: self.held.beats + 1, ..self.held.clone() };
        let version = self.place.update(&claim_path(held.shard), held.text()?, &self.version).await?;
        self.version = version.ok_or(CloudError::Lost { shard: held.shard })?;
        (self.held, self.renewed) = (held, begun);
        Ok(())
    }

    /// Renews the claim while `work` runs; returns what it returns. `work` is dropped if the claim is lost, or could not be
    /// renewed for as long as the lease.
    ///
    /// # Errors
    /// [`CloudError::Lost`] if another worker has taken the shard over or the store did not answer in time; the store's own
    /// error, and [`CloudError::File`] for its locks, if it refused until then.
    pub async fn hold<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloudError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(self.lease / 3) => {}
            }
            // The work goes on while the store answers. A machine that slept may still find its claim as it was.
            let left = self.lease.saturating_sub(self.renewed.elapsed()).max(self.lease / 3);
            tokio::select! {
                done = &mut work => return Ok(done),
                renewed = tokio::time::timeout(left, self.renew()) => match renewed {
                    Ok(Ok(())) => {}
                    Ok(Err(error @ CloudError::Store { .. })) if self.renewed.elapsed() < self.lease => {
                        let shard = self.held.shard;
                        warn!(%shard, error = &error as &dyn std::error::Error, "a claim could not be renewed; trying again");
                    }
                    Ok(Err(error)) => return Err(error),
                    Err(_) => return Err(CloudError::Lost { shard: self.held.shard }),
                },
            }
        }
    }

    /// Uploads the files in `folder`, those in its folders included, and says that the shard is done; the claim is renewed
    /// meanwhile. Of two workers that finish one shard the first is kept.
    ///
    /// # Errors
    /// [`CloudError::Lost`], [`CloudError::File`] and [`CloudError::Store`]. The shard is then not done, unless the answer of
    /// the store was lost; a worker that claims it finds out.
    pub async fn finish(mut self, folder: &Path) -> Result<Finished, CloudError> {
        let files = results::files(folder)?;
        let (place, held) = (self.place.clone(), self.held.clone());
        self.hold(async { finish(&place, &held, folder, files).await }).await?
    }
}

async fn finish(place: &Place, held: &Held, folder: &Path, files: Vec<PathBuf>) -> Result<Finished, CloudError> {
    let (shard, attempt) = (held.shard, held.attempt.clone());
    let mut uploaded = Vec::new();
    for file in files {
        let name = results::name(folder, &file).filter(|name| results::is_below(name)).ok_or_else(|| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidFilename, "the name is no plain Unicode");
            FileError::Io { action: "read", path: file.clone(), source }
        })?;
        let (bytes, blake3) = place.upload(&file, &results::path(shard, &attempt, &name)).await?;
        uploaded.push(results::Uploaded { name, bytes, blake3 });
    }
    let done = Done { shard, attempt, worker: held.worker.clone(), files: uploaded };
    if place.create(&done_path(shard), stir_files::json_line(&done)?).await?.is_some() {
        info!(%shard, files = done.files.len(), "a shard is done");
        return Ok(Finished::Kept);
    }
    warn!(%shard, "another worker had finished the shard before");
    for file in &done.files {
        place.discard(&results::path(shard, &done.attempt, &file.name)).await;
    }
    Ok(Finished::Late)
}

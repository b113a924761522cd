use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stir_files::{Settings, Shard, ShardError};
use tracing::{debug, info};

use crate::{Claim, CloudError, Place, claim::Held};

/// What all workers of a run agree on. It is kept in the store, and workers that say otherwise are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The number of shards.
    pub shards: usize,
    /// How long a claim lasts that is not renewed, in milliseconds. It is renewed three times as often; after a worker has
    /// died, its shard is done again this much later.
    pub lease_ms: u64,
    /// What is done: the command, or whatever else tells two runs apart.
    pub work: Value,
}

/// The least lease, in milliseconds.
const LEAST_LEASE: u64 = 30;

/// The shards of a run in an object store: which are done, and which a worker has claimed.
///
/// - A worker claims a shard by writing an object that must not exist, and renews the claim by replacing that object if it
///   is still the one it wrote.
/// - A claim that another worker has seen unchanged for as long as the lease, by its own clock, is taken over by replacing
///   it, if it is still unchanged. Clocks of two machines are never compared.
/// - A shard is done when the object that says so is written, which must not exist. It names the files, which are in a
///   folder of their own for every attempt: a worker that was only slow, or died while it wrote, spoils nothing.
///
/// So a shard may be begun twice, but is never twice in the result.
#[derive(Debug)]
pub struct Board {
    pub(crate) place: Place,
    spec: RunSpec,
    worker: String,
    /// The version of each claim, and when it was first seen.
    seen: HashMap<usize, (String, Instant)>,
}

/// The object with the specification of the run.
const SPEC: &str = "run.json";

pub(crate) fn claim_path(shard: Shard) -> String {
    format!("claims/{}", shard.index())
}

pub(crate) fn done_path(shard: Shard) -> String {
    format!("done/{}", shard.index())
}

impl Board {
    /// Joins the run in the folder `place`, or begins it. `worker` tells this worker from others in logs.
    ///
    /// # Errors
    /// [`CloudError::Shard`] and [`CloudError::Lease`] for a specification out of bounds, [`CloudError::Differs`] if another
    /// run is there, and [`CloudError::Store`].
    pub async fn join(place: Place, spec: RunSpec, worker: impl Into<String>) -> Result<Self, CloudError> {
        if spec.shards == 0 {
            return Err(ShardError::NoShards.into());
        }
        if spec.lease_ms < LEAST_LEASE {
            return Err(CloudError::Lease { milliseconds: spec.lease_ms, at_least: LEAST_LEASE });
        }
        let here = Settings::new(&spec)?;
        place.create(SPEC, here.to_string().into_bytes()).await?;
        let board = Self { place, spec, worker: worker.into(), seen: HashMap::new() };
        board.check_spec().await?;
        Ok(board)
    }

    /// Opens the run in the folder `place`, whose results are to be fetched.
    ///
    /// # Errors
    /// [`CloudError::Foreign`] if there is none, and [`CloudError::Store`].
    pub async fn open(place: Place) -> Result<Self, CloudError> {
        let spec = Self::spec_in(&place).await?;
        Ok(Self { place, spec, worker: String::new(), seen: HashMap::new() })
    }

    /// Checks that the run in the store is still this one: its folder may have been removed, and another begun there.
    async fn check_spec(&self) -> Result<(), CloudError> {
        let there = Settings::new(&Self::spec_in(&self.place).await?)?;
        let Some((field, there, here)) = there.difference(&Settings::new(&self.spec)?) else { return Ok(()) };
        Err(CloudError::Differs { path: self.place.key(SPEC).to_string(), field, there, here })
    }

    async fn spec_in(place: &Place) -> Result<RunSpec, CloudError> {
        let foreign = |what| CloudError::Foreign { path: place.key(SPEC).to_string(), what };
        let (there, _) = place.read(SPEC).await?.ok_or_else(|| foreign("there is no such object"))?;
        serde_json::from_slice(&there).map_err(|_| foreign("it does not describe a run"))
    }

    /// Returns what the workers of the run agree on.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Returns the shards that are done, in order.
    ///
    /// # Errors
    /// [`CloudError::Store`].
    pub async fn done(&self) -> Result<Vec<Shard>, CloudError> {
        let mut done: Vec<usize> =
            self.place.list("done").await?.iter().filter_map(|(name, _)| name.parse().ok()).collect();
        done.sort_unstable();
        Ok(done.into_iter().filter_map(|index| Shard::new(index, self.spec.shards).ok()).collect())
    }

    /// Claims a shard that is not done and that no living worker has; waits until there is one. `None` when all are done.
    ///
    /// # Errors
    /// [`CloudError::Differs`] and [`CloudError::Foreign`] if the run is not the one that was joined any more, and
    /// [`CloudError::Store`].
    pub async fn claim(&mut self) -> Result<Option<Claim>, CloudError> {
        loop {
            self.check_spec().await?;
            if let Some(claim) = self.try_claim().await? {
                return Ok(Some(claim));
            }
            if self.done().await?.len() == self.spec.shards {
                return Ok(None);
            }
            let pause = (self.lease() / 4).min(Duration::from_secs(15));
            tokio::time::sleep(pause).await;
        }
    }

    /// Works like [`claim`](Self::claim), but does not wait: `None` if no shard is free now.
    ///
    /// # Errors
    /// [`CloudError::Store`].
    pub async fn try_claim(&mut self) -> Result<Option<Claim>, CloudError> {
        // Claims before results: what is done in between is then not taken for free.
        let claims: HashMap<String, Option<String>> =
            self.place.list("claims").await?.into_iter().map(|(name, meta)| (name, meta.e_tag)).collect();
        let done: HashSet<usize> = self.done().await?.into_iter().map(Shard::index).collect();
        for shard in Shard::all(self.spec.shards).filter(|shard| !done.contains(&shard.index())) {
            let held = Held::new(shard, &self.worker);
            let version = match claims.get(&shard.index().to_string()) {
                None => self.place.create(&claim_path(shard), held.text()?).await?,
                Some(e_tag) if self.has_expired(shard, e_tag.as_deref().unwrap_or_default()) => {
                    match self.place.read(&claim_path(shard)).await? {
                        Some((_, there)) if there.e_tag == *e_tag => {
                            info!(%shard, worker = self.worker, "a shard is taken over from a worker that is gone");
                            self.place.update(&claim_path(shard), held.text()?, &there).await?
                        }
                        _ => None,
                    }
                }
                Some(_) => None,
            };
            if let Some(version) = version {
                // It may have been finished since the list was made.
                if self.place.read(&done_path(shard)).await?.is_some() {
                    continue;
                }
                debug!(%shard, worker = self.worker, "claimed");
                return Ok(Some(Claim::new(self.place.clone(), self.lease(), held, version)));
            }
        }
        Ok(None)
    }

    /// Returns whether a claim has been of this version for as long as the lease.
    fn has_expired(&mut self, shard: Shard, version: &str) -> bool {
        let now = Instant::now();
        let (seen, since) = self.seen.entry(shard.index()).or_insert_with(|| (version.to_owned(), now));
        if *seen != version {
            (*seen, *since) = (version.to_owned(), now);
        }
        now.duration_since(*since) >= Duration::from_millis(self.spec.lease_ms)
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.spec.lease_ms)
    }
}

//! The output of a run of forks, and the settings next to it.

use std::{iter::Peekable, path::Path};

use serde::Serialize;
use stir_files::{RecordLog, Records, Settings, json_line};

use super::{Fork, ForkConfig, record::Key};
use crate::{Rollout, RolloutError, settings::Sampler};

#[derive(Serialize)]
struct Run<'a> {
    config: &'a ForkConfig,
    #[serde(flatten)]
    sampler: Option<Sampler>,
    /// The digest of the rollouts.
    rollouts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a str>,
}

/// Checks, before there is a model, that a run of forks can begin `out` or resume it, as
/// [`check_output`](crate::check_output) does for rollouts.
///
/// # Errors
/// [`RolloutError::File`] with what is in the way.
pub fn check_fork_output(
    config: &ForkConfig,
    problems: &[Vec<Rollout>],
    judge_name: Option<&str>,
    out: impl AsRef<Path>,
) -> Result<(), RolloutError> {
    Ok(describe(config, None, problems, judge_name)?.check_output(out)?)
}

/// Returns the settings of a run, without `sampler` those that are known before there is a model. The size of the batch
/// is left out: it may change between the parts of a run.
pub(super) fn describe(
    config: &ForkConfig,
    sampler: Option<Sampler>,
    problems: &[Vec<Rollout>],
    judge: Option<&str>,
) -> Result<Settings, RolloutError> {
    let mut digest = blake3::Hasher::new();
    for rollout in problems.iter().flatten() {
        digest.update(&json_line(rollout)?);
    }
    let run = Run { config, sampler, rollouts: digest.finalize().to_hex().to_string(), judge };
    Ok(Settings::new(&run)?.without(&["config", "max_batch"]).indented())
}

/// An output in progress, and what an earlier part of the run left in it. Holding it locks the file.
#[derive(Debug)]
pub(super) struct Output {
    log: RecordLog<Fork, Key>,
    /// Records of earlier parts of the run whose problem has not begun.
    earlier: Peekable<Records<Fork>>,
}

impl Output {
    /// Opens `path`, or begins it; `ids` are those of the problems, in order.
    pub(super) fn open<'p>(
        path: &Path,
        settings: &Settings,
        ids: impl Iterator<Item = &'p str>,
        config: &ForkConfig,
    ) -> Result<Self, RolloutError> {
        let keys = ids.flat_map(|id| {
            let nodes = 1..=config.most_nodes();
            nodes.flat_map(move |node| (0..config.continuations).map(move |k| Key { id: id.to_owned(), node, k }))
        });
        let log = RecordLog::open(path, settings, keys, Key::of)?;
        let earlier = log.records()?.peekable();
        Ok(Self { log, earlier })
    }

    /// Returns what an earlier part of the run drew of a problem. Problems are asked for in order, each once.
    pub(super) fn earlier(&mut self, id: &str) -> Result<Vec<Fork>, RolloutError> {
        let is_of = |record: &Result<Fork, _>| record.as_ref().map_or(true, |fork| fork.id == id);
        let mut found = Vec::new();
        while let Some(fork) = self.earlier.next_if(is_of) {
            found.push(fork?);
        }
        Ok(found)
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    pub(super) fn append(&mut self, fork: &Fork) -> Result<(), RolloutError> {
        Ok(self.log.push(fork)?)
    }

    /// Puts the records in order of problem, boundary and sample.
    pub(super) fn finish(self) -> Result<(), RolloutError> {
        Ok(self.log.finish().map(drop)?)
    }
}

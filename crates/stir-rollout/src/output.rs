//! The output of a run: a log with a record for every sample of every prompt.

use std::{collections::HashMap, fmt, path::Path};

use stir_files::{RecordLog, Settings, Share};

use crate::{Prompt, Rollout, RolloutError};

/// An output in progress. Holding it locks the file against other runs.
#[derive(Debug)]
pub(crate) struct Output {
    log: RecordLog<Rollout, Key>,
}

/// The key of a record.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    id: String,
    k: usize,
}

impl Key {
    fn of(rollout: &Rollout) -> Self {
        Self { id: rollout.id.clone(), k: rollout.k }
    }
}

/// Errors name records by this.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sample {} of {:?}", self.k, self.id)
    }
}

impl Output {
    /// Opens `path`, or begins it; `share` is that of `prompts` in a run of several parts. Hands each record it holds to `found` with the place of its prompt.
    pub(crate) fn open(
        path: &Path,
        prompts: &[Prompt],
        samples: usize,
        settings: &Settings,
        share: Option<Share>,
        mut found: impl FnMut(usize, &Rollout),
    ) -> Result<Self, RolloutError> {
        let places = places(prompts)?;
        let keys = prompts.iter().flat_map(|prompt| (0..samples).map(|k| Key { id: prompt.id.clone(), k }));
        let log = RecordLog::open(path, settings, keys, Key::of)?;
        let log = match share {
            Some(share) => log.sealed(share)?,
            None => log,
        };
        for rollout in log.records()? {
            let rollout = rollout?;
            if let Some(&prompt) = places.get(rollout.id.as_str()) {
                found(prompt, &rollout);
            }
        }
        Ok(Self { log })
    }

    /// Returns the samples that are not in the file: the place of each prompt that lacks some and their numbers, last
    /// first.
    pub(crate) fn missing(&self, prompts: usize, samples: usize) -> Vec<(usize, Vec<usize>)> {
        let of_prompt = |prompt| (0..samples).rev().filter(|k| !self.log.contains(prompt * samples + k)).collect();
        (0..prompts).map(|prompt| (prompt, of_prompt(prompt))).filter(|(_, ks): &(_, Vec<_>)| !ks.is_empty()).collect()
    }

    /// Returns the number of samples in the file.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, rollout: &Rollout) -> Result<(), RolloutError> {
        Ok(self.log.push(rollout)?)
    }

    /// Puts the records in order of prompt and sample, so that a run ends in the same bytes however it went.
    pub(crate) fn finish(self) -> Result<(), RolloutError> {
        Ok(self.log.finish().map(drop)?)
    }
}

/// Returns the place of every prompt.
pub(crate) fn places(prompts: &[Prompt]) -> Result<HashMap<&str, usize>, RolloutError> {
    let mut by_id = HashMap::new();
    for (second, prompt) in prompts.iter().enumerate() {
        if let Some(first) = by_id.insert(prompt.id.as_str(), second) {
            return Err(RolloutError::DuplicatePrompt { id: prompt.id.clone(), first, second });
        }
    }
    Ok(by_id)
}

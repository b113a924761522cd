use std::{path::PathBuf, process::Stdio};

use tempfile::TempDir;
use tokio::process::Command;
use tracing::{info, warn};

use crate::{Board, Claim, CloudError, Finished};

/// What stands for the shard in the command of a worker: `I/N`.
pub const SHARD: &str = "{shard}";
/// What stands for the folder of the shard's output in the command of a worker.
pub const OUT: &str = "{out}";

/// The work of a worker: a command that is run for every shard that it claims.
///
/// ```no_run
/// use stir_cloud::{Board, Place, RunSpec, Work, block_on};
/// let words = "stir rollout --task p.jsonl --shard {shard} --out {out}/rollouts.jsonl";
/// let work = Work::new(words.split(' ').map(String::from))?;
/// let spec = RunSpec { shards: 64, lease_ms: 60_000, work: work.describe() };
/// let done = block_on(async {
///     let mut board = Board::join(Place::open("s3://bucket/run")?, spec, "worker 1").await?;
///     work.run(&mut board).await
/// })??;
/// println!("this worker did {done} shards");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Work {
    words: Vec<String>,
    scratch: Option<PathBuf>,
}

impl Work {
    /// Takes the words of a command, the program first. [`SHARD`] and [`OUT`] in them stand for what differs from shard to
    /// shard.
    ///
    /// # Errors
    /// [`CloudError::Placeholder`] if one of them is missing.
    pub fn new(words: impl IntoIterator<Item = String>) -> Result<Self, CloudError> {
        let words: Vec<String> = words.into_iter().collect();
        for missing in [SHARD, OUT] {
            if !words.iter().skip(1).any(|word| word.contains(missing)) {
                return Err(CloudError::Placeholder { missing });
            }
        }
        Ok(Self { words, scratch: None })
    }

    /// Puts the outputs of shards below this folder until they are uploaded, instead of the system's for temporary files.
    #[must_use]
    pub fn scratch(self, folder: impl Into<PathBuf>) -> Self {
        Self { scratch: Some(folder.into()), ..self }
    }

    /// Returns what tells this work from other work.
    pub fn describe(&self) -> serde_json::Value {
        self.words.iter().map(String::as_str).collect()
    }

    /// Runs the command for one shard after the other until all are done, here or elsewhere; returns how many this worker
    /// did. A command whose claim is lost is killed.
    ///
    /// # Errors
    /// [`CloudError::Command`] for the first command that fails, [`CloudError::Start`], and those of the store.
    pub async fn run(&self, board: &mut Board) -> Result<usize, CloudError> {
        let mut kept = 0;
        while let Some(claim) = board.claim().await? {
            let shard = claim.shard();
            match self.one(claim).await {
                Ok(Finished::Kept) => kept += 1,
                Ok(Finished::Late) => {}
                // The other worker does it.
                Err(CloudError::Lost { .. }) => warn!(%shard, "the claim is lost; the work on the shard was stopped"),
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    async fn one(&self, mut claim: Claim) -> Result<Finished, CloudError> {
        let shard = claim.shard();
        let scratch = match &self.scratch {
            Some(folder) => TempDir::new_in(folder),
            None => TempDir::new(),
        };
        let scratch = scratch.map_err(|source| {
            let path = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
            stir_files::FileError::Io { action: "create", path, source }
        })?;
        let out = scratch.path().display().to_string();
        let mut words = self.words.iter().map(|word| word.replace(SHARD, &shard.to_string()).replace(OUT, &out));
        let program = words.next().unwrap_or_default();
        info!(%shard, program, "the work on a shard begins");
        let mut command = Command::new(&program);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|source| CloudError::Start { program: program.clone().into(), source })?;
        let status = match claim.hold(child.wait()).await {
            Ok(status) => status.map_err(|source| CloudError::Start { program: program.into(), source })?,
            Err(error) => {
                // Before its folder is removed.
                let _ = child.kill().await;
                return Err(error);
            }
        };
        if !status.success() {
            return Err(CloudError::Command { shard, status });
        }
        claim.finish(scratch.path()).await
    }
}

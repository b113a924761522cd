use std::{path::PathBuf, process::Stdio};

use tempfile::TempDir;
use tokio::process::Command;
use tracing::{info, warn};

use crate::{Board, Claim, CloudError, Finished, RunSpec, inputs, results};

/// What stands for the shard in the command of a worker: `I/N`.
pub const SHARD: &str = "{shard}";
/// What stands for the folder of the shard's output in the command of a worker.
pub const OUT: &str = "{out}";

/// The work of a worker: a command that is run for every shard that it claims.
///
/// A word of it that is an address (`s3://`, `gs://`, `az://`, `file:///`) is an input: its object is downloaded before the
/// worker's first shard, or what is below it where it ends in `/`, and the command gets the path of the copy. The settings
/// of a file (`FILE.settings.json`) come with it. Inputs must not
/// change while the run lasts; whether they do is not checked.
///
/// ```no_run
/// use stir_cloud::{Board, Place, Work, block_on};
/// let words = "stir rollout --task s3://bucket/p.jsonl --shard {shard} --out {out}/rollouts.jsonl";
/// let work = Work::new(words.split(' ').map(String::from));
/// let done = block_on(async {
///     let mut board = Board::join(Place::open("s3://bucket/run")?, work.spec(64, 60_000)?, "worker 1").await?;
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
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self { words: words.into_iter().collect(), scratch: None }
    }

    /// Puts inputs and the outputs of shards below this folder until they are uploaded, instead of the system's for temporary files.
    #[must_use]
    pub fn scratch(self, folder: impl Into<PathBuf>) -> Self {
        Self { scratch: Some(folder.into()), ..self }
    }

    /// Returns what all workers of this work agree on, with a lease in milliseconds.
    ///
    /// # Errors
    /// [`CloudError::Placeholder`] if the command lacks [`OUT`], or [`SHARD`] where there are several.
    pub fn spec(&self, shards: usize, lease_ms: u64) -> Result<RunSpec, CloudError> {
        let needed = if shards == 1 { &[OUT][..] } else { &[OUT, SHARD] };
        for missing in needed {
            if !self.words.iter().skip(1).any(|word| word.contains(missing)) {
                return Err(CloudError::Placeholder { missing });
            }
        }
        Ok(RunSpec { shards, lease_ms, work: self.words.iter().map(String::as_str).collect() })
    }

    /// Runs the command for one shard after the other until all are done, here or elsewhere; returns how many this worker
    /// did. A command whose claim is lost is killed.
    ///
    /// # Errors
    /// [`CloudError::Command`] for the first command that fails, [`CloudError::Nothing`] for one that writes no file,
    /// [`CloudError::Start`], and those of the store.
    pub async fn run(&self, board: &mut Board) -> Result<usize, CloudError> {
        let (mut kept, mut inputs) = (0, None);
        while let Some(mut claim) = board.claim().await? {
            let shard = claim.shard();
            let finished = match self.one(&mut claim, &mut inputs).await {
                Ok(out) => claim.finish(out.path()).await,
                Err(error) => Err(error),
            };
            match finished {
                Ok(finished) => kept += usize::from(finished == Finished::Kept),
                // The other worker does it.
                Err(CloudError::Lost { .. }) => warn!(%shard, "the claim is lost; the work on the shard was stopped"),
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// Returns the folder with the output of a shard. `inputs` are the words of the command with the copies of its inputs,
    /// once there are any.
    async fn one(&self, claim: &mut Claim, inputs: &mut Option<(TempDir, Vec<String>)>) -> Result<TempDir, CloudError> {
        let shard = claim.shard();
        let (_, words) = match inputs {
            Some(there) => there,
            None => {
                let folder = self.folder()?;
                let words = claim.hold(inputs::download(&self.words, folder.path())).await??;
                inputs.insert((folder, words))
            }
        };
        let scratch = self.folder()?;
        let out = scratch.path().display().to_string();
        let mut words = words.iter().map(|word| word.replace(SHARD, &shard.to_string()).replace(OUT, &out));
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
        if results::files(scratch.path())?.is_empty() {
            return Err(CloudError::Nothing { shard });
        }
        Ok(scratch)
    }

    /// Makes a folder that is removed with what is returned.
    fn folder(&self) -> Result<TempDir, CloudError> {
        let parent = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let made = std::fs::create_dir_all(&parent).and_then(|()| TempDir::new_in(&parent));
        Ok(made.map_err(|source| stir_files::FileError::Io { action: "create", path: parent, source })?)
    }
}

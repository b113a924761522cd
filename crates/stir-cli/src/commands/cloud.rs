//! `stir cloud` shares the shards of a run through an object store, among workers that come and go.
//!
//! ```text
//! stir cloud copy problems.jsonl s3://bucket/problems.jsonl
//! stir cloud work s3://bucket/run/rollouts --shards 64 -- \
//!     stir rollout --task s3://bucket/problems.jsonl --shard {shard} --out {out}/rollouts.jsonl
//! stir cloud fetch s3://bucket/run/rollouts shards
//! stir merge rollouts.jsonl shards/*/rollouts.jsonl
//! ```

use std::path::PathBuf;

use clap::Subcommand;
use miette::{IntoDiagnostic, Result, bail, ensure};
use stir::cloud::{Board, Place, Work, block_on, copy};

use crate::{output::show, signals::Signals};

/// Share the shards of a run through an object store (s3://, gs://, az://, file://)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run a command for one shard after the other until all are done, here or by other workers
    Work {
        /// Folder of the run in the store; credentials come from the environment
        #[arg(value_name = "URL")]
        url: String,
        /// Number of shards
        #[arg(long, value_name = "N")]
        shards: usize,
        /// Seconds after which the shard of a worker that is gone is taken over
        #[arg(long, value_name = "S", default_value_t = 60)]
        lease: u32,
        /// Name of this worker in logs
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Folder for inputs, and for the outputs of shards until they are uploaded [default: that of temporary files]
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
        /// Command; {shard} in it stands for I/N, {out} for the folder of the shard's output; the objects at addresses in
        /// it (below them, if they end in /) are downloaded first
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Download the outputs of the shards that are done: DIR/I has those of shard I
    Fetch {
        /// Folder of the run in the store
        #[arg(value_name = "URL")]
        url: String,
        /// Folder to write
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Copy a file into a store or out of one
    Copy {
        /// File or address
        from: String,
        /// Address or file
        to: String,
    },
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.action {
        Action::Work { url, shards, lease, name, scratch, command } => {
            let mut work = Work::new(command);
            if let Some(folder) = scratch {
                work = work.scratch(folder);
            }
            let spec = work.spec(shards, 1000 * u64::from(lease)).into_diagnostic()?;
            let name = name.unwrap_or_else(|| format!("process {}", std::process::id()));
            let worked = block_on(async {
                let mut signals = Signals::new().into_diagnostic()?;
                let mut board =
                    Board::join(Place::open(&url).into_diagnostic()?, spec, name).await.into_diagnostic()?;
                // Told to end, a worker ends its command, too.
                tokio::select! {
                    done = work.run(&mut board) => done.into_diagnostic(),
                    () = signals.next() => bail!("stopped by a signal; another worker can have the shard after the lease"),
                }
            });
            show!("{} of {shards} shards were done here; all are done", worked.into_diagnostic()??)
        }
        Action::Fetch { url, dir } => {
            let fetched = block_on(async {
                let board = Board::open(Place::open(&url)?).await?;
                Ok::<_, stir::cloud::CloudError>((board.spec().shards, board.fetch(&dir).await?))
            });
            let (shards, fetched) = fetched.into_diagnostic()?.into_diagnostic()?;
            show!("{} of {shards} shards are in {}", fetched.len(), dir.display())?;
            ensure!(fetched.len() == shards, "{} shards are not done yet", shards - fetched.len());
            Ok(())
        }
        Action::Copy { from, to } => {
            let bytes = block_on(copy(&from, &to)).into_diagnostic()?.into_diagnostic()?;
            show!("{bytes} bytes are in {to}")
        }
    }
}

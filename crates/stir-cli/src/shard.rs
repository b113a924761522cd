//! The part of a run that a process has.

use stir::files::{Shard, ShardError};

use crate::output::told;

/// The part of a run.
#[derive(clap::Args, Debug, Clone, Copy)]
pub(crate) struct ShardArgs {
    /// Do only part I of N of the work, counted from 0; auto: the part that a Slurm array or a Kubernetes Indexed Job gave
    /// this process (docs/cluster.md). Every part has its own --out; `stir merge` puts them together
    #[arg(long, value_name = "I/N|auto", value_parser = parse)]
    pub shard: Option<Shard>,
}

impl ShardArgs {
    /// Says what is left to be done, where this was a part.
    pub(crate) fn tell(self) {
        if let Some(shard) = self.shard {
            told(&format!("shard {shard} is finished; when all are, `stir merge OUT SHARD..` puts them together"));
        }
    }
}

fn parse(text: &str) -> Result<Shard, ShardError> {
    match text {
        "auto" => Shard::of_scheduler(|name| std::env::var(name).ok()),
        text => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_parsed_and_others_refused() {
        assert_eq!(parse("2/8"), Shard::new(2, 8));
        assert!(parse("8/8").is_err() && parse("automatic").is_err());
    }
}

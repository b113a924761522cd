use std::{fmt, ops::ControlFlow, path::Path};

use stir_core::{Scheduler, Text, TokenId};
use tracing::{info, info_span};

use super::{
    ForkConfig,
    grower::Grower,
    output::{Output, describe},
};
use crate::{Failure, FailureReason, Prompt, Rollout, RolloutError, RunError, run::stream_of, settings::Sampler};

/// The progress of a run of forks. How many continuations there will be depends on those that are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkProgress {
    /// The number of problems that are finished.
    pub problems: usize,
    /// The number of problems with right and wrong rollouts.
    pub total: usize,
    /// The number of continuations in the output, including those of earlier parts of the run.
    pub continuations: usize,
    /// The number of tokens generated in this part of the run.
    pub tokens: usize,
}

/// The counts of a run's output, earlier parts of the run included, and what could not be drawn. Of a run that was stopped,
/// the problems that had begun are counted.
#[derive(Debug)]
pub struct ForkSummary<E> {
    /// The number of problems with right and wrong rollouts; the others are passed over.
    pub problems: usize,
    /// The number of boundaries with continuations.
    pub nodes: usize,
    /// The number of those whose continuations are all right or all wrong.
    pub decided: usize,
    /// The number of continuations.
    pub continuations: usize,
    /// The number of right continuations.
    pub correct: usize,
    /// The number of tokens of all continuations.
    pub tokens: usize,
    /// The number of tokens of prompts and prefixes that were encoded in this part of the run.
    pub encoded: usize,
    /// The problems and continuations that could not be drawn, in the order met; a problem counts as one sample.
    pub failures: Vec<Failure<E>>,
    /// True if the run reached its end, false if the observer stopped it.
    pub complete: bool,
}

/// Returns the random stream of continuation `k` of the boundary that `prefix` reaches in an answer to problem `id`: the
/// first eight bytes (little endian) of a BLAKE3 hash of the length of the id, the id, the tokens and `k`, under a key of
/// its own. Numbers are eight bytes, tokens four, all little endian.
///
/// A continuation depends on the seed and on the text that it continues, not on the tree around it.
///
/// ```
/// use stir_rollout::{fork_stream, sample_stream};
/// assert_eq!(fork_stream("p1", &[5, 6], 0), fork_stream("p1", &[5, 6], 0));
/// assert_ne!(fork_stream("p1", &[5, 6], 0), fork_stream("p1", &[5], 6));
/// assert_ne!(fork_stream("p1", &[], 0), sample_stream("p1", 0));
/// ```
pub fn fork_stream(id: &str, prefix: &[TokenId], k: usize) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("stir-rollout: the stream of a continuation");
    hasher.update(&(id.len() as u64).to_le_bytes()).update(id.as_bytes());
    for token in prefix {
        hasher.update(&token.to_le_bytes());
    }
    stream_of(hasher.update(&(k as u64).to_le_bytes()).finalize())
}

/// A run that draws continuations from segment boundaries of rollouts.
///
/// For every problem with right and wrong rollouts a tree of boundaries grows from the end of the prompt, whose
/// continuations the rollouts are. A boundary whose continuations are some right and some wrong is undecided: up to
/// [`children`](ForkConfig::children) of the right ones and as many of the wrong ones are cut at the end of their next
/// segment, and these boundaries are sampled in turn. So the tree says what good and bad continuations of the same state
/// do in one segment, and what that is worth. Tokens are spent where values are open: a boundary whose first half of
/// continuations agrees gets no second half and no children.
///
/// ```
/// use stir_core::{Sampling, toy::ToyEngine};
/// use stir_rollout::{ForkConfig, Forks, Prompt, RolloutConfig, Rollouts, read_forks, read_groups};
///
/// let engine = ToyEngine::new(1);
/// let folder = tempfile::tempdir()?;
/// let (rollouts, out) = (folder.path().join("rollouts.jsonl"), folder.path().join("forks.jsonl"));
/// let prompts = [Prompt { id: "p1".into(), prompt: "abc".into(), gold: Some("s".into()) }];
/// let judge = |_: &Prompt, text: &str| text.len().is_multiple_of(2);
/// let sampling = Sampling { temperature: 4.0, ..Sampling::GREEDY };
/// let config = RolloutConfig { samples: 16, max_tokens: 48, sampling, ..RolloutConfig::default() };
/// Rollouts::new(&engine, config)?.run(&prompts, &judge, &rollouts)?;
///
/// let problems: Vec<_> = read_groups(&rollouts)?.collect::<Result<_, _>>()?;
/// let config = ForkConfig { max_tokens: 48, sampling, ..ForkConfig::default() };
/// let summary = Forks::new(&engine, config)?.run(&problems, &judge, &out)?;
/// assert!(summary.complete && summary.nodes > 0);
/// assert_eq!(read_forks(&out)?.next().unwrap()?.len(), summary.continuations);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Forks<'e, E> {
    pub(super) engine: &'e E,
    pub(super) config: ForkConfig,
    judge_name: Option<String>,
    on_progress: Option<Box<Observer<'e>>>,
}

type Observer<'o> = dyn FnMut(ForkProgress) -> ControlFlow<()> + 'o;

/// Says whether a generated text answers a prompt.
pub(super) type Judge<'j> = dyn Fn(&Prompt, &str) -> bool + 'j;

impl<'e, E: Text> Forks<'e, E> {
    /// Prepares a run on the model that made the rollouts.
    ///
    /// # Errors
    /// [`RolloutError::Setting`], [`RolloutError::Stop`] or [`RolloutError::Sampling`] for a setting out of bounds.
    pub fn new(engine: &'e E, config: ForkConfig) -> Result<Self, RolloutError> {
        config.validate()?;
        Ok(Self { engine, config, judge_name: None, on_progress: None })
    }

    /// Names the judge; see [`Rollouts::judge_name`](crate::Rollouts::judge_name).
    #[must_use]
    pub fn judge_name(self, name: impl Into<String>) -> Self {
        Self { judge_name: Some(name.into()), ..self }
    }

    /// Calls `observer` once at the start and after every record; `Break` ends the run cleanly.
    #[must_use]
    pub fn on_progress(self, observer: impl FnMut(ForkProgress) -> ControlFlow<()> + 'e) -> Self {
        Self { on_progress: Some(Box::new(observer)), ..self }
    }

    /// Grows the tree of every problem and appends each continuation to `out` as soon as it is finished. `problems` are
    /// groups of rollouts, as [`read_groups`](crate::read_groups) gives them; `judge` reads whole answers, as that of
    /// [`Rollouts::run`](crate::Rollouts::run) does.
    ///
    /// If `out` holds continuations of this very run, only the missing ones are drawn. A run that was interrupted ends
    /// in the file that an undisturbed run writes.
    ///
    /// # Errors
    /// [`RunError::Rollout`] for two problems of one id, an output of another run or with a broken line, or a file system
    /// that refuses; [`RunError::Engine`] if the engine fails. Finished continuations stay in `out` in any case.
    pub fn run(
        mut self,
        problems: &[Vec<Rollout>],
        judge: &dyn Fn(&Prompt, &str) -> bool,
        out: impl AsRef<Path>,
    ) -> Result<ForkSummary<E::Error>, RunError<E::Error>> {
        let judge_name = self.judge_name.take();
        let sampler = Sampler::new(self.engine, out.as_ref());
        let settings = describe(&self.config, Some(sampler), problems, judge_name.as_deref())?;
        let mixed: Vec<&[Rollout]> = problems.iter().map(Vec::as_slice).filter(|group| is_mixed(group)).collect();
        let ids = mixed.iter().flat_map(|group| group.first()).map(|rollout| rollout.id.as_str());
        let output = Output::open(out.as_ref(), &settings, ids, &self.config)?;
        let span = info_span!("fork", problems = mixed.len(), resumed = output.len());
        let _entered = span.enter();

        let mut on_progress = self.on_progress.take();
        let mut grower = Grower::new(&self, &mixed, output, judge);
        let mut report = |grower: &Grower<'_, E>| {
            on_progress.as_mut().is_some_and(|observer| observer(grower.progress()).is_break())
        };
        let mut scheduler = Scheduler::new(self.engine, self.config.max_batch);
        let mut drawn = Vec::new();
        let mut stopped = report(&grower);
        while !stopped {
            while scheduler.has_room()
                && let Some((job, decode)) = grower.next()?
            {
                scheduler.push(decode);
                drawn.push(job);
            }
            if scheduler.is_empty() {
                break;
            }
            for (lane, result) in scheduler.step().map_err(|error| RunError::Engine(error.source))? {
                grower.take(drawn[lane.index()], result.map_err(FailureReason::Sampling))?;
                stopped = report(&grower);
                if stopped {
                    break;
                }
            }
        }
        let summary = grower.finish(!stopped)?;
        info!(continuations = summary.continuations, nodes = summary.nodes, "the forks are drawn");
        Ok(summary)
    }
}

impl<E> fmt::Debug for Forks<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, judge_name, .. } = self;
        f.debug_struct("Forks").field("config", config).field("judge_name", judge_name).finish_non_exhaustive()
    }
}

fn is_mixed(group: &[Rollout]) -> bool {
    group.iter().any(|rollout| rollout.correct) && group.iter().any(|rollout| !rollout.correct)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The streams are part of every result's reproducibility: a change of hash must show.
    #[test]
    fn the_streams_are_pinned() {
        assert_eq!([fork_stream("p1", &[], 0), fork_stream("p1", &[1, 2], 3)], PINNED);
    }

    const PINNED: [u64; 2] = [7_300_540_920_076_809_731, 1_478_288_943_774_559_269];
}

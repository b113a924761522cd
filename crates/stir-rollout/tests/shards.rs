//! Runs in parts on the toy engine: what is put together is the run in one piece, byte for byte.

use std::{
    fs,
    ops::ControlFlow::{Break, Continue},
    path::{Path, PathBuf},
};

use stir_core::{
    Sampling,
    toy::{ToyEngine, ToyError},
};
use stir_files::{FileError, MergeError, Seal, Settings, Shard, merge_logs};
use stir_rollout::{Prompt, RolloutConfig, RolloutError, Rollouts, RunError, Summary, check_output};
use tempfile::TempDir;

fn config() -> RolloutConfig {
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    RolloutConfig { samples: 3, max_tokens: 20, sampling, seed: 9, max_batch: 4, ..RolloutConfig::default() }
}

/// Eleven prompts, of which one has no gold answer and one a text that the tokenizer refuses.
fn prompts() -> Vec<Prompt> {
    let prompt = |i: usize| Prompt {
        id: format!("p{i}"),
        prompt: if i == 4 { "✗".into() } else { format!("q{i}") },
        gold: (i != 7).then(|| "s".to_owned()),
    };
    (0..11).map(prompt).collect()
}

fn judge(prompt: &Prompt, text: &str) -> bool {
    text.contains(prompt.gold.as_deref().unwrap())
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: impl ToString) -> PathBuf {
        self.0.path().join(name.to_string())
    }

    fn part(&self, shard: Shard) -> PathBuf {
        self.path(shard.index())
    }

    fn parts(&self, count: usize) -> Vec<PathBuf> {
        Shard::all(count).map(|shard| self.part(shard)).collect()
    }
}

/// Draws the samples of a part, or of the whole run; `most` records at most.
fn draw(
    config: RolloutConfig,
    prompts: &[Prompt],
    shard: Option<Shard>,
    out: &Path,
    most: usize,
) -> Result<Summary<ToyError>, RunError<ToyError>> {
    let (engine, mut before) = (ToyEngine::new(1), None);
    let mut run = Rollouts::new(&engine, config)?.judge_name("letter").on_progress(move |progress| {
        if progress.done - *before.get_or_insert(progress.done) < most { Continue(()) } else { Break(()) }
    });
    if let Some(shard) = shard {
        run = run.shard(shard);
    }
    run.run(prompts, &judge, out)
}

fn same(merged: &Path, whole: &Path) -> bool {
    [(merged.to_owned(), whole.to_owned()), (Settings::path(merged), Settings::path(whole))]
        .iter()
        .all(|(merged, whole)| fs::read(merged).unwrap() == fs::read(whole).unwrap())
}

#[test]
fn parts_put_together_are_the_whole_run() {
    let folder = Folder::new();
    let whole = folder.path("whole");
    let summary = draw(config(), &prompts(), None, &whole, usize::MAX).unwrap();
    assert_eq!((summary.samples, summary.failures.len()), (27, 2));
    for count in [1, 2, 3, 5, 11, 14] {
        let (folder, mut samples) = (Folder::new(), 0);
        for shard in Shard::all(count) {
            // Another batch, and killed after every few samples.
            let config = RolloutConfig { max_batch: 1 + shard.index(), ..config() };
            let summary = loop {
                let summary = draw(config.clone(), &prompts(), Some(shard), &folder.part(shard), 4).unwrap();
                if summary.complete {
                    break summary;
                }
                assert!(!Seal::path(folder.part(shard)).exists());
            };
            assert_eq!(summary.problems, shard.len_of(11));
            samples += summary.samples;
        }
        assert_eq!(samples, 27);
        let out = folder.path("out");
        assert_eq!(merge_logs(&out, &folder.parts(count)).unwrap(), 27);
        assert!(same(&out, &whole), "{count} parts");
        // What was put together is taken up as a run in one piece.
        let summary = draw(config(), &prompts(), None, &out, usize::MAX).unwrap();
        assert!(summary.complete && summary.samples == 27 && same(&out, &whole));
    }
}

#[test]
fn parts_of_other_runs_and_unfinished_ones_are_refused() {
    let folder = Folder::new();
    let shards: Vec<Shard> = Shard::all(2).collect();
    for &shard in &shards {
        draw(config(), &prompts(), Some(shard), &folder.part(shard), usize::MAX).unwrap();
    }
    let merge = || merge_logs(folder.path("out"), &folder.parts(2));
    let remove =
        |part: &Path| [part.to_owned(), Seal::path(part)].iter().for_each(|path| fs::remove_file(path).unwrap());
    let part = folder.part(shards[1]);

    remove(&part);
    draw(RolloutConfig { seed: 10, ..config() }, &prompts(), Some(shards[1]), &part, usize::MAX).unwrap();
    assert!(matches!(merge(), Err(MergeError::Settings { field, .. }) if field == "config.seed"));
    remove(&part);
    draw(config(), &prompts()[..10], Some(shards[1]), &part, usize::MAX).unwrap();
    assert!(matches!(merge(), Err(MergeError::Share { total: 11, .. })));
    remove(&part);
    draw(config(), &prompts(), Some(shards[1]), &part, 5).unwrap();
    assert!(matches!(merge(), Err(MergeError::Unfinished { path }) if path == part));
    assert!(!folder.path("out").exists());
    draw(config(), &prompts(), Some(shards[1]), &part, usize::MAX).unwrap();
    assert_eq!(merge().unwrap(), 27);
}

#[test]
fn an_output_is_gone_on_with_as_the_same_part_alone() {
    let folder = Folder::new();
    let (shard, out) = (Shard::new(1, 3).unwrap(), folder.path("out"));
    draw(config(), &prompts(), Some(shard), &out, usize::MAX).unwrap();
    let check = |shard| check_output(&config(), &prompts(), Some("letter"), Some(shard), &out);
    assert!(check(shard).is_ok());
    for other in [Shard::new(2, 3).unwrap(), Shard::new(1, 4).unwrap()] {
        assert!(matches!(check(other), Err(RolloutError::File(FileError::Settings { field, .. })) if field == "shard"));
    }
    let whole = draw(config(), &prompts(), None, &out, usize::MAX).unwrap_err();
    assert!(
        matches!(whole, RunError::Rollout(RolloutError::File(FileError::Settings { field, .. })) if field == "shard")
    );
    // Two prompts of one id are refused by every part, whichever of them are its own.
    let mut twice = prompts();
    twice[9].id = "p0".into();
    let error = draw(config(), &twice, Some(shard), &folder.path("twice"), usize::MAX).unwrap_err();
    assert!(matches!(error, RunError::Rollout(RolloutError::DuplicatePrompt { first: 0, second: 9, .. })));
}

//! Mining in parts on the toy engine: what is put together is the run in one piece, byte for byte.

use std::{
    fs,
    ops::ControlFlow::{Break, Continue},
    path::PathBuf,
};

use stir_basis::MinedPairs;
use stir_core::{Engine, GenerateOptions, LayerSpec, Request, SampleRng, Sampling, Text, generate, toy::ToyEngine};
use stir_files::{MergeError, Shard};
use stir_induction::{Contrast, Induction, InductionConfig, InductionError, InductionReport, merge_pairs};
use stir_rollout::{ForkConfig, Forks, Prompt, Rollout, RolloutConfig, Rollouts, read_forks, read_groups};

fn config() -> InductionConfig {
    let layers = vec![LayerSpec::Index(-1), LayerSpec::Index(0)];
    InductionConfig { layers, max_batch: 3, ..InductionConfig::default() }
}

/// Fourteen problems, six samples each, with few distinct rewards so that ties are common.
fn groups(engine: &ToyEngine) -> Vec<Vec<Rollout>> {
    let mut rng = SampleRng::new(4, 0);
    let mut group = |c: char| -> Vec<Rollout> {
        let prompt = format!("q{c}");
        let tokens = engine.encode_prompt(&prompt).unwrap();
        let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let request = Request { max_tokens: 60, sampling, samples: 6, seed: c as u64, ..Request::new(tokens) };
        let answers = generate(engine, &[request], GenerateOptions::default()).unwrap().remove(0);
        let judged = answers.into_iter().enumerate().map(|(k, answer)| {
            let correct = rng.below(2) == 1;
            let reward = f64::from(u8::from(correct)) - 0.01 * rng.below(2) as f64;
            let (id, prompt, text) = (c.to_string(), prompt.clone(), engine.vocab().text(&answer.tokens));
            Rollout { id, k, prompt, gold: Some("e".into()), text, token_ids: answer.tokens, correct, reward }
        });
        judged.collect()
    };
    ('a'..='n').map(&mut group).collect()
}

type Mined = (MinedPairs, InductionReport);

fn mine(config: &InductionConfig, shard: Option<Shard>, with: impl FnOnce(Induction<'_, ToyEngine>) -> Mined) -> Mined {
    let engine = ToyEngine::new(1);
    let run = Induction::new(&engine, config.clone()).unwrap().rollout_settings(r#"{"seed":9}"#);
    with(match shard {
        Some(shard) => run.shard(shard),
        None => run,
    })
}

fn bytes(pairs: &MinedPairs) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.stir");
    pairs.save(&path).unwrap();
    fs::read(path).unwrap()
}

fn path(shard: Shard) -> PathBuf {
    format!("{}.stir", shard.index()).into()
}

/// Mines every part and puts them together, last first.
fn in_parts(
    config: &InductionConfig,
    count: usize,
    with: impl Fn(Induction<'_, ToyEngine>) -> Mined,
) -> (MinedPairs, Vec<InductionReport>) {
    let (mut parts, mut reports) = (Vec::new(), Vec::new());
    for shard in Shard::all(count) {
        let (pairs, report) = mine(config, Some(shard), &with);
        // As it is read back.
        let folder = tempfile::tempdir().unwrap();
        pairs.save(folder.path().join("part")).unwrap();
        parts.push((path(shard), MinedPairs::load(folder.path().join("part")).unwrap()));
        reports.push(report);
    }
    parts.reverse();
    (merge_pairs(parts).unwrap(), reports)
}

#[test]
fn parts_put_together_are_the_whole_run() {
    let groups = groups(&ToyEngine::new(1));
    let with = |run: Induction<'_, ToyEngine>| run.run(groups.iter().cloned().map(Ok)).unwrap();
    for config in [
        config(),
        InductionConfig { keep: 5, ..config() },
        InductionConfig { keep: 1, ..config() },
        InductionConfig { contrast: Contrast::RandomSplit { seed: 3 }, ..config() },
    ] {
        let (whole, report) = mine(&config, None, with);
        assert!(whole.pairs.len() > 40 || whole.pairs.len() == config.keep);
        for count in [1, 2, 3, 7, 14, 17] {
            let (merged, reports) = in_parts(&config, count, with);
            assert_eq!(merged, whole, "{count} parts of {config:?}");
            assert_eq!(bytes(&merged), bytes(&whole));
            let problems: Vec<usize> = reports.iter().map(|report| report.problems).collect();
            assert_eq!(problems.iter().sum::<usize>(), report.problems);
            assert!(problems.iter().max().unwrap() - problems.iter().min().unwrap() <= 1);
            assert_eq!(reports.iter().map(|report| report.rollouts).sum::<usize>(), report.rollouts);
        }
    }
}

#[test]
fn forks_go_with_their_problems() {
    let (engine, folder) = (ToyEngine::new(1), tempfile::tempdir().unwrap());
    let (rollouts, file) = (folder.path().join("r.jsonl"), folder.path().join("f.jsonl"));
    let sampling = Sampling { temperature: 4.0, ..Sampling::GREEDY };
    let prompt = |c: char| Prompt { id: c.to_string(), prompt: format!("q{c}"), gold: Some("x".into()) };
    let prompts: Vec<Prompt> = ('a'..='l').map(prompt).collect();
    let judge = |_: &Prompt, text: &str| text.len().is_multiple_of(2);
    let drawn = RolloutConfig { samples: 8, max_tokens: 60, sampling, ..RolloutConfig::default() };
    Rollouts::new(&engine, drawn).unwrap().run(&prompts, &judge, &rollouts).unwrap();
    let groups: Vec<Vec<Rollout>> = read_groups(&rollouts).unwrap().map(Result::unwrap).collect();
    let forks = ForkConfig { max_tokens: 60, sampling, ..ForkConfig::default() };
    Forks::new(&engine, forks).unwrap().run(&groups, &judge, &file).unwrap();
    let with = |run: Induction<'_, ToyEngine>| {
        run.forks(read_forks(&file).unwrap()).run(groups.iter().cloned().map(Ok)).unwrap()
    };
    let config = InductionConfig { contrast: Contrast::Forked, ..config() };
    let (whole, _) = mine(&config, None, with);
    assert!(whole.pairs.len() > 10, "{}", whole.pairs.len());
    for count in [2, 5] {
        assert_eq!(bytes(&in_parts(&config, count, with).0), bytes(&whole));
    }
}

#[test]
fn what_needs_all_problems_is_refused() {
    let (engine, shard) = (ToyEngine::new(1), Shard::new(0, 2).unwrap());
    for (config, name) in [
        (InductionConfig { center: true, ..config() }, "center"),
        (InductionConfig { deconfound: true, ..config() }, "deconfound"),
        (InductionConfig { shrink: true, ..config() }, "shrink"),
        (InductionConfig { contrast: Contrast::Length { max_kl: None }, ..config() }, "the contrast length"),
        (
            InductionConfig { contrast: Contrast::Thoughts { max_kl: None, stable: None }, ..config() },
            "the contrast thoughts",
        ),
    ] {
        let error = Induction::new(&engine, config).unwrap().shard(shard).run([]).unwrap_err();
        assert!(matches!(error, InductionError::Undivided { setting } if setting == name), "{error}");
    }
}

#[test]
fn parts_that_are_not_of_one_run_are_refused() {
    let groups = groups(&ToyEngine::new(1));
    let with = |run: Induction<'_, ToyEngine>| run.run(groups.iter().cloned().map(Ok)).unwrap();
    let part = |config: &InductionConfig, index: usize, count: usize| {
        let shard = Shard::new(index, count).unwrap();
        (path(shard), mine(config, Some(shard), with).0)
    };
    let (config, other) = (config(), InductionConfig { k_pos: 1, ..config() });
    let (first, second) = (part(&config, 0, 2), part(&config, 1, 2));
    let merge = |parts: &[&(PathBuf, MinedPairs)]| merge_pairs(parts.iter().copied().cloned());
    assert!(merge(&[&first, &second]).is_ok());
    assert!(matches!(merge(&[]), Err(MergeError::Nothing)));
    assert!(matches!(merge(&[&second]), Err(MergeError::Gap { count: 2, missing }) if missing == [0]));
    assert!(matches!(merge(&[&first, &second, &first]), Err(MergeError::Twice { .. })));
    assert!(matches!(merge(&[&first, &part(&config, 1, 3)]), Err(MergeError::Division { .. })));
    let error = merge(&[&first, &part(&other, 1, 2)]).unwrap_err();
    assert!(matches!(&error, MergeError::Settings { field, .. } if field == "settings.induction.k_pos"), "{error}");
    let whole = (PathBuf::from("whole"), mine(&config, None, with).0);
    assert!(matches!(merge(&[&first, &whole]), Err(MergeError::NotAShard { path }) if path == whole.0));
    // Of other rollouts.
    let fewer = |run: Induction<'_, ToyEngine>| run.run(groups[1..].iter().cloned().map(Ok)).unwrap();
    let other = (PathBuf::from("other"), mine(&config, Some(Shard::new(1, 2).unwrap()), fewer).0);
    assert!(matches!(merge(&[&first, &other]), Err(MergeError::Share { found: 6, total: 14, .. })));
    let mut stray = second.clone();
    stray.1.pairs[3].problem = "x".into();
    assert!(matches!(merge(&[&first, &stray]), Err(MergeError::Stray { record: 4, id, .. }) if id == "x"));
    // Stopped by its observer.
    let stopped = mine(&config, Some(Shard::new(1, 2).unwrap()), |run| {
        let mut left = 3;
        let run = run.on_progress(|_| {
            left -= 1;
            if left == 0 { Break(()) } else { Continue(()) }
        });
        run.run(groups.iter().cloned().map(Ok)).unwrap()
    });
    assert!(!stopped.1.complete);
    assert!(matches!(merge(&[&first, &(second.0.clone(), stopped.0)]), Err(MergeError::Unfinished { .. })));
}

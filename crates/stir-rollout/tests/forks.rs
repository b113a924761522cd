//! Trees of continuations on the toy engine, against plain generation that shares no code with them.

use std::{
    collections::HashMap,
    fs,
    ops::ControlFlow::{self, Break, Continue},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use stir_core::{
    Engine, GenerateOptions, Request, Sampling, Text, TokenId, generate,
    toy::{ToyEngine, ToyError, Watched},
};
use stir_files::FileError;
use stir_rollout::{
    FailureReason, Fork, ForkConfig, ForkProgress, ForkSummary, Forks, Prompt, Rollout, RolloutConfig, RolloutError,
    Rollouts, RunError, check_fork_output, fork_stream, fork_tree, read_forks, read_groups,
};

const SAMPLING: Sampling = Sampling { temperature: 4.0, ..Sampling::GREEDY };

fn engine() -> ToyEngine {
    ToyEngine::new(1)
}

fn config() -> ForkConfig {
    ForkConfig {
        continuations: 6,
        per_problem: 40,
        max_tokens: 48,
        sampling: SAMPLING,
        seed: 3,
        max_batch: 5,
        ..ForkConfig::default()
    }
}

/// Half of the answers are right, and what follows a boundary decides.
fn judge(_: &Prompt, text: &str) -> bool {
    is_right(text)
}

fn is_right(text: &str) -> bool {
    text.len().is_multiple_of(2)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("forks.jsonl")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.out()).unwrap()
    }
}

/// Rollouts of five prompts.
fn problems() -> Vec<Vec<Rollout>> {
    static PROBLEMS: LazyLock<Vec<Vec<Rollout>>> = LazyLock::new(sampled);
    PROBLEMS.clone()
}

fn sampled() -> Vec<Vec<Rollout>> {
    let prompts = ["abc", "d", "hello", "ab", "zzzz"].iter().enumerate();
    let prompts: Vec<_> = prompts
        .map(|(i, prompt)| Prompt { id: format!("p{i}"), prompt: (*prompt).into(), gold: Some("s".into()) })
        .collect();
    let folder = Folder::new();
    let config = RolloutConfig { samples: 8, max_tokens: 48, sampling: SAMPLING, ..RolloutConfig::default() };
    Rollouts::new(&engine(), config).unwrap().run(&prompts, &judge, folder.out()).unwrap();
    read_groups(folder.out()).unwrap().map(Result::unwrap).collect()
}

fn run(
    config: ForkConfig,
    problems: &[Vec<Rollout>],
    out: &Path,
    observer: impl FnMut(ForkProgress) -> ControlFlow<()>,
) -> Result<ForkSummary<ToyError>, RunError<ToyError>> {
    Forks::new(&engine(), config)?.on_progress(observer).run(problems, &judge, out)
}

fn all(_: ForkProgress) -> ControlFlow<()> {
    Continue(())
}

fn read(out: &Path) -> Vec<Vec<Fork>> {
    read_forks(out).unwrap().map(Result::unwrap).collect()
}

/// Returns what an undisturbed run writes.
fn whole() -> Vec<u8> {
    let folder = Folder::new();
    run(config(), &problems(), &folder.out(), all).unwrap();
    folder.bytes()
}

/// A boundary as text: the answer so far, and the answers that continue it with their judgements.
type Grown = Vec<(Vec<TokenId>, Vec<(Vec<TokenId>, bool)>)>;

/// Grows the tree of a problem with one plain generation after the other.
fn plainly(group: &[Rollout], config: &ForkConfig) -> Grown {
    let engine = engine();
    let text = |tokens: &[TokenId]| engine.vocab().text(tokens);
    let draw = |prefix: &[TokenId], k: usize| {
        let prompt = [engine.encode_prompt(&group[0].prompt).unwrap(), prefix.to_vec()].concat();
        let max_tokens = config.max_tokens - prefix.len();
        let (stream, seed) = (fork_stream(&group[0].id, prefix, k), config.seed);
        let request = Request { max_tokens, sampling: SAMPLING, seed, stream, ..Request::new(prompt) };
        let answer = generate(&engine, &[request], GenerateOptions::default()).unwrap().remove(0).remove(0);
        let whole = [prefix.to_vec(), answer.tokens].concat();
        let right = is_right(&text(&whole));
        (whole, right)
    };
    let half = config.continuations.div_ceil(2);
    let value = |answers: &[(Vec<TokenId>, bool)]| {
        answers.iter().filter(|(_, right)| *right).count() as f64 / answers.len() as f64
    };
    let mut level: Grown = vec![(vec![], group.iter().map(|r| (r.token_ids.clone(), r.correct)).collect())];
    let (mut grown, mut left) = (Vec::new(), config.per_problem);
    while !level.is_empty() {
        // A stable sort: the order of discovery breaks ties.
        level.retain(|(_, answers)| value(answers) > 0.0 && value(answers) < 1.0);
        let weight = |n: usize| n as f64 / (n as f64 + 2.0);
        level.sort_by_key(|(_, answers)| ((value(answers) - 0.5).abs() * weight(answers.len()) * 1e9).round() as i64);
        let mut next: Grown = Vec::new();
        for (prefix, answers) in level {
            let mut found: Vec<Vec<TokenId>> = Vec::new();
            for side in [true, false] {
                let before = found.len();
                for (answer, _) in answers.iter().filter(|(_, right)| *right == side) {
                    // The shortest longer prefix whose text has one delimiter more.
                    let delimiters = |tokens: &[TokenId]| text(tokens).matches("\n\n").count();
                    let longer =
                        (prefix.len() + 1..answer.len()).find(|&n| delimiters(&answer[..n]) > delimiters(&prefix));
                    let Some(end) = longer else { continue };
                    let m = delimiters(&prefix) + 1;
                    let boundary = answer[..end].to_vec();
                    if found.len() < before + config.children
                        && m <= config.max_control_points
                        && !found.contains(&boundary)
                    {
                        found.push(boundary);
                    }
                }
            }
            for boundary in found {
                if left >= half {
                    left -= half;
                    let answers = (0..half).map(|k| draw(&boundary, k)).collect();
                    next.push((boundary, answers));
                }
            }
        }
        let mut order: Vec<usize> = (0..next.len()).collect();
        order.sort_by_key(|&i| ((value(&next[i].1) - 0.5).abs() * 1e9).round() as i64);
        for i in order {
            let (boundary, answers) = &mut next[i];
            let mixed = (0.01..0.99).contains(&value(answers));
            if mixed && left >= config.continuations - half {
                left -= config.continuations - half;
                answers.extend((half..config.continuations).map(|k| draw(boundary, k)));
            }
        }
        grown.extend(next.iter().cloned());
        level = next;
    }
    grown
}

#[test]
fn trees_are_those_of_plain_generation() {
    let problems = problems();
    for config in [
        config(),
        ForkConfig { children: 1, continuations: 5, ..config() },
        ForkConfig { per_problem: 13, ..config() },
        ForkConfig { max_control_points: 1, per_problem: 200, ..config() },
    ] {
        let folder = Folder::new();
        let summary = run(config.clone(), &problems, &folder.out(), all).unwrap();
        assert!(summary.complete && summary.failures.is_empty());
        let mut forks: HashMap<String, Vec<Fork>> =
            read(&folder.out()).into_iter().map(|group| (group[0].id.clone(), group)).collect();
        let (mut nodes, mut decided, mut deepest) = (0, 0, 0);
        for group in &problems {
            let expected = plainly(group, &config);
            let found = forks.remove(&group[0].id).unwrap_or_default();
            assert!(found.len() <= config.per_problem);
            let tree = fork_tree(group, &found, |rollout| Some(rollout.token_ids.clone())).unwrap();
            let grown: Grown = tree
                .values()
                .skip(1)
                .map(|node| {
                    let answers = node.continuations.iter().map(|c| (node.answer(c), c.correct)).collect();
                    (node.prefix.clone(), answers)
                })
                .collect();
            assert_eq!(grown, expected, "{config:?}");
            nodes += grown.len();
            decided += tree.values().skip(1).filter(|node| !node.is_mixed()).count();
            deepest = deepest.max(tree.values().map(|node| node.m).max().unwrap());
            for fork in &found {
                assert_eq!(fork.text, engine().vocab().text(&fork.token_ids));
            }
        }
        assert!(nodes > 4 && forks.is_empty(), "{nodes}");
        assert_eq!((summary.nodes, summary.decided), (nodes, decided));
        assert!(config.max_control_points == 1 || deepest > 1);
    }
}

#[test]
fn a_boundary_that_is_decided_gets_no_second_half_and_no_children() {
    let folder = Folder::new();
    run(config(), &problems(), &folder.out(), all).unwrap();
    let (mut short, mut full) = (0, 0);
    let problems: HashMap<_, _> = problems().into_iter().map(|group| (group[0].id.clone(), group)).collect();
    for forks in read(&folder.out()) {
        let tree = fork_tree(&problems[&forks[0].id], &forks, |rollout| Some(rollout.token_ids.clone())).unwrap();
        let parents: Vec<usize> = tree.values().filter_map(|node| node.parent).map(|(parent, _)| parent).collect();
        for (number, node) in tree.iter().skip(1) {
            let half = &node.continuations[..3];
            if half.iter().all(|c| c.correct == half[0].correct) {
                assert!(node.continuations.len() == 3 && !parents.contains(number));
                short += 1;
            }
            full += usize::from(node.continuations.len() == 6);
        }
    }
    assert!(short > 0 && full > 0, "{short} {full}");
}

#[test]
fn neither_batch_size_nor_neighbours_change_a_tree() {
    let expected = whole();
    for max_batch in [1, 64] {
        let folder = Folder::new();
        run(ForkConfig { max_batch, ..config() }, &problems(), &folder.out(), all).unwrap();
        assert_eq!(folder.bytes(), expected);
    }
    let folder = Folder::new();
    let mut reversed = problems();
    reversed.reverse();
    run(config(), &reversed[1..], &folder.out(), all).unwrap();
    let (text, found) = (String::from_utf8(expected).unwrap(), String::from_utf8(folder.bytes()).unwrap());
    assert!(found.lines().count() > 20 && found.lines().all(|line| text.contains(line)));
}

#[test]
fn a_run_that_was_stopped_after_any_record_goes_on_to_the_same_bytes() {
    let expected = whole();
    let records = expected.iter().filter(|byte| **byte == b'\n').count();
    assert!(records > 60, "{records}");
    for stop in (0..records).step_by(9).chain([1, 2, records - 1]) {
        let folder = Folder::new();
        let summary =
            run(
                config(),
                &problems(),
                &folder.out(),
                |p| if p.continuations == stop { Break(()) } else { Continue(()) },
            );
        let summary = summary.unwrap();
        assert!(!summary.complete && summary.continuations == stop);
        let mut first = None;
        // The rest in another batch: the settings guard lets that pass.
        let summary = run(ForkConfig { max_batch: 3, ..config() }, &problems(), &folder.out(), |p| {
            first.get_or_insert(p);
            Continue(())
        })
        .unwrap();
        assert_eq!(first.unwrap().continuations, stop);
        assert!(summary.complete && summary.continuations == records);
        assert_eq!(folder.bytes(), expected);
    }
}

#[test]
fn a_torn_file_goes_on_to_the_same_bytes() {
    let expected = whole();
    for part in 1..9 {
        let folder = Folder::new();
        run(config(), &problems(), &folder.out(), |p| if p.continuations == 50 { Break(()) } else { Continue(()) })
            .unwrap();
        let bytes = folder.bytes();
        fs::write(folder.out(), &bytes[..bytes.len() * part / 9]).unwrap();
        assert!(run(config(), &problems(), &folder.out(), all).unwrap().complete);
        assert_eq!(folder.bytes(), expected);
    }
}

#[test]
fn a_finished_run_does_nothing_more() {
    let folder = Folder::new();
    let first = run(config(), &problems(), &folder.out(), all).unwrap();
    let before = folder.bytes();
    let again = run(config(), &problems(), &folder.out(), |p| {
        assert_eq!(p.tokens, 0);
        Continue(())
    })
    .unwrap();
    assert_eq!(folder.bytes(), before);
    let counts = |s: &ForkSummary<ToyError>| (s.problems, s.nodes, s.decided, s.continuations, s.correct, s.tokens);
    assert_eq!(counts(&again), counts(&first));
}

#[test]
fn other_settings_are_refused_before_and_with_a_model() {
    let folder = Folder::new();
    let problems = problems();
    run(config(), &problems, &folder.out(), |p| if p.continuations == 3 { Break(()) } else { Continue(()) }).unwrap();
    let before = folder.bytes();
    let field = |result: Result<(), RolloutError>| match result {
        Err(RolloutError::File(FileError::Settings { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    let check = |config: &ForkConfig, problems: &[Vec<Rollout>], judge| {
        check_fork_output(config, problems, judge, folder.out())
    };
    check(&ForkConfig { max_batch: 1, ..config() }, &problems, None).unwrap();
    assert_eq!(field(check(&ForkConfig { children: 3, ..config() }, &problems, None)), "config.children");
    assert_eq!(field(check(&config(), &problems[1..], None)), "rollouts");
    assert_eq!(field(check(&config(), &problems, Some("stern"))), "judge");
    let refused = |result: Result<ForkSummary<ToyError>, RunError<ToyError>>| match result {
        Err(RunError::Rollout(error)) => Err(error),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(refused(run(ForkConfig { seed: 1, ..config() }, &problems, &folder.out(), all))), "config.seed");
    let other = Forks::new(&ToyEngine::new(2), config()).unwrap().run(&problems, &judge, folder.out());
    assert_eq!(field(refused(other)), "model.weights");
    assert!(Forks::new(&engine(), ForkConfig { sampling: Sampling::GREEDY, ..config() }).is_err());
    assert_eq!(folder.bytes(), before);

    let twice = [problems.clone(), problems].concat();
    let refused = run(config(), &twice, &Folder::new().out(), all);
    assert!(matches!(refused, Err(RunError::Rollout(RolloutError::File(FileError::DuplicateKey { .. })))));
}

#[test]
fn problems_that_cannot_be_continued_do_not_hold_up_the_others() {
    let (folder, mut all_problems) = (Folder::new(), problems());
    let mut strange = |place: usize, id: &str, change: &dyn Fn(&mut Rollout)| {
        let mut group = problems()[0].clone();
        group.iter_mut().for_each(|rollout| {
            rollout.id = id.into();
            change(rollout);
        });
        all_problems.insert(place, group);
    };
    strange(0, "unjudged", &|rollout| rollout.gold = None);
    strange(2, "unknown", &|rollout| rollout.prompt = "É".into());
    strange(3, "right", &|rollout| rollout.correct = true);
    let summary = run(config(), &all_problems, &folder.out(), all).unwrap();
    let failed: Vec<_> = summary.failures.iter().map(|failure| failure.id.as_str()).collect();
    assert_eq!(failed, ["unjudged", "unknown"]);
    assert!(matches!(summary.failures[0].reason, FailureReason::NoGold));
    assert!(summary.complete && folder.bytes() == whole());
}

#[test]
fn text_is_enough_and_judges_read_whole_answers() {
    let folder = Folder::new();
    let mut problems = problems();
    problems.iter_mut().flatten().for_each(|rollout| {
        rollout.prompt = format!("{}<think>", rollout.prompt);
        rollout.token_ids.clear();
    });
    let read = std::cell::RefCell::new(Vec::new());
    let judge = |_: &Prompt, text: &str| {
        read.borrow_mut().push(text.to_owned());
        is_right(text)
    };
    let engine = engine().passing_over_unknown();
    Forks::new(&engine, config()).unwrap().run(&problems, &judge, folder.out()).unwrap();
    let forks = self::read(&folder.out()).concat();
    let mut expected: Vec<String> = forks
        .iter()
        .map(|fork| {
            let answer = [&fork.prefix[..], &fork.token_ids].concat();
            format!("<think>{}", engine.vocab().text(&answer))
        })
        .collect();
    let mut read = read.into_inner();
    assert!(read.len() > 20);
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
    let judged = |fork: &Fork| {
        let answer = engine.vocab().text(&[&fork.prefix[..], &fork.token_ids].concat());
        is_right(&format!("<think>{answer}"))
    };
    assert!(forks.iter().all(|fork| fork.correct == judged(fork)));
}

#[test]
fn a_prefix_is_encoded_once_and_batches_are_full() {
    let (folder, widest, encoded) = (Folder::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let engine = Watched::new(engine(), |rows, _| {
        assert!(rows.iter().all(|row| row.capture.is_empty()), "forks read no hidden state");
        if rows[0].logits {
            widest.fetch_max(rows.len(), Relaxed);
        } else {
            encoded.fetch_add(rows.iter().map(|row| row.tokens.len()).sum(), Relaxed);
        }
    });
    let summary = Forks::new(&engine, config()).unwrap().run(&problems(), &judge, folder.out()).unwrap();
    let prompts: HashMap<String, usize> = problems()
        .iter()
        .map(|group| (group[0].id.clone(), engine.encode_prompt(&group[0].prompt).unwrap().len()))
        .collect();
    let forks = read(&folder.out());
    let mut expected = 0;
    for group in problems().iter().filter(|g| g.iter().any(|r| r.correct) && g.iter().any(|r| !r.correct)) {
        expected += prompts[&group[0].id] - 1;
    }
    for group in forks {
        let nodes: HashMap<usize, usize> = group.iter().map(|fork| (fork.node, fork.prefix.len())).collect();
        expected += nodes.values().sum::<usize>();
    }
    assert_eq!((widest.load(Relaxed), encoded.load(Relaxed), summary.encoded), (5, expected, expected));
}

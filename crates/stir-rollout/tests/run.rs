//! Whole runs on the toy engine: what is drawn, what survives an interruption, what is refused.

use std::{
    fs,
    ops::ControlFlow::{self, Break, Continue},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use proptest::prelude::*;
use stir_core::{
    Decode, Engine, Finish, GenerateOptions, Request, Sampling, Text, drive,
    toy::{ToyEngine, ToyError, Watched},
};
use stir_files::FileError;
use stir_rollout::{
    FailureReason, Progress, Prompt, RolloutConfig, RolloutError, Rollouts, RunError, Summary, check_output,
    read_groups, read_rollouts, reward, sample_stream, sampled_by,
};

fn engine() -> ToyEngine {
    ToyEngine::new(1)
}

fn config() -> RolloutConfig {
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    RolloutConfig { samples: 4, max_tokens: 24, sampling, seed: 9, max_batch: 5, ..RolloutConfig::default() }
}

fn prompts() -> Vec<Prompt> {
    ["abc", "d", "hello", "ab", "zzzz"]
        .iter()
        .enumerate()
        .map(|(i, prompt)| Prompt { id: format!("p{i}"), prompt: (*prompt).into(), gold: Some("s".into()) })
        .collect()
}

fn judge(prompt: &Prompt, text: &str) -> bool {
    text.contains(prompt.gold.as_deref().unwrap())
}

fn run(
    config: RolloutConfig,
    prompts: &[Prompt],
    out: &Path,
    observer: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary<ToyError>, RunError<ToyError>> {
    Rollouts::new(&engine(), config)?.on_progress(observer).run(prompts, &judge, out)
}

fn all(_: Progress) -> ControlFlow<()> {
    Continue(())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("rollouts.jsonl")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.out()).unwrap()
    }
}

/// Returns what an undisturbed run writes.
fn whole() -> Vec<u8> {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), all).unwrap();
    folder.bytes()
}

#[test]
fn every_sample_is_the_plain_decoding_of_its_own_stream() {
    let folder = Folder::new();
    let summary = run(config(), &prompts(), &folder.out(), all).unwrap();
    let engine = engine();
    let rollouts: Vec<_> = read_rollouts(folder.out()).unwrap().map(Result::unwrap).collect();
    let order: Vec<_> = rollouts.iter().map(|r| (r.id.clone(), r.k)).collect();
    assert!(order.is_sorted() && order.len() == 20);
    for r in &rollouts {
        let (prompt, stream) = (engine.encode_prompt(&r.prompt).unwrap(), sample_stream(&r.id, r.k));
        let sampling = config().sampling;
        let request = Request { max_tokens: 24, sampling, seed: 9, stream, ..Request::new(prompt) };
        let lane = Decode::new(&engine, &request, 0).unwrap();
        drive(&engine, [lane], 1, |_, g| {
            assert_eq!(g.tokens, r.token_ids);
            assert!(g.finish == Finish::Eos || g.tokens.len() == 24);
            Continue(())
        })
        .unwrap();
        assert_eq!(r.text, engine.vocab().text(&r.token_ids));
        assert_eq!(r.correct, r.text.contains('s'));
        assert_eq!(r.reward, reward(r.correct, r.token_ids.len(), 0.01, 24));
    }
    let right = rollouts.iter().filter(|r| r.correct).count();
    let tokens: usize = rollouts.iter().map(|r| r.token_ids.len()).sum();
    assert_eq!((summary.problems, summary.samples, summary.correct, summary.tokens), (5, 20, right, tokens));
    let at_limit = rollouts.iter().filter(|r| r.token_ids.len() == 24).count();
    assert!(at_limit > 0 && summary.at_limit == at_limit);
    assert_eq!(summary.accuracy(), Some(right as f64 / 20.0));
    assert_eq!(summary.mean_tokens(), Some(tokens as f64 / 20.0));
    let groups: Vec<_> = read_groups(folder.out()).unwrap().map(Result::unwrap).collect();
    let mixed = groups.iter().filter(|g| g.iter().any(|r| r.correct) && g.iter().any(|r| !r.correct)).count();
    assert!(mixed > 0);
    assert_eq!(summary.mixed_share(), Some(mixed as f64 / 5.0));
}

#[test]
fn stop_strings_end_samples_and_their_texts() {
    let (folder, engine) = (Folder::new(), engine());
    let stopped = RolloutConfig { stop: ["s", "\n", "e", "o"].map(Into::into).to_vec(), ..config() };
    run(stopped.clone(), &prompts(), &folder.out(), all).unwrap();
    let free: Vec<serde_json::Value> =
        String::from_utf8(whole()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut cut = 0;
    for (r, free) in read_rollouts(folder.out()).unwrap().map(Result::unwrap).zip(free) {
        let text = free["text"].as_str().unwrap();
        let end = text.find(['s', '\n', 'e', 'o']);
        assert_eq!(r.text, text[..end.unwrap_or(text.len())]);
        assert!(!r.correct, "the judge sees the text as it is written");
        // The tokens hold the stop string; the reward counts them.
        assert_eq!(engine.vocab().text(&r.token_ids).find(['s', '\n', 'e', 'o']), end);
        assert_eq!(r.reward, reward(false, r.token_ids.len(), 0.01, 24));
        cut += usize::from(end.is_some());
    }
    assert!(cut > 6, "{cut} of 20");
    let error = refused(run(RolloutConfig { stop: vec![], ..stopped }, &prompts(), &folder.out(), all));
    assert!(
        matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "config.stop"),
        "{error}"
    );
}

#[test]
fn neither_batch_size_nor_neighbours_change_a_sample() {
    let expected = whole();
    let folder = Folder::new();
    run(RolloutConfig { max_batch: 1, ..config() }, &prompts(), &folder.out(), all).unwrap();
    assert_eq!(folder.bytes(), expected);

    let folder = Folder::new();
    let mut reversed = prompts();
    reversed.reverse();
    run(config(), &reversed[1..], &folder.out(), all).unwrap();
    let text = String::from_utf8(expected).unwrap();
    let found = String::from_utf8(folder.bytes()).unwrap();
    assert!(found.lines().count() == 16 && found.lines().all(|line| text.contains(line)));
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bytes() {
    let expected = whole();
    for stop in [0, 1, 7, 19] {
        let folder = Folder::new();
        let mut progress = Vec::new();
        let summary = run(config(), &prompts(), &folder.out(), |p| {
            progress.push(p);
            if p.done == stop { Break(()) } else { Continue(()) }
        })
        .unwrap();
        assert!(!summary.complete && summary.samples == stop);
        assert!(progress.iter().map(|p| p.done).eq(0..=stop) && progress.iter().all(|p| p.total == 20));
        let mut first = None;
        // The rest in another max_batch: the settings guard lets that pass.
        let summary = run(RolloutConfig { max_batch: 3, ..config() }, &prompts(), &folder.out(), |p| {
            first.get_or_insert(p);
            Continue(())
        })
        .unwrap();
        assert_eq!(first, Some(Progress { done: stop, total: 20, tokens: 0 }));
        assert!(summary.complete && summary.samples == 20);
        assert_eq!(folder.bytes(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A process may die in the middle of any write: any prefix of the file resumes to the whole.
    #[test]
    fn a_torn_file_goes_on_to_the_same_bytes(cut in 0.0f64..1.0, finished: bool) {
        let expected = whole();
        let folder = Folder::new();
        run(config(), &prompts(), &folder.out(), |p| if p.done == 15 && !finished { Break(()) } else { Continue(()) }).unwrap();
        let bytes = folder.bytes();
        fs::write(folder.out(), &bytes[..(bytes.len() as f64 * cut) as usize]).unwrap();
        prop_assert!(run(config(), &prompts(), &folder.out(), all).unwrap().complete);
        prop_assert_eq!(folder.bytes(), expected);
    }
}

#[test]
fn a_last_record_that_lacks_only_its_line_feed_is_kept() {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), |p| if p.done == 3 { Break(()) } else { Continue(()) }).unwrap();
    fs::write(folder.out(), folder.bytes().trim_ascii_end()).unwrap();
    run(config(), &prompts(), &folder.out(), |p| {
        assert_eq!(p.done, 3);
        Break(())
    })
    .unwrap();
    assert!(run(config(), &prompts(), &folder.out(), all).unwrap().complete);
    assert_eq!(folder.bytes(), whole());
}

#[test]
fn a_finished_run_does_nothing_more() {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), all).unwrap();
    let before = folder.bytes();
    let summary = run(config(), &prompts(), &folder.out(), |p| {
        assert_eq!((p.done, p.tokens), (20, 0));
        Continue(())
    })
    .unwrap();
    assert!(summary.complete && summary.tokens > 0);
    assert_eq!(folder.bytes(), before);
}

fn refused(result: Result<Summary<ToyError>, RunError<ToyError>>) -> RolloutError {
    match result {
        Err(RunError::Rollout(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn judges_read_the_reasoning_that_the_prompt_opens() {
    let (folder, read) = (Folder::new(), std::cell::RefCell::new(Vec::new()));
    let prompt = |id: &str, prompt: &str| Prompt { id: id.into(), prompt: prompt.into(), gold: Some("s".into()) };
    let prompts = [prompt("open", "abc<think>\n"), prompt("plain", "abc")];
    let judge = |prompt: &Prompt, text: &str| {
        read.borrow_mut().push((prompt.id.clone(), text.to_owned()));
        true
    };
    let engine = engine().passing_over_unknown();
    Rollouts::new(&engine, config()).unwrap().run(&prompts, &judge, folder.out()).unwrap();
    let mut expected = Vec::new();
    for rollout in read_rollouts(folder.out()).unwrap() {
        let rollout = rollout.unwrap();
        assert!(!rollout.text.contains("<think>"), "what is on record is what was generated");
        let tag = if rollout.id == "open" { "<think>" } else { "" };
        expected.push((rollout.id, format!("{tag}{}", rollout.text)));
    }
    let mut read = read.into_inner();
    read.sort();
    expected.sort();
    assert_eq!((read.len(), read), (8, expected));
}

#[test]
fn a_run_begun_before_fingerprints_named_the_quantisation_resumes() {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), |p| if p.done == 3 { Break(()) } else { Continue(()) }).unwrap();
    let engine = engine().stored_as("BF16");
    let summary = Rollouts::new(&engine, config()).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    assert_eq!(summary.samples, 20);
}

#[test]
fn the_settings_name_the_model_with_its_quantisation() {
    let (folder, engine) = (Folder::new(), engine().stored_as("Q4_K+Q6_K"));
    Rollouts::new(&engine, config()).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    let settings = fs::read_to_string(stir_files::Settings::path(folder.out())).unwrap();
    assert_eq!(sampled_by(&settings).as_ref(), Some(engine.fingerprint()));
    // Another quantisation is another run.
    let other = self::engine().stored_as("F16");
    let error = refused(Rollouts::new(&other, config()).unwrap().run(&prompts(), &judge, folder.out()));
    assert!(error.to_string().contains("Q4_K+Q6_K:") && error.to_string().contains("F16:"), "{error}");
}

#[test]
fn what_is_in_the_way_of_an_output_is_told_before_there_is_a_model() {
    let folder = Folder::new();
    let check =
        |config: &RolloutConfig, prompts: &[Prompt], judge| check_output(config, prompts, judge, None, folder.out());
    check(&config(), &prompts(), None).unwrap();
    assert!(!folder.out().exists());
    run(config(), &prompts(), &folder.out(), |p| if p.done == 3 { Break(()) } else { Continue(()) }).unwrap();
    let before = folder.bytes();
    check(&RolloutConfig { max_batch: 1, ..config() }, &prompts(), None).unwrap();
    let field = |checked: Result<(), RolloutError>| match checked {
        Err(RolloutError::File(FileError::Settings { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(check(&RolloutConfig { seed: 1, ..config() }, &prompts(), None)), "config.seed");
    assert_eq!(field(check(&config(), &prompts()[1..], None)), "tasks");
    assert_eq!(field(check(&config(), &prompts(), Some("stern"))), "judge");
    fs::remove_file(stir_files::Settings::path(folder.out())).unwrap();
    let error = check(&config(), &prompts(), None).unwrap_err();
    assert!(matches!(error, RolloutError::File(FileError::NoSettings { records: 3, .. })), "{error}");
    assert_eq!(folder.bytes(), before);
}

#[test]
fn two_settings_are_never_mixed() {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), |p| if p.done == 3 { Break(()) } else { Continue(()) }).unwrap();
    let before = folder.bytes();
    let sampling = Sampling { temperature: 0.5, ..config().sampling };
    for (changed, name, was, is) in [
        (RolloutConfig { max_tokens: 25, ..config() }, "config.max_tokens", "24", "25"),
        (RolloutConfig { sampling, ..config() }, "config.sampling.temperature", "1.0", "0.5"),
    ] {
        match refused(run(changed, &prompts(), &folder.out(), all)) {
            RolloutError::File(FileError::Settings { field, then, now, .. }) => {
                assert_eq!((field.as_str(), then.as_str(), now.as_str()), (name, was, is));
            }
            other => panic!("{other:?}"),
        }
    }
    let error = refused(run(config(), &prompts()[..4], &folder.out(), all));
    assert!(matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "tasks"), "{error}");
    let other = ToyEngine::new(2);
    let error = refused(Rollouts::new(&other, config()).unwrap().run(&prompts(), &judge, folder.out()));
    assert!(
        matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "model.weights"),
        "{error}"
    );

    let error =
        refused(Rollouts::new(&engine(), config()).unwrap().judge_name("stern").run(&prompts(), &judge, folder.out()));
    assert!(matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "judge"), "{error}");
    let endless = ToyEngine::without_eos(1);
    let error = refused(Rollouts::new(&endless, config()).unwrap().run(&prompts(), &judge, folder.out()));
    assert!(
        matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "end_tokens"),
        "{error}"
    );
    let elsewhere = engine().on_device("cuda:0");
    let error = refused(Rollouts::new(&elsewhere, config()).unwrap().run(&prompts(), &judge, folder.out()));
    assert!(matches!(&error, RolloutError::File(FileError::Settings { field, .. }) if field == "device"), "{error}");

    let sidecar = folder.0.path().join("rollouts.jsonl.settings.json");
    fs::write(&sidecar, "{").unwrap();
    assert!(matches!(
        refused(run(config(), &prompts(), &folder.out(), all)),
        RolloutError::File(FileError::BrokenSettings { .. })
    ));
    fs::remove_file(&sidecar).unwrap();
    let error = refused(run(config(), &prompts(), &folder.out(), all));
    assert!(matches!(error, RolloutError::File(FileError::NoSettings { records: 3, .. })));
    assert_eq!(folder.bytes(), before);
}

#[test]
fn a_broken_line_in_the_middle_is_named_and_nothing_is_deleted() {
    let folder = Folder::new();
    run(config(), &prompts(), &folder.out(), |p| if p.done == 4 { Break(()) } else { Continue(()) }).unwrap();
    let text = String::from_utf8(folder.bytes()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let check = |content: String| {
        fs::write(folder.out(), &content).unwrap();
        let error = refused(run(config(), &prompts(), &folder.out(), all));
        assert_eq!(folder.bytes(), content.as_bytes());
        error
    };
    let broken = check([lines[0], &lines[1][..20], lines[2], &lines[3][..9]].join("\n"));
    assert!(matches!(broken, RolloutError::File(FileError::Line { line: 2, .. })), "{broken}");
    let twice = check([lines[0], lines[1], lines[0], ""].join("\n"));
    assert!(matches!(twice, RolloutError::File(FileError::DuplicateRecord { line: 3, .. })), "{twice}");
    let stranger = check(format!("{}\n", lines[0].replace("\"id\":\"p", "\"id\":\"x")));
    assert!(matches!(stranger, RolloutError::File(FileError::Unasked { line: 1, .. })), "{stranger}");
}

#[test]
fn prompts_that_cannot_be_done_do_not_hold_up_the_others() {
    let folder = Folder::new();
    let mut all_prompts = prompts();
    let add =
        |id: &str, prompt: String, gold: Option<&str>| Prompt { id: id.into(), prompt, gold: gold.map(Into::into) };
    all_prompts.insert(1, add("unknown", "A".into(), Some("e")));
    all_prompts.insert(3, add("long", "a".repeat(96), Some("e")));
    all_prompts.push(add("empty", String::new(), Some("e")));
    all_prompts.push(add("unjudged", "a".into(), None));
    let mut last = None;
    let summary = run(config(), &all_prompts, &folder.out(), |p| {
        last = Some(p);
        Continue(())
    })
    .unwrap();
    assert!(summary.complete);
    assert_eq!((summary.problems, summary.sampled, summary.samples), (9, 5, 20));
    let failed: Vec<_> = summary.failures.iter().map(|f| (f.id.as_str(), f.samples)).collect();
    assert_eq!(failed, [("unknown", 4), ("long", 4), ("empty", 4), ("unjudged", 4)]);
    assert!(matches!(summary.failures[0].reason, FailureReason::Encode(ToyError::Unknown('A'))));
    assert!(matches!(summary.failures[1].reason, FailureReason::Request(_)));
    assert!(matches!(summary.failures[3].reason, FailureReason::NoGold));
    assert_eq!(folder.bytes(), whole());

    let twice = [prompts(), prompts()].concat();
    let error = refused(run(config(), &twice, &Folder::new().out(), all));
    assert!(matches!(error, RolloutError::DuplicatePrompt { first: 0, second: 5, .. }));
}

#[test]
fn a_run_locks_its_output() {
    let folder = Folder::new();
    let mut inner = None;
    run(config(), &prompts(), &folder.out(), |_| {
        inner.get_or_insert_with(|| refused(run(config(), &prompts(), &folder.out(), all)));
        Continue(())
    })
    .unwrap();
    assert!(matches!(inner, Some(RolloutError::File(FileError::InUse { .. }))));
    assert_eq!(folder.bytes(), whole());
}

#[test]
fn prompts_start_as_the_engine_says() {
    let folder = Folder::new();
    let engine = engine().starting_with(2);
    let config = RolloutConfig { sampling: Sampling::GREEDY, samples: 1, ..config() };
    Rollouts::new(&engine, config).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    for r in read_rollouts(folder.out()).unwrap().map(Result::unwrap) {
        let prompt = [vec![2], engine.encode(&r.prompt).unwrap()].concat();
        let request = Request { max_tokens: 24, sampling: Sampling::GREEDY, ..Request::new(prompt) };
        let answers = stir_core::generate(&engine, &[request], GenerateOptions::default()).unwrap().concat();
        let answer = &answers[0];
        assert_eq!(answer.tokens, r.token_ids);
    }
}

#[test]
fn a_prompt_is_prefilled_once_and_a_broken_sample_costs_only_itself() {
    let (folder, widest, prefilled) = (Folder::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let engine = Watched::new(engine(), |rows, outputs| {
        assert!(rows.iter().all(|r| r.capture.is_empty()), "rollouts read no hidden state");
        widest.fetch_max(rows.len(), Relaxed);
        prefilled.fetch_add(rows.iter().filter(|r| r.tokens.len() > 1).count(), Relaxed);
        for (_, output) in rows.iter().zip(outputs).filter(|(r, _)| r.logits && r.tokens == [3]) {
            output.logits[0] = f32::NAN;
        }
    });
    let summary = Rollouts::new(&engine, config()).unwrap().run(&prompts(), &judge, folder.out()).unwrap();
    // "d" is token 3 and a prompt of one token: all of its samples break, as does any that draws a "d".
    assert!(summary.failures.len() >= 4 && summary.samples + summary.failures.len() == 20);
    assert!(summary.failures.iter().all(|f| f.samples == 1 && matches!(f.reason, FailureReason::Sampling(_))));
    assert_eq!(
        (widest.load(Relaxed), prefilled.load(Relaxed)),
        (5, 3),
        "full batches; one prefill per prompt of three tokens or more"
    );
}

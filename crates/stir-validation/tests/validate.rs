//! Validation on the toy engine: what is planted is found, costs are counted, and a stopped run resumes.

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::common::{HIDDEN, config, controller, counting, engine, entry, judge, library, rollouts};
use stir_basis::{Action, Entry, Library};
use stir_controller::{ControllerConfig, Scope};
use stir_core::{Engine, SampleRng, Sampling, Text, toy::ToyEngine};
use stir_rollout::Rollout;
use stir_validation::{
    Conclusion, Finding, Judge, Phase, Progress, ReplayConfig, Validation, ValidationConfig, ValidationError,
    ValidationReport,
};

const PROBLEMS: usize = 30;
const JUDGE: Judge<'_> = Judge { name: "has a letter", is_right: &judge };

fn run<E: stir_core::Text<Error = stir_core::toy::ToyError>>(
    engine: &E,
    toy: &ToyEngine,
    library: Library,
    config: ValidationConfig,
    out: &Path,
    mut observer: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(ValidationReport, Conclusion), ValidationError<E::Error>> {
    let run = Validation::new(engine, library, controller(), config, JUDGE, out)?;
    run.run(rollouts(toy, PROBLEMS), &mut observer)
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn what_helps_is_kept_and_what_harms_is_listed() {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let found = run(&engine, &engine, library(&engine), config(), &folder.path().join("r.jsonl"), go_on);
    let (report, conclusion) = found.unwrap();
    let findings: Vec<_> = report.chosen().map(|found| (found.entry, found.finding)).collect();
    let expected = [[Finding::Helps; 3].as_slice(), &[Finding::Harms; 2], &[Finding::NoUplift; 3]].concat();
    assert_eq!(findings, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!(report.untried, [9]);
    assert!(report.harmful().all(|found| [3, 4].contains(&found.entry)));

    let Conclusion::Validated(kept) = conclusion else { panic!("three entries help") };
    let before = library(&engine);
    assert_eq!(kept.entries().len(), 4);
    for (found, (old, new)) in report.chosen().zip(before.entries().iter().zip(kept.entries())).take(3) {
        assert_eq!((&new.action, new.quality), (&old.action, found.lower));
        let evidence = new.evidence.unwrap();
        assert_eq!((evidence.strength, evidence.trials), (report.strength.unwrap(), found.trials as u64));
        assert_eq!((evidence.uplift, evidence.error, evidence.lower), (found.uplift, found.error, found.lower));
        assert!(found.with_right > found.without_right);
    }
    // What says to stay is trusted as much as the others on average.
    let mean = report.chosen().take(3).map(|found| found.lower).sum::<f64>() / 3.0;
    assert_eq!(kept.entries()[3].action, Action::Stay);
    assert!((kept.entries()[3].quality - mean).abs() < 1e-12);
    assert!(kept.validated() && !before.validated() && kept.check(engine.fingerprint(), false).is_ok());
    assert!(kept.provenance()["validation"].contains("\"helping\":3"));
    let text = fs::read_to_string(folder.path().join("r.jsonl")).unwrap();
    assert_eq!(text.lines().count(), report.cost.replay.continuations);
}

#[test]
fn where_nothing_helps_there_is_no_library() {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let entries = library(&engine).entries()[3..8].to_vec();
    let useless = Library::from_entries(engine.fingerprint().clone(), entries).unwrap();
    let (report, conclusion) = run(&engine, &engine, useless, config(), &folder.path().join("r.jsonl"), go_on).unwrap();
    assert_eq!((conclusion, report.helping()), (Conclusion::NoUplift, 0));
}

#[test]
fn the_cost_is_what_went_through_the_model() {
    let (toy, folder) = (engine(), tempfile::tempdir().unwrap());
    let tokens = AtomicUsize::new(0);
    let counting = counting(&toy, &tokens);
    let path = folder.path().join("r.jsonl");
    let (report, _) = run(&counting, &toy, library(&toy), config(), &path, go_on).unwrap();
    assert_eq!(report.cost.tokens(), tokens.load(Relaxed));
    // Trials that are decided early cost nothing more.
    assert!(report.cost.comparisons < report.cost.planned, "{:?}", report.cost);
    assert!(report.cost.planned_ratio() > report.cost.ratio());
}

/// Vectors that change answers and help with none, in a library of the usual proportions: prompts shorter than answers,
/// boundaries all along them, the default design. The count is compared with that of answers from the beginning. Where
/// impulses persist it is ten times cheaper; where they end with their segment, each segment is encoded a second time, and
/// one of this engine is nearly as long as a continuation.
#[test]
fn forks_and_looks_make_it_ten_times_cheaper() {
    for (scope, least) in [(Scope::Persistent, 10.0), (Scope::Segment, 7.0)] {
        cheaper(scope, least);
    }
}

fn cheaper(scope: Scope, least: f64) {
    let (toy, folder) = (engine(), tempfile::tempdir().unwrap());
    let sampling = Sampling { temperature: 6.0, ..Sampling::GREEDY };
    let letters: Vec<char> = ('a'..='p').collect();
    let mut rng = SampleRng::new(8, 0);
    let mut word = |len: usize| -> String { (0..len).map(|_| letters[rng.below(letters.len())]).collect() };
    let mut rollouts = Vec::new();
    for problem in 0..40 {
        let text = (0..5).map(|_| word(9) + "\n\n").collect::<String>() + "q";
        let (id, prompt, gold) = (format!("p{problem}"), word(25), Some("q".to_owned()));
        let token_ids = toy.encode(&text).unwrap();
        let rollout = Rollout { id, k: 0, prompt, gold, text, token_ids, correct: true, reward: 1.0 };
        rollouts.push(Ok(vec![rollout]));
    }
    let entry = |nth: usize| {
        let mut rng = SampleRng::new(9, nth as u64);
        let mut noise = || (0..HIDDEN).map(|_| rng.normal() as f32).collect::<Vec<_>>();
        let (m, vector) = (1 + nth % 4, noise());
        Entry { m, key: stir_basis::normalize(&noise()).unwrap().into(), ..entry("", vector, nth) }
    };
    let library = Library::from_entries(toy.fingerprint().clone(), (0..24).map(entry).collect()).unwrap();
    let replay = ReplayConfig { max_tokens: 30, sampling, ..ReplayConfig::default() };
    let (config, tokens) = (ValidationConfig { replay, ..ValidationConfig::default() }, AtomicUsize::new(0));
    let counting = counting(&toy, &tokens);
    let out = folder.path().join("r.jsonl");
    let steering = ControllerConfig { min_similarity: -1.0, scope, ..ControllerConfig::default() };
    let run = Validation::new(&counting, library, steering, config, JUDGE, out).unwrap();
    let (report, conclusion) = run.run(rollouts, &mut go_on).unwrap();
    assert_eq!(report.cost.tokens(), tokens.load(Relaxed));
    assert_eq!(conclusion, Conclusion::NoUplift);
    assert!(report.cost.planned_ratio() >= least, "{scope:?}: {report}");
}

#[test]
fn a_run_that_was_stopped_anywhere_ends_in_the_same_bytes() {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let config = ValidationConfig { starts_per_entry: 4, starts_per_look: 2, samples: 2, ..config() };
    let path = folder.path().join("whole.jsonl");
    let whole = run(&engine, &engine, library(&engine), config.clone(), &path, go_on).unwrap();
    let bytes = fs::read(&path).unwrap();
    let records = bytes.iter().filter(|&&byte| byte == b'\n').count();
    for stop in (0..records).step_by(7) {
        let path = folder.path().join(format!("{stop}.jsonl"));
        let stopped = run(&engine, &engine, library(&engine), config.clone(), &path, |progress| {
            let is_there = progress.phase == Phase::Continuations && progress.done >= stop;
            if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(ValidationError::Stopped)));
        let resumed = run(&engine, &engine, library(&engine), config.clone(), &path, go_on).unwrap();
        assert!(resumed == whole, "stopped at {stop}");
        assert!(fs::read(&path).unwrap() == bytes, "stopped at {stop}");
    }
    // Before the first continuation there is nothing to keep.
    let early = folder.path().join("early.jsonl");
    let stopped = run(&engine, &engine, library(&engine), config.clone(), &early, |progress| {
        assert_eq!(progress.phase, Phase::States);
        if progress.done >= 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(ValidationError::Stopped)) && !early.exists());
    // What no run could finish is not begun.
    let many = ValidationConfig { samples: 1 << 40, ..config.clone() };
    let error = run(&engine, &engine, library(&engine), many, &folder.path().join("many.jsonl"), go_on).unwrap_err();
    assert!(error.to_string().contains("must be <= 10000000"), "{error}");
    // Other settings are another run.
    let other = ValidationConfig { level: 0.8, samples: 2, strengths: vec![0.2], ..config };
    assert!(matches!(run(&engine, &engine, library(&engine), other, &path, go_on), Err(ValidationError::File(_))));
}

//! Continuations: common random numbers, cost, judged text.

use std::{
    cell::RefCell,
    collections::HashSet,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::common::{HIDDEN, LAYER, config, counting, engine, judge, rollouts, toward};
use stir_controller::{LayerState, Scope};
use stir_core::{Delimiter, Engine, Generated, Request, Session, Text, generate, prefill, toy::ToyEngine};
use stir_rollout::{Prompt, Rollout, sample_stream};
use stir_validation::{
    Arm, Cost, Impulse, Job, Judge, Outcome, Phase, Progress, ReplayConfig, Replays, Start, Starts, ValidationError,
    read_states,
};

fn starts(engine: &ToyEngine) -> Starts {
    Starts::of_rollouts(engine, rollouts(engine, 6), &Delimiter::default(), 1..=7).unwrap()
}

fn arm(name: &str, vector: Vec<f32>, strength: f64) -> Arm {
    Arm { name: name.into(), impulse: Some(Impulse { layer: LAYER, vector: vector.into(), strength }) }
}

fn jobs(starts: usize, arms: usize, samples: usize) -> Vec<Job> {
    let of = |start| (0..arms).flat_map(move |arm| (0..samples).map(move |sample| Job { start, arm, sample }));
    (0..starts).flat_map(of).collect()
}

fn replay<E: Text<Error = stir_core::toy::ToyError>>(
    engine: &E,
    config: &ReplayConfig,
    starts: &Starts,
    arms: &[Arm],
    jobs: &[Job],
    judge: &dyn Fn(&Prompt, &str) -> bool,
    out: &Path,
) -> Result<(Vec<Outcome>, Cost), ValidationError<E::Error>> {
    let judge = Judge { name: "test", is_right: judge };
    let mut replays = Replays::open(engine, config, &starts.starts, arms, jobs, judge, out)?;
    replays.run(jobs, &mut |_| ControlFlow::Continue(()))?;
    let cost = replays.cost();
    Ok((replays.finish()?, cost))
}

/// Without an impulse a continuation is what plain decoding gives; a vector of length 0 changes nothing, bit for bit.
#[test]
fn arms_differ_in_what_they_add_and_in_nothing_else() {
    let (engine, folder, config) = (engine(), tempfile::tempdir().unwrap(), config().replay);
    let found = starts(&engine);
    assert_eq!((found.starts.len(), found.problems, found.skipped), (12, 6, 0));
    let arms = [Arm::plain(), arm("zero", vec![0.0; HIDDEN], 0.6), arm("q", toward(&engine, 16), 0.6)];
    for scope in [Scope::Segment, Scope::Persistent] {
        let config = ReplayConfig { scope, ..config.clone() };
        let jobs = jobs(found.starts.len(), arms.len(), 4);
        let out = folder.path().join(format!("{scope:?}.jsonl"));
        let (outcomes, _) = replay(&engine, &config, &found, &arms, &jobs, &judge, &out).unwrap();
        assert_eq!(outcomes.len(), jobs.len());
        let of = |start, arm, sample| outcomes.iter().find(|o| o.job() == Job { start, arm, sample }).unwrap();
        // What arms share is what each makes alone.
        for arm in 0..arms.len() {
            let alone: Vec<Job> = jobs.iter().copied().filter(|job| job.arm == arm).collect();
            let out = folder.path().join(format!("{scope:?} {arm}.jsonl"));
            let (alone, _) = replay(&engine, &config, &found, &arms, &alone, &judge, &out).unwrap();
            assert!(alone.iter().eq(outcomes.iter().filter(|outcome| outcome.arm == arm)));
        }
        let mut changed = 0;
        for (place, start) in found.starts.iter().enumerate() {
            for sample in 0..4 {
                let (plain, zero, q) = (of(place, 0, sample), of(place, 1, sample), of(place, 2, sample));
                assert_eq!(plain.token_ids, zero.token_ids);
                assert_eq!(plain.segment, zero.segment);
                changed += usize::from(plain.token_ids != q.token_ids);
                let stream = sample_stream(&start.name(), sample);
                let ReplayConfig { max_tokens, sampling, seed, .. } = config;
                let request = Request { max_tokens, sampling, seed, stream, ..Request::new(start.prefix()) };
                let alone: Vec<Vec<Generated>> = generate(&engine, &[request], Default::default()).unwrap();
                assert_eq!(plain.token_ids, alone[0][0].tokens);
            }
        }
        assert!(changed > 10, "{changed} of 48 continuations changed");
    }
}

#[test]
fn starts_are_boundaries_that_something_follows() {
    let engine = engine();
    let rollout = |id: &str, k, text: &str, gold: Option<&str>| Rollout {
        id: id.into(),
        k,
        prompt: "abc".into(),
        gold: gold.map(str::to_owned),
        text: text.into(),
        token_ids: vec![],
        correct: k == 1,
        reward: 0.0,
    };
    let groups = vec![
        vec![
            rollout("a", 0, "x\n\n\n\ny\n\nz", Some("1")),
            rollout("a", 1, "x\n\n", Some("1")),
            rollout("a", 2, "", Some("1")),
            rollout("a", 3, &"x".repeat(96), Some("1")),
        ],
        vec![rollout("b", 0, "x\n\ny", None)],
        vec![Rollout { token_ids: vec![9999], ..rollout("c", 0, "x", Some("1")) }],
    ];
    let find = |points| {
        let groups = groups.clone().into_iter().map(Ok::<_, std::convert::Infallible>);
        Starts::of_rollouts(&engine, groups, &Delimiter::default(), points).unwrap()
    };
    let found = find(0..=2);
    assert_eq!((found.problems, found.skipped), (1, 4));
    let places: Vec<_> = found.starts.iter().map(|start| (start.sample, start.m, start.len, start.right)).collect();
    assert_eq!(places, [(0, 0, 0, false), (0, 1, 2, false), (0, 2, 3, false)]);
    assert_eq!(found.starts[0].prefix(), engine.encode("abc").unwrap());
    assert_eq!(found.starts[2].prefix(), engine.encode("abcx\n\n\n\n").unwrap());
    assert_eq!(find(3..=9).starts.iter().map(|start| start.m).collect::<Vec<_>>(), [3]);
}

#[test]
fn costs_are_those_of_a_plain_recount() {
    let (toy, folder, config) = (engine(), tempfile::tempdir().unwrap(), config().replay);
    let found = starts(&toy);
    let arms = [Arm::plain(), arm("q", toward(&toy, 16), 0.3)];
    for scope in [Scope::Segment, Scope::Persistent] {
        let (config, tokens) = (ReplayConfig { scope, ..config.clone() }, AtomicUsize::new(0));
        let counting = counting(&toy, &tokens);
        let jobs = jobs(found.starts.len(), arms.len(), 3);
        let out = folder.path().join(format!("{scope:?}.jsonl"));
        let (outcomes, cost) = replay(&counting, &config, &found, &arms, &jobs, &judge, &out).unwrap();
        assert_eq!(cost.tokens(), tokens.load(Relaxed));
        let mut begun = HashSet::new();
        let generated = |Outcome { start, sample, segment, token_ids, .. }: &Outcome| {
            let beginning = (*start, *sample, token_ids[..*segment].to_vec());
            let is_new = begun.insert(beginning) || scope == Scope::Persistent;
            if is_new { token_ids.len() } else { *segment }
        };
        assert_eq!(cost.generated, outcomes.iter().map(generated).sum::<usize>());
        let all = outcomes.iter().map(|outcome| outcome.token_ids.len()).sum::<usize>();
        assert_eq!(cost.generated < all, scope == Scope::Segment, "{} of {all}", cost.generated);
        assert_eq!(cost.continuations, jobs.len());
        // A run that finds everything there counts the same, and computes nothing.
        let before = tokens.load(Relaxed);
        assert_eq!(replay(&counting, &config, &found, &arms, &jobs, &judge, &out).unwrap(), (outcomes, cost));
        assert_eq!(tokens.load(Relaxed), before);
    }
}

#[test]
fn the_judge_reads_the_whole_answer() {
    let (engine, folder) = (engine(), tempfile::tempdir().unwrap());
    let found = starts(&engine);
    let config = ReplayConfig { stop: vec!["a".into(), "e".into()], ..config().replay };
    let read = RefCell::new(Vec::new());
    let judge = |problem: &Prompt, text: &str| {
        read.borrow_mut().push((problem.id.clone(), text.to_owned()));
        true
    };
    let jobs = jobs(found.starts.len(), 1, 2);
    let out = folder.path().join("r.jsonl");
    let (outcomes, _) = replay(&engine, &config, &found, &[Arm::plain()], &jobs, &judge, &out).unwrap();
    for outcome in outcomes {
        let start = &found.starts[outcome.start];
        let head = engine.vocab().text(&start.answer[..start.len]);
        let rest = engine.vocab().text(&outcome.token_ids);
        let rest = rest.split(['a', 'e']).next().unwrap();
        assert!(read.borrow().contains(&(start.problem.id.clone(), format!("{head}{rest}"))));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (engine, folder, config) = (engine(), tempfile::tempdir().unwrap(), config().replay);
    let found = starts(&engine);
    let refused = |arm: Arm, config: &ReplayConfig| {
        let out = folder.path().join("r.jsonl");
        replay(&engine, config, &found, &[arm], &jobs(1, 1, 1), &judge, &out).unwrap_err().to_string()
    };
    let narrow = refused(arm("a", vec![1.0; 3], 0.1), &config);
    assert_eq!(narrow, "the vector of a has 3 numbers, must have 10, all finite");
    let deep = Impulse { layer: 9, vector: vec![1.0; HIDDEN].into(), strength: 0.1 };
    assert_eq!(refused(Arm { name: "b".into(), impulse: Some(deep) }, &config), "layer 9 of b is not below 3");
    assert_eq!(refused(arm("c", vec![1.0; HIDDEN], -0.1), &config), "strength is -0.1, must be finite and >= 0");
    let never = ReplayConfig { max_tokens: 0, ..config.clone() };
    assert_eq!(refused(Arm::plain(), &never), "max_tokens is 0, must be >= 1");
    let far = Job { start: 99, arm: 0, sample: 0 };
    let out = folder.path().join("r.jsonl");
    let error = replay(&engine, &config, &found, &[Arm::plain()], &[far], &judge, &out).unwrap_err();
    assert!(matches!(error, ValidationError::Unplanned(_)));
}

/// States read on the way through an answer are those of each prefix by itself.
#[test]
fn states_are_those_of_the_prefixes() {
    let engine = engine();
    let found = starts(&engine);
    let tokens = AtomicUsize::new(0);
    let counting = counting(&engine, &tokens);
    let mut read = Vec::new();
    let found_states = |place, states| read.push((place, states));
    let mut last = None;
    let mut observer = |progress| {
        last = Some(progress);
        ControlFlow::Continue(())
    };
    let encoded = read_states(&counting, &found.starts, &[0, LAYER], 3, found_states, &mut observer).unwrap();
    assert_eq!(encoded, tokens.load(Relaxed));
    let (done, asked) = (found.starts.len(), found.starts.len());
    assert_eq!(last, Some(Progress { phase: Phase::States, done, asked, tokens: encoded }));
    check_states(&engine, read, &found.starts);
    // Problems may have the same prompt and number their rollouts alike; they are not one rollout.
    let mut alike = found.starts;
    let prompt = alike[0].prompt.clone();
    alike.iter_mut().for_each(|start| start.prompt = prompt.clone());
    assert!(alike.windows(2).any(|pair| pair[0].sample == pair[1].sample && pair[0].len > pair[1].len));
    let mut read = Vec::new();
    let found_states = |place, states| read.push((place, states));
    read_states(&engine, &alike, &[0, LAYER], 3, found_states, &mut |_| ControlFlow::Continue(())).unwrap();
    check_states(&engine, read, &alike);
}

fn check_states(engine: &ToyEngine, mut read: Vec<(usize, Vec<LayerState>)>, starts: &[Start]) {
    read.sort_by_key(|(place, _)| *place);
    assert_eq!(read.len(), starts.len());
    for ((place, states), start) in read.iter().zip(starts) {
        let points = [stir_core::HookPoint::ResidPost(0), stir_core::HookPoint::ResidPost(LAYER)];
        let prefix = start.prefix();
        let mut session = prefill(engine, &prefix).unwrap();
        let last = &prefix[session.len()..];
        let row =
            stir_core::Row { session: &mut session, tokens: last, additions: vec![], capture: &points, logits: false };
        let alone = engine.forward(&mut [row]).unwrap().remove(0).captures;
        assert_eq!(states.iter().map(|state| state.values.clone()).collect::<Vec<_>>(), alone, "start {place}");
    }
}

//! Mining on the toy engine, against a direct computation that shares no code with it.

use std::{
    ops::ControlFlow::{Break, Continue},
    sync::Mutex,
};

use stir_basis::{MinedPairs, Pair};
use stir_core::{
    Delimiter, Engine, Fingerprint, GenerateOptions, HookPoint, LayerSpec, Output, Request, Row, SampleRng, Sampling,
    Text, control_points, generate,
    toy::{ToyEngine, ToySession, Watched},
};
use stir_induction::{
    Contrast, Induction, InductionConfig, InductionError, InductionReport, PositiveSource, Skipped, capture, induce,
};
use stir_rollout::{Boundary, Rollout, RolloutError};

fn config() -> InductionConfig {
    InductionConfig {
        layers: vec![LayerSpec::Index(-1), LayerSpec::Index(0)],
        max_batch: 3,
        ..InductionConfig::default()
    }
}

/// Twelve problems, six samples each, with few distinct rewards so that ties are common.
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
            Rollout {
                id: c.to_string(),
                k,
                prompt: prompt.clone(),
                gold: None,
                text: engine.vocab().text(&answer.tokens),
                token_ids: answer.tokens,
                correct,
                reward: f64::from(u8::from(correct)) - 0.01 * rng.below(3) as f64,
            }
        });
        judged.collect()
    };
    ('a'..='l').map(&mut group).collect()
}

fn mine(groups: &[Vec<Rollout>], config: InductionConfig) -> (MinedPairs, InductionReport) {
    induce(&ToyEngine::new(1), groups.iter().cloned().map(Ok), config).unwrap()
}

/// Computes stage 2 the slow way: every prefix encoded from scratch, everything kept and sorted.
fn direct(engine: &ToyEngine, groups: &[Vec<Rollout>], config: &InductionConfig) -> Vec<Pair> {
    let state = |r: &Rollout, m: usize, layer: usize| -> Vec<f32> {
        let boundary = boundaries(engine, r, config)[m - 1];
        let tokens = [engine.encode_prompt(&r.prompt).unwrap(), r.token_ids[..=boundary].to_vec()].concat();
        let (mut session, point) = (engine.session(), [HookPoint::ResidPost(layer)]);
        let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &point, logits: false };
        engine.forward(&mut [row]).unwrap().remove(0).captures.remove(0)
    };
    let mean = |side: &[&Rollout], m, layer| -> Vec<f32> {
        let states: Vec<_> = side.iter().map(|r| state(r, m, layer)).collect();
        (0..10).map(|d| states.iter().map(|s| s[d]).sum::<f32>() / states.len() as f32).collect()
    };
    let reward = |side: &[&Rollout]| side.iter().map(|r| r.reward).sum::<f64>() / side.len() as f64;
    let mut pairs = Vec::new();
    for group in groups {
        for m in 1..=config.max_control_points {
            let reaching = || group.iter().filter(|r| boundaries(engine, r, config).len() >= m);
            let mut plus: Vec<_> = reaching().filter(|r| r.correct).collect();
            let mut minus: Vec<_> = reaching().filter(|r| !r.correct).collect();
            plus.sort_by(|a, b| b.reward.partial_cmp(&a.reward).unwrap().then(a.k.cmp(&b.k)));
            minus.sort_by(|a, b| a.reward.partial_cmp(&b.reward).unwrap().then(a.k.cmp(&b.k)));
            plus.truncate(config.k_pos);
            minus.truncate(config.k_neg);
            if plus.len() < config.min_correct || minus.len() < config.min_incorrect {
                continue;
            }
            let quality = reward(&plus) - reward(&minus);
            let mut layers: Vec<_> = config.layers.iter().map(|l| l.resolve(3).unwrap()).collect();
            layers.sort();
            for layer in layers.into_iter().filter(|_| quality > 0.0) {
                let (mu_plus, mu_minus) = (mean(&plus, m, layer), mean(&minus, m, layer));
                pairs.push(Pair {
                    problem: group[0].id.clone(),
                    m,
                    layer,
                    quality,
                    mu_plus,
                    mu_minus,
                    ..Pair::default()
                });
            }
        }
    }
    pairs.sort_by(|a, b| b.quality.partial_cmp(&a.quality).unwrap());
    pairs.truncate(config.keep);
    pairs
}

fn boundaries(engine: &ToyEngine, r: &Rollout, config: &InductionConfig) -> Vec<usize> {
    control_points(engine.vocab(), &config.delimiter, &r.token_ids).iter().map(|p| p.token).collect()
}

#[test]
fn pairs_are_those_of_a_direct_computation() {
    let engine = ToyEngine::new(1);
    let groups = groups(&engine);
    let base = config();
    let newline = Delimiter::new("\n").unwrap();
    for config in [
        base.clone(),
        InductionConfig { keep: 7, ..base.clone() },
        InductionConfig { max_batch: 1, keep: 9, ..base.clone() },
        InductionConfig { max_batch: 100, max_control_points: 2, ..base.clone() },
        InductionConfig { k_pos: 1, k_neg: 1, ..base.clone() },
        InductionConfig { min_correct: 2, min_incorrect: 2, ..base.clone() },
        // One token of the toy vocabulary completes two of these.
        InductionConfig { delimiter: newline, ..base.clone() },
        InductionConfig { layers: vec![LayerSpec::Depth(0.5)], ..base },
    ] {
        let expected = direct(&engine, &groups, &config);
        assert!(expected.len() > 5, "{config:?}");
        let (candidates, report) = mine(&groups, config.clone());
        assert_eq!(candidates.pairs, expected, "{config:?}");
        assert_eq!((report.problems, report.rollouts, report.kept), (12, 72, expected.len()));
        assert!(report.complete && report.found.len() == config.max_control_points);
        assert_eq!(candidates.delimiter, config.delimiter);
        assert_eq!(&candidates.fingerprint, engine.fingerprint());
        let stored: InductionConfig = serde_json::from_str(&candidates.provenance["induction"]).unwrap();
        assert_eq!(stored, config);
    }
}

#[test]
fn text_alone_is_enough() {
    let engine = ToyEngine::new(1);
    let mut groups = groups(&engine);
    for rollout in groups.iter_mut().flatten() {
        rollout.token_ids = engine.encode(&rollout.text).unwrap();
    }
    let (with_ids, _) = mine(&groups, config());
    groups.iter_mut().flatten().for_each(|rollout| rollout.token_ids.clear());
    assert_eq!(mine(&groups, config()).0, with_ids);
}

fn rollout(k: usize, text: &str, correct: bool, reward: f64) -> Rollout {
    let (id, prompt, text) = ("p".into(), "abc".into(), text.into());
    Rollout { id, k, prompt, gold: None, text, token_ids: vec![], correct, reward }
}

#[test]
fn a_token_that_completes_two_delimiters_is_read_once_for_both() {
    let config = InductionConfig { delimiter: Delimiter::new("\n").unwrap(), ..config() };
    let group = vec![rollout(0, "a\n\nb", true, 1.0), rollout(1, "c\n\nd", false, 0.0)];
    let (candidates, report) = mine(&[group], config);
    assert_eq!(report.found[..3], [1, 1, 0]);
    let by_m = |m| candidates.pairs.iter().find(|p| p.m == m && p.layer == 2).unwrap().delta();
    assert_eq!(by_m(1), by_m(2));
    // The prompt's three tokens once, and two answers up to their boundary.
    assert_eq!((report.encoded_tokens, report.encoded_rollouts), (3 + 2 + 2, 2));
}

#[test]
fn gold_solutions_stand_in_for_successes() {
    let engine = ToyEngine::new(1);
    let wrong = vec![rollout(0, "c\n\nd", false, 0.0)];
    let mut mixed = vec![rollout(0, "c\n\nd", false, 0.0), rollout(1, "e\n\nf", true, 0.9)];
    mixed.iter_mut().for_each(|r| r.id = "q".into());
    let groups = [wrong, mixed];
    let gold = "xy\n\nz";
    let mine = |positives| {
        let config = InductionConfig { positives, eta: 0.1, max_tokens: 40, ..config() };
        let solutions = ["p", "q"].map(|id| (id.to_owned(), gold.to_owned()));
        let run = Induction::new(&engine, config).unwrap().solutions(solutions).rollout_settings("{}");
        run.run(groups.iter().cloned().map(Ok)).unwrap().0
    };
    let state = |text: &str| {
        let tokens = engine.encode(&format!("abc{text}")).unwrap();
        let (mut session, capture) = (engine.session(), [HookPoint::ResidPost(2)]);
        let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &capture, logits: false };
        engine.forward(&mut [row]).unwrap().remove(0).captures.remove(0)
    };
    let summary = |candidates: &MinedPairs| -> Vec<(String, f64, Vec<f32>)> {
        let last = candidates.pairs.iter().filter(|p| p.layer == 2);
        last.map(|p| (p.problem.clone(), p.quality, p.mu_plus.clone())).collect()
    };
    let own = ("q".to_owned(), 0.9, state("e\n\n"));
    // Four tokens: x, y, the delimiter, z.
    let rewarded = 1.0 - 0.1 * 4.0 / 40.0;
    let given = |id: &str| (id.to_owned(), rewarded, state("xy\n\n"));
    assert_eq!(summary(&mine(PositiveSource::Rollout)), std::slice::from_ref(&own));
    assert_eq!(summary(&mine(PositiveSource::RolloutOrGold)), [given("p"), own]);
    assert_eq!(summary(&mine(PositiveSource::Gold)), [given("p"), given("q")]);
    assert_eq!(mine(PositiveSource::Gold).provenance["rollouts"], "{}");
}

#[test]
fn random_splits_repeat_and_keep_what_has_no_gain() {
    let engine = ToyEngine::new(1);
    let groups = groups(&engine);
    let mine = |seed| mine(&groups, InductionConfig { contrast: Contrast::RandomSplit { seed }, ..config() });
    let (first, report) = mine(1);
    assert_eq!(first, mine(1).0);
    assert_ne!(first.pairs, mine(2).0.pairs);
    assert!(first.pairs.iter().all(|p| p.quality >= 0.0) && first.pairs.iter().any(|p| p.quality == 0.0));
    let reaching = |g: &[Rollout]| g.iter().filter(|r| !boundaries(&engine, r, &config()).is_empty()).count();
    let divisible = groups.iter().filter(|g| reaching(g) >= 2).count();
    assert_eq!((report.with_contrast, report.skipped.no_gain), (divisible, 0));
}

#[test]
fn what_cannot_be_used_is_counted_and_passed_over() {
    let group = |bad: Rollout| vec![rollout(0, "a\n\nb", true, 1.0), rollout(1, "c\n\nd", false, 0.0), bad];
    let expected = mine(&[group(rollout(2, "e", false, 0.0))], config()).0;
    let other = Rollout { prompt: "xyz".into(), ..rollout(2, "e\n\nf", false, -9.0) };
    let outside = Rollout { token_ids: vec![1, 999], ..rollout(2, "", false, -9.0) };
    let skipped = Skipped::default;
    for (bad, reason) in [
        (rollout(2, "e\n\nf", false, f64::NAN), Skipped { non_finite_rewards: 1, ..skipped() }),
        (rollout(2, "e\n\nf", true, f64::INFINITY), Skipped { non_finite_rewards: 1, ..skipped() }),
        (rollout(2, "E\n\nf", false, -9.0), Skipped { unencodable_texts: 1, ..skipped() }),
        (rollout(2, &"e\n\n".repeat(47), false, -9.0), Skipped { too_long: 1, ..skipped() }),
        (other, Skipped { other_prompts: 1, ..skipped() }),
        (outside, Skipped { outside_vocabulary: 1, ..skipped() }),
    ] {
        let (candidates, report) = mine(&[group(bad)], config());
        assert_eq!(report.skipped, reason);
        assert_eq!(candidates, expected);
    }
    let strange = |r: Rollout| Rollout { prompt: "É".into(), ..r };
    let unreadable: Vec<_> = group(rollout(2, "e", false, 0.0)).into_iter().map(strange).collect();
    let (candidates, report) = mine(&[unreadable, vec![], group(rollout(2, "e", false, 0.0))], config());
    assert_eq!(report.skipped, Skipped { unencodable_prompts: 1, ..skipped() });
    assert_eq!((candidates, report.problems, report.with_contrast), (expected, 3, 1));

    let (none, report) = mine(&[vec![rollout(0, "a\n\n", true, 0.0), rollout(1, "b\n\n", false, 0.0)]], config());
    assert_eq!((none.pairs.len(), report.skipped.no_gain, report.skipped.too_few), (0, 1, 0));
    let (_, report) = mine(&[vec![rollout(0, "a\n\n\n\n", true, 1.0), rollout(1, "b\n\n", false, 0.0)]], config());
    assert_eq!((report.kept, report.skipped.too_few), (2, 1));
}

#[test]
fn errors_end_the_run_and_the_observer_ends_it_cleanly() {
    let engine = ToyEngine::new(1);
    let groups = groups(&engine);
    let broken = groups.iter().take(3).cloned().map(Ok).chain([Err(RolloutError::Empty { path: "x".into() })]);
    let result = induce(&engine, broken, config());
    assert!(matches!(result, Err(InductionError::Rollouts(RolloutError::Empty { .. }))));
    let layers = vec![LayerSpec::Index(3)];
    let result = Induction::new(&engine, InductionConfig { layers, ..config() });
    assert!(matches!(result, Err(InductionError::Layer(_))));
    let result = Induction::new(&engine, InductionConfig { keep: 0, ..config() });
    assert!(matches!(result, Err(InductionError::Setting(_))));

    let mut seen = Vec::new();
    let run = Induction::new(&engine, config()).unwrap().on_progress(|p| {
        seen.push(p);
        if p.problems == 5 { Break(()) } else { Continue(()) }
    });
    let (candidates, report) = run.run(groups.iter().cloned().map(Ok)).unwrap();
    assert!(!report.complete && report.problems == 5);
    assert!(seen.iter().map(|p| p.problems).eq(0..=5) && seen.iter().all(|p| p.total == Some(12)));
    assert_eq!(candidates.pairs, direct(&engine, &groups[..5], &config()));
}

#[test]
fn prompts_start_as_the_engine_says() {
    let engine = ToyEngine::new(1).starting_with(5);
    let groups = groups(&engine);
    let (candidates, _) = induce(&engine, groups.iter().cloned().map(Ok), config()).unwrap();
    assert_eq!(candidates.pairs, direct(&engine, &groups, &config()));
    assert_ne!(candidates.pairs, mine(&groups, config()).0.pairs);
}

/// A toy engine that notes the rows of every pass, and whose states at position `broken` are not finite.
fn watched(
    passes: &Mutex<Vec<usize>>,
    broken: Option<usize>,
) -> Watched<impl Fn(&[Row<'_, ToySession>], &mut [Output]) + Send + Sync> {
    Watched::new(ToyEngine::new(1), move |rows, outputs| {
        use stir_core::Session;
        assert!(rows.iter().all(|r| !r.logits && r.additions.is_empty()), "mining neither samples nor steers");
        passes.lock().unwrap().push(rows.len());
        for (row, output) in rows.iter().zip(outputs) {
            if Some(row.session.len() - 1) == broken && !output.captures.is_empty() {
                output.captures[0][3] = f32::INFINITY;
            }
        }
    })
}

#[test]
fn non_finite_states_are_counted_and_never_kept() {
    // The prompt takes three positions, so that both boundaries of m = 1 are at position 4.
    let passes = Mutex::default();
    let engine = watched(&passes, Some(4));
    let group = vec![rollout(0, "a\n\nb\n\n", true, 1.0), rollout(1, "c\n\nd\n\n", false, 0.0)];
    let (candidates, report) = induce(&engine, [Ok(group)], config()).unwrap();
    assert_eq!(report.skipped, Skipped { non_finite_pairs: 1, ..Skipped::default() });
    let kept: Vec<_> = candidates.pairs.iter().map(|p| (p.m, p.layer)).collect();
    assert_eq!(kept, [(1, 2), (2, 0), (2, 2)]);
    // A pooled contrast and a capture leave out the rollouts.
    let group = || Ok((0..4).map(|k| rollout(k, "a\n\nb\n\n", k < 2, 1.0)).collect());
    let pooled = InductionConfig { contrast: Contrast::Thoughts { max_kl: None, stable: None }, ..config() };
    let pooled = induce(&engine, [group()], pooled).unwrap().1.skipped;
    assert_eq!(capture(&engine, [group()], None, &config()).unwrap().skipped, pooled.clone());
    assert_eq!(pooled, Skipped { non_finite_rollouts: 4, ..Skipped::default() });
}

#[test]
fn batches_are_filled_across_problems_and_outranked_problems_cost_nothing() {
    let passes = Mutex::default();
    let (engine, groups) = (watched(&passes, None), groups(&ToyEngine::new(1)));
    let run = |keep| {
        passes.lock().unwrap().clear();
        let config = InductionConfig { keep, max_batch: 5, ..config() };
        induce(&engine, groups.iter().cloned().map(Ok), config).unwrap()
    };
    let (many, full) = run(1000);
    let rows = passes.lock().unwrap().clone();
    assert!(rows.contains(&5) && rows.iter().all(|&rows| rows <= 5));
    assert_eq!(full.skipped.outranked, 0);
    let (few, spared) = run(2);
    assert!(spared.skipped.outranked > 0 && spared.encoded_tokens < full.encoded_tokens);
    assert_eq!(spared.found, full.found);
    assert_eq!(few.pairs, many.pairs[..2]);
}

#[test]
fn every_boundary_of_mixed_problems_is_captured() {
    let engine = ToyEngine::new(1);
    let groups = groups(&engine);
    let config = InductionConfig { max_control_points: 3, ..config() };
    let captured = capture(&engine, groups.iter().cloned().map(Ok), None, &config).unwrap();
    let mut expected = Vec::new();
    for (problem, group) in groups.iter().enumerate() {
        if group.iter().all(|r| r.correct) || group.iter().all(|r| !r.correct) {
            continue;
        }
        let mut sorted: Vec<&Rollout> = group.iter().collect();
        sorted.sort_by_key(|r| r.k);
        for (sample, r) in sorted.into_iter().enumerate() {
            let mut seen = Vec::new();
            for (at, token) in boundaries(&engine, r, &config).into_iter().take(3).enumerate() {
                if !seen.contains(&token) {
                    seen.push(token);
                    let tokens = [engine.encode_prompt(&r.prompt).unwrap(), r.token_ids[..=token].to_vec()].concat();
                    let (mut session, m) = (engine.session(), at + 1);
                    let points: Vec<_> = captured.layers.iter().map(|(l, _)| HookPoint::ResidPost(*l)).collect();
                    let row = Row {
                        session: &mut session,
                        tokens: &tokens,
                        additions: vec![],
                        capture: &points,
                        logits: false,
                    };
                    let states = engine.forward(&mut [row]).unwrap().remove(0).captures;
                    let (length, right) = (r.token_ids.len(), r.correct);
                    expected.push((Boundary { problem, sample, m, token, length, right }, states));
                }
            }
        }
    }
    expected.sort_by_key(|(b, _)| (b.problem, b.m, b.sample));
    assert!(!expected.is_empty());
    assert_eq!(captured.boundaries, expected.iter().map(|(b, _)| *b).collect::<Vec<_>>());
    for (slot, (_, values)) in captured.layers.iter().enumerate() {
        let direct: Vec<f32> = expected.iter().flat_map(|(_, states)| states[slot].clone()).collect();
        assert_eq!(*values, direct);
    }
}

/// The states of one answer after a layer at each control point, encoded from scratch.
fn states(engine: &ToyEngine, r: &Rollout, layer: usize, config: &InductionConfig) -> Vec<Vec<f64>> {
    let boundaries = boundaries(engine, r, config).into_iter().take(config.max_control_points);
    let state = |boundary: usize| {
        let tokens = [engine.encode_prompt(&r.prompt).unwrap(), r.token_ids[..=boundary].to_vec()].concat();
        let capture = [HookPoint::ResidPost(layer)];
        let row = Row {
            session: &mut engine.session(),
            tokens: &tokens,
            additions: vec![],
            capture: &capture,
            logits: false,
        };
        engine.forward(&mut [row]).unwrap().remove(0).captures.remove(0).into_iter().map(f64::from).collect()
    };
    boundaries.map(state).collect()
}

fn average(states: &[Vec<f64>]) -> Vec<f64> {
    (0..10).map(|d| states.iter().map(|s| s[d]).sum::<f64>() / states.len() as f64).collect()
}

fn assert_near(found: &[f32], expected: &[f64]) {
    assert!(found.iter().zip(expected).all(|(x, y)| (f64::from(*x) - y).abs() < 1e-5), "{found:?} {expected:?}");
}

#[test]
fn one_vector_leads_from_long_right_answers_to_short_ones() {
    let engine = ToyEngine::new(1);
    let mut groups = groups(&engine);
    let mut rng = SampleRng::new(8, 0);
    for r in groups.iter_mut().flatten() {
        r.text = (0..12 + rng.below(20)).map(|_| ["a", "q", "7", "\n\n"][rng.below(4)]).collect();
        r.token_ids = engine.encode(&r.text).unwrap();
    }
    let config = InductionConfig { contrast: Contrast::Length { max_kl: None }, ..config() };
    let (mined, report) = mine(&groups, config.clone());
    assert_eq!(mined.pairs.iter().map(|pair| (pair.m, pair.layer)).collect::<Vec<_>>(), [(1, 0), (1, 2)]);
    for pair in &mined.pairs {
        let (mut short, mut long, mut found) = (Vec::new(), Vec::new(), vec![0; 8]);
        for group in &groups {
            let with_end = |r: &&Rollout| r.correct && !boundaries(&engine, r, &config).is_empty();
            let mut right: Vec<&Rollout> = group.iter().filter(with_end).collect();
            right.sort_by_key(|r| (r.token_ids.len(), r.k));
            let half = right.len() / 2;
            let tokens = |side: &[&Rollout]| side.iter().map(|r| r.token_ids.len()).sum::<usize>();
            let sides = [&right[..half], &right[right.len() - half..]];
            if tokens(sides[0]) == tokens(sides[1]) {
                continue;
            }
            let sides =
                sides.map(|side| side.iter().map(|r| states(&engine, r, pair.layer, &config)).collect::<Vec<_>>());
            for (m, found) in found.iter_mut().enumerate() {
                let at = |side: &Vec<Vec<Vec<f64>>>| side.iter().filter_map(|s| s.get(m).cloned()).collect::<Vec<_>>();
                if let [a, b] = [at(&sides[0]), at(&sides[1])]
                    && !a.is_empty()
                    && !b.is_empty()
                {
                    short.push(average(&a));
                    long.push(average(&b));
                    *found += 1;
                }
            }
        }
        assert!(short.len() > 5);
        assert_near(&pair.mu_plus, &average(&short));
        assert_near(&pair.mu_minus, &average(&long));
        assert_eq!((report.found.clone(), report.kept, report.problems), (found, 2, 12));
    }
    let bounded = InductionConfig { contrast: Contrast::Length { max_kl: Some(1e-6) }, ..config };
    let length = |pair: &Pair| pair.delta().iter().map(|x| x * x).sum::<f32>().sqrt();
    let bounded = mine(&groups, bounded).0;
    for (free, bounded) in mined.pairs.iter().zip(&bounded.pairs) {
        assert_eq!(free.mu_minus, bounded.mu_minus);
    }
    let (free, bounded) = (length(&mined.pairs[1]), length(&bounded.pairs[1]));
    assert!(bounded > 0.0 && bounded < free, "{bounded} {free}");
}

#[test]
fn one_vector_leads_from_segments_that_check_to_those_that_carry_on() {
    let engine = ToyEngine::new(1);
    let rollout = |id: &str, k, text: &str| {
        let (token_ids, prompt) = (engine.encode(text).unwrap(), format!("q{id}"));
        Rollout { id: id.into(), k, prompt, gold: None, text: text.into(), token_ids, correct: k == 0, reward: 0.0 }
    };
    let groups = vec![
        vec![rollout("a", 0, "one\n\ntwo\n\nwait\n\nthree"), rollout("a", 1, "one\n\nalternativelyx\n\n")],
        vec![rollout("b", 0, "verify\n\nso\n\nno")],
    ];
    let config = InductionConfig { contrast: Contrast::Thoughts { max_kl: None, stable: None }, ..config() };
    let (mined, report) = mine(&groups, config.clone());
    // What begins at each control point of each answer: the first segment begins at none, an empty last one carries on.
    let executes = [[vec![true, false, true], vec![false, true]].concat(), vec![true, true]].concat();
    assert_eq!((report.found[..3].to_vec(), report.kept), (vec![3, 3, 1], 2));
    for pair in &mined.pairs {
        let all: Vec<Vec<f64>> =
            groups.iter().flatten().flat_map(|r| states(&engine, r, pair.layer, &config)).collect();
        let side = |wanted| {
            let states = all.iter().zip(&executes).filter(|(_, executes)| **executes == wanted);
            states.map(|(state, _)| state.clone()).collect::<Vec<_>>()
        };
        assert_near(&pair.mu_plus, &average(&side(true)));
        assert_near(&pair.mu_minus, &average(&side(false)));
    }
    // The segment after the last control point ends where the next one begins.
    let first = InductionConfig { max_control_points: 1, ..config.clone() };
    let two = vec![vec![rollout("d", 0, "one\n\ntwo\n\nverify"), rollout("d", 1, "one\n\nwait\n\nno")]];
    let pairs = mine(&two, first.clone()).0.pairs;
    for pair in &pairs {
        let [on, check] = [0, 1].map(|k| states(&engine, &two[0][k], pair.layer, &first).remove(0));
        assert_near(&pair.mu_plus, &on);
        assert_near(&pair.mu_minus, &check);
    }
    assert_eq!(pairs.len(), 2);
    // Of many answers the first tell how far a vector moves what comes next, in whatever order they end.
    let many =
        |k: usize| rollout("c", k, &format!("{}\n\nwait\n\nno{}", "so".repeat(1 + k), "\n\nx".repeat(k * 5 % 7)));
    let many = vec![(0..40).map(many).collect()];
    let bounded =
        InductionConfig { contrast: Contrast::Thoughts { max_kl: Some(1e-6), stable: None }, ..config.clone() };
    let one = mine(&many, InductionConfig { max_batch: 1, ..bounded.clone() }).0.pairs;
    assert_eq!(one, mine(&many, InductionConfig { max_batch: 50, ..bounded }).0.pairs);
    // Drawn anew, the toy's segments say nothing of waiting, so what checks does not reproduce.
    let filtered = |share| InductionConfig {
        contrast: Contrast::Thoughts { max_kl: None, stable: Some(share) },
        ..config.clone()
    };
    let (all, _) = mine(&groups, filtered(0.0));
    assert_eq!(all.pairs, mined.pairs);
    let (none, report) = mine(&groups, filtered(0.5));
    assert_eq!((none.pairs.len(), report.skipped.unstable), (0, 2));
    assert_eq!(report.found[..3], [2, 2, 1]);
    // Nothing that checks: no contrast.
    let (mined, report) = mine(&groups[1..], config);
    assert_eq!((mined.pairs.len(), report.kept, report.problems), (0, 0, 1));
}

#[test]
fn rollouts_of_another_model_are_refused() {
    let engine = ToyEngine::new(1).stored_as("BF16");
    let settings = |model: &Fingerprint| serde_json::json!({ "model": model, "computation": "f32" }).to_string();
    let mine = |settings: String, allow_requantised| {
        let config = InductionConfig { allow_requantised, ..config() };
        let run = Induction::new(&engine, config).unwrap().rollout_settings(settings);
        run.run(groups(&engine).into_iter().map(Ok))
    };
    let own = engine.fingerprint();
    for (model, refused, allowed) in [
        (own.clone(), None, None),
        // As earlier versions wrote it.
        (own.without_quantisation(), None, None),
        (Fingerprint { weights: "Q4_K:1".into(), ..own.clone() }, Some("Q4_K there and BF16"), None),
        (Fingerprint { weights: "BF16:1".into(), ..own.clone() }, Some("weights is"), Some("weights is")),
        (Fingerprint { tokenizer: "t".into(), ..own.clone() }, Some("\"t\" there and \"toy\""), Some("tokenizer is")),
    ] {
        for (allow, words) in [(false, refused), (true, allowed)] {
            match (mine(settings(&model), allow), words) {
                (Ok((mined, _)), None) => assert!(!mined.pairs.is_empty()),
                (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{error}"),
                (result, words) => panic!("{model:?}: expected {words:?}, got {:?}", result.map(|_| ())),
            }
            let (config, settings) = (InductionConfig { allow_requantised: allow, ..config() }, settings(&model));
            let captured = capture(&engine, groups(&engine).into_iter().map(Ok), Some(&settings), &config);
            assert_eq!(captured.is_err(), words.is_some());
        }
    }
    let requantised = settings(&Fingerprint { weights: "Q4_K:1".into(), ..own.clone() });
    let (mined, _) = mine(requantised, true).unwrap();
    assert!(mined.provenance["induction"].contains("\"allow_requantised\":true"));
    // Other programs' settings say nothing about the model.
    for settings in [r#"{"model": "qwen"}"#, "not JSON"] {
        let (mined, _) = mine(settings.to_owned(), false).unwrap();
        assert!(!mined.provenance["induction"].contains("allow_requantised"));
    }
}

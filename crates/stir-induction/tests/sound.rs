//! The options of mining on the toy engine, against plain computations that share no code with them.

use std::{collections::BTreeMap, ops::ControlFlow, sync::LazyLock};

use stir_basis::{BasisConfig, MinedPairs, Pair, select};
use stir_core::{Engine, HookPoint, LayerSpec, Row, Sampling, Session, Text, TokenId, control_points, toy::ToyEngine};
use stir_induction::{Contrast, Induction, InductionConfig, InductionError, InductionReport, PositiveSource, induce};
use stir_rollout::{
    Fork, ForkConfig, Forks, Prompt, Rollout, RolloutConfig, RolloutError, Rollouts, read_forks, read_groups,
};

const SAMPLING: Sampling = Sampling { temperature: 4.0, ..Sampling::GREEDY };
const LAYERS: [usize; 2] = [0, 2];

type Groups = Vec<Vec<Rollout>>;

/// Rollouts of twelve prompts, and forks of those.
static SAMPLED: LazyLock<(Groups, Vec<Vec<Fork>>)> = LazyLock::new(|| {
    let engine = ToyEngine::new(1);
    let folder = tempfile::tempdir().unwrap();
    let (rollouts, forks) = (folder.path().join("r.jsonl"), folder.path().join("f.jsonl"));
    let prompt = |c: char| Prompt { id: c.to_string(), prompt: format!("q{c}"), gold: Some("x".into()) };
    let prompts: Vec<Prompt> = ('a'..='l').map(prompt).collect();
    let judge = |_: &Prompt, text: &str| text.len().is_multiple_of(2);
    let config = RolloutConfig { samples: 8, max_tokens: 60, sampling: SAMPLING, ..RolloutConfig::default() };
    Rollouts::new(&engine, config).unwrap().run(&prompts, &judge, &rollouts).unwrap();
    let groups: Groups = read_groups(&rollouts).unwrap().map(Result::unwrap).collect();
    let config = ForkConfig { max_tokens: 60, sampling: SAMPLING, ..ForkConfig::default() };
    Forks::new(&engine, config).unwrap().run(&groups, &judge, &forks).unwrap();
    (groups, read_forks(&forks).unwrap().map(Result::unwrap).collect())
});

fn config() -> InductionConfig {
    let layers = LAYERS.map(|layer| LayerSpec::Index(layer as i64)).to_vec();
    InductionConfig { layers, max_batch: 3, keep: 1000, k_pos: 3, ..InductionConfig::default() }
}

fn mine(config: InductionConfig) -> (MinedPairs, InductionReport) {
    induce(&ToyEngine::new(1), SAMPLED.0.iter().cloned().map(Ok), config).unwrap()
}

fn mine_forked(config: InductionConfig) -> (MinedPairs, InductionReport) {
    let engine = ToyEngine::new(1);
    let run = Induction::new(&engine, config).unwrap().forks(SAMPLED.1.iter().cloned().map(Ok));
    run.run(SAMPLED.0.iter().cloned().map(Ok)).unwrap()
}

/// Encodes a prompt and some tokens from scratch.
fn state(prompt: &str, tokens: &[TokenId], layer: usize) -> Vec<f64> {
    let engine = ToyEngine::new(1);
    let tokens = [engine.encode_prompt(prompt).unwrap(), tokens.to_vec()].concat();
    let (mut session, point) = (engine.session(), [HookPoint::ResidPost(layer)]);
    let row = Row { session: &mut session, tokens: &tokens, additions: vec![], capture: &point, logits: false };
    let state = engine.forward(&mut [row]).unwrap().remove(0).captures.remove(0);
    assert_eq!(session.len(), tokens.len());
    state.into_iter().map(f64::from).collect()
}

/// One state at a boundary, with all that is known about it.
#[derive(Clone)]
struct Seen {
    problem: String,
    k: usize,
    m: usize,
    right: bool,
    reward: f64,
    x: Vec<f64>,
    h: Vec<f64>,
}

fn covariates(m: usize, token: usize, length: usize, points: usize) -> Vec<f64> {
    let mut x = vec![((length - token) as f64).ln(), ((token + 1) as f64).ln(), (token + 1) as f64 / length as f64];
    x.extend((2..=points).map(|point| if point == m { 1.0 } else { 0.0 }));
    x
}

/// Every state of the mixed problems at one layer.
fn seen(layer: usize) -> Vec<Seen> {
    let engine = ToyEngine::new(1);
    let mut all = Vec::new();
    for group in SAMPLED.0.iter().filter(|g| g.iter().any(|r| r.correct) && g.iter().any(|r| !r.correct)) {
        for r in group {
            let points = control_points(engine.vocab(), &config().delimiter, &r.token_ids);
            for point in points.iter().filter(|point| point.m <= 8) {
                all.push(Seen {
                    problem: r.id.clone(),
                    k: r.k,
                    m: point.m,
                    right: r.correct,
                    reward: r.reward,
                    x: covariates(point.m, point.token, r.token_ids.len(), 9),
                    h: state(&r.prompt, &r.token_ids[..=point.token], layer),
                });
            }
        }
    }
    all
}

fn mean_of(rows: &[&Seen], pick: impl Fn(&Seen) -> &Vec<f64>) -> Vec<f64> {
    let width = pick(rows[0]).len();
    (0..width).map(|d| rows.iter().map(|row| pick(row)[d]).sum::<f64>() / rows.len() as f64).collect()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Solves linear equations by elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs())).unwrap();
        a.swap(column, pivot);
        b.swap(column, pivot);
        for row in column + 1..n {
            let factor = a[row][column] / a[column][column];
            let upper = a[column].clone();
            a[row].iter_mut().zip(&upper).for_each(|(x, u)| *x -= factor * u);
            b[row] -= factor * b[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|j| a[row][j] * b[j]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    b
}

/// Fits every dimension of the states on standardised covariates, two passes, with a penalty of 1: `[p][width]`.
fn ridge(rows: &[Seen]) -> Vec<Vec<f64>> {
    let all: Vec<&Seen> = rows.iter().collect();
    let (x_mean, h_mean) = (mean_of(&all, |s| &s.x), mean_of(&all, |s| &s.h));
    let deviation: Vec<f64> = (0..x_mean.len())
        .map(|i| (rows.iter().map(|s| (s.x[i] - x_mean[i]).powi(2)).sum::<f64>() / rows.len() as f64).sqrt())
        .collect();
    let used: Vec<usize> = (0..x_mean.len()).filter(|&i| deviation[i] > 1e-9).collect();
    let z = |s: &Seen, i: usize| (s.x[i] - x_mean[i]) / deviation[i];
    let mut coefficients = vec![vec![0.0; h_mean.len()]; x_mean.len()];
    for d in 0..h_mean.len() {
        let a: Vec<Vec<f64>> = used
            .iter()
            .map(|&i| {
                let entry =
                    |&j: &usize| rows.iter().map(|s| z(s, i) * z(s, j)).sum::<f64>() + if i == j { 1.0 } else { 0.0 };
                used.iter().map(entry).collect()
            })
            .collect();
        let b = used.iter().map(|&i| rows.iter().map(|s| z(s, i) * (s.h[d] - h_mean[d])).sum()).collect();
        for (&i, value) in used.iter().zip(solve(a, b)) {
            coefficients[i][d] = value / deviation[i];
        }
    }
    coefficients
}

fn explained(x: &[f64], coefficients: &[Vec<f64>]) -> Vec<f64> {
    (0..coefficients[0].len()).map(|d| x.iter().zip(coefficients).map(|(x, row)| x * row[d]).sum()).collect()
}

/// A difference as it was mined, the variance of its noise, and the pair as it was corrected.
type Noisy<'p> = (Vec<f64>, f64, &'p Pair);

/// A boundary, and the answers that continue it with their judgements.
type Boundary = (Vec<TokenId>, Vec<(Vec<TokenId>, bool)>);

/// The sides of a pair: the best right ones and the worst wrong ones.
fn sides<'s>(rows: &'s [Seen], pair: &Pair) -> [Vec<&'s Seen>; 2] {
    let at = |right| rows.iter().filter(move |s| s.problem == pair.problem && s.m == pair.m && s.right == right);
    let (mut plus, mut minus): (Vec<_>, Vec<_>) = (at(true).collect(), at(false).collect());
    plus.sort_by(|a, b| b.reward.total_cmp(&a.reward).then(a.k.cmp(&b.k)));
    minus.sort_by(|a, b| a.reward.total_cmp(&b.reward).then(a.k.cmp(&b.k)));
    plus.truncate(3);
    minus.truncate(3);
    [plus, minus]
}

fn close(found: &[f32], expected: &[f64], tolerance: f64) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < tolerance)
}

#[test]
fn without_options_nothing_is_added() {
    let (mined, report) = mine(config());
    assert!(mined.pairs.len() > 20 && mined.pairs.iter().all(|p| p.vector.is_none() && p.quality_error.is_none()));
    assert!(mined.means.is_empty() && report.estimates.is_empty());
    let json = serde_json::to_string(&config()).unwrap();
    assert!(["center", "deconfound", "shrink", "preset"].iter().all(|name| !json.contains(name)));
    let json = serde_json::to_string(&report).unwrap();
    assert!(["estimates", "unvalued", "found_at_prompt"].iter().all(|name| !json.contains(name)));
}

#[test]
fn centring_adds_the_means_and_changes_no_pair() {
    let (plain, before) = mine(config());
    let (mined, report) = mine(InductionConfig { center: true, ..config() });
    assert_eq!(mined.pairs, plain.pairs);
    assert!(report.encoded_tokens >= before.encoded_tokens);
    mined.validate().unwrap();
    for layer in LAYERS {
        let rows = seen(layer);
        let mut by_m: BTreeMap<usize, Vec<&Seen>> = BTreeMap::new();
        rows.iter().for_each(|row| by_m.entry(row.m).or_default().push(row));
        let found: Vec<_> = mined.means.iter().filter(|mean| mean.layer == layer).collect();
        assert_eq!(found.len(), by_m.len());
        for mean in found {
            let rows = &by_m[&mean.m];
            assert_eq!(mean.count, rows.len() as u64);
            assert!(close(&mean.mean, &mean_of(rows, |s| &s.h), 1e-5));
        }
    }
    select(&mined, &BasisConfig::default()).unwrap();
}

#[test]
fn what_length_position_and_m_explain_is_taken_out() {
    let (mined, report) = mine(InductionConfig { deconfound: true, ..config() });
    for layer in LAYERS {
        let rows = seen(layer);
        let coefficients = ridge(&rows);
        let pairs: Vec<&Pair> = mined.pairs.iter().filter(|pair| pair.layer == layer).collect();
        for pair in &pairs {
            let [plus, minus_side] = sides(&rows, pair);
            let x = minus(&mean_of(&plus, |s| &s.x), &mean_of(&minus_side, |s| &s.x));
            let delta = minus(&mean_of(&plus, |s| &s.h), &mean_of(&minus_side, |s| &s.h));
            assert!(close(&pair.delta(), &delta, 1e-5));
            assert!(close(pair.vector.as_ref().unwrap(), &minus(&delta, &explained(&x, &coefficients)), 1e-4));
        }
        let all: Vec<&Seen> = rows.iter().collect();
        let (x_mean, h_mean) = (mean_of(&all, |s| &s.x), mean_of(&all, |s| &s.h));
        let square = |h: &[f64]| h.iter().map(|h| h * h).sum::<f64>();
        let total: f64 = rows.iter().map(|s| square(&minus(&s.h, &h_mean))).sum();
        let left: f64 = rows
            .iter()
            .map(|s| square(&minus(&minus(&s.h, &h_mean), &explained(&minus(&s.x, &x_mean), &coefficients))))
            .sum();
        let estimate = report.estimates.iter().find(|estimate| estimate.layer == layer).unwrap();
        assert!((estimate.removed.unwrap() - (1.0 - left / total)).abs() < 1e-6);
        assert_eq!(estimate.states, rows.len() as u64);
        assert!(pairs.len() > 10);
    }
}

#[test]
fn vectors_are_shrunken_by_their_reliability() {
    let (plain, _) = mine(config());
    let (mined, report) = mine(InductionConfig { shrink: true, ..config() });
    for layer in LAYERS {
        let rows = seen(layer);
        let square = |h: &[f64]| h.iter().map(|h| h * h).sum::<f64>();
        let (mut within, mut freedom) = (0.0, 0.0);
        let mut groups: BTreeMap<(&str, usize, bool), Vec<&Seen>> = BTreeMap::new();
        rows.iter().for_each(|s| groups.entry((&s.problem, s.m, s.right)).or_default().push(s));
        for group in groups.values() {
            let mean = mean_of(group, |s| &s.h);
            within += group.iter().map(|s| square(&minus(&s.h, &mean))).sum::<f64>();
            freedom += group.len() as f64 - 1.0;
        }
        // No control point has so many pairs that contexts are clustered; the few share one mean.
        let pairs: Vec<(&Pair, &Pair)> =
            plain.pairs.iter().zip(&mined.pairs).filter(|(pair, _)| pair.layer == layer).collect();
        let of_m = |m: usize| pairs.iter().filter(|(pair, _)| pair.m == m).count();
        assert!((1..=8).all(|m| of_m(m) < 32) && (1..=8).any(|m| of_m(m) >= 4));
        let mut by_m: BTreeMap<usize, Vec<Noisy<'_>>> = BTreeMap::new();
        for (pair, shrunken) in &pairs {
            let [plus, minus] = sides(&rows, pair);
            let noise = within / freedom * (1.0 / plus.len() as f64 + 1.0 / minus.len() as f64);
            let group = if of_m(pair.m) >= 4 { pair.m } else { 0 };
            let delta = pair.delta().into_iter().map(f64::from).collect();
            by_m.entry(group).or_default().push((delta, noise, shrunken));
        }
        let mean = |group: &[Noisy<'_>]| -> Vec<f64> {
            (0..10).map(|d| group.iter().map(|(delta, ..)| delta[d]).sum::<f64>() / group.len() as f64).collect()
        };
        let (mut spread, mut n) = (0.0, 0.0);
        for group in by_m.values() {
            let (mean, size) = (mean(group), group.len() as f64);
            spread += group
                .iter()
                .map(|(delta, noise, _)| square(&minus(delta, &mean)) - noise * (1.0 - 1.0 / size))
                .sum::<f64>();
            n += size - 1.0;
        }
        let signal = (spread / n).max(0.0);
        for group in by_m.values() {
            let mean = mean(group);
            for (delta, noise, pair) in group {
                let share = signal / (signal + noise);
                let expected: Vec<f64> = delta.iter().zip(&mean).map(|(x, mean)| mean + share * (x - mean)).collect();
                assert!(close(pair.vector.as_ref().unwrap(), &expected, 1e-4));
            }
        }
        let estimate = report.estimates.iter().find(|estimate| estimate.layer == layer).unwrap();
        assert!((estimate.signal.unwrap() - signal).abs() < 1e-4, "{estimate:?} {signal}");
        let reliability = signal / (signal + estimate.noise.unwrap());
        assert!((estimate.reliability.unwrap() - reliability).abs() < 1e-6 && estimate.removed.is_none());
    }
}

#[test]
fn neither_the_batch_nor_an_observer_changes_a_bit() {
    let sound = InductionConfig { contrast: Contrast::Reward, layers: config().layers, ..InductionConfig::sound() };
    let (expected, report) = mine(sound.clone());
    for max_batch in [1, 50] {
        let (found, other) = mine(InductionConfig { max_batch, ..sound.clone() });
        assert_eq!((&found.pairs, &found.means), (&expected.pairs, &expected.means));
        assert_eq!(other.estimates, report.estimates);
    }
    let forked = InductionConfig { layers: config().layers, ..InductionConfig::sound() };
    let (expected, _) = mine_forked(forked.clone());
    assert_eq!(mine_forked(InductionConfig { max_batch: 1, ..forked }).0.pairs, expected.pairs);
    let pooled = InductionConfig { contrast: Contrast::Length { max_kl: Some(1e-3) }, ..config() };
    let (expected, _) = mine(pooled.clone());
    for max_batch in [1, 50] {
        assert_eq!(mine(InductionConfig { max_batch, ..pooled.clone() }).0.pairs, expected.pairs);
    }
}

/// A boundary of the tree, computed from the forks' own texts.
fn plain_forks(layer: usize) -> Vec<Pair> {
    let engine = ToyEngine::new(1);
    let delimiters = |tokens: &[TokenId]| engine.vocab().text(tokens).matches("\n\n").count();
    let next = |prefix: &[TokenId], answer: &[TokenId]| -> Option<Vec<TokenId>> {
        let end = (prefix.len() + 1..answer.len()).find(|&n| delimiters(&answer[..n]) > delimiters(prefix))?;
        Some(answer[..end].to_vec())
    };
    let mut pairs = Vec::new();
    for group in &SAMPLED.0 {
        let prompt = &group[0].prompt;
        // Answers by the boundary that they continue, in order of discovery.
        let mut nodes: Vec<Boundary> = vec![(vec![], group.iter().map(|r| (r.token_ids.clone(), r.correct)).collect())];
        for fork in SAMPLED.1.iter().flatten().filter(|fork| fork.id == group[0].id) {
            let answer = ([&fork.prefix[..], &fork.token_ids].concat(), fork.correct);
            match nodes.iter_mut().find(|(prefix, _)| *prefix == fork.prefix) {
                Some((_, answers)) => answers.push(answer),
                None => nodes.push((fork.prefix.clone(), vec![answer])),
            }
        }
        let value = |prefix: &[TokenId]| -> Option<(f64, f64)> {
            let (_, answers) = nodes[1..].iter().find(|(other, _)| other == prefix)?;
            let (n, right) = (answers.len() as f64, answers.iter().filter(|(_, right)| *right).count() as f64);
            let value = (right + 1.0) / (n + 2.0);
            Some((value, value * (1.0 - value) / (n + 3.0)))
        };
        for (prefix, answers) in &nodes {
            let side = |right: bool| -> Vec<Vec<TokenId>> {
                answers.iter().filter(|(_, is)| *is == right).filter_map(|(answer, _)| next(prefix, answer)).collect()
            };
            let sides = [side(true), side(false)];
            let valued =
                sides.clone().map(|side| side.into_iter().filter(|end| value(end).is_some()).collect::<Vec<_>>());
            if valued.iter().any(Vec::is_empty) {
                continue;
            }
            let mean =
                |ends: &[Vec<TokenId>]| ends.iter().map(|end| value(end).unwrap().0).sum::<f64>() / ends.len() as f64;
            let quality = mean(&valued[0]) - mean(&valued[1]);
            // Moving the value of one boundary by its standard error moves the quality by so much.
            let mut ends = valued.concat();
            ends.sort();
            ends.dedup();
            let variance: f64 = ends
                .iter()
                .map(|end| {
                    let share =
                        |ends: &[Vec<TokenId>]| ends.iter().filter(|e| *e == end).count() as f64 / ends.len() as f64;
                    (share(&valued[0]) - share(&valued[1])).powi(2) * value(end).unwrap().1
                })
                .sum();
            if quality <= 1e-12 {
                continue;
            }
            let mean_state = |ends: &[Vec<TokenId>]| -> Vec<f64> {
                let states: Vec<_> = ends.iter().map(|end| state(prompt, end, layer)).collect();
                (0..10).map(|d| states.iter().map(|s| s[d]).sum::<f64>() / states.len() as f64).collect()
            };
            let vector = minus(&mean_state(&sides[0]), &mean_state(&sides[1]));
            pairs.push(Pair {
                problem: group[0].id.clone(),
                m: delimiters(prefix),
                layer,
                quality,
                quality_error: Some(variance.sqrt()),
                mu_plus: vec![],
                mu_minus: state(prompt, prefix, layer).into_iter().map(|x| x as f32).collect(),
                vector: Some(vector.into_iter().map(|x| x as f32).collect()),
            });
        }
    }
    pairs.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    pairs
}

#[test]
fn forked_pairs_are_those_of_a_direct_computation() {
    let config = InductionConfig { contrast: Contrast::Forked, ..config() };
    let (mined, report) = mine_forked(config.clone());
    mined.validate().unwrap();
    let mut at_prompt = 0;
    for layer in LAYERS {
        let mut found: Vec<&Pair> = mined.pairs.iter().filter(|pair| pair.layer == layer).collect();
        let mut expected = plain_forks(layer);
        assert!(found.len() > 6 && found.len() == expected.len(), "{} {}", found.len(), expected.len());
        let key = |pair: &Pair| {
            (pair.problem.clone(), pair.m, (pair.quality * 1e9).round() as i64, pair.mu_minus[0].to_bits())
        };
        found.sort_by_key(|pair| key(pair));
        expected.sort_by_key(key);
        for (pair, plain) in found.iter().zip(&expected) {
            assert_eq!((&pair.problem, pair.m), (&plain.problem, plain.m));
            assert!((pair.quality - plain.quality).abs() < 1e-9);
            assert!((pair.quality_error.unwrap() - plain.quality_error.unwrap()).abs() < 1e-9);
            assert_eq!(pair.mu_minus, plain.mu_minus);
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near(pair.vector.as_ref().unwrap(), plain.vector.as_ref().unwrap()));
            assert!(near(&pair.delta(), plain.vector.as_ref().unwrap()));
        }
        at_prompt = found.iter().filter(|pair| pair.m == 0).count();
        assert!(found.iter().any(|pair| pair.m > 0));
    }
    assert_eq!(report.found_at_prompt, at_prompt);
    assert!(at_prompt > 0 && mined.pairs.is_sorted_by(|a, b| a.quality >= b.quality));
    // What cannot be kept is not encoded.
    let (few, cheaper) = mine_forked(InductionConfig { keep: 2, max_batch: 1, ..config });
    assert_eq!(few.pairs[..], mined.pairs[..2]);
    assert!(cheaper.encoded_tokens < report.encoded_tokens);
}

#[test]
fn forked_pairs_take_every_correction() {
    let sound = InductionConfig { layers: config().layers, ..InductionConfig::sound() };
    let (mined, report) = mine_forked(sound);
    mined.validate().unwrap();
    assert_eq!(report.estimates.len(), LAYERS.len());
    assert!(report.estimates.iter().all(|e| e.removed.is_some() && e.reliability.is_some()));
    // The mean at the end of the prompt is over problems that have right and wrong rollouts.
    let mixed = SAMPLED.0.iter().filter(|g| g.iter().any(|r| r.correct) && g.iter().any(|r| !r.correct));
    let prompts: Vec<Vec<f64>> = mixed.map(|group| state(&group[0].prompt, &[], 2)).collect();
    let mean: Vec<f64> = (0..10).map(|d| prompts.iter().map(|s| s[d]).sum::<f64>() / prompts.len() as f64).collect();
    let found = mined.means.iter().find(|mean| (mean.layer, mean.m) == (2, 0)).unwrap();
    assert!(found.count == prompts.len() as u64 && close(&found.mean, &mean, 1e-5));
    let library = select(&mined, &BasisConfig::default()).unwrap();
    assert!(!library.entries().is_empty() && !library.means().is_empty());
    let (plain, _) = mine_forked(InductionConfig { contrast: Contrast::Forked, ..config() });
    let keys = |mined: &MinedPairs| mined.pairs.iter().map(|p| (p.problem.clone(), p.m, p.layer)).collect::<Vec<_>>();
    assert_eq!(keys(&plain)[..50.min(plain.pairs.len())], keys(&mined)[..50.min(mined.pairs.len())]);
    assert!(plain.pairs.iter().zip(&mined.pairs).any(|(a, b)| a.vector != b.vector));
}

#[test]
fn forks_that_are_missing_or_do_not_fit_are_refused() {
    let engine = ToyEngine::new(1);
    let config = InductionConfig { contrast: Contrast::Forked, ..config() };
    let rollouts = || SAMPLED.0.iter().cloned().map(Ok);
    let run = |forks: Vec<Vec<Fork>>| {
        Induction::new(&engine, config.clone()).unwrap().forks(forks.into_iter().map(Ok)).run(rollouts())
    };
    assert!(matches!(induce(&engine, rollouts(), config.clone()), Err(InductionError::NoForks)));
    let mut forks = SAMPLED.1.clone();
    forks.reverse();
    assert!(matches!(run(forks), Err(InductionError::UnmatchedForks { .. })));
    let mut forks = SAMPLED.1.clone();
    forks[1][0].prefix.push(3);
    let result = run(forks);
    assert!(matches!(&result, Err(InductionError::Rollouts(RolloutError::NotOfTree { .. }))), "{result:?}");
    // Another delimiter than that of the forks.
    let other = InductionConfig { delimiter: stir_core::Delimiter::new(". ").unwrap(), ..config.clone() };
    let result = Induction::new(&engine, other).unwrap().forks(SAMPLED.1.iter().cloned().map(Ok)).run(rollouts());
    assert!(matches!(result, Err(InductionError::Rollouts(RolloutError::NotOfTree { .. }))));
    // Without any forks no boundary has a value.
    let (mined, report) = run(vec![]).unwrap();
    assert!(mined.pairs.is_empty() && report.skipped.unvalued > 0);
    let gold = InductionConfig { positives: PositiveSource::Gold, ..config.clone() };
    assert!(gold.validate().unwrap_err().to_string().contains("unless contrast is reward"));
    // A run that the observer stops leaves forks over, which is no fault.
    let stopped = Induction::new(&engine, config.clone()).unwrap().forks(SAMPLED.1.iter().cloned().map(Ok));
    let stopped =
        stopped.on_progress(|p| if p.problems == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    assert!(!stopped.run(rollouts()).unwrap().1.complete);
}

/// Of an interrupted run a boundary may be left with all its continuations, and its parent with the one that leads there.
#[test]
fn a_boundary_is_read_at_its_place_whatever_is_left_of_its_parent() {
    let engine = ToyEngine::new(1);
    let config = InductionConfig { contrast: Contrast::Forked, ..config() };
    let whole = mine_forked(config.clone()).0.pairs;
    let mut found = 0;
    for forks in &SAMPLED.1 {
        for child in forks.iter().filter(|fork| fork.k == 0 && fork.parent > 0) {
            let (mut left, mut below) = (Vec::new(), child);
            while let Some(via) = forks.iter().find(|fork| (fork.node, fork.k) == (below.parent, below.via)) {
                left.push(via.clone());
                below = via;
            }
            left.extend(forks.iter().filter(|fork| fork.prefix.starts_with(&child.prefix)).cloned());
            let rollouts: Groups = SAMPLED.0.iter().filter(|group| group[0].id == child.id).cloned().collect();
            let context = state(&rollouts[0][0].prompt, &child.prefix, LAYERS[1]);
            let run = Induction::new(&engine, config.clone()).unwrap().forks([Ok(left)]);
            let pairs = run.run(rollouts.into_iter().map(Ok)).unwrap().0.pairs;
            let at = |pairs: &[Pair]| -> Option<Pair> {
                pairs
                    .iter()
                    .find(|p| p.layer == LAYERS[1] && p.m == child.m && close(&p.mu_minus, &context, 1e-6))
                    .cloned()
            };
            assert_eq!(at(&pairs), at(&whole));
            found += usize::from(at(&pairs).is_some());
        }
    }
    assert!(found > 0);
}

//! Whole calibrations on answers that are drawn, without a model: how often each verdict is reached.

use std::convert::Infallible;

use stir_core::SampleRng;

use super::{
    budget::{Cost, Who, cost_of},
    search::{Bench, Found, Rules, Sizes, plan, search},
    spec::{Budget, Halving, Set, TokenCount},
    trial::Trial,
    verdict::{TestStatistics, Verdict},
};

/// What a setting does.
#[derive(Clone, Copy)]
struct Effect {
    /// The share of problems whose answers it changes: they are drawn again.
    changes: f64,
    /// What it adds to the chance of these to be right.
    gain: f64,
    /// What it multiplies the length of all answers with.
    length: f64,
}

const NOTHING: Effect = Effect { changes: 0.3, gain: 0.0, length: 1.0 };

/// A model whose answers are drawn, each from a stream of its own: whatever the order, they are the same.
struct Drawn {
    seed: u64,
    effects: Vec<Effect>,
    sizes: Sizes,
    /// The answers that were asked for, most of them again and again.
    asked: Vec<(Who, Set, usize)>,
}

const DEVELOPMENT: usize = 160;
const TEST: usize = 200;
const MOST: usize = 400;

impl Drawn {
    fn new(seed: u64, effects: &[Effect]) -> Self {
        let sizes = Sizes { plain: MOST, settings: vec![MOST; effects.len()], mining: vec![1000; effects.len()] };
        Self { seed, effects: effects.to_vec(), sizes, asked: Vec::new() }
    }

    fn trial(&self, who: Who, set: Set, problem: usize) -> Trial {
        let stream = |who: u64| (who << 32) + ((set.task() as u64) << 24) + problem as u64;
        let mut rng = SampleRng::new(self.seed, stream(0));
        // Hard, middling and easy problems.
        let chance = [0.1, 0.4, 0.8][(rng.uniform() * 3.0) as usize];
        let draw = |rng: &mut SampleRng, gain: f64| (rng.uniform() < chance + gain, 100.0 + 200.0 * rng.uniform());
        let plain = draw(&mut rng, 0.0);
        let (effect, (right, length)) = match who {
            Some(setting) => {
                let (effect, mut rng) = (self.effects[setting], SampleRng::new(self.seed, stream(setting as u64 + 1)));
                (effect, if rng.uniform() < effect.changes { draw(&mut rng, effect.gain) } else { plain })
            }
            None => (NOTHING, plain),
        };
        let tokens = (length * effect.length) as usize;
        Trial { right, tokens, spent: tokens, seconds: 0.0 }
    }
}

impl Bench for Drawn {
    type Error = Infallible;

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn prepare(&mut self, _: usize) -> Result<(Cost, bool), Infallible> {
        Ok((Cost { tokens: 900, seconds: 0.0 }, true))
    }

    fn answer(&mut self, who: Who, set: Set, first: usize) -> Result<Vec<Trial>, Infallible> {
        let first = first.min(if set == Set::Test { TEST } else { DEVELOPMENT });
        self.asked.push((who, set, first));
        Ok((0..first).map(|problem| self.trial(who, set, problem)).collect())
    }
}

fn rules(settings: usize, tokens: usize) -> Rules {
    let budget = Budget { tokens: Some(tokens), hours: None };
    Rules { settings, development: DEVELOPMENT, test: TEST, halving: Halving::default(), budget }
}

/// Runs a calibration to its end; returns what was found, the verdict, and the tokens that all of it took.
fn calibrate(bench: &mut Drawn, tokens: usize) -> (Found, Option<Verdict>, usize) {
    let rules = rules(bench.effects.len(), tokens);
    let found = search(bench, &rules).unwrap();
    let mut spent = found.ledger.mining.tokens + found.ledger.answers().tokens;
    let Some((setting, developed)) = found.best else { return (found, None, spent) };
    let plain = bench.answer(None, Set::Test, usize::MAX).unwrap();
    let own = bench.answer(Some(setting), Set::Test, usize::MAX).unwrap();
    spent += cost_of(&plain).tokens + cost_of(&own).tokens;
    let statistics = TestStatistics::new(&plain, &own, TokenCount::All, &[]).unwrap();
    (found, Some(statistics.verdict(developed)), spent)
}

/// The shares of `runs` calibrations that end with "use it", "no effect found" and "harms".
fn shares(runs: u64, effects: &[Effect]) -> [f64; 3] {
    let ends = |seed| calibrate(&mut Drawn::new(seed, effects), usize::MAX).1;
    let ends: Vec<_> = (0..runs).map(ends).collect();
    [Verdict::UseIt, Verdict::NoEffect, Verdict::Harms]
        .map(|wanted| ends.iter().filter(|&&verdict| verdict == Some(wanted)).count() as f64 / runs as f64)
}

/// 300 calibrations of eight settings that change a third of the answers to no end. The tests hold a level of 5 % for "use
/// it" and "harms" together, and half of that for each.
#[test]
fn what_does_nothing_is_not_recommended() {
    let [use_it, no_effect, harms] = shares(300, &[NOTHING; 8]);
    assert!(use_it <= 0.05 && harms <= 0.05 && no_effect >= 0.92, "{use_it} {no_effect} {harms}");
}

#[test]
fn a_planted_setting_is_found() {
    let mut effects = [NOTHING; 8];
    effects[5] = Effect { changes: 0.6, gain: 0.25, length: 1.0 };
    let (mut chosen, mut used) = (0, 0);
    for seed in 0..100 {
        let (found, verdict, _) = calibrate(&mut Drawn::new(seed, &effects), usize::MAX);
        chosen += usize::from(found.best == Some((5, true)));
        used += usize::from(verdict == Some(Verdict::UseIt));
    }
    assert!(chosen >= 75 && used >= 70, "{chosen} {used}");
}

#[test]
fn a_saving_of_tokens_is_found() {
    let mut effects = [NOTHING; 4];
    effects[2] = Effect { changes: 0.1, gain: 0.0, length: 0.6 };
    let [use_it, ..] = shares(100, &effects);
    assert!(use_it >= 0.85, "{use_it}");
    // Where three answers in ten change, 160 problems exclude a loss of 5 points in three of five calibrations.
    effects[2].changes = 0.3;
    let [use_it, ..] = shares(100, &effects);
    assert!((0.5..0.8).contains(&use_it), "{use_it}");
    let [use_it, ..] = shares(50, &[Effect { length: 1.3, ..NOTHING }; 4]);
    assert!(use_it <= 0.04, "{use_it}");
}

/// The setting that a search for saved tokens would fall for: a third fewer, and 10 points lost.
#[test]
fn a_saving_that_costs_answers_is_not_chosen() {
    let mut effects = [NOTHING; 4];
    effects[2] = Effect { changes: 0.4, gain: -0.25, length: 0.65 };
    let chosen = |seed| calibrate(&mut Drawn::new(seed, &effects), usize::MAX).0.best == Some((2, true));
    let chosen = (0..100).filter(|&seed| chosen(seed)).count();
    assert!(chosen <= 2, "{chosen}");
}

#[test]
fn what_harms_is_said_to() {
    let harm = Effect { changes: 0.7, gain: -0.3, length: 0.8 };
    let [_, _, harms] = shares(100, &[harm; 4]);
    assert!(harms >= 0.95, "{harms}");
    // The search ends as soon as all are significantly worse, and one of them is tested all the same.
    let (found, ..) = calibrate(&mut Drawn::new(1, &[harm; 4]), usize::MAX);
    assert!(found.rungs.last().unwrap().problems < DEVELOPMENT && found.best.is_some_and(|(_, beats)| !beats));
}

#[test]
fn a_budget_is_kept_and_the_test_is_paid_from_it() {
    let effects = [NOTHING, Effect { length: 1.3, ..NOTHING }, NOTHING, Effect { gain: 0.2, ..NOTHING }];
    let planned = plan(&Drawn::new(0, &effects).sizes, &rules(4, 0));
    assert_eq!(
        planned.rungs.iter().map(|rung| (rung.settings, rung.problems)).collect::<Vec<_>>(),
        [(4, 20), (2, 40), (1, 80), (1, 160)]
    );
    assert_eq!((planned.mining, planned.test, planned.rungs[0].tokens), (4000, 2 * 200 * 400, 5 * 20 * 400));
    assert_eq!((planned.rungs[3].answers, planned.total), (160, 4000 + 160_000 + (100 + 60 + 80 + 160) * 400));
    for (seed, tokens) in (0..60).map(|seed| (seed, planned.needed + 500 * seed as usize)) {
        let (found, verdict, spent) = calibrate(&mut Drawn::new(seed, &effects), tokens);
        assert!(spent <= tokens && verdict.is_some(), "{seed}: {spent} of {tokens}");
        // Answers take half of what they could: that is enough for all rungs.
        assert_eq!((found.stopped, found.rungs.len()), (None, 4));
    }
    // Less than the least, as a plan would have refused: nothing is tried, and nothing is spent on it.
    let (found, verdict, spent) = calibrate(&mut Drawn::new(3, &effects), 10);
    assert_eq!((found.best, verdict, spent), (None, None, 0));
    assert!(found.stopped.is_some());
}

#[test]
fn a_rung_that_does_not_fit_is_cut_short() {
    // Many settings with long answers: the least budget is not enough for all rungs.
    let effects = [Effect { length: 1.3, ..NOTHING }; 16];
    let whole = calibrate(&mut Drawn::new(7, &effects), usize::MAX);
    let needed = plan(&Drawn::new(7, &effects).sizes, &rules(16, 0)).needed;
    let stops: Vec<_> = (needed..whole.2 + 20_000)
        .step_by(1000)
        .map(|tokens| calibrate(&mut Drawn::new(7, &effects), tokens).0)
        .collect();
    assert!(stops.iter().all(|found| !found.rungs.is_empty()));
    assert!(stops.iter().any(|found| found.stopped.is_some()) && stops.iter().any(|found| found.stopped.is_none()));
    let partly = |found: &&Found| found.rungs.last().is_some_and(|rung| rung.standings.len() < rung.planned);
    let cut: Vec<_> = stops.iter().filter(partly).collect();
    assert!(!cut.is_empty());
    for found in cut {
        // The best is one of those that were tried on the most problems.
        let last = &found.rungs[found.rungs.len() - 1];
        let tried = |(best, _): (usize, bool)| last.standings.iter().any(|standing| standing.setting == best);
        assert!(found.stopped.is_some() && found.best.is_some_and(tried));
    }
}

#[test]
fn plain_answers_are_shared_and_the_test_is_answered_once() {
    let mut bench = Drawn::new(2, &[NOTHING; 8]);
    let (found, ..) = calibrate(&mut bench, usize::MAX);
    let test: Vec<_> = bench.asked.iter().filter(|(_, set, _)| *set == Set::Test).collect();
    assert_eq!(test, [&(None, Set::Test, TEST), &(found.best.map(|(setting, _)| setting), Set::Test, TEST)]);
    // One after the other, the rungs ask plain decoding once each, and half of the settings.
    let of = |who: Who| bench.asked.iter().filter(|(asked, set, _)| *asked == who && *set == Set::Development).count();
    assert_eq!(of(None), found.rungs.len());
    assert_eq!(found.rungs.iter().map(|rung| rung.standings.len()).collect::<Vec<_>>(), [8, 4, 2, 1]);
    assert_eq!((0..8).map(|setting| of(Some(setting))).sum::<usize>(), 8 + 4 + 2 + 1);
}

//! Successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS).
//!
//! In a rung all settings that are left answer the same first problems of development, next to plain decoding. They are
//! ordered by their scores ([`Standing::score`]), which are posterior means. (The order of lower bounds would be another
//! one: it prefers settings that change nothing to those that change much.) One of [`Halving::eta`] stays, without those
//! that are significantly worse than plain decoding, and the next rung has twice as many problems. Lower bounds decide in
//! the end, between the best setting and doing nothing.

use serde::Serialize;

use super::{
    budget::{Cost, Ledger, Limit, Who},
    spec::{Budget, Halving, Set},
    trial::{Standing, Trial},
};

/// What a search works on.
pub(super) trait Bench {
    type Error;

    /// Returns what everything can take at most.
    fn sizes(&self) -> &Sizes;

    /// Makes the library of a setting. Returns what that has cost beyond what was made before, and false if the problems
    /// that are mined give no library.
    fn prepare(&mut self, setting: usize) -> Result<(Cost, bool), Self::Error>;

    /// Returns the answers to the first problems of a set.
    fn answer(&mut self, who: Who, set: Set, first: usize) -> Result<Vec<Trial>, Self::Error>;
}

/// What the parts of a search can take at most, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes {
    /// An answer by plain decoding.
    pub(super) plain: usize,
    /// An answer by every setting.
    pub(super) settings: Vec<usize>,
    /// The library of every setting, beyond what those before it made.
    pub(super) mining: Vec<usize>,
}

impl Sizes {
    fn of(&self, who: Who) -> usize {
        who.map_or(self.plain, |setting| self.settings.get(setting).copied().unwrap_or(0))
    }
}

/// The sizes and rules of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) settings: usize,
    /// The number of development problems.
    pub(super) development: usize,
    /// The number of test problems.
    pub(super) test: usize,
    pub(super) halving: Halving,
    pub(super) budget: Budget,
}

/// A rung of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rung {
    /// The number of development problems that were answered, from the first.
    pub problems: usize,
    /// The number of settings that were to answer them.
    pub planned: usize,
    /// The share of right answers of plain decoding.
    pub plain: f64,
    /// The settings that did, the best first.
    pub standings: Vec<Standing>,
}

/// What a search has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rungs: Vec<Rung>,
    /// The limit that ended it early.
    pub(super) stopped: Option<Limit>,
    /// The settings without a library.
    pub(super) without: Vec<usize>,
    /// The setting to be tested, and whether it is better than plain decoding on development.
    pub(super) best: Option<(usize, bool)>,
    pub(super) ledger: Ledger,
}

impl Rules {
    /// Returns the number of settings and of problems of every rung, if no setting is dropped early.
    pub(super) fn rungs(&self) -> Vec<(usize, usize)> {
        let (mut settings, mut problems) = (self.settings, self.halving.first.min(self.development));
        let mut rungs = vec![(settings, problems)];
        while problems < self.development {
            (settings, problems) = (settings.div_ceil(self.halving.eta), self.grown(problems));
            rungs.push((settings, problems));
        }
        rungs
    }

    fn grown(&self, problems: usize) -> usize {
        problems.saturating_mul(2).min(self.development)
    }

    /// Returns the most tokens that the test of one of `settings` takes, plain decoding included.
    fn reserve(&self, sizes: &Sizes, ledger: &Ledger, settings: &[usize]) -> usize {
        let bound = |who| ledger.bound(who, self.test, sizes.of(who));
        let worst = settings.iter().map(|&setting| bound(Some(setting))).max();
        bound(None).saturating_add(worst.unwrap_or(0))
    }
}

/// Searches; everything that `bench` answers is kept by it, so the same search goes on where it was stopped.
pub(super) fn search<B: Bench>(bench: &mut B, rules: &Rules) -> Result<Found, B::Error> {
    let Rules { halving, budget, .. } = rules;
    let (mut ledger, mut rungs, mut stopped, mut without) = (Ledger::default(), Vec::new(), None, Vec::new());
    let mut alive: Vec<usize> = (0..rules.settings).collect();
    let mut first = halving.first.min(rules.development);
    loop {
        let mut standings = Vec::new();
        for who in std::iter::once(None).chain(alive.iter().copied().map(Some)) {
            let more = first - ledger.of(who).len().min(first);
            let sizes = bench.sizes();
            let unmade = who.filter(|_| rungs.is_empty()).and_then(|setting| sizes.mining.get(setting));
            let next = ledger.bound(who, more, sizes.of(who)).saturating_add(unmade.copied().unwrap_or(0));
            stopped = ledger.exceeded(budget, next, rules.reserve(sizes, &ledger, &alive));
            if stopped.is_some() {
                break;
            }
            if let Some(setting) = who.filter(|_| rungs.is_empty()) {
                let (cost, is_made) = bench.prepare(setting)?;
                ledger.mining += cost;
                if !is_made {
                    without.push(setting);
                    continue;
                }
            }
            let trials = bench.answer(who, Set::Development, first)?;
            ledger.trials.insert(who, trials);
            if let Some(setting) = who {
                standings.push(Standing::new(setting, ledger.of(None), ledger.of(who), halving));
            }
        }
        if standings.is_empty() {
            break;
        }
        // A stable sort: of settings that are equal, the earlier one is first.
        standings.sort_by(|a, b| b.score.total_cmp(&a.score));
        let stay = standings.len().div_ceil(halving.eta);
        standings
            .iter_mut()
            .filter(|standing| !standing.is_worse())
            .take(stay)
            .for_each(|standing| standing.kept = true);
        let planned = alive.len();
        alive = standings.iter().filter(|standing| standing.kept).map(|standing| standing.setting).collect();
        let plain = ledger.of(None).iter().filter(|trial| trial.right).count() as f64 / first as f64;
        rungs.push(Rung { problems: first, planned, plain, standings });
        if stopped.is_some() || first == rules.development || alive.is_empty() {
            break;
        }
        first = rules.grown(first);
    }
    let best = rungs.last_mut().and_then(choose);
    Ok(Found { rungs, stopped, without, best, ledger })
}

/// Returns the setting to be tested: the best that beats plain decoding, else the best that is not significantly worse,
/// else the best; and whether it beats plain decoding.
fn choose(rung: &mut Rung) -> Option<(usize, bool)> {
    let standings = &rung.standings;
    let place = standings.iter().position(Standing::beats_plain);
    let place = place.or_else(|| standings.iter().position(|standing| !standing.is_worse()));
    let place = place.unwrap_or(0);
    let chosen = (standings.get(place)?.setting, standings.get(place)?.beats_plain());
    for (i, standing) in rung.standings.iter_mut().enumerate() {
        standing.kept = i == place;
    }
    Some(chosen)
}

/// What a calibration may take, before anything is known of the lengths of answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetPlan {
    /// The tokens of all rollouts, at most.
    pub mining: usize,
    /// The rungs, as long as no setting is dropped early.
    pub rungs: Vec<RungPlan>,
    /// The number of test problems.
    pub test_problems: usize,
    /// The tokens of the test, at most: reserved from the beginning.
    pub test: usize,
    /// The tokens that mining, the first rung and the test take at most: the least budget.
    pub needed: usize,
    /// The tokens of everything, at most.
    pub total: usize,
}

/// A rung of a [`BudgetPlan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RungPlan {
    /// The number of settings.
    pub settings: usize,
    /// The number of development problems.
    pub problems: usize,
    /// The number of answers that are new in this rung, those of plain decoding included.
    pub answers: usize,
    /// The tokens of these answers, at most.
    pub tokens: usize,
}

/// Returns what a search may take.
pub(super) fn plan(sizes: &Sizes, rules: &Rules) -> BudgetPlan {
    let mut most = sizes.settings.clone();
    let mining = sizes.mining.iter().fold(0usize, |sum, most| sum.saturating_add(*most));
    // Which settings stay is not known: those that take the most.
    most.sort_by(|a, b| b.cmp(a));
    let mut before = 0;
    let rung = |(settings, problems): (usize, usize)| {
        let new = problems - before;
        before = problems;
        let each = most.iter().take(settings).fold(sizes.plain, |sum, most| sum.saturating_add(*most));
        RungPlan { settings, problems, answers: new * (settings + 1), tokens: each.saturating_mul(new) }
    };
    let rungs: Vec<RungPlan> = rules.rungs().into_iter().map(rung).collect();
    let all: Vec<usize> = (0..rules.settings).collect();
    let test = rules.reserve(sizes, &Ledger::default(), &all);
    let beside = mining.saturating_add(test);
    let needed = beside.saturating_add(rungs.first().map_or(0, |rung| rung.tokens));
    let total = rungs.iter().fold(beside, |sum, rung| sum.saturating_add(rung.tokens));
    BudgetPlan { mining, rungs, test_problems: rules.test, test, needed, total }
}

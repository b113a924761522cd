//! All trials of a library: what has been tried, and what is still worth trying.

use std::collections::BTreeMap;

use crate::{
    Job, Start, ValidationConfig,
    estimate::{Measured, Pooled, Trials, Uplift, design_effect},
    plan::Plan,
};

/// The level at which a trial ends early: three standard errors, so strict that looking often costs nearly nothing
/// (Haybittle 1971, Peto and others 1976).
const EARLY: f64 = 0.998_65;

/// An entry at one strength.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) entry: usize,
    /// The place of the strength.
    pub(crate) strength: usize,
    pub(crate) trials: Trials,
    /// The starts that were tried.
    pub(crate) tried: usize,
    /// False once it is decided.
    open: bool,
}

/// The trials of all entries at all strengths.
#[derive(Debug, Clone)]
pub(crate) struct Board<'p> {
    config: &'p ValidationConfig,
    plan: &'p Plan,
    pub(crate) trials: Vec<Trial>,
}

impl<'p> Board<'p> {
    /// The trials are in the order of their arms, of which the first adds nothing.
    pub(crate) fn new(config: &'p ValidationConfig, plan: &'p Plan) -> Self {
        let of_entry = |&entry: &usize| {
            (0..config.strengths.len()).map(move |strength| Trial {
                entry,
                strength,
                trials: Trials::default(),
                tried: 0,
                open: true,
            })
        };
        Self { config, plan, trials: plan.starts.keys().flat_map(of_entry).collect() }
    }

    /// Returns every continuation that may be asked for, in order.
    pub(crate) fn all_jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> =
            (0..self.trials.len()).flat_map(|place| self.jobs_of(place, self.starts(place))).collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// Returns the continuations of the next look, of trials that are open; none at the end.
    pub(crate) fn next_jobs(&self) -> Vec<Job> {
        let open = (0..self.trials.len()).filter(|&place| self.trials[place].open);
        open.flat_map(|place| self.jobs_of(place, self.next_starts(place))).collect()
    }

    /// Takes the results of the continuations that [`next_jobs`](Self::next_jobs) asked for, and closes what is decided.
    pub(crate) fn look(&mut self, starts: &[Start], right: impl Fn(Job) -> Option<bool>) {
        let problems = problems(starts);
        for place in 0..self.trials.len() {
            if !self.trials[place].open {
                continue;
            }
            let next = self.next_starts(place).to_vec();
            let trial = &mut self.trials[place];
            for &start in &next {
                for sample in 0..self.config.samples {
                    let of_arm = |arm| right(Job { start, arm, sample });
                    if let (Some(with), Some(without)) = (of_arm(place + 1), of_arm(0)) {
                        trial.trials.add(problems[start], with, without);
                    }
                }
            }
            trial.tried += next.len();
        }
        self.close();
    }

    /// Returns what the entries have in common at a strength, and the design effect.
    pub(crate) fn pooled(&self, strength: usize) -> Option<(Pooled, f64)> {
        let trials: Vec<&Trials> =
            self.trials.iter().filter(|trial| trial.strength == strength).map(|trial| &trial.trials).collect();
        let effect = design_effect(trials.iter().copied());
        Pooled::of_trials(&trials).map(|pooled| (pooled, effect))
    }

    fn close(&mut self) {
        let pooled: Vec<Option<(Pooled, f64)>> = (0..self.config.strengths.len()).map(|s| self.pooled(s)).collect();
        for place in 0..self.trials.len() {
            let planned = self.starts(place).len();
            let trial = &self.trials[place];
            let Some((pooled, effect)) = pooled[trial.strength] else { continue };
            let decided = trial.trials.measured(effect).is_some_and(|measured| {
                let uplift = pooled.shrink(measured);
                let excludes = uplift.lower(EARLY) > 0.0 || uplift.upper(EARLY) < 0.0;
                excludes || self.hopeless(trial, planned, pooled, measured)
            });
            let open = trial.open && trial.tried < planned && !decided;
            self.trials[place].open = open;
        }
    }

    /// Returns whether the trials that are left cannot bring the lower bound above zero, even if they go as well as the
    /// upper bound of what was measured (stochastic curtailment, as of Lan, Simon and Halperin 1982).
    fn hopeless(&self, trial: &Trial, planned: usize, pooled: Pooled, measured: Measured) -> bool {
        let done = trial.tried as f64 / planned as f64;
        let Measured { difference, variance } = measured;
        let best = Uplift { value: difference, error: variance.sqrt() }.upper(self.config.level).min(1.0);
        let at_end = Measured { difference: done * difference + (1.0 - done) * best, variance: done * variance };
        pooled.shrink(at_end).lower(self.config.level) <= 0.0
    }

    /// Returns the starts of the entry of a trial.
    pub(crate) fn starts(&self, place: usize) -> &'p [usize] {
        self.plan.starts.get(&self.trials[place].entry).map_or(&[], Vec::as_slice)
    }

    fn next_starts(&self, place: usize) -> &'p [usize] {
        let (starts, tried) = (self.starts(place), self.trials[place].tried);
        &starts[tried..(tried + self.config.starts_per_look).min(starts.len())]
    }

    /// Returns the continuations of a trial at some starts, with the plain ones.
    fn jobs_of(&self, place: usize, starts: &[usize]) -> Vec<Job> {
        let at = |&start: &usize| {
            (0..self.config.samples).flat_map(move |sample| [0, place + 1].map(|arm| Job { start, arm, sample }))
        };
        starts.iter().flat_map(at).collect()
    }
}

/// Returns, for every start, the number of its problem.
pub(crate) fn problems(starts: &[Start]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |start: &Start| {
        let next = numbers.len();
        *numbers.entry(start.problem.id.clone()).or_insert(next)
    };
    starts.iter().map(number).collect()
}

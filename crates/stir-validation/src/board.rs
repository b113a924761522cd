//! All trials of a library: what has been tried, and what is still worth trying.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Job, Start, ValidationConfig,
    estimate::{Measured, Pooled, Trials, Uplift, design_effect},
    plan::Plan,
};

/// The level at which a trial ends early: three standard errors, so strict that looking often costs nearly nothing
/// (Haybittle 1971, Peto and others 1976).
const EARLY: f64 = 0.998_65;

/// The least standard deviation between entries that is reckoned with when it is asked whether more trials are worth it.
/// From the few trials of a first look next to none can be found, above all where the trials of a problem are alike; all
/// entries would be shrunken to their mean and given up at once.
const SPREAD: f64 = 0.1;

/// The fewest entries of a control point that are pooled by themselves.
const GROUP: usize = 8;

/// An entry at one strength.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) entry: usize,
    /// The control point of the entry.
    pub(crate) m: usize,
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
                m: plan.points.get(&entry).copied().unwrap_or_default(),
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
        pool(self.trials.iter().filter(|trial| trial.strength == strength).collect())
    }

    /// Returns the same for the entries of one control point, where they are enough: steering may help at one and not at
    /// another, and to be shrunken toward the mean of both would hide it.
    pub(crate) fn pooled_at(&self, strength: usize, m: usize) -> Option<(Pooled, f64)> {
        let own = |trial: &&Trial| (trial.strength, trial.m) == (strength, m);
        let own: Vec<&Trial> = self.trials.iter().filter(own).collect();
        if own.len() < GROUP { self.pooled(strength) } else { pool(own) }
    }

    fn close(&mut self) {
        let groups: BTreeSet<(usize, usize)> = self.trials.iter().map(|trial| (trial.strength, trial.m)).collect();
        let pooled: BTreeMap<(usize, usize), Option<(Pooled, f64)>> =
            groups.into_iter().map(|(strength, m)| ((strength, m), self.pooled_at(strength, m))).collect();
        for place in 0..self.trials.len() {
            let planned = self.starts(place).len();
            let trial = &self.trials[place];
            let Some((pooled, effect)) = pooled[&(trial.strength, trial.m)] else { continue };
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
        let pooled = Pooled { between: pooled.between.max(SPREAD * SPREAD), ..pooled };
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

fn pool(trials: Vec<&Trial>) -> Option<(Pooled, f64)> {
    let trials: Vec<&Trials> = trials.into_iter().map(|trial| &trial.trials).collect();
    let effect = design_effect(trials.iter().copied());
    Pooled::of_trials(&trials).map(|pooled| (pooled, effect))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stir_core::SampleRng;
    use stir_rollout::Prompt;

    use super::*;

    const PROBLEMS: usize = 40;

    fn starts() -> Vec<Start> {
        let start = |problem: usize| {
            let problem = Prompt { id: format!("p{problem}"), prompt: "x".into(), gold: Some("1".into()) };
            let (prompt, answer) = (vec![1].into(), vec![1, 2, 3].into());
            Start { problem: Arc::new(problem), sample: 0, m: 1, right: true, prompt, answer, len: 1 }
        };
        (0..PROBLEMS).map(start).collect()
    }

    /// Returns how many of the trials of the entries that help by `uplift` (every fifth), and of the others, are found to
    /// help, and how many pairs that took. If the samples of a start are `alike`, they are right or wrong together, with a
    /// vector too, which turns every eighth start over whether it helps or not.
    fn found(seed: u64, uplift: f64, alike: bool, config: &ValidationConfig) -> (usize, usize, usize) {
        let (starts, entries) = (starts(), 60);
        let mut rng = SampleRng::new(seed, 0);
        let mut plan = Plan::default();
        for entry in 0..entries {
            let first = rng.below(PROBLEMS);
            let places = (first..first + config.starts_per_entry).map(|place| place % PROBLEMS).collect();
            plan.starts.insert(entry, places);
        }
        let mut board = Board::new(config, &plan);
        let right = |job: Job| {
            let luck = |stream: u64| SampleRng::new(seed, stream).uniform();
            let helps = job.arm > 0 && (job.arm - 1).is_multiple_of(5);
            if alike {
                let drawn = luck((1 << 42) + ((job.arm as u64) << 20) + job.start as u64);
                let plain = luck(job.start as u64) < 0.5;
                let turned = job.arm > 0 && drawn < 0.125;
                return Some((plain != turned) || (helps && drawn > 1.0 - uplift));
            }
            let plain = (1 << 40) + (job.start * config.samples + job.sample) as u64;
            let chance = 0.2 + 0.4 * luck(job.start as u64);
            let own = ((job.arm as u64) << 20) + (job.start * config.samples + job.sample) as u64;
            Some(match job.arm {
                0 => luck(plain) < chance,
                // Half of the pairs have the same luck.
                _ => {
                    let drawn = if luck(own) < 0.5 { luck(plain) } else { luck((1 << 41) + own) };
                    drawn < chance + if helps { uplift } else { 0.0 }
                }
            })
        };
        while !board.next_jobs().is_empty() {
            board.look(&starts, right);
        }
        let (pooled, effect) = board.pooled(0).unwrap();
        let helps = |trial: &&Trial| {
            let measured = trial.trials.measured(effect);
            measured.is_some_and(|measured| pooled.shrink(measured).lower(config.level) > 0.0)
        };
        let of = |good: bool| board.trials.iter().filter(move |trial| trial.entry.is_multiple_of(5) == good);
        (
            of(true).filter(helps).count(),
            of(false).filter(helps).count(),
            board.trials.iter().map(|t| t.trials.pairs()).sum(),
        )
    }

    /// Looking early saves more than half of the trials where nothing helps, and finds most of what would be found, also where
    /// the samples of a start are alike, so that a first look can tell little.
    #[test]
    fn looks_save_trials_and_lose_little() {
        let looks = ValidationConfig { strengths: vec![0.3], ..ValidationConfig::default() };
        let more = ValidationConfig { starts_per_entry: 24, starts_per_look: 6, ..looks.clone() };
        let total = |uplift, alike, config: &ValidationConfig| {
            let sum = |a: (usize, usize, usize), b: (usize, usize, usize)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
            let seeds = if alike { 0..3 } else { 0..8 };
            let of = |config| seeds.clone().map(|seed| found(seed, uplift, alike, config)).fold((0, 0, 0), sum);
            (of(config), of(&ValidationConfig { starts_per_look: config.starts_per_entry, ..config.clone() }))
        };
        let ((_, wrong, few), (.., all)) = total(0.0, false, &looks);
        assert!(wrong * 20 < 8 * 48 && few * 2 < all, "{wrong} null entries help, {few} of {all} pairs");
        for (uplift, alike, config) in [(0.3, false, &looks), (0.8, true, &more)] {
            let ((with, _, few), (without, _, all)) = total(uplift, alike, config);
            let numbers = format!("alike {alike}: {with} of {without} found, {few} of {all} pairs");
            assert!(without > 16 && with * 3 > without * 2 && few * 4 < all * 3, "{numbers}");
        }
    }

    /// A vector that helps at one control point is found though those of three others do nothing.
    #[test]
    fn control_points_are_pooled_by_themselves() {
        let (starts, config) = (starts(), ValidationConfig { strengths: vec![0.3], ..ValidationConfig::default() });
        let mut plan = Plan::default();
        for entry in 0..48 {
            plan.starts.insert(entry, (0..config.starts_per_entry).map(|nth| (entry + nth) % starts.len()).collect());
            plan.points.insert(entry, entry % 4);
        }
        let mut board = Board::new(&config, &plan);
        let right = |job: Job| {
            let stream = ((job.arm as u64) << 20) + (job.start * config.samples + job.sample) as u64;
            Some(SampleRng::new(7, stream).uniform() < if job.arm > 0 && (job.arm - 1) % 4 == 2 { 0.5 } else { 0.2 })
        };
        while !board.next_jobs().is_empty() {
            board.look(&starts, right);
        }
        let mean = |m| board.pooled_at(0, m).unwrap().0.mean;
        assert!((mean(2) - 0.3).abs() < 0.1 && [0, 1, 3].into_iter().all(|m| mean(m).abs() < 0.1), "{}", mean(2));
        let all = board.pooled(0).unwrap().0;
        assert_eq!((all.entries, board.pooled_at(0, 2).unwrap().0.entries), (48, 12));
        // Too few of one control point are pooled with all.
        assert_eq!(board.pooled_at(0, 9).unwrap().0, all);
    }
}

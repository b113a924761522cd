use std::{fmt, path::PathBuf, sync::Arc};

use stir_basis::{Action, Library};
use stir_controller::{Controller, ControllerConfig, Variant};
use stir_core::{SettingError, Text};
use stir_rollout::{Rollout, RolloutError};
use tracing::info;

use crate::{
    Arm, EntryReport, Finding, Impulse, Judge, Observer, Pooled, Replays, Start, Starts, StrengthReport,
    ValidationConfig, ValidationCost, ValidationError, ValidationReport,
    board::{Board, Trial},
    library::validated,
    plan::Plan,
    read_states,
};

/// The most continuations that are planned: all of them are listed before the first.
const MOST: usize = 10_000_000;

/// A validation of a library: its entries are tried on answers to problems other than their own.
pub struct Validation<'v, E> {
    engine: &'v E,
    library: Arc<Library>,
    controller: ControllerConfig,
    config: ValidationConfig,
    judge: Judge<'v>,
    records: PathBuf,
}

/// What a validation leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// The library of the entries with a measured uplift, which carry its evidence.
    Validated(Box<Library>),
    /// No entry has a measured uplift: there is nothing to steer with.
    NoUplift,
}

impl<'v, E: Text> Validation<'v, E> {
    /// Prepares a validation of `library`, whose entries are tried where a controller of the settings `controller` would
    /// probe them. Continuations are kept in the file `records`; a stopped run resumes from it.
    ///
    /// # Errors
    /// [`ValidationError`] for a setting out of bounds, and for a library of another model.
    pub fn new(
        engine: &'v E,
        library: impl Into<Arc<Library>>,
        controller: ControllerConfig,
        config: ValidationConfig,
        judge: Judge<'v>,
        records: impl Into<PathBuf>,
    ) -> Result<Self, ValidationError<E::Error>> {
        config.validate()?;
        // An impulse is what the controller would add, but for its length.
        let (library, mut config) = (library.into(), config);
        (config.replay.scope, config.replay.placement) = (controller.scope, controller.placement);
        config.replay.delimiter = library.delimiter().clone();
        let controller = ControllerConfig { variant: Variant::Stir, ..controller };
        Controller::new(library.clone(), engine.fingerprint(), controller.clone())?;
        Ok(Self { engine, library, controller, config, judge, records: records.into() })
    }

    /// Tries the entries from the boundaries of `rollouts`, problem by problem, and keeps those that help.
    ///
    /// # Errors
    /// [`ValidationError`]; what is finished is kept in the records.
    pub fn run(
        self,
        rollouts: impl IntoIterator<Item = Result<Vec<Rollout>, RolloutError>>,
        observer: &mut Observer<'_>,
    ) -> Result<(ValidationReport, Conclusion), ValidationError<E::Error>> {
        let Self { engine, library, config, .. } = &self;
        let controller = Controller::new(library.clone(), engine.fingerprint(), self.controller.clone())?;
        let points = usize::from(!self.controller.at_prompt)..=self.controller.max_control_points.saturating_sub(1);
        let found = Starts::of_rollouts(*engine, rollouts, library.delimiter(), points)?;
        if found.starts.is_empty() {
            return Err(ValidationError::NoStarts);
        }
        let mut plan = Plan::default();
        let add = |place: usize, states| plan.add(&controller, &found.starts[place], place, states);
        let states = read_states(*engine, &found.starts, controller.layers(), config.replay.max_batch, add, observer)?;
        let boundaries = plan.boundaries();
        plan.choose(&found.starts, config.starts_per_entry);
        info!(starts = found.starts.len(), boundaries, entries = plan.starts.len(), "entries are to be tried");

        let mut board = Board::new(config, &plan);
        let tried: usize = plan.starts.values().map(Vec::len).sum();
        let planned = tried.saturating_mul(2 * config.strengths.len()).saturating_mul(config.samples);
        SettingError::check(planned <= MOST, "the number of continuations", planned, "<= 10000000 (fewer samples)")?;
        let (arms, jobs) = (self.arms(&board), board.all_jobs());
        let starts = &found.starts;
        let mut replays = Replays::open(*engine, &config.replay, starts, &arms, &jobs, self.judge, &self.records)?;
        let mut looks = 0;
        loop {
            let next = board.next_jobs();
            if next.is_empty() {
                break;
            }
            replays.run(&next, observer)?;
            board.look(starts, |job| replays.right(job));
            looks += 1;
        }
        let cost = self.cost(&board, starts, states, replays.cost());
        replays.finish::<E::Error>()?;
        let (problems, skipped, config) = (found.problems, found.skipped, config.clone());
        let mut report = ValidationReport {
            config,
            problems,
            boundaries,
            skipped,
            looks,
            cost,
            strength: None,
            strengths: vec![],
            entries: vec![],
            untried: vec![],
        };
        self.conclude(&board, &mut report);
        let library = validated(library, &report)?;
        Ok((report, library.map_or(Conclusion::NoUplift, |library| Conclusion::Validated(Box::new(library)))))
    }

    /// Returns the arms: to do nothing, and every entry at every strength, in the order of the board's trials.
    fn arms(&self, board: &Board<'_>) -> Vec<Arm> {
        let arm = |trial: &Trial| {
            let (entry, strength) = (self.library.entry(trial.entry)?, self.config.strengths[trial.strength]);
            let impulse = Impulse { layer: entry.layer, vector: entry.vector()?.into(), strength };
            Some(Arm { name: format!("entry {} at {strength}", trial.entry), impulse: Some(impulse) })
        };
        [Arm::plain()].into_iter().chain(board.trials.iter().filter_map(arm)).collect()
    }

    fn cost(&self, board: &Board<'_>, starts: &[Start], states: usize, replay: crate::Cost) -> ValidationCost {
        let mut cost = ValidationCost { replay, states, ..ValidationCost::default() };
        for (place, trial) in board.trials.iter().enumerate() {
            for (nth, &start) in board.starts(place).iter().enumerate() {
                let answers = 2 * self.config.samples * (starts[start].prompt.len() + starts[start].answer.len());
                cost.planned += self.config.samples;
                cost.anew_planned += answers;
                if nth < trial.tried {
                    cost.comparisons += self.config.samples;
                    cost.anew += answers;
                }
            }
        }
        cost
    }

    fn conclude(&self, board: &Board<'_>, report: &mut ValidationReport) {
        for (place, &strength) in self.config.strengths.iter().enumerate() {
            let Some((pooled, design_effect)) = board.pooled(place) else { continue };
            let found: Vec<EntryReport> = (board.trials.iter().filter(|trial| trial.strength == place))
                .filter_map(|trial| {
                    let (pooled, effect) = board.pooled_at(place, trial.m)?;
                    self.found(trial, strength, pooled, effect)
                })
                .collect();
            let trials = found.iter().map(|found| found.trials).sum();
            let certain = found.iter().map(|found| found.lower.max(0.0)).sum::<f64>() / pooled.entries as f64;
            let lower = pooled.uplift().lower(self.config.level);
            report.strengths.push(StrengthReport { strength, trials, pooled, lower, certain, design_effect });
            report.entries.extend(found);
        }
        report.entries.sort_by_key(|entry| entry.entry);
        // The first of equal ones: the weaker impulse.
        let best = report.strengths.iter().reduce(|best, next| if next.better_than(best) { next } else { best });
        report.strength = best.map(|best| best.strength);
        let steering = self.library.entries().iter().enumerate().filter(|(_, e)| e.action != Action::Stay);
        let tried = |entry: usize| report.entries.iter().any(|found| found.entry == entry);
        report.untried = steering.map(|(place, _)| place).filter(|&place| !tried(place)).collect();
    }

    /// Returns what a trial found; `None` where it has no pair of continuations.
    fn found(&self, trial: &Trial, strength: f64, pooled: Pooled, design_effect: f64) -> Option<EntryReport> {
        let entry = self.library.entry(trial.entry)?;
        let uplift = pooled.shrink(trial.trials.measured(design_effect)?);
        let (lower, upper) = (uplift.lower(self.config.level), uplift.upper(self.config.level));
        let (with_right, without_right) = trial.trials.right();
        let finding = if lower > 0.0 {
            Finding::Helps
        } else if upper < 0.0 {
            Finding::Harms
        } else {
            Finding::NoUplift
        };
        Some(EntryReport {
            entry: trial.entry,
            problem: entry.problem.clone(),
            m: entry.m,
            layer: entry.layer,
            strength,
            trials: trial.trials.pairs(),
            with_right,
            without_right,
            uplift: uplift.value,
            error: uplift.error,
            lower,
            upper,
            finding,
        })
    }
}

impl<E> fmt::Debug for Validation<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, controller, judge, records, .. } = self;
        f.debug_struct("Validation")
            .field("config", config)
            .field("controller", controller)
            .field("judge", judge)
            .field("records", records)
            .finish_non_exhaustive()
    }
}

//! The stages that lead to a library.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use serde_json::json;
use stir_basis::{Library, MinedPairs, select};
use stir_core::Engine;
use stir_diagnosis::value_heads;
use stir_grade::GRADING;
use stir_induction::{Contrast, Induction, InductionConfig, capture};
use stir_rollout::{Forks, Prompt, Rollout, RolloutConfig, RolloutError, Rollouts, read_forks, read_groups};
use stir_validation::{Conclusion, Judge, Phase, Validation};

use super::{COST, FORMAT, MadeLibrary, ModelRun, unwritable};
use crate::{
    experiment::{
        backend::{Backend, Failure},
        error::RunnerError,
        event::Event,
        outcome::LibraryFiles,
        stages::ValidationSettings,
        store::{Place, refused},
    },
    method::computed_by,
    questions::{ProblemSource, Questions},
};

/// The output of stage 1.
const ROLLOUTS: &str = "rollouts.jsonl";
/// The continuations that the contrast `forked` is made of.
pub(super) const FORKS: &str = "forks.jsonl";
/// The read-outs of success, a [`ValueHead`](stir_basis::ValueHead) on each line.
const HEADS: &str = "heads.jsonl";
/// The output of stage 2.
const CANDIDATES: &str = "candidates.stir";
/// The output of stage 3, and of validation.
const LIBRARY: &str = "library.stir";

/// What a validation measured.
const REPORT: &str = "validation.json";

/// A library by its seed, the task that it is mined from, and the recipe.
type Key = (u64, usize, usize);

impl<B: Backend> ModelRun<'_, '_, B> {
    /// Makes the library of a task, or finds it.
    pub(super) fn make(&mut self, seed: u64, task: usize, recipe: usize) -> Result<(), Failure<B>> {
        let (plan, key) = (self.plan, (seed, task, recipe));
        let (Some(source), false) = (&plan.tasks[task].mine, self.libraries.contains_key(&key)) else { return Ok(()) };
        self.stages.insert(key, Vec::new());
        let (rollouts, questions) = self.rollouts(key, "mine", source, &plan.recipes[recipe].rollout.config(seed))?;
        let forks = match plan.recipes[recipe].induction.contrast {
            Contrast::Forked => Some(self.forks(key, &rollouts, &questions)?),
            _ => None,
        };
        let candidates = self.candidates(key, &rollouts, forks.as_ref())?;
        let selected = self.selected(key, &candidates)?;
        let place = match (&plan.recipes[recipe].validation, &plan.tasks[task].validate) {
            (Some(settings), Some(source)) => self.validated(key, &selected, settings, source)?,
            _ => selected,
        };
        let refused = |source| RunnerError::Library { at: self.at("library", key), source };
        // Only a validation leaves a folder without a library.
        if !place.dir.join(LIBRARY).exists() {
            return Err(RunnerError::NoUplift { at: self.at("library", key), report: place.dir.join(REPORT) });
        }
        let library = Library::load(place.dir.join(LIBRARY)).map_err(|error| refused(error.into()))?;
        let mut params = plan.recipes[recipe].params.clone();
        if let [layer] = library.layers()[..] {
            // However it was said, this is the one.
            params.remove("layers");
            params.insert("layer".into(), json!(layer));
        }
        let files = LibraryFiles {
            model: self.name.to_owned(),
            mined_from: self.task(key).to_owned(),
            seed,
            params,
            library: place.dir.join(LIBRARY),
            candidates: candidates.dir.join(CANDIDATES),
        };
        self.used.push(files.clone());
        let library = Arc::new(library);
        let made = MadeLibrary { library, digest: place.content(LIBRARY)?, folder: place.name, files };
        self.libraries.insert(key, made);
        Ok(())
    }

    /// Returns the name of the task that a library is mined from.
    fn task(&self, (_, task, _): Key) -> &str {
        &self.plan.experiment.tasks[task].name
    }

    /// Returns a stage of a library, for messages.
    fn at(&self, what: &str, key: Key) -> String {
        format!("{what} of {:?}, seed {}", self.task(key), key.0)
    }

    /// Remembers a stage of a library.
    fn keep(&mut self, key: Key, place: Place) -> Place {
        self.stages.entry(key).or_default().push(place.clone());
        place
    }

    /// Returns rollouts of the problems of `source`, which is called `part` in the task, and the problems.
    fn rollouts(
        &mut self,
        key: Key,
        part: &str,
        source: &ProblemSource,
        config: &RolloutConfig,
    ) -> Result<(Place, Questions), Failure<B>> {
        let (seed, task, recipe) = key;
        let questions = self.ask(task, part, source)?;
        let asked = serde_json::to_vec(&questions.questions).map_err(unwritable)?;
        let asked = blake3::hash(&asked).to_hex().to_string();
        let model = computed_by(&self.engine);
        // With all defaults, which may be other ones tomorrow.
        let mut rollout = self.plan.recipes[recipe].rollout.clone();
        rollout.samples = config.samples;
        let settings = json!({
            "format": FORMAT, "model": model, "grading": GRADING, "questions": asked, "problems": source,
            "rollout": rollout, "seed": seed
        });
        let (name, at) = (self.task(key).to_owned(), self.at("rollouts", key));
        let place = self.stage("rollouts", &name, &settings, |run, place| {
            run.draw(&questions, config.clone(), &name, &place.dir.join(ROLLOUTS), &at)
        })?;
        Ok((self.keep(key, place), questions))
    }

    /// Runs stage 1.
    fn draw(
        &self,
        questions: &Questions,
        config: RolloutConfig,
        task: &str,
        out: &Path,
        at: &str,
    ) -> Result<(), Failure<B>> {
        let refused = |source| RunnerError::Rollouts { at: at.to_owned(), source };
        let run = Rollouts::new(&self.engine, config).map_err(|error| refused(error.into()))?;
        let run = run.judge_name(questions.judge_name()).on_progress(|progress| {
            let (done, total) = (progress.done, Some(progress.total));
            (self.observer)(Event::Progress { kind: "rollouts", task, done, total });
            ControlFlow::Continue(())
        });
        let judge = |prompt: &Prompt, text: &str| questions.is_right(prompt, text);
        let summary = run.run(&questions.prompts(), &judge, out).map_err(refused)?;
        for failure in summary.failures {
            if summary.samples == 0 {
                return Err(RunnerError::Unsampled { at: at.to_owned(), source: failure });
            }
            let (id, samples) = (failure.id.as_str(), failure.samples);
            let reason: &(dyn std::error::Error + 'static) = &failure.reason;
            tracing::warn!(
                reason,
                "tasks {task:?}: {samples} rollouts of problem {id:?} are missing; the others are mined"
            );
            (self.observer)(Event::Failed { task, id, samples, reason });
        }
        Ok(())
    }

    /// Draws continuations of rollouts.
    fn forks(&mut self, key: Key, rollouts: &Place, questions: &Questions) -> Result<Place, Failure<B>> {
        let (seed, _, recipe) = key;
        let recipe = &self.plan.recipes[recipe];
        let config = recipe.forks.config(&recipe.rollout, &recipe.induction.delimiter, seed);
        let settings = json!({
            "format": FORMAT, "model": computed_by(&self.engine), "grading": GRADING,
            "rollouts": rollouts.content(ROLLOUTS)?, "judge": questions.judge_name(), "forks": recipe.forks,
            "rollout": recipe.rollout, "delimiter": recipe.induction.delimiter, "seed": seed
        });
        let (task, at) = (self.task(key).to_owned(), self.at("forks", key));
        let place = self.stage("forks", &task, &settings, |run, place| {
            let refused = |source| RunnerError::Rollouts { at: at.clone(), source };
            let problems = groups(&rollouts.dir.join(ROLLOUTS)).map_err(|error| refused(error.into()))?;
            let drawn = Forks::new(&run.engine, config).map_err(|error| refused(error.into()))?;
            let drawn = drawn.judge_name(questions.judge_name()).on_progress(|progress| {
                let (done, total) = (progress.problems, Some(progress.total));
                (run.observer)(Event::Progress { kind: "forks", task: &task, done, total });
                ControlFlow::Continue(())
            });
            let judge = |prompt: &Prompt, text: &str| questions.is_right(prompt, text);
            let summary = drawn.run(&problems, &judge, place.dir.join(FORKS)).map_err(refused)?;
            for failure in summary.failures {
                let (id, samples) = (failure.id.as_str(), failure.samples);
                let reason: &(dyn std::error::Error + 'static) = &failure.reason;
                tracing::warn!(reason, "tasks {task:?}: {samples} continuations of problem {id:?} are missing");
                (run.observer)(Event::Failed { task: &task, id, samples, reason });
            }
            Ok(())
        })?;
        Ok(self.keep(key, place))
    }

    /// Fits the read-outs of success, which do not depend on what is contrasted.
    fn heads(&mut self, key: Key, rollouts: &Place) -> Result<Place, Failure<B>> {
        let recipe = &self.plan.recipes[key.2];
        let InductionConfig { layers, delimiter, max_control_points, .. } = &recipe.induction;
        let settings = json!({
            "format": FORMAT, "model": computed_by(&self.engine), "rollouts": rollouts.content(ROLLOUTS)?,
            "layers": layers, "delimiter": delimiter, "max_control_points": max_control_points
        });
        let (task, at) = (self.task(key).to_owned(), self.at("heads", key));
        let place = self.stage("heads", &task, &settings, |run, place| {
            let failed = |source| RunnerError::Candidates { at: at.clone(), source };
            let rollouts = rollouts.dir.join(ROLLOUTS);
            let groups = read_groups(&rollouts).map_err(|error| failed(error.into()))?;
            let made = sidecar(&rollouts)?;
            let captured = capture(&run.engine, groups, Some(&made), &recipe.induction).map_err(failed)?;
            let heads = value_heads(run.engine.shape().hidden_size, &captured.boundaries, captured.layers);
            let heads = heads.map_err(|source| RunnerError::Heads { at: at.clone(), source })?;
            let lines = heads.iter().map(stir_files::json_line).collect::<Result<Vec<_>, _>>()?;
            let file = place.dir.join(HEADS);
            Ok(stir_files::write_atomically(&file, lines.concat()).map_err(refused("write", &file))?)
        })?;
        Ok(self.keep(key, place))
    }

    /// Runs stage 2.
    fn candidates(&mut self, key: Key, rollouts: &Place, forks: Option<&Place>) -> Result<Place, Failure<B>> {
        let recipe = &self.plan.recipes[key.2];
        let heads = recipe.heads.then(|| self.heads(key, rollouts)).transpose()?;
        let mut settings = json!({
            "format": FORMAT, "model": computed_by(&self.engine), "rollouts": rollouts.content(ROLLOUTS)?,
            "induction": recipe.induction
        });
        if let Some(forks) = forks {
            settings["forks"] = json!(forks.content(FORKS)?);
        }
        if recipe.heads {
            settings["heads"] = json!(true);
        }
        let (task, at) = (self.task(key).to_owned(), self.at("candidates", key));
        let place = self.stage("candidates", &task, &settings, |run, place| {
            let failed = |source| RunnerError::Candidates { at: at.clone(), source };
            let unread = |error: RolloutError| failed(error.into());
            let rollouts = rollouts.dir.join(ROLLOUTS);
            let made = sidecar(&rollouts)?;
            let mut mining = Induction::new(&run.engine, recipe.induction.clone()).map_err(failed)?;
            if let Some(forks) = forks {
                let forks = forks.dir.join(FORKS);
                let made = sidecar(&forks)?;
                mining = mining.forks(read_forks(forks).map_err(unread)?).fork_settings(made);
            }
            let (mut candidates, _) = mining
                .rollout_settings(made.clone())
                .on_progress(|progress| {
                    let (done, total) = (progress.problems, progress.total);
                    (run.observer)(Event::Progress { kind: "candidates", task: &task, done, total });
                    ControlFlow::Continue(())
                })
                .run(read_groups(&rollouts).map_err(unread)?)
                .map_err(failed)?;
            if let Some(heads) = &heads {
                candidates.heads = stir_files::read_lines(heads.dir.join(HEADS))?;
            }
            let refused =
                |source: stir_basis::FileError| RunnerError::Library { at: at.clone(), source: source.into() };
            candidates.save(place.dir.join(CANDIDATES)).map_err(refused)
        })?;
        Ok(self.keep(key, place))
    }

    /// Runs stage 3.
    fn selected(&mut self, key: Key, candidates: &Place) -> Result<Place, Failure<B>> {
        let basis = &self.plan.recipes[key.2].basis;
        let settings = json!({ "format": FORMAT, "candidates": candidates.content(CANDIDATES)?, "basis": basis });
        let (task, at) = (self.task(key).to_owned(), self.at("library", key));
        let place = self.stage("libraries", &task, &settings, |_, place| {
            let refused = |source| RunnerError::Library { at: at.clone(), source };
            let unread = |error: stir_basis::FileError| refused(error.into());
            let candidates = MinedPairs::load(candidates.dir.join(CANDIDATES)).map_err(unread)?;
            select(&candidates, basis).map_err(refused)?.save(place.dir.join(LIBRARY)).map_err(unread)
        })?;
        Ok(self.keep(key, place))
    }

    /// Tries the entries of a library on problems of their own. Without an entry that helps the folder has no library.
    fn validated(
        &mut self,
        key: Key,
        selected: &Place,
        settings: &ValidationSettings,
        source: &ProblemSource,
    ) -> Result<Place, Failure<B>> {
        let (seed, _, recipe) = key;
        let rollout = &self.plan.recipes[recipe].rollout;
        let config = RolloutConfig { samples: settings.rollouts, ..rollout.config(seed) };
        let (rollouts, questions) = self.rollouts(key, "validate", source, &config)?;
        let depends = json!({
            "format": FORMAT, "model": computed_by(&self.engine), "grading": GRADING,
            "library": selected.content(LIBRARY)?, "rollouts": rollouts.content(ROLLOUTS)?,
            "judge": questions.judge_name(), "validation": settings, "rollout": rollout, "seed": seed
        });
        let (task, at) = (self.task(key).to_owned(), self.at("validated library", key));
        let place = self.stage("validated", &task, &depends, |run, place| {
            let unread = |error: stir_basis::FileError| RunnerError::Library { at: at.clone(), source: error.into() };
            let failed = |source| RunnerError::Validation { at: at.clone(), source };
            let library = Library::load(selected.dir.join(LIBRARY)).map_err(unread)?;
            let (name, is_right) = (questions.judge_name(), |prompt: &_, text: &str| questions.is_right(prompt, text));
            let judge = Judge { name: &name, is_right: &is_right };
            let records = place.dir.join("trials.jsonl");
            let (controller, config) = (settings.controller.clone(), settings.config(rollout, seed));
            let trial = Validation::new(&run.engine, library, controller, config, judge, records).map_err(failed)?;
            let groups = read_groups(rollouts.dir.join(ROLLOUTS)).map_err(|error| failed(error.into()))?;
            let mut observer = |progress: stir_validation::Progress| {
                let kind = match progress.phase {
                    Phase::States => "states",
                    Phase::Continuations => "validated",
                };
                let (done, total) = (progress.done, Some(progress.asked));
                (run.observer)(Event::Progress { kind, task: &task, done, total });
                ControlFlow::Continue(())
            };
            let (report, conclusion) = trial.run(groups, &mut observer).map_err(failed)?;
            let written = |file: &str, bytes: Vec<u8>| {
                let file = place.dir.join(file);
                stir_files::write_atomically(&file, bytes).map_err(refused("write", &file))
            };
            written(REPORT, serde_json::to_vec_pretty(&report).map_err(unwritable)?)?;
            written(COST, report.cost.replay.generated.to_string().into_bytes())?;
            match conclusion {
                Conclusion::Validated(library) => library.save(place.dir.join(LIBRARY)).map_err(unread),
                Conclusion::NoUplift => Ok(()),
            }
        })?;
        Ok(self.keep(key, place))
    }
}

fn groups(path: &Path) -> Result<Vec<Vec<Rollout>>, RolloutError> {
    read_groups(path)?.collect()
}

/// Reads the settings next to a file of samples.
fn sidecar(path: &Path) -> Result<String, stir_files::FileError> {
    let path = stir_files::Settings::path(path);
    fs::read_to_string(&path).map_err(refused("read", &path))
}

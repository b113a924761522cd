//! The end of a calibration: the verdict, the looks at every set, the preset and the report.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};
use stir_report::{Report, ReportConfig, Run};

use super::{
    bench::{ModelBench, read_or_default},
    budget::{Cost, cost_of},
    error::CalibrationError,
    outcome::{CalibrationOutcome, Look, PastTest, Spending, TriedSetting},
    preset::{Preset, TestedSetting},
    runner::{Calibrator, Known},
    search::Found,
    spec::{PLAIN, Set},
    trial::Trial,
    verdict::{TestResult, Verdict},
};
use crate::{
    FormatError,
    experiment::{Backend, Cell, Plan, Store},
    method::MethodConfig,
};

/// The file that remembers which settings were tested in a folder.
const TESTS: &str = "tests.json";

impl<B: Backend> Calibrator<'_, B> {
    pub(super) fn outcome(
        &self,
        plan: &Plan<'_, B>,
        known: Known,
        found: &Found,
        test: Option<[Vec<Trial>; 2]>,
        bench: &mut ModelBench<'_, '_, B>,
        store: &Store,
    ) -> Result<CalibrationOutcome, CalibrationError> {
        let mut settings: Vec<TriedSetting> = plan.cells.iter().skip(1).map(|cell| self.tried(plan, cell)).collect();
        for (number, setting) in settings.iter_mut().enumerate() {
            setting.is_without_library = found.without.contains(&number);
        }
        let (runs, folders): (Vec<Run>, Vec<String>) = std::mem::take(&mut bench.tested).into_iter().unzip();
        let mut tests: Vec<PastTest> = read_or_default(store, TESTS)?;
        let result = match (&found.best, &test) {
            (&Some(best), Some([plain, own])) => {
                let answers = folders.last().cloned().unwrap_or_default();
                let place = tests.iter().position(|past| past.answers == answers).unwrap_or(tests.len());
                let earlier = tests.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, past)| past.p);
                let earlier: Vec<_> = earlier.collect();
                let result = TestResult::new(best, plain, own, self.calibration.halving.count, &earlier, known.guess)?;
                let now = PastTest { answers, setting: settings[best.0].name.clone(), p: result.statistics.p_values() };
                match tests.get_mut(place) {
                    Some(past) => *past = now,
                    None => tests.push(now),
                }
                store.write(TESTS, &to_json(TESTS, &tests)?)?;
                Some(result)
            }
            _ => None,
        };
        let (verdict, sentence) = match &result {
            Some(result) => (result.statistics.verdict(result.beats_plain_on_development), result.sentence()),
            None if found.without.len() == settings.len() => {
                (Verdict::Untried, "not tried: no setting finds a library in the problems that are mined".to_owned())
            }
            None => (Verdict::Untried, "not tried: the budget ended before any setting could be compared".to_owned()),
        };
        let test_cost = test.iter().flatten().fold(Cost::default(), |mut sum, trials| {
            sum += cost_of(trials);
            sum
        });
        Ok(CalibrationOutcome {
            name: self.calibration.name.clone(),
            model: self.calibration.model.name.clone(),
            seed: self.calibration.seed,
            verdict,
            sentence,
            looks: self.looks(plan, &known, found, tests.len(), test.as_ref()),
            label: known.label,
            settings,
            rungs: found.rungs.clone(),
            stopped: found.stopped,
            test: result,
            budget: self.calibration.budget,
            spent: Spending { mining: found.ledger.mining, development: found.ledger.answers(), test: test_cost },
            runs,
        })
    }

    fn looks(
        &self,
        plan: &Plan<'_, B>,
        known: &Known,
        found: &Found,
        tests: usize,
        test: Option<&[Vec<Trial>; 2]>,
    ) -> Vec<Look> {
        let tried = found.ledger.trials.keys().flatten().count();
        let libraries = |drawn: &mut Vec<_>, cell: &Cell| {
            let rollout = cell.library.map(|(_, recipe)| &plan.recipes[recipe].rollout);
            drawn.extend(rollout.filter(|rollout| !drawn.contains(rollout)));
        };
        let mut drawn = Vec::new();
        let mined = found.ledger.trials.keys().flatten().chain(&found.without);
        mined.for_each(|setting| libraries(&mut drawn, &plan.cells[setting + 1]));
        let samples: usize = drawn.iter().map(|rollout| rollout.samples).sum();
        let answers = |trials: Option<&[Vec<Trial>; 2]>| trials.map_or(0, |both| both.iter().map(Vec::len).sum());
        let look = |(&set, &problems): (&Set, &usize)| match set {
            Set::Mine => {
                let purpose = "mine libraries";
                Look {
                    set,
                    problems,
                    settings: tried + found.without.len(),
                    answers: problems * samples,
                    looks: drawn.len(),
                    purpose,
                }
            }
            Set::Development => {
                let answers = found.ledger.trials.values().map(Vec::len).sum();
                let (looks, purpose) = (found.rungs.len(), "choose the setting");
                Look { set, problems, settings: tried, answers, looks, purpose }
            }
            Set::Test => {
                let (answers, purpose) = (answers(test), "judge the setting chosen");
                Look { set, problems, settings: tests, answers, looks: tests, purpose }
            }
            Set::Validation => {
                let is_used = self.calibration.mining.validation.is_some();
                let purpose = if is_used { "validate entries" } else { "nothing: there is no validation step" };
                let settings = if is_used { tried } else { 0 };
                Look { set, problems, settings, answers: 0, looks: usize::from(is_used), purpose }
            }
        };
        known.problems.iter().map(look).collect()
    }

    /// Returns a setting by the values that the grids give it.
    fn tried(&self, plan: &Plan<'_, B>, cell: &Cell) -> TriedSetting {
        let method = &plan.methods[cell.method];
        let mut values = BTreeMap::new();
        let own = self.calibration.methods.iter().find(|spec| spec.name == method.name);
        let params: Map<String, Value> = method.params.clone().into_iter().collect();
        for field in own.iter().flat_map(|spec| spec.grid.keys()) {
            values.extend(at(&params, field).map(|value| (field.clone(), value.clone())));
        }
        let recipe = cell.library.map(|(_, recipe)| recipe).unwrap_or(0);
        let mut left = recipe;
        for (field, options) in self.calibration.mining.grid.iter().rev() {
            let value = options.get(left % options.len().max(1));
            values.extend(value.map(|value| (field.clone(), value.clone())));
            left /= options.len().max(1);
        }
        let words = values.iter().map(|(field, value)| format!(", {field} {}", text(value)));
        TriedSetting {
            name: std::iter::once(method.name.clone()).chain(words).collect(),
            values,
            is_without_library: false,
        }
    }

    pub(super) fn preset(
        &self,
        plan: &Plan<'_, B>,
        outcome: &CalibrationOutcome,
        bench: &ModelBench<'_, '_, B>,
    ) -> Preset {
        let tested = outcome.test.as_ref().and_then(|test| {
            let cell = plan.cells.get(test.setting + 1)?;
            let recipe = plan.recipes.get(cell.library?.1)?;
            let method = plan.methods[cell.method].config.clone().seeded(self.calibration.seed);
            let name = outcome.settings.get(test.setting)?.name.clone();
            Some(TestedSetting::new(name, bench.library(test.setting)?, method, recipe))
        });
        let used = tested.as_ref().filter(|_| outcome.verdict == Verdict::UseIt);
        Preset {
            calibration: outcome.name.clone(),
            model: outcome.model.clone(),
            verdict: outcome.verdict,
            sentence: outcome.sentence.clone(),
            label: outcome.label.clone(),
            library: used.map(|tested| tested.library.clone()),
            method: used.map_or(MethodConfig::Plain {}, |tested| tested.method.clone()),
            answers: self.calibration.answers.clone(),
            tested,
        }
    }

    pub(super) fn write(
        &self,
        outcome: &CalibrationOutcome,
        preset: &Preset,
        store: &Store,
        out: &Path,
    ) -> Result<(), CalibrationError> {
        store.write("report.json", &to_json("report.json", outcome)?)?;
        store.write("preset.toml", preset.to_toml()?.as_bytes())?;
        let label = outcome.label.iter().map(|label| format!(" ({label})")).collect::<String>();
        let title = format!("{}{label}", outcome.name);
        if outcome.runs.is_empty() {
            return Ok(store.write("report.html", outcome.appendix().page(&title)?.as_bytes())?);
        }
        let config = ReportConfig { baseline: PLAIN.to_owned(), ..ReportConfig::default() };
        let report = Report::new(&title, &outcome.runs, config)?.with_appendix(outcome.appendix());
        Ok(report.write(out)?)
    }
}

/// Returns the value at a path of names that points separate.
fn at<'v>(fields: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    match path.split_once('.') {
        None => fields.get(path),
        Some((first, rest)) => at(fields.get(first)?.as_object()?, rest),
    }
}

/// Returns a value without the quotes of a text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

fn to_json(what: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, CalibrationError> {
    let json = serde_json::to_string_pretty(value);
    let format = |error| CalibrationError::Format { what: what.to_owned(), source: FormatError::new(error) };
    Ok((json.map_err(format)? + "\n").into_bytes())
}

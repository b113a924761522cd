use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use stir_core::Finish;

use stir_grade::Verdict;

use crate::{
    error::ComparisonError,
    record::{Record, Run, Settings},
};

/// Runs that differ in nothing but their seeds, in the order given.
pub(crate) type Group<'r> = Vec<&'r Run>;

/// Returns the groups of `runs`, by first appearance.
pub(crate) fn groups<'r>(runs: impl IntoIterator<Item = &'r Run>) -> Vec<Group<'r>> {
    let mut groups: Vec<Group<'r>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| same_but_seed(&group[0].settings, &run.settings)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

fn same_but_seed(a: &Settings, b: &Settings) -> bool {
    let Settings { model, task, method, mined_from, seed: _, params } = a;
    (model, task, method, mined_from, params) == (&b.model, &b.task, &b.method, &b.mined_from, &b.params)
}

/// Names for groups in one table: the method's, with the settings in which groups of that method differ.
pub(crate) fn names(groups: &[Group<'_>]) -> Vec<String> {
    groups.iter().map(|group| name(&group[0].settings, groups)).collect()
}

fn name(settings: &Settings, groups: &[Group<'_>]) -> String {
    let rivals: Vec<&Settings> =
        groups.iter().map(|group| &group[0].settings).filter(|other| other.method == settings.method).collect();
    let keys: BTreeSet<&String> = rivals.iter().flat_map(|other| other.params.keys()).collect();
    let varied = keys.into_iter().filter(|key| rivals.iter().any(|r| r.params.get(*key) != settings.params.get(*key)));
    let mut parts: Vec<String> = varied
        .map(|key| format!("{key} {}", settings.params.get(key).map_or_else(|| "unset".to_owned(), show)))
        .collect();
    if rivals.iter().any(|other| other.mined_from != settings.mined_from) {
        parts.push(match &settings.mined_from {
            Some(task) => format!("mined from {task}"),
            None => "not mined".to_owned(),
        });
    }
    if parts.is_empty() { settings.method.clone() } else { format!("{} ({})", settings.method, parts.join(", ")) }
}

/// Returns a setting as people write it: strings without quotes.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The results of a group, problem by problem, in the order of the baseline's problems.
pub(crate) struct Pooled {
    /// Right answers among the seeds.
    pub(crate) solved: Vec<usize>,
    /// Seeds, which is how often each problem was answered.
    pub(crate) seeds: usize,
    /// Mean tokens of the answer.
    pub(crate) tokens: Vec<f64>,
    /// Mean seconds of the answer, where all were timed.
    pub(crate) seconds: Option<Vec<f64>>,
    pub(crate) probe_tokens: f64,
    pub(crate) other_tokens: f64,
    pub(crate) cut_off: f64,
    pub(crate) unanswered: f64,
    pub(crate) unclear: f64,
}

impl Pooled {
    /// Pools the `runs` of one group, called `name`; each must answer exactly the problems in `ids`.
    pub(crate) fn new(name: &str, runs: &[&Run], ids: &[&str]) -> Result<Self, ComparisonError> {
        let mut seeds = BTreeSet::new();
        if !runs.iter().all(|run| seeds.insert(run.settings.seed)) {
            return Err(ComparisonError::DuplicateMethod { method: name.to_owned() });
        }
        let n = ids.len();
        let mut pooled = Self {
            solved: vec![0; n],
            seeds: runs.len(),
            tokens: vec![0.0; n],
            seconds: Some(vec![0.0; n]),
            probe_tokens: 0.0,
            other_tokens: 0.0,
            cut_off: 0.0,
            unanswered: 0.0,
            unclear: 0.0,
        };
        for run in runs {
            pooled.add(name, run, ids)?;
        }
        Ok(pooled)
    }

    fn add(&mut self, name: &str, run: &Run, ids: &[&str]) -> Result<(), ComparisonError> {
        if !run.seconds.is_finite() || run.seconds < 0.0 {
            return Err(ComparisonError::Seconds { method: name.to_owned(), value: run.seconds });
        }
        let records = index(name, run)?;
        if let Some(missing) = ids.iter().find(|id| !records.contains_key(*id)) {
            return Err(ComparisonError::MissingId { method: name.to_owned(), id: (*missing).to_owned() });
        }
        if records.len() > ids.len() {
            let known: BTreeSet<&str> = ids.iter().copied().collect();
            let unknown = run.records.iter().find(|record| !known.contains(record.id.as_str()));
            let id = unknown.map_or_else(String::new, |record| record.id.clone());
            return Err(ComparisonError::UnknownId { method: name.to_owned(), id });
        }
        let seeds = self.seeds as f64;
        let all = seeds * ids.len() as f64;
        let durations = durations(name, run)?;
        for (place, id) in ids.iter().enumerate() {
            let at = records[id];
            let record = &run.records[at];
            self.solved[place] += usize::from(record.judged.correct());
            self.tokens[place] += record.tokens as f64 / seeds;
            self.probe_tokens += record.probe_tokens as f64 / all;
            self.other_tokens += record.other_tokens as f64 / all;
            self.cut_off += f64::from(u8::from(record.finish == Finish::Length)) / all;
            self.unanswered += f64::from(u8::from(record.judged.answer.is_none())) / all;
            self.unclear += f64::from(u8::from(unclear(record))) / all;
            match (&mut self.seconds, &durations) {
                (Some(seconds), Some(durations)) => seconds[place] += durations[at] / seeds,
                _ => self.seconds = None,
            }
        }
        Ok(())
    }

    /// Returns the share of right answers, problem by problem.
    pub(crate) fn accuracies(&self) -> Vec<f64> {
        self.solved.iter().map(|&solved| solved as f64 / self.seeds as f64).collect()
    }
}

fn unclear(record: &Record) -> bool {
    record.judged.grade.as_ref().is_some_and(|grade| grade.verdict == Verdict::Unclear)
}

/// Returns the place of each problem's record.
fn index<'r>(name: &str, run: &'r Run) -> Result<HashMap<&'r str, usize>, ComparisonError> {
    let mut places = HashMap::with_capacity(run.records.len());
    for (place, record) in run.records.iter().enumerate() {
        if places.insert(record.id.as_str(), place).is_some() {
            return Err(ComparisonError::DuplicateId { method: name.to_owned(), id: record.id.clone() });
        }
    }
    Ok(places)
}

/// Seconds of each answer: from the end of the answer that was finished before it, or from the start of the run, to its
/// own end. One sequence at a time, that is what it took; of sequences side by side, a share of the time, and all
/// shares together are the run's. `None` where an answer was not timed.
fn durations(name: &str, run: &Run) -> Result<Option<Vec<f64>>, ComparisonError> {
    let Some(ends) = run.records.iter().map(|record| record.seconds).collect::<Option<Vec<f64>>>() else {
        return Ok(None);
    };
    if let Some(&value) = ends.iter().find(|end| !end.is_finite() || **end < 0.0) {
        return Err(ComparisonError::Seconds { method: name.to_owned(), value });
    }
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by(|&a, &b| ends[a].total_cmp(&ends[b]).then(a.cmp(&b)));
    let (mut durations, mut before) = (vec![0.0; ends.len()], 0.0);
    for place in order {
        durations[place] = ends[place] - before;
        before = ends[place];
    }
    Ok(Some(durations))
}

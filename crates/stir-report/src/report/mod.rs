//! An experiment as one page to read, with its figures and tables.
//!
//! [`Report`] takes all runs of an experiment, whatever was varied in them, and finds out what there is to show: methods
//! side by side, settings of which several values were tried, libraries that were used on other tasks. The page needs
//! neither a network nor JavaScript (which only filters cases), and equal runs give equal bytes.

mod cases;
mod embed;
mod error;
mod experiment;
mod figures;
mod page;
mod svg;
mod tables;

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stir_basis::{Library, Pair};

pub use self::error::ReportError;
use self::{experiment::Experiment, svg::Figure};
use crate::{EvalError, Run};

/// What a report shows of its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Name of the method that the others are compared with.
    pub baseline: String,
    /// Settings of the runs that stand for their methods in the main table, where several values were tried; a run
    /// that lacks a setting agrees with it. Among those that agree the first in the order of the runs is taken.
    pub main: BTreeMap<String, Value>,
    /// What to print as the date. None is looked up, so that equal runs give equal reports.
    pub date: Option<String>,
    /// Problems of each task that the case viewer holds, at most; those that methods differ on come first.
    pub cases_per_task: usize,
    /// Bytes of an answer (and of a prompt) that the case viewer holds, at most.
    pub case_bytes: usize,
    /// Pairs on a map of states, at most. Time grows with the square.
    pub map_pairs: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            baseline: "plain".into(),
            main: BTreeMap::new(),
            date: None,
            cases_per_task: 40,
            case_bytes: 16_384,
            map_pairs: 300,
        }
    }
}

/// Which entry is what: the library of some runs, without its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryDescription {
    /// The model of the runs that used it.
    pub model: String,
    /// The task it was mined from, as in the runs' settings; a run without one uses the library of its own task.
    pub mined_from: String,
    /// Settings of the runs that used it, where they decide which library it is.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Its entries, in order.
    pub entries: Vec<EntryDescription>,
}

/// An entry of a library, without its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryDescription {
    /// The problem it was mined on.
    pub problem: String,
    /// Control point, from 1.
    pub m: usize,
    /// Decoder layer, 0-based.
    pub layer: usize,
    /// How much better its successes were rewarded than its failures.
    pub quality: f64,
    /// Whether it has a vector to add, or says to leave the model alone.
    pub steers: bool,
}

impl LibraryDescription {
    /// Describes `library`, which runs of `model` used with `mined_from` in their settings.
    pub fn new(model: &str, mined_from: &str, library: &Library) -> Self {
        let entry = |entry: &stir_basis::Entry| EntryDescription {
            problem: entry.problem.clone(),
            m: entry.m,
            layer: entry.layer,
            quality: entry.quality,
            steers: entry.vector().is_some(),
        };
        Self {
            model: model.to_owned(),
            mined_from: mined_from.to_owned(),
            params: BTreeMap::new(),
            entries: library.entries().iter().map(entry).collect(),
        }
    }
}

/// An experiment, ready to be written as a page with figures and tables.
///
/// ```
/// use stir_report::{Run, report::{Report, ReportConfig}};
/// let run = |method: &str, verdict: &str| -> Result<Run, serde_json::Error> {
///     serde_json::from_value(serde_json::json!({
///         "settings": {"model": "tiny", "task": "sums", "method": method, "seed": 0},
///         "records": [{
///             "id": "p1", "prompt": "2 + 2?", "gold": "4", "text": "#### 4", "token_ids": [1, 2, 3],
///             "judged": {"answer": "4", "grade": {"verdict": verdict, "rule": "number"}}, "tokens": 3,
///             "probe_tokens": 0, "other_tokens": 0, "forward_passes": 3, "finish": "eos",
///         }],
///         "seconds": 1.5,
///     }))
/// };
/// let runs = [run("plain", "different")?, run("stir", "equal")?];
/// let report = Report::new("Two methods", &runs, ReportConfig::default())?;
/// assert!(report.html()?.contains("<h1>Two methods</h1>"));
/// let dir = std::env::temp_dir().join("stir-report-example");
/// report.write(&dir)?;
/// assert!(dir.join("figures/cost-sums.svg").exists());
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Report<'r> {
    title: String,
    config: ReportConfig,
    experiment: Experiment<'r>,
    maps: Vec<(String, &'r [Pair])>,
    libraries: Vec<LibraryDescription>,
}

impl<'r> Report<'r> {
    /// A report on `runs`.
    ///
    /// For every model and task there must be runs of the baseline; all runs of a model and task answer the same
    /// problems. Runs that differ in nothing but their seeds are pooled.
    ///
    /// # Errors
    /// [`EvalError::NoRuns`], [`EvalError::NoBaseline`], and those of [`Comparison::new`](crate::Comparison::new).
    pub fn new(title: &str, runs: &'r [Run], config: ReportConfig) -> Result<Self, EvalError> {
        let experiment = Experiment::new(runs, &config)?;
        Ok(Self { title: title.to_owned(), config, experiment, maps: vec![], libraries: vec![] })
    }

    /// Adds a map of the states that `pairs` were made of, as `label`: the
    /// [`pairs`](stir_basis::MinedPairs::pairs) of a mining run.
    #[must_use]
    pub fn with_map(mut self, label: &str, pairs: &'r [Pair]) -> Self {
        self.maps.push((label.to_owned(), pairs));
        self
    }

    /// Adds what is known of a library's entries.
    #[must_use]
    pub fn with_library(mut self, library: LibraryDescription) -> Self {
        self.libraries.push(library);
        self
    }

    /// The page.
    ///
    /// # Errors
    /// [`ReportError::Page`].
    pub fn html(&self) -> Result<String, ReportError> {
        page::html(self, &self.sections())
    }

    /// Writes `report.html`, `table.csv` (all runs), `table.json` and `table.md` (the main tables) and `figures/*.svg`
    /// into the folder `dir`, which is made if it is not there. Files of those names are replaced, each at once; others
    /// are left alone.
    ///
    /// # Errors
    /// [`ReportError`] with the file that cannot be written.
    pub fn write(&self, dir: impl AsRef<Path>) -> Result<(), ReportError> {
        let dir = dir.as_ref();
        let figures = dir.join("figures");
        fs::create_dir_all(&figures).map_err(|source| ReportError::Write { path: figures.clone(), source })?;
        let sections = self.sections();
        for figure in sections.iter().flat_map(|section| &section.figures) {
            write(&figures.join(format!("{}.svg", figure.name)), &figure.standalone())?;
        }
        let tables: Vec<_> = self.experiment.blocks.iter().map(|block| &block.table).collect();
        let all = self.experiment.blocks.iter().map(|block| &block.all);
        write(&dir.join("table.csv"), &tables::csv(all))?;
        write(&dir.join("table.json"), &(serde_json::to_string_pretty(&tables)? + "\n"))?;
        write(&dir.join("table.md"), &tables::markdown(&self.title, tables.into_iter()))?;
        write(&dir.join("report.html"), &page::html(self, &sections)?)
    }

    /// What there is to show in figures, part by part.
    fn sections(&self) -> Vec<Section> {
        let experiment = &self.experiment;
        let maps = self.maps.iter().flat_map(|(label, pairs)| figures::map(label, pairs, self.config.map_pairs));
        let usage = page::usages(self).into_iter().filter_map(|(block, summary, usage)| {
            figures::usage(experiment, block, &summary.name, &summary.method, &usage)
        });
        let mut sections = vec![
            Section { id: "differences", figures: figures::differences(experiment) },
            Section { id: "cost", figures: figures::cost(experiment) },
            Section { id: "lengths", figures: figures::lengths(experiment) },
            Section { id: "sensitivity", figures: figures::sensitivity(experiment) },
            Section { id: "transfer", figures: figures::transfer(experiment, &self.config) },
            Section { id: "map", figures: maps.collect() },
            Section { id: "library", figures: usage.collect() },
        ];
        // Names that are told apart by letters that files cannot have.
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for figure in sections.iter_mut().flat_map(|section| &mut section.figures) {
            let times = taken.entry(figure.name.clone()).or_default();
            *times += 1;
            if *times > 1 {
                figure.name = format!("{}--{times}", figure.name);
            }
        }
        sections
    }
}

/// Figures of one kind.
struct Section {
    id: &'static str,
    figures: Vec<Figure>,
}

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    stir_files::write_atomically(path, text).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

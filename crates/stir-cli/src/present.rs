//! Results of runs, shown to people and to programs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, miette};
use serde_json::Value;
use stir::{
    basis::{Library, MinedPairs},
    eval::experiment::LibraryFiles,
    report::{Comparison, LibraryDescription, Report, ReportConfig, Run, Settings},
};

/// Shows what `runs` came to, task by task, the first method the baseline; `main` are the settings that represent their
/// methods where several were tried. The table to people, JSON to programs. Writes the same to `dir/results.json`, and
/// all there is to see to `dir/report.html`, with its figures and tables next to it.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what the programs are for")]
pub(crate) fn present(
    title: &str,
    runs: &[Run],
    libraries: Vec<LibraryView>,
    main: BTreeMap<String, Value>,
    as_json: bool,
    dir: &Path,
) -> Result<()> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        let same = |group: &&mut Vec<&Run>| {
            let (a, b) = (&group[0].settings, &run.settings);
            (&a.model, &a.task) == (&b.model, &b.task)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let mut texts = Vec::new();
    for group in &groups {
        let (baseline, others) = group.split_first().ok_or_else(|| miette!("no methods to compare"))?;
        let comparison = Comparison::new(baseline, others.iter().copied()).into_diagnostic()?;
        let Settings { model, task, .. } = &baseline.settings;
        let title = if groups.len() == 1 { String::new() } else { format!("{task}, {model}\n") };
        texts.push(serde_json::to_string(&comparison).into_diagnostic()?);
        match as_json {
            true => eprintln!("{title}{comparison}"),
            false => println!("{title}{comparison}"),
        }
    }
    let json = if let [one] = &texts[..] { one.clone() } else { format!("[{}]", texts.join(",")) };
    if as_json {
        println!("{json}");
    }
    crate::files::write_atomically(&dir.join("results.json"), json.as_bytes())?;
    report(title, runs, libraries, main, dir)?;
    eprintln!("report: {}", dir.join("report.html").display());
    Ok(())
}

/// A library, as reports show it.
pub(crate) struct LibraryView {
    description: LibraryDescription,
    /// Its origin, for people.
    label: String,
    /// The file of pairs it was selected from, if that exists.
    candidates: Option<PathBuf>,
}

impl LibraryView {
    /// Returns the library in the file `library`, which runs of `model` used with `mined_from` in their settings.
    pub(crate) fn new(model: &str, mined_from: &str, library: &Path, candidates: Option<PathBuf>) -> Result<Self> {
        let library = Library::load(library).into_diagnostic()?;
        let description = LibraryDescription::new(model, mined_from, &library);
        Ok(Self { description, label: format!("{mined_from}, {model}"), candidates })
    }

    /// Returns a library of an experiment, one of `all`.
    pub(crate) fn of_experiment(files: &LibraryFiles, all: &[LibraryFiles]) -> Result<Self> {
        let mut view = Self::new(&files.model, &files.mined_from, &files.library, Some(files.candidates.clone()))?;
        let varied = files.params.iter().filter(|(name, value)| all.iter().any(|o| o.params.get(*name) != Some(value)));
        for (name, value) in varied {
            view.label += &format!(", {name} {value}");
        }
        view.description.params = files.params.clone();
        Ok(view)
    }
}

/// Writes the report of `runs`, with what their libraries were made of.
fn report(
    title: &str,
    runs: &[Run],
    libraries: Vec<LibraryView>,
    main: BTreeMap<String, Value>,
    dir: &Path,
) -> Result<()> {
    let baseline = runs.first().map(|run| run.settings.method.clone()).unwrap_or_default();
    let config = ReportConfig { baseline, main, ..ReportConfig::default() };
    let mut mined: BTreeMap<PathBuf, (String, MinedPairs)> = BTreeMap::new();
    for LibraryView { label, candidates, .. } in &libraries {
        if let Some(path) = candidates.as_ref().filter(|path| !mined.contains_key(*path)) {
            mined.insert(path.clone(), (label.clone(), MinedPairs::load(path).into_diagnostic()?));
        }
    }
    let mut report = Report::new(title, runs, config).into_diagnostic()?;
    for (label, candidates) in mined.values() {
        report = report.with_map(label, &candidates.pairs);
    }
    for library in libraries {
        report = report.with_library(library.description);
    }
    report.write(dir).into_diagnostic()
}

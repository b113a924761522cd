use std::{collections::BTreeMap, fs, path::Path};

use stir_basis::Pair;

use crate::{
    Appendix, ComparisonError, RenderError, ReportConfig, ReportError, Run, export, figures,
    grouped::GroupedRuns,
    library::LibraryDescription,
    page::{Page, Section},
};

/// All runs of an experiment as one page with its figures and tables.
///
/// The report finds out what there is to show: methods side by side, settings of which several values were tried,
/// libraries that were used on other tasks. The page needs neither a network nor JavaScript (which only filters cases),
/// and equal runs give equal bytes.
///
/// ```
/// use stir_report::{Report, ReportConfig, Run};
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
#[derive(Debug)]
pub struct Report<'r> {
    title: String,
    config: ReportConfig,
    runs: GroupedRuns<'r>,
    maps: Vec<(String, &'r [Pair])>,
    libraries: Vec<LibraryDescription>,
    appendices: Vec<Appendix>,
}

impl<'r> Report<'r> {
    /// Creates a report on `runs`.
    ///
    /// Every model and task needs a run of the baseline, and all runs of a model and task must answer the same problems.
    /// Runs that differ only in their seeds are pooled.
    ///
    /// # Errors
    /// [`ComparisonError::NoRuns`], [`ComparisonError::NoBaseline`], and the errors of [`Comparison::new`](crate::Comparison::new).
    pub fn new(title: &str, runs: &'r [Run], config: ReportConfig) -> Result<Self, ComparisonError> {
        let runs = GroupedRuns::new(runs, &config)?;
        Ok(Self { title: title.to_owned(), config, runs, maps: vec![], libraries: vec![], appendices: vec![] })
    }

    /// Adds a map, titled `label`, of the states that `pairs` were made of, which are the
    /// [`pairs`](stir_basis::MinedPairs::pairs) of a mining run.
    #[must_use]
    pub fn with_map(mut self, label: &str, pairs: &'r [Pair]) -> Self {
        self.maps.push((label.to_owned(), pairs));
        self
    }

    /// Adds the description of a library.
    #[must_use]
    pub fn with_library(mut self, library: LibraryDescription) -> Self {
        self.libraries.push(library);
        self
    }

    /// Adds a section of another kind.
    #[must_use]
    pub fn with_appendix(mut self, appendix: Appendix) -> Self {
        self.appendices.push(appendix);
        self
    }

    /// Renders the page.
    ///
    /// # Errors
    /// [`ReportError::Page`].
    pub fn html(&self) -> Result<String, ReportError> {
        self.page(&self.sections())
    }

    /// Writes `report.html`, `table.csv` (all runs), `table.json` and `table.md` (the main tables) and `figures/*.svg`
    /// into the folder `dir`, which is created if it does not exist. Each file of these names is replaced atomically;
    /// other files are left alone.
    ///
    /// # Errors
    /// [`ReportError::Write`] with the path that cannot be written, [`ReportError::Page`] and [`ReportError::Table`].
    pub fn write(&self, dir: impl AsRef<Path>) -> Result<(), ReportError> {
        let dir = dir.as_ref();
        let figures = dir.join("figures");
        fs::create_dir_all(&figures).map_err(|source| ReportError::Write { path: figures.clone(), source })?;
        let sections = self.sections();
        for figure in sections.iter().flat_map(|section| &section.figures) {
            write(&figures.join(format!("{}.svg", figure.name)), &figure.standalone())?;
        }
        let tables: Vec<_> = self.runs.blocks.iter().map(|block| &block.table).collect();
        let all = self.runs.blocks.iter().map(|block| &block.all);
        write(&dir.join("table.csv"), &export::csv(all))?;
        let json =
            serde_json::to_string_pretty(&tables).map_err(|error| ReportError::Table(RenderError::json(error)))?;
        write(&dir.join("table.json"), &(json + "\n"))?;
        write(&dir.join("table.md"), &export::markdown(&self.title, tables.into_iter()))?;
        write(&dir.join("report.html"), &self.page(&sections)?)
    }

    fn page(&self, sections: &[Section<'_>]) -> Result<String, ReportError> {
        let Self { title, config, runs, libraries, appendices, .. } = self;
        Page { title, config, runs, libraries, appendices, sections }.html().map_err(ReportError::Page)
    }

    /// Returns the figures, section by section.
    fn sections(&self) -> Vec<Section<'_>> {
        let runs = &self.runs;
        let maps = self.maps.iter().flat_map(|(label, pairs)| figures::map(label, pairs, self.config.map_pairs));
        let usage = figures::usages(runs)
            .into_iter()
            .filter_map(|(block, summary, usage)| figures::usage(runs, block, &summary.name, &summary.method, &usage));
        let mut sections = vec![
            Section { id: "differences", figures: figures::differences(runs) },
            Section { id: "cost", figures: figures::cost(runs) },
            Section { id: "lengths", figures: figures::lengths(runs) },
            Section { id: "sensitivity", figures: figures::sensitivity(runs) },
            Section { id: "transfer", figures: figures::transfer(runs, &self.config) },
            Section { id: "map", figures: maps.collect() },
            Section { id: "library", figures: usage.collect() },
        ];
        let appendices = self.appendices.iter();
        sections.extend(appendices.map(|appendix| Section { id: &appendix.id, figures: appendix.figures() }));
        // Names that differ only in characters that file names cannot have.
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

fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    stir_files::write_atomically(path, text).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

use crate::{
    ReportError,
    page::{self, Picture},
    svg::Figure,
};

/// A section that another crate adds to a report, or a page of its own: words, tables and charts of a few numbers.
///
/// ```
/// use stir_report::{Appendix, AppendixTable, Dot, DotChart};
/// let row = |label: &str, value| Dot { label: label.into(), value, interval: None, series: 0 };
/// let chart = DotChart {
///     name: "agreement".into(), title: "Agreement".into(), axis: "cosine".into(), mark: Some((0.5, "half".into())),
///     dots: vec![row("layer 3", 0.2), row("layer 9", 0.7)],
/// };
/// let table = AppendixTable {
///     caption: "Layers".into(), columns: vec!["Layer".into(), "Cosine".into()],
///     rows: vec![vec!["3".into(), "0.2".into()], vec!["9".into(), "0.7".into()]],
/// };
/// let appendix = Appendix {
///     id: "layers".into(), title: "Layers".into(), paragraphs: vec!["Later layers agree.".into()],
///     points: vec![], tables: vec![table], charts: vec![chart],
/// };
/// assert!(appendix.page("A model")?.contains("<h2 id=\"layers-h\">Layers</h2>"));
/// # Ok::<(), stir_report::ReportError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Appendix {
    /// The name of the section in links, and the beginning of the names of its figures; unique in a report, whose own
    /// sections are `results`, `cost`, `lengths`, `sensitivity`, `transfer`, `map`, `library`, `cases`, `settings` and
    /// `statistics`.
    pub id: String,
    /// The heading.
    pub title: String,
    /// The text, paragraph by paragraph.
    pub paragraphs: Vec<String>,
    /// Points of a list after the text.
    pub points: Vec<String>,
    /// The tables.
    pub tables: Vec<AppendixTable>,
    /// The charts.
    pub charts: Vec<DotChart>,
}

/// A table of an [`Appendix`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppendixTable {
    /// The caption.
    pub caption: String,
    /// The headings; the first is that of the rows' names.
    pub columns: Vec<String>,
    /// The cells, row by row, as they are shown.
    pub rows: Vec<Vec<String>>,
}

/// A chart of an [`Appendix`]: numbers as dots on one axis, each in a line of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DotChart {
    /// The name of the figure; characters that a file name should not have become hyphens.
    pub name: String,
    /// The title.
    pub title: String,
    /// What the numbers are, with their unit.
    pub axis: String,
    /// A value that is marked by a line, and what it is called.
    pub mark: Option<(f64, String)>,
    /// The dots, from above.
    pub dots: Vec<Dot>,
}

/// A number of a [`DotChart`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dot {
    /// Its name.
    pub label: String,
    /// The number; one that is not finite is left out.
    pub value: f64,
    /// The ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// Dots of one series have the same shape and colour.
    pub series: usize,
}

impl Appendix {
    /// Renders the section as a page of its own, titled `title`. It needs neither a network nor JavaScript.
    ///
    /// # Errors
    /// [`ReportError::Page`].
    pub fn page(&self, title: &str) -> Result<String, ReportError> {
        page::appendix_page(title, self).map_err(ReportError::Page)
    }

    /// Returns the charts as figures.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        self.charts.iter().map(|chart| crate::figures::dots(&self.id, chart)).collect()
    }

    pub(crate) fn pictures(&self) -> Vec<Picture> {
        self.figures().iter().map(Picture::new).collect()
    }
}

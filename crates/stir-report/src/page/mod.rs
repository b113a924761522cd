use minijinja::{Environment, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;

mod appendix;
mod cases;

pub(crate) use self::appendix::appendix_page;
use self::cases::{Cases, cases};
use crate::{
    appendix::Appendix,
    comparison::{Comparison, MethodSummary, Paired},
    config::ReportConfig,
    error::RenderError,
    figures::{EntryUsage, LibraryUsage, entry_name, mean, percent, signed, usages},
    grouped::{Block, GroupedRuns, distinct},
    library::{EntryDescription, LibraryDescription},
    seeds::show,
    stats::MeanDifference,
    svg::{Figure, number, style},
    table::p_value,
};

/// The contents of a page.
#[derive(Clone, Copy)]
pub(crate) struct Page<'p> {
    pub(crate) title: &'p str,
    pub(crate) config: &'p ReportConfig,
    pub(crate) runs: &'p GroupedRuns<'p>,
    pub(crate) libraries: &'p [LibraryDescription],
    pub(crate) appendices: &'p [Appendix],
    pub(crate) sections: &'p [Section<'p>],
}

/// Figures of one kind.
pub(crate) struct Section<'s> {
    pub(crate) id: &'s str,
    pub(crate) figures: Vec<Figure>,
}

/// Lines of a table of entries, at most.
const ENTRIES: usize = 30;

/// The mark in place of a missing value.
const NONE: &str = "\u{2013}";

/// The values that the template shows.
#[derive(Serialize)]
struct Values<'p> {
    title: &'p str,
    date: Option<&'p str>,
    baseline: &'p str,
    models: Vec<&'p str>,
    tasks: Vec<&'p str>,
    methods: Vec<&'p str>,
    answers: String,
    figure_style: String,
    page_style: &'static str,
    script: &'static str,
    tables: Vec<Table>,
    /// The tables of all runs, where there are more than in `tables`.
    every: Vec<Table>,
    /// P-values that were adjusted together.
    comparisons: usize,
    all_comparisons: usize,
    differences: Vec<Picture>,
    cost: Vec<Picture>,
    lengths: Vec<Picture>,
    sensitivity: Vec<Picture>,
    transfer: Vec<Picture>,
    map: Vec<Picture>,
    libraries: Vec<LibraryUse>,
    appendices: Vec<appendix::Section<'p>>,
    cases: Vec<Cases>,
    /// The answers that the viewer shows side by side at first.
    left: &'p str,
    right: &'p str,
}

/// One comparison as a table.
#[derive(Serialize)]
struct Table {
    place: String,
    problems: usize,
    rows: Vec<Row>,
}

/// One method of a table, its numbers as they are shown.
#[derive(Serialize)]
struct Row {
    name: String,
    colour: usize,
    accuracy: String,
    interval: String,
    tokens: String,
    tokens_difference: String,
    thrown_away: String,
    seconds: String,
    wins: String,
    p: String,
    holm: String,
    needed: String,
    seeds: usize,
    cut_off: String,
    unanswered: String,
    unclear: String,
    params: Vec<(String, String)>,
    mined_from: String,
}

/// One method's use of its library.
#[derive(Serialize)]
struct LibraryUse {
    title: String,
    facts: String,
    /// One, or none where nothing was added.
    pictures: Vec<Picture>,
    rows: Vec<EntryUse>,
    left_out: usize,
}

#[derive(Serialize)]
struct EntryUse {
    name: String,
    what: String,
    retrieved: usize,
    considered: usize,
    added: usize,
    /// Control points, and how often at each.
    places: String,
    scale: String,
    gain: String,
    right: String,
}

#[derive(Serialize)]
pub(crate) struct Picture {
    title: String,
    description: String,
    svg: String,
}

impl Picture {
    pub(crate) fn new(figure: &Figure) -> Self {
        Self { title: figure.title.clone(), description: figure.description.clone(), svg: figure.inline() }
    }
}

impl Page<'_> {
    /// Renders the page.
    pub(crate) fn html(&self) -> Result<String, RenderError> {
        html(self).map_err(RenderError::template)
    }
}

fn html(page: &Page<'_>) -> Result<String, minijinja::Error> {
    let blocks = &page.runs.blocks;
    let tables: Vec<Table> = blocks.iter().map(|block| table(page, block, &block.table)).collect();
    let others = blocks.iter().filter(|block| block.all.methods.len() > block.table.methods.len());
    let every: Vec<Table> = others.map(|block| table(page, block, &block.all)).collect();
    let names = distinct(blocks.iter().flat_map(|block| block.table.methods.iter().map(|m| m.name.as_str())));
    let cases: Vec<Cases> = match page.config.cases_per_task {
        0 => vec![],
        _ => blocks.iter().map(|block| cases(page.runs, block, page.config, &names)).collect(),
    };
    let steering = blocks
        .iter()
        .flat_map(|block| block.shown())
        .find(|(group, _)| group[0].records.iter().any(|record| record.steps.iter().any(|step| step.steered())));
    let right = steering.map_or_else(|| names.get(1).copied().unwrap_or_default(), |(_, method)| method.name.as_str());
    let pictures = |id: &str| -> Vec<Picture> {
        let figures = page.sections.iter().filter(|section| section.id == id).flat_map(|section| &section.figures);
        figures.map(Picture::new).collect()
    };
    // The figures are of those in which something was added, in the same order.
    let mut used = pictures("library").into_iter();
    let mut libraries: Vec<LibraryUse> =
        usages(page.runs).into_iter().map(|(block, method, usage)| library(page, block, method, &usage)).collect();
    libraries.iter_mut().filter(|l| !l.rows.is_empty()).for_each(|l| l.pictures.extend(used.next()));

    // Their figures come last, in the same order.
    let drawn = page.sections.iter().skip(page.sections.len().saturating_sub(page.appendices.len()));
    let drawn = drawn.map(|section| section.figures.iter().map(Picture::new).collect());
    let values = Values {
        title: page.title,
        date: page.config.date.as_deref(),
        baseline: &page.config.baseline,
        models: page.runs.models(),
        tasks: distinct(blocks.iter().map(|block| block.task)),
        answers: number(answers(page) as f64, 0),
        figure_style: style(),
        page_style: include_str!("page.css"),
        script: include_str!("viewer.js"),
        tables,
        every,
        comparisons: comparisons(blocks.iter().map(|block| &block.table)),
        all_comparisons: comparisons(blocks.iter().map(|block| &block.all)),
        differences: pictures("differences"),
        cost: pictures("cost"),
        lengths: pictures("lengths"),
        sensitivity: pictures("sensitivity"),
        transfer: pictures("transfer"),
        map: pictures("map"),
        libraries,
        appendices: page.appendices.iter().zip(drawn).map(|(a, s)| appendix::Section::new(a, s)).collect(),
        cases,
        left: names.first().copied().unwrap_or_default(),
        right,
        methods: names,
    };
    environment()?.get_template("report.html")?.render(Serde(values))
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in [
        ("report.html", include_str!("report.html")),
        ("macros.html", include_str!("macros.html")),
        ("cases.html", include_str!("cases.html")),
        ("appendix.html", include_str!("appendix.html")),
        ("alone.html", include_str!("alone.html")),
    ] {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

fn answers(page: &Page<'_>) -> usize {
    page.runs.blocks.iter().flat_map(|b| &b.groups).flatten().map(|run| run.records.len()).sum()
}

/// Comparisons with a baseline, which is how many p-values were adjusted together.
fn comparisons<'a>(tables: impl Iterator<Item = &'a Comparison>) -> usize {
    tables.flat_map(|table| &table.methods).filter(|method| method.paired.is_some()).count()
}

fn table(page: &Page<'_>, block: &Block<'_>, comparison: &Comparison) -> Table {
    Table {
        place: page.runs.place(block),
        problems: comparison.problems,
        rows: comparison.methods.iter().map(|method| row(page, method, &comparison.methods[0])).collect(),
    }
}

fn row(page: &Page<'_>, method: &MethodSummary, baseline: &MethodSummary) -> Row {
    let paired = |text: &dyn Fn(&Paired) -> String| method.paired.as_ref().map_or_else(|| NONE.to_owned(), text);
    let share = |share: f64| if share > 0.0 { format!("{} %", percent(share)) } else { NONE.to_owned() };
    let thrown = method.probe_tokens + method.other_tokens;
    let change = |difference: MeanDifference| {
        let by = 100.0 / baseline.tokens.max(f64::MIN_POSITIVE);
        format!("{} %", signed(by * difference.mean, 1))
    };
    Row {
        name: method.name.clone(),
        colour: page.runs.look(&method.method).colour,
        accuracy: percent(method.accuracy),
        interval: format!("{} to {}", percent(method.ci95.low), percent(method.ci95.high)),
        tokens: number(method.tokens, 1),
        tokens_difference: paired(&|p| change(p.tokens_difference)),
        thrown_away: if thrown > 0.0 { number(thrown, 1) } else { NONE.to_owned() },
        seconds: number(method.seconds, 1),
        wins: paired(&|p| format!("{} / {}", p.wins, p.losses)),
        p: paired(&|p| powers(&p_value(p.mcnemar_p))),
        holm: paired(&|p| powers(&p_value(p.holm_p))),
        needed: paired(&|p| p.problems_needed.map_or_else(|| NONE.to_owned(), |n| number(n as f64, 0))),
        seeds: method.seeds.len(),
        cut_off: share(method.cut_off),
        unanswered: share(method.unanswered),
        unclear: share(method.unclear),
        params: method.params.iter().map(|(key, value)| (key.clone(), show(value))).collect(),
        mined_from: method.mined_from.clone().unwrap_or_default(),
    }
}

/// Writes `1.2e-7` as people write it.
fn powers(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let raised = |c: char| match c {
        '-' => '\u{207b}',
        '0' => '\u{2070}',
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        '4'..='9' => char::from_u32(0x2070 + u32::from(c) - u32::from('0')).unwrap_or(c),
        other => other,
    };
    if power == "0" {
        return format!("< 10{}", "-300".chars().map(raised).collect::<String>());
    }
    format!("{digits}\u{b7}10{}", power.chars().map(raised).collect::<String>())
}

fn library(page: &Page<'_>, block: &Block<'_>, method: &MethodSummary, usage: &LibraryUsage) -> LibraryUse {
    let known = page.libraries.iter().find(|library| {
        let mined_from = method.mined_from.as_deref().unwrap_or(block.task);
        let agrees = library.params.iter().all(|(key, value)| method.params.get(key) == Some(value));
        (library.model.as_str(), library.mined_from.as_str()) == (block.model, mined_from) && agrees
    });
    let ranked = usage.ranked();
    let used = ranked.iter().filter(|(entry, _)| entry.is_some()).count();
    let of = known.map_or_else(String::new, |library| format!(" of {}", library.entries.len()));
    let steered = percent(usage.steered as f64 / usage.points.max(1) as f64);
    let describe = |entry: Option<usize>| entry.and_then(|entry| known?.entries.get(entry)).map(what);
    let line = |(entry, uses): &(Option<usize>, &_)| {
        let uses: &EntryUsage = uses;
        let places = uses.at.iter().map(|(m, times)| format!("{m} ({times})")).collect::<Vec<_>>();
        EntryUse {
            name: entry_name(*entry),
            what: describe(*entry).unwrap_or_default(),
            retrieved: uses.retrieved,
            considered: uses.considered,
            added: uses.scales.len(),
            places: places.join(", "),
            scale: number(mean(&uses.scales), 2),
            gain: if uses.gains.is_empty() { NONE.to_owned() } else { signed(mean(&uses.gains), 3) },
            right: format!("{} of {}", uses.right, uses.answers),
        }
    };
    LibraryUse {
        title: format!("{}, {}", method.name, page.runs.place(block)),
        facts: format!(
            "{} control points, something added at {steered} % of them; {used}{of} entries were added at least once.",
            number(usage.points as f64, 0)
        ),
        pictures: vec![],
        rows: ranked.iter().take(ENTRIES).map(line).collect(),
        left_out: ranked.len().saturating_sub(ENTRIES),
    }
}

fn what(entry: &EntryDescription) -> String {
    let EntryDescription { problem, m, layer, quality, steers } = entry;
    let kind = if *steers { "" } else { ", says to stay" };
    format!("{problem}, control point {m}, layer {layer}, quality {}{kind}", number(*quality, 2))
}

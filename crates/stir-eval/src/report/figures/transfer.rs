use super::{WIDTH, signed};
use crate::{
    MethodSummary,
    report::{
        ReportConfig,
        experiment::{Experiment, distinct, slug},
        svg::{Anchor, Canvas, Figure, fit, width},
    },
};

/// Side of a cell.
const CELL: f64 = 74.0;

/// How far a library helps on tasks that it was not mined from: two heatmaps for every model and method that was run
/// with a library from elsewhere, of accuracy and of tokens, against the baseline on the same task.
pub(crate) fn transfer(experiment: &Experiment<'_>, config: &ReportConfig) -> Vec<Figure> {
    let mut figures = vec![];
    for model in experiment.models() {
        let blocks = || experiment.blocks.iter().filter(move |block| block.model == model);
        let tasks: Vec<&str> = blocks().map(|block| block.task).collect();
        let methods = distinct(blocks().flat_map(|block| block.all.methods.iter().map(|m| m.method.as_str())));
        for method in methods {
            let mined = blocks().flat_map(|block| block.all.methods.iter());
            let mut sources = distinct(mined.filter(|m| m.method == method).filter_map(|m| m.mined_from.as_deref()));
            let moved = blocks().any(|block| {
                sources.iter().any(|from| *from != block.task && block.mined(method, from, config).is_some())
            });
            if !moved {
                continue;
            }
            // In the order of the tasks, so that a library on its own task is on the diagonal.
            sources.sort_by_key(|from| tasks.iter().position(|task| task == from).unwrap_or(tasks.len()));
            let cells: Vec<Vec<Option<[f64; 2]>>> = sources
                .iter()
                .map(|from| blocks().map(|b| effects(b.mined(method, from, config)?, &b.table.methods[0])).collect())
                .collect();
            let place = if experiment.models().len() > 1 { format!("{method}, {model}") } else { method.to_owned() };
            for (measure, unit) in [(0, "accuracy, points"), (1, "tokens, %")] {
                let value = |row: usize, column: usize| cells[row][column].map(|effects| effects[measure]);
                figures.push(heatmap(&place, (&sources, &tasks), &value, unit, measure == 0));
            }
        }
    }
    figures
}

/// Gain in points of accuracy and in percent of tokens.
fn effects(method: &MethodSummary, baseline: &MethodSummary) -> Option<[f64; 2]> {
    let paired = method.paired?;
    let tokens = 100.0 * paired.tokens_difference.mean / baseline.tokens.max(f64::MIN_POSITIVE);
    Some([100.0 * paired.accuracy_difference.mean, tokens])
}

fn heatmap(
    place: &str,
    (sources, tasks): (&[&str], &[&str]),
    value: &dyn Fn(usize, usize) -> Option<f64>,
    unit: &str,
    more_is_better: bool,
) -> Figure {
    let names = sources.iter().map(|name| width(name, 13.0)).fold(0.0, f64::max).min(130.0);
    let (left, top) = (names + 12.0, 50.0);
    let cell = CELL.min((WIDTH - left) / tasks.len() as f64).max(48.0);
    let (full, height) = (left + cell * tasks.len() as f64 + 4.0, 40.0);
    let mut canvas = Canvas::new(full.max(300.0), top + height * sources.len() as f64 + 8.0);
    canvas.text((0.0, 15.0), Anchor::Start, "ink strong", &format!("\u{394} {unit}"));
    canvas.text((left, 15.0), Anchor::Start, "muted", "answered task");
    canvas.text((0.0, top - 8.0), Anchor::Start, "muted", "mined from");
    let all = (0..sources.len()).flat_map(|row| (0..tasks.len()).filter_map(move |column| value(row, column)));
    let largest = all.map(f64::abs).fold(f64::MIN_POSITIVE, f64::max);
    for (column, task) in tasks.iter().enumerate() {
        let x = left + cell * (column as f64 + 0.5);
        canvas.text((x, top - 8.0), Anchor::Middle, "ink", &fit(task, cell - 4.0, 13.0));
    }
    let mut said = vec![];
    for (row, source) in sources.iter().enumerate() {
        let y = top + height * row as f64;
        canvas.text((left - 8.0, y + height / 2.0 + 4.5), Anchor::End, "ink", &fit(source, 130.0, 13.0));
        for (column, task) in tasks.iter().enumerate() {
            let x = left + cell * column as f64;
            let Some(value) = value(row, column) else {
                canvas.rect((x + 1.5, y + 1.5), (cell - 3.0, height - 3.0), "grid", 1.0);
                continue;
            };
            let class = if (value > 0.0) == more_is_better { "better" } else { "worse" };
            canvas.rect((x + 1.0, y + 1.0), (cell - 2.0, height - 2.0), class, 0.05 + 0.4 * value.abs() / largest);
            if source == task {
                canvas.rect((x + 2.0, y + 2.0), (cell - 4.0, height - 4.0), "rule", 0.0);
            }
            let text = signed(value, 1);
            canvas.text((x + cell / 2.0, y + height / 2.0 + 4.5), Anchor::Middle, "ink", &text);
            said.push(format!("from {source} to {task} {text}"));
        }
    }
    let short = if more_is_better { "accuracy" } else { "tokens" };
    Figure {
        name: format!("transfer-{short}-{}", slug(place)),
        title: format!("Transfer of libraries, {short}: {place}"),
        description: format!("Difference from the baseline in {unit}: {}.", said.join("; ")),
        canvas,
    }
}

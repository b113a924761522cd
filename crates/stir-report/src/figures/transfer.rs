use super::heatmap::{Heatmap, heatmap};
use crate::{
    MethodSummary,
    config::ReportConfig,
    grouped::{GroupedRuns, distinct, slug},
    svg::Figure,
};

/// Draws how far a library helps on tasks that it was not mined from: two heatmaps for every model and method that was
/// run with a library from elsewhere, of accuracy and of tokens, against the baseline on the same task.
pub(crate) fn transfer(runs: &GroupedRuns<'_>, config: &ReportConfig) -> Vec<Figure> {
    let mut figures = vec![];
    for model in runs.models() {
        let blocks = || runs.blocks.iter().filter(move |block| block.model == model);
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
            let place = if runs.models().len() > 1 { format!("{method}, {model}") } else { method.to_owned() };
            for (measure, short, unit) in [(0, "accuracy", "accuracy, points"), (1, "tokens", "tokens, %")] {
                let value = |row: usize, column: usize| cells[row][column].map(|effects| effects[measure]);
                let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
                figures.push(heatmap(&Heatmap {
                    name: format!("transfer-{short}-{}", slug(&place)),
                    title: format!("Transfer of libraries, {short}: {place}"),
                    unit,
                    more_is_better: measure == 0,
                    rows: ("mined from", names(&sources)),
                    columns: ("answered task", names(&tasks)),
                    value: &value,
                    framed: &|row, column| sources[row] == tasks[column],
                }));
            }
        }
    }
    figures
}

/// Returns the gain in points of accuracy and in percent of tokens.
fn effects(method: &MethodSummary, baseline: &MethodSummary) -> Option<[f64; 2]> {
    let paired = method.paired?;
    let tokens = 100.0 * paired.tokens_difference.mean / baseline.tokens.max(f64::MIN_POSITIVE);
    Some([100.0 * paired.accuracy_difference.mean, tokens])
}

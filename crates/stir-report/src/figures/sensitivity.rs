use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    format::{WIDTH, percent},
    heatmap::{Heatmap, heatmap},
};
use crate::{
    MethodSummary,
    grouped::{Block, GroupedRuns, slug},
    seeds::show,
    svg::{Axis, Canvas, Figure, Labels, Plot, fit, number},
};

/// Draws what a setting does to accuracy and tokens: one figure for every setting of a block that some method was run
/// with several values of, its other settings being those of the main table; and a heatmap for every two settings that
/// were varied together.
pub(crate) fn sensitivity(runs: &GroupedRuns<'_>) -> Vec<Figure> {
    let of_block = |block| {
        let keys: BTreeSet<&String> = experiment_keys(block);
        let lines = keys.iter().filter_map(|key| one(runs, block, key));
        let pairs = keys
            .iter()
            .flat_map(|first| keys.iter().filter(move |second| *second > first).map(move |second| (first, second)));
        let grids = pairs.flat_map(|(first, second)| grids(runs, block, first, second));
        lines.chain(grids).collect::<Vec<_>>()
    };
    runs.blocks.iter().flat_map(of_block).collect()
}

fn experiment_keys<'b>(block: &'b Block<'_>) -> BTreeSet<&'b String> {
    block.all.methods.iter().flat_map(|method| method.params.keys()).collect()
}

/// A method under several values of one setting.
struct Series<'b> {
    method: &'b str,
    points: Vec<(&'b Value, &'b MethodSummary)>,
}

/// Returns the methods of a block that were run with several values of `key`.
fn series<'b>(block: &'b Block<'_>, key: &str) -> Vec<Series<'b>> {
    let others = |m: &MethodSummary| {
        let mut params = m.params.clone();
        params.remove(key);
        params
    };
    let of = |&place: &usize| {
        let main = &block.all.methods[place];
        let alike = |m: &&MethodSummary| {
            m.method == main.method && m.mined_from == main.mined_from && others(m) == others(main)
        };
        let points = block.all.methods.iter().filter(alike).filter_map(|m| Some((m.params.get(key)?, m)));
        Series { method: &main.method, points: points.collect() }
    };
    block.main.iter().map(of).filter(|series| series.points.len() > 1).collect()
}

fn one(runs: &GroupedRuns<'_>, block: &Block<'_>, key: &str) -> Option<Figure> {
    let all = series(block, key);
    if all.is_empty() {
        return None;
    }
    let values = places(&all);
    let ticks: Vec<(f64, String)> = values.iter().map(|(_, place, text)| (*place, text.clone())).collect();
    let place = |value: &Value| values.iter().find(|(known, ..)| *known == value).map_or(0.0, |(_, place, _)| *place);
    let baseline = &block.table.methods[0];
    let mut canvas = Canvas::new(WIDTH, 420.0);
    let shown = || all.iter().flat_map(|s| s.points.iter().map(|(_, m)| *m)).chain([baseline]);

    let bounds = shown().flat_map(|m| [100.0 * m.ci95.low, 100.0 * m.ci95.high]);
    let accuracy = Axis::holding("accuracy, %", bounds, 4);
    let upper = Plot::within(&canvas, (0.0, 215.0), Axis::at("", &ticks), accuracy);
    let bounds = shown().flat_map(|m| [m.tokens_ci95.low, m.tokens_ci95.high]);
    let tokens = Axis::holding("tokens per answer", bounds, 4);
    let mut lower = Plot::within(&canvas, (215.0, 420.0), Axis::at(key, &ticks), tokens);
    // One column of numbers, so that values are below each other.
    let mut upper = upper;
    let left = upper.left.max(lower.left);
    for plot in [&mut upper, &mut lower] {
        plot.width -= left - plot.left;
        plot.left = left;
    }
    for plot in [&upper, &lower] {
        plot.draw(&mut canvas);
    }
    let of_accuracy = |m: &MethodSummary| [m.accuracy, m.ci95.low, m.ci95.high].map(|share| 100.0 * share);
    let of_tokens = |m: &MethodSummary| [m.tokens, m.tokens_ci95.low, m.tokens_ci95.high];
    draw(runs, &mut canvas, &upper, &all, &place, baseline, &of_accuracy, true);
    draw(runs, &mut canvas, &lower, &all, &place, baseline, &of_tokens, false);

    let said = all.iter().map(|s| {
        let point = |(value, m): &(&Value, &MethodSummary)| {
            format!("{key} {}: {} %, {} tokens", show(value), percent(m.accuracy), number(m.tokens, 0))
        };
        format!("{}: {}", s.method, s.points.iter().map(point).collect::<Vec<_>>().join("; "))
    });
    Some(Figure {
        name: format!("sensitivity-{}-{}", slug(key), slug(&runs.place(block))),
        title: format!("Sensitivity to {key}: {}", runs.place(block)),
        description: said.collect::<Vec<_>>().join(". ") + ".",
        canvas,
    })
}

/// Returns the gain in accuracy over the values of two settings, for each method that has more of their pairs than the
/// cross through its main ones, which the lines show.
fn grids(runs: &GroupedRuns<'_>, block: &Block<'_>, first: &str, second: &str) -> Vec<Figure> {
    let without = |m: &MethodSummary| {
        let mut params = m.params.clone();
        params.retain(|key, _| key != first && key != second);
        params
    };
    let of = |&place: &usize| {
        let main = &block.all.methods[place];
        let alike = |m: &&MethodSummary| {
            m.method == main.method && m.mined_from == main.mined_from && without(m) == without(main)
        };
        let cells: Vec<(&Value, &Value, f64)> = block
            .all
            .methods
            .iter()
            .filter(alike)
            .filter_map(|m| Some((m.params.get(first)?, m.params.get(second)?, m.paired?.accuracy_difference.mean)))
            .collect();
        let rows = placed(cells.iter().map(|cell| cell.0));
        let columns = placed(cells.iter().map(|cell| cell.1));
        if rows.len() < 2 || columns.len() < 2 || cells.len() < rows.len() + columns.len() {
            return None;
        }
        let value = |row: usize, column: usize| {
            let cell = cells.iter().find(|cell| (cell.0, cell.1) == (rows[row].0, columns[column].0));
            cell.map(|cell| 100.0 * cell.2)
        };
        let here = |row: usize, column: usize| {
            (main.params.get(first), main.params.get(second)) == (Some(rows[row].0), Some(columns[column].0))
        };
        let names = |values: &[(&Value, f64, String)]| values.iter().map(|value| value.2.clone()).collect();
        let place = format!("{}, {}", main.method, runs.place(block));
        Some(heatmap(&Heatmap {
            name: format!("grid-{}-{}-{}", slug(first), slug(second), slug(&place)),
            title: format!("Accuracy by {first} and {second}: {place}"),
            unit: "accuracy, points",
            more_is_better: true,
            rows: (first, names(&rows)),
            columns: (second, names(&columns)),
            value: &value,
            framed: &here,
        }))
    };
    block.main.iter().filter_map(of).collect()
}

/// Returns the values of all series with their places on the axis: the numbers they are, or, where some are none, 0, 1,
/// ...
fn places<'b>(all: &[Series<'b>]) -> Vec<(&'b Value, f64, String)> {
    placed(all.iter().flat_map(|series| series.points.iter().map(|(value, _)| *value)))
}

fn placed<'b>(all: impl Iterator<Item = &'b Value>) -> Vec<(&'b Value, f64, String)> {
    let mut values: Vec<&Value> = vec![];
    for value in all {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|value| as_number(value)).collect();
    let numbers = numbers.unwrap_or_else(|| (0..values.len()).map(|place| place as f64).collect());
    let mut placed: Vec<_> = values.into_iter().zip(numbers).map(|(value, at)| (value, at, show(value))).collect();
    placed.sort_by(|a, b| a.1.total_cmp(&b.1));
    placed
}

/// Returns a number, also one in a string, also a fraction: `0.6`, `"0.6"`, `"3/5"`.
pub(crate) fn as_number(value: &Value) -> Option<f64> {
    let parse = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.split_once('/') {
            Some((above, below)) => Some(parse(above)? / parse(below)?).filter(|number| number.is_finite()),
            None => parse(text),
        },
        _ => None,
    }
}

#[allow(clippy::too_many_arguments, reason = "what is drawn where, in one place")]
fn draw(
    runs: &GroupedRuns<'_>,
    canvas: &mut Canvas,
    plot: &Plot,
    all: &[Series<'_>],
    place: &dyn Fn(&Value) -> f64,
    baseline: &MethodSummary,
    measure: &dyn Fn(&MethodSummary) -> [f64; 3],
    named: bool,
) {
    let level = plot.y(measure(baseline)[0]);
    canvas.line((plot.left, level), (plot.right(), level), "thick s0");
    let mut labels = Labels::new([plot.left, plot.top - 8.0, plot.right(), plot.bottom()]);
    labels.keep_clear_along(&[(plot.left, level), (plot.right(), level)]);
    let mut ends = vec![];
    for (index, Series { method, points }) in all.iter().enumerate() {
        let look = runs.look(method);
        // Apart by a little, so that the bars of two methods do not hide each other.
        let shift = 5.0 * (index as f64 - (all.len() - 1) as f64 / 2.0);
        let mut sorted: Vec<(f64, [f64; 3])> = points.iter().map(|(value, m)| (place(value), measure(m))).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = |x: f64, y: f64| (plot.x(x) + shift, plot.y(y));
        let line: Vec<(f64, f64)> = sorted.iter().map(|&(x, [middle, ..])| at(x, middle)).collect();
        canvas.polyline(&line, &format!("thick s{}", look.colour));
        labels.keep_clear_along(&line);
        for &(x, [middle, low, high]) in &sorted {
            canvas.line(at(x, low), at(x, high), &format!("thin s{}", look.colour));
            canvas.marker(look.shape, at(x, middle), 4.5, &format!("f{} spaper", look.colour));
            let (x, y) = at(x, (low + high) / 2.0);
            labels.keep_clear((x, y), 5.0, (at(0.0, low).1 - at(0.0, high).1) / 2.0);
        }
        ends.extend(line.last().map(|&end| (end, look.colour, method)));
    }
    if named {
        for (end, colour, method) in ends {
            labels.write(canvas, end, &format!("f{colour} strong"), &fit(method, 140.0, 13.0));
        }
        labels.write_along(canvas, level, "f0 strong", &fit(&baseline.name, 140.0, 13.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_written_in_several_ways() {
        for (value, expected) in [
            (Value::from(18), Some(18.0)),
            (Value::from(0.6), Some(0.6)),
            (Value::from("0.6"), Some(0.6)),
            (Value::from(" 3/5 "), Some(0.6)),
            (Value::from("1/0"), None),
            (Value::from("NaN"), None),
            (Value::from("dpp"), None),
            (Value::Null, None),
        ] {
            assert_eq!(as_number(&value), expected, "{value}");
        }
    }
}

use super::format::{WIDTH, signed};
use crate::svg::{Anchor, Canvas, Figure, fit, width};

/// Height of a cell, and its width at most.
const HEIGHT: f64 = 38.0;
const CELL: f64 = 92.0;
/// Room for the headings.
const TOP: f64 = 66.0;

/// Differences from the baseline over two things that vary.
pub(crate) struct Heatmap<'h> {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The quantity shown, with its unit.
    pub(crate) unit: &'h str,
    pub(crate) more_is_better: bool,
    /// The setting that varies from row to row, and its values.
    pub(crate) rows: (&'h str, Vec<String>),
    pub(crate) columns: (&'h str, Vec<String>),
    /// The difference in a row and column; `None` where there is none.
    pub(crate) value: &'h dyn Fn(usize, usize) -> Option<f64>,
    /// Returns whether a cell has a frame.
    pub(crate) framed: &'h dyn Fn(usize, usize) -> bool,
}

pub(crate) fn heatmap(map: &Heatmap<'_>) -> Figure {
    let ((row_title, rows), (column_title, columns)) = (&map.rows, &map.columns);
    let longest = rows.iter().map(String::as_str).chain([*row_title]).map(|name| width(name, 13.0)).fold(0.0, f64::max);
    let left = longest.min(140.0) + 12.0;
    let cell = ((WIDTH - left) / columns.len() as f64).clamp(24.0, CELL);
    let wide = (left + cell * columns.len() as f64).max(WIDTH);
    let mut canvas = Canvas::new(wide, TOP + HEIGHT * rows.len() as f64 + 4.0);
    canvas.text((0.0, 14.0), Anchor::Start, "ink", &format!("\u{394} {}", map.unit));
    canvas.text((left, 36.0), Anchor::Start, "muted", column_title);
    canvas.text((left - 8.0, TOP - 8.0), Anchor::End, "muted", &fit(row_title, 140.0, 13.0));
    for (column, name) in columns.iter().enumerate() {
        let x = left + cell * (column as f64 + 0.5);
        canvas.text((x, TOP - 8.0), Anchor::Middle, "ink", &fit(name, cell - 4.0, 13.0));
    }
    let places = || (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column)));
    let largest = places().filter_map(|(row, column)| (map.value)(row, column)).map(f64::abs).fold(1e-9, f64::max);
    let mut said = vec![];
    for (row, name) in rows.iter().enumerate() {
        let middle = TOP + HEIGHT * (row as f64 + 0.5) + 4.5;
        canvas.text((left - 8.0, middle), Anchor::End, "ink", &fit(name, 140.0, 13.0));
    }
    for (row, column) in places() {
        let (x, y) = (left + cell * column as f64, TOP + HEIGHT * row as f64);
        let Some(value) = (map.value)(row, column) else {
            canvas.rect((x + 1.5, y + 1.5), (cell - 3.0, HEIGHT - 3.0), "grid", 1.0);
            continue;
        };
        let class = if (value > 0.0) == map.more_is_better { "better" } else { "worse" };
        canvas.rect((x + 1.0, y + 1.0), (cell - 2.0, HEIGHT - 2.0), class, 0.04 + 0.41 * value.abs() / largest);
        if (map.framed)(row, column) {
            canvas.rect((x + 2.0, y + 2.0), (cell - 4.0, HEIGHT - 4.0), "rule", 1.0);
        }
        let text = if cell >= 44.0 { signed(value, 1) } else { signed(value, 0) };
        canvas.text((x + cell / 2.0, y + HEIGHT / 2.0 + 4.5), Anchor::Middle, "ink", &text);
        said.push(format!("{row_title} {}, {column_title} {}: {text}", rows[row], columns[column]));
    }
    Figure {
        name: map.name.clone(),
        title: map.title.clone(),
        description: format!("Difference from the baseline in {}. {}.", map.unit, said.join("; ")),
        canvas,
    }
}

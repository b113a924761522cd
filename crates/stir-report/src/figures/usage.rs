use std::collections::BTreeMap;

use super::format::WIDTH;
use crate::{
    comparison::MethodSummary,
    grouped::{Block, GroupedRuns, slug},
    seeds::Group,
    svg::{Anchor, Canvas, Figure, fit, number},
};

/// Entries shown in a figure, at most.
const ROWS: usize = 16;
/// Control points shown, at most.
const COLUMNS: usize = 12;

/// A method's use of its library.
#[derive(Default)]
pub(crate) struct LibraryUsage {
    /// Control points reached.
    pub(crate) points: usize,
    /// Control points where something was added.
    pub(crate) steered: usize,
    /// By entry; `None` for vectors that are not entries.
    pub(crate) entries: BTreeMap<Option<usize>, EntryUsage>,
}

/// The use of an entry.
#[derive(Default)]
pub(crate) struct EntryUsage {
    /// The number of times it was near the state.
    pub(crate) retrieved: usize,
    /// The number of times it was a candidate.
    pub(crate) considered: usize,
    /// The number of times it was added, by control point.
    pub(crate) at: BTreeMap<usize, usize>,
    /// Scales it was added with.
    pub(crate) scales: Vec<f64>,
    /// Gains of the probes that spoke for it.
    pub(crate) gains: Vec<f64>,
    /// Answers it was added to, and how many of them are right.
    pub(crate) answers: usize,
    pub(crate) right: usize,
}

impl LibraryUsage {
    pub(crate) fn new(group: &Group<'_>) -> Self {
        let mut usage = Self::default();
        for record in group.iter().flat_map(|run| &run.records) {
            let mut touched = vec![];
            for step in record.steps.iter().filter(|step| step.segment > 1) {
                usage.points += 1;
                step.retrieved.iter().for_each(|hit| usage.uses(Some(hit.entry)).retrieved += 1);
                step.candidates.iter().for_each(|scored| usage.uses(Some(scored.entry)).considered += 1);
                if step.steered() {
                    usage.steered += 1;
                    let uses = usage.uses(step.chosen);
                    *uses.at.entry(step.segment - 1).or_default() += 1;
                    uses.scales.push(f64::from(step.scale));
                    uses.gains.extend(step.winner().map(|winner| winner.gain).filter(|gain| gain.is_finite()));
                    if !touched.contains(&step.chosen) {
                        touched.push(step.chosen);
                    }
                }
            }
            for entry in touched {
                let uses = usage.uses(entry);
                uses.answers += 1;
                uses.right += usize::from(record.judged.correct());
            }
        }
        usage
    }

    fn uses(&mut self, entry: Option<usize>) -> &mut EntryUsage {
        self.entries.entry(entry).or_default()
    }

    /// Entries that were added, by falling number of times, then by number.
    pub(crate) fn ranked(&self) -> Vec<(Option<usize>, &EntryUsage)> {
        let mut ranked: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, uses)| !uses.scales.is_empty())
            .map(|(entry, uses)| (*entry, uses))
            .collect();
        ranked.sort_by_key(|(entry, uses)| (usize::MAX - uses.scales.len(), *entry));
        ranked
    }
}

/// Returns how the methods that steer used their libraries.
pub(crate) fn usages<'b>(runs: &'b GroupedRuns<'_>) -> Vec<(&'b Block<'b>, &'b MethodSummary, LibraryUsage)> {
    let of_block = |block: &'b Block<'_>| {
        let used = block.shown().map(move |(group, method)| (block, method, LibraryUsage::new(group)));
        used.filter(|(.., usage)| !usage.entries.is_empty())
    };
    runs.blocks.iter().flat_map(of_block).collect()
}

/// Returns the name of an entry.
pub(crate) fn entry_name(entry: Option<usize>) -> String {
    entry.map_or_else(|| "no entry".to_owned(), |entry| format!("entry {entry}"))
}

/// Returns the mean of some values; 0 of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Draws which entries were added, at which control points, how strongly: the area of a disc is how often.
pub(crate) fn usage(
    runs: &GroupedRuns<'_>,
    block: &Block<'_>,
    name: &str,
    method: &str,
    usage: &LibraryUsage,
) -> Option<Figure> {
    let ranked = usage.ranked();
    let rows = &ranked[..ranked.len().min(ROWS)];
    let last = rows.iter().filter_map(|(_, uses)| uses.at.keys().last()).max().copied()?;
    let columns = last.min(COLUMNS);
    let most = rows.iter().flat_map(|(_, uses)| uses.at.values()).max().copied().unwrap_or(1) as f64;
    let strongest = rows.iter().flat_map(|(_, uses)| &uses.scales).copied().fold(f64::MIN_POSITIVE, f64::max);
    let (left, right, top, line) = (78.0, 128.0, 46.0, 26.0);
    let column = (WIDTH - left - right) / columns as f64;
    let mut canvas = Canvas::new(WIDTH, top + line * rows.len() as f64 + 8.0);
    let colour = runs.look(method).colour;
    canvas.text((left, 14.0), Anchor::Start, "ink", "control point");
    canvas.text((WIDTH, 14.0), Anchor::End, "ink", "mean scale, range");
    for m in 1..=columns {
        let x = left + column * (m as f64 - 0.5);
        let more = if m == columns && last > columns { "+" } else { "" };
        canvas.text((x, 34.0), Anchor::Middle, "muted", &format!("{m}{more}"));
    }
    let mut said = vec![];
    for (row, (entry, uses)) in rows.iter().enumerate() {
        let y = top + line * (row as f64 + 0.5);
        canvas.line((left, y), (WIDTH - right, y), "grid");
        canvas.text((left - 8.0, y + 4.5), Anchor::End, "ink", &entry_name(*entry));
        let mut at = vec![0usize; columns + 1];
        uses.at.iter().for_each(|(&m, &times)| at[m.min(columns)] += times);
        for (m, &times) in at.iter().enumerate().filter(|(_, times)| **times > 0) {
            let r = (line / 2.0 - 1.5).min(column / 2.0) * (times as f64 / most).min(1.0).sqrt();
            canvas.circle((left + column * (m as f64 - 0.5), y), r.max(1.2), &format!("f{colour}"));
        }
        let (least, greatest) = uses.scales.iter().fold((f64::MAX, f64::MIN), |(a, b), &s| (a.min(s), b.max(s)));
        let x = |scale: f64| WIDTH - right + 14.0 + (right - 58.0) * (scale / strongest).clamp(0.0, 1.0);
        canvas.line((x(0.0), y), (x(strongest), y), "grid");
        canvas.line((x(least), y), (x(greatest), y), &format!("thick s{colour}"));
        canvas.circle((x(mean(&uses.scales)), y), 3.5, &format!("f{colour} spaper"));
        let strength = number(mean(&uses.scales), 2);
        canvas.text((WIDTH, y + 4.5), Anchor::End, "muted", &strength);
        said.push(format!("{} {} times, mean scale {strength}", entry_name(*entry), uses.scales.len()));
    }
    let place = format!("{}, {}", fit(name, 400.0, 13.0), runs.place(block));
    Some(Figure {
        name: format!("usage-{}", slug(&place)),
        title: format!("Library entries in use: {place}"),
        description: format!("The {} most used of {}: {}.", rows.len(), ranked.len(), said.join("; ")),
        canvas,
    })
}

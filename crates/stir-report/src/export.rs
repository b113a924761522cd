//! The tables of a report as files.

use std::fmt::Write;

use crate::{
    comparison::{Comparison, MethodSummary, Paired},
    seeds::show,
};

const COLUMNS: [&str; 31] = [
    "model",
    "task",
    "name",
    "method",
    "mined_from",
    "params",
    "seeds",
    "problems",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "tokens",
    "tokens_low",
    "tokens_high",
    "probe_tokens",
    "other_tokens",
    "seconds",
    "cut_off",
    "unanswered",
    "unclear",
    "wins",
    "losses",
    "mcnemar_p",
    "holm_p",
    "accuracy_difference",
    "accuracy_difference_low",
    "accuracy_difference_high",
    "tokens_difference",
    "tokens_difference_low",
    "tokens_difference_high",
    "problems_needed",
];

/// Returns all comparisons as comma-separated values, a line a method (RFC 4180).
pub(crate) fn csv<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> String {
    let mut csv = COLUMNS.join(",") + "\r\n";
    for comparison in comparisons {
        for method in &comparison.methods {
            let cells = cells(comparison, method).map(|cell| quote(&cell));
            csv += &(cells.join(",") + "\r\n");
        }
    }
    csv
}

fn cells(comparison: &Comparison, method: &MethodSummary) -> [String; COLUMNS.len()] {
    let Comparison { model, task, problems, .. } = comparison;
    let params = method.params.iter().map(|(key, value)| format!("{key}={}", show(value))).collect::<Vec<_>>();
    let seeds = method.seeds.iter().map(u64::to_string).collect::<Vec<_>>();
    let paired = |value: &dyn Fn(&Paired) -> String| method.paired.as_ref().map_or_else(String::new, value);
    let number = |value: f64| value.to_string();
    [
        model.clone(),
        task.clone(),
        method.name.clone(),
        method.method.clone(),
        method.mined_from.clone().unwrap_or_default(),
        params.join(" "),
        seeds.join(" "),
        problems.to_string(),
        number(method.accuracy),
        number(method.ci95.low),
        number(method.ci95.high),
        number(method.tokens),
        number(method.tokens_ci95.low),
        number(method.tokens_ci95.high),
        number(method.probe_tokens),
        number(method.other_tokens),
        number(method.seconds),
        number(method.cut_off),
        number(method.unanswered),
        number(method.unclear),
        paired(&|p| p.wins.to_string()),
        paired(&|p| p.losses.to_string()),
        paired(&|p| p.mcnemar_p.to_string()),
        paired(&|p| p.holm_p.to_string()),
        paired(&|p| p.accuracy_difference.mean.to_string()),
        paired(&|p| p.accuracy_difference.interval.low.to_string()),
        paired(&|p| p.accuracy_difference.interval.high.to_string()),
        paired(&|p| p.tokens_difference.mean.to_string()),
        paired(&|p| p.tokens_difference.interval.low.to_string()),
        paired(&|p| p.tokens_difference.interval.high.to_string()),
        paired(&|p| p.problems_needed.map_or_else(String::new, |needed| needed.to_string())),
    ]
}

/// Returns a cell, quoted where it must be. What a spreadsheet would take for a formula gets a space before it.
fn quote(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@']) || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    let cell = if formula { format!(" {cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// Returns the main tables as Markdown.
pub(crate) fn markdown<'a>(title: &str, comparisons: impl Iterator<Item = &'a Comparison>) -> String {
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    let mut markdown = format!("# {}\n", line(title));
    for comparison in comparisons {
        let Comparison { model, task, problems, .. } = comparison;
        // Writing to a string cannot fail.
        let _ = write!(
            markdown,
            "\n## {}, {}\n\n{problems} problems.\n\n{}",
            line(task),
            line(model),
            comparison.to_markdown()
        );
    }
    markdown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        for (cell, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", " =1+1"),
            ("-0.5", "-0.5"),
            ("-cmd", " -cmd"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quote(cell), expected);
        }
    }
}

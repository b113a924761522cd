use std::fmt;

use crate::comparison::{Comparison, MethodSummary};

const HEADER: [&str; 11] = [
    "method",
    "accuracy, % (95 % CI)",
    "tokens",
    "cut off, %",
    "probe tokens",
    "other tokens",
    "seconds",
    "wins/losses",
    "McNemar p",
    "Holm p",
    "problems needed",
];

type Cells = [String; HEADER.len()];

impl fmt::Display for Comparison {
    /// Writes an aligned table with one line per method: names to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Cells> =
            std::iter::once(HEADER.map(String::from)).chain(self.methods.iter().map(cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; HEADER.len()] = std::array::from_fn(width);
        for row in &rows {
            let (name, numbers) = (&row[0], row.iter().zip(widths).skip(1));
            write!(f, "{name:<0$}", widths[0])?;
            numbers.into_iter().try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Comparison {
    /// Returns the table as Markdown, with a line break at the end.
    ///
    /// ```
    /// use stir_report::{Comparison, Run};
    /// let plain: Run = serde_json::from_str(r#"{
    ///     "settings": {"model": "tiny", "task": "sums", "method": "plain", "seed": 0},
    ///     "records": [{
    ///         "id": "p1", "prompt": "2 + 2?", "gold": "4", "text": "Four. #### 4", "token_ids": [1, 2, 3],
    ///         "judged": {"answer": "4", "grade": {"verdict": "equal", "rule": "number"}}, "tokens": 3,
    ///         "probe_tokens": 0, "other_tokens": 0, "forward_passes": 3, "finish": "eos"
    ///     }],
    ///     "seconds": 2.0
    /// }"#)?;
    /// let table = Comparison::new(&plain, &[])?.to_markdown();
    /// assert_eq!(table.lines().nth(2), Some("| plain | 100.0 (20.7 to 100.0) | 3.0 | 0.0 | 0.0 | 0.0 | 2.0 | - | - | - | - |"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_markdown(&self) -> String {
        let line = |cells: Cells| format!("| {} |\n", cells.join(" | "));
        let rule = std::array::from_fn(|column| String::from(if column == 0 { ":---" } else { "---:" }));
        // A bar in a name would open a cell of its own, a line break would end the table.
        let plain = |cell: String| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
        let rows = self.methods.iter().map(|method| cells(method).map(plain));
        [HEADER.map(String::from), rule].into_iter().chain(rows).map(line).collect()
    }
}

/// Returns one line of the table, in the order of [`HEADER`].
fn cells(method: &MethodSummary) -> Cells {
    let percent = |fraction: f64| format!("{:.1}", 100.0 * fraction);
    let against_baseline = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        method.name.clone(),
        format!("{} ({} to {})", percent(method.accuracy), percent(method.ci95.low), percent(method.ci95.high)),
        format!("{:.1}", method.tokens),
        percent(method.cut_off),
        format!("{:.1}", method.probe_tokens),
        format!("{:.1}", method.other_tokens),
        format!("{:.1}", method.seconds),
        against_baseline(method.paired.map(|paired| format!("{}/{}", paired.wins, paired.losses))),
        against_baseline(method.paired.map(|paired| p_value(paired.mcnemar_p))),
        against_baseline(method.paired.map(|paired| p_value(paired.holm_p))),
        against_baseline(method.paired.and_then(|paired| paired.problems_needed).map(|needed| needed.to_string())),
    ]
}

/// Writes four decimals, or two digits where those would read as zero.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, testing};

    fn run(name: &str, solved: usize) -> Run {
        let ids: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
        let answers: Vec<(&str, bool)> = ids.iter().enumerate().map(|(i, id)| (id.as_str(), i < solved)).collect();
        let mut run = testing::run(name, &answers);
        for (i, record) in run.records.iter_mut().enumerate() {
            (record.tokens, record.probe_tokens) = (100 + i, 2 * i);
        }
        Run { seconds: 12.34, ..run }
    }

    #[test]
    fn plain_text_is_aligned() {
        let comparison = Comparison::new(&run("plain", 5), &[run("größer", 17)]).unwrap();
        let expected = "\
method  accuracy, % (95 % CI)  tokens  cut off, %  probe tokens  other tokens  seconds  wins/losses  McNemar p  Holm p  problems needed
plain     25.0 (11.2 to 46.9)   109.5         0.0          19.0           0.0     12.3            -          -       -                -
größer    85.0 (64.0 to 94.8)   109.5         0.0          19.0           0.0     12.3         12/0     4.9e-4  4.9e-4               11
";
        assert_eq!(comparison.to_string(), expected);
    }

    #[test]
    fn markdown_escapes_bars() {
        let comparison = Comparison::new(&run("plain", 5), &[run("a|b\nc", 8)]).unwrap();
        let expected = "\
| method | accuracy, % (95 % CI) | tokens | cut off, % | probe tokens | other tokens | seconds | wins/losses | McNemar p | Holm p | problems needed |
| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| plain | 25.0 (11.2 to 46.9) | 109.5 | 0.0 | 19.0 | 0.0 | 12.3 | - | - | - | - |
| a\\|b c | 40.0 (21.9 to 61.3) | 109.5 | 0.0 | 19.0 | 0.0 | 12.3 | 3/0 | 0.2500 | 0.2500 | 50 |
";
        assert_eq!(comparison.to_markdown(), expected);
    }
}

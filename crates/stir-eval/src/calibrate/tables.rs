//! An outcome as tables, for people and for reports.

use std::fmt;

use stir_report::{Appendix, AppendixTable};

use super::{
    budget::{Cost, Limit},
    outcome::{CalibrationOutcome, Look},
    search::{BudgetPlan, Rung},
    verdict::{TestResult, TestSide, p_text},
};

impl CalibrationOutcome {
    /// Returns the tables: the rungs, the test, the looks at every set, and what was spent.
    pub fn tables(&self) -> Vec<AppendixTable> {
        let rungs = self.rungs.iter().enumerate().map(|(i, rung)| self.rung(i, rung));
        let test = self.test.iter().map(|test| self.test_table(test));
        let mut tables: Vec<AppendixTable> =
            rungs.chain(test).chain([self.looks_table(), self.spent_table()]).collect();
        for table in &mut tables {
            if let Some(label) = &self.label {
                table.caption = format!("{} ({label})", table.caption);
            }
        }
        tables
    }

    /// Returns the section of the HTML report.
    pub fn appendix(&self) -> Appendix {
        let mut paragraphs = vec![format!("Verdict: {}.", self.sentence)];
        paragraphs.extend(self.label.iter().map(|label| format!("Note: {label}.")));
        if let Some(test) = &self.test {
            paragraphs.push(format!(
                "The p-values below are adjusted for all {} comparisons that were made on test problems in this folder; \
                 those of the results above know of one.",
                test.statistics.comparisons
            ));
        }
        paragraphs.extend(self.stopped_text());
        paragraphs.extend(self.without_text());
        let tables = self.tables();
        Appendix { id: "calibration".into(), title: "Calibration".into(), paragraphs, tables, ..Appendix::default() }
    }

    fn stopped_text(&self) -> Option<String> {
        let limit = match self.stopped? {
            Limit::Tokens => "tokens",
            Limit::Hours => "hours",
        };
        let rungs = self.rungs.len();
        Some(format!("The search stopped after {rungs} rungs: more would not have fitted the budget of {limit}."))
    }

    fn without_text(&self) -> Option<String> {
        let without = self.settings.iter().filter(|setting| setting.is_without_library);
        let names: Vec<&str> = without.map(|setting| setting.name.as_str()).collect();
        let text = || format!("Left out, as the problems that are mined give no library: {}.", names.join("; "));
        (!names.is_empty()).then(text)
    }

    fn name_of(&self, setting: usize) -> String {
        self.settings.get(setting).map_or_else(|| setting.to_string(), |setting| setting.name.clone())
    }

    fn rung(&self, number: usize, rung: &Rung) -> AppendixTable {
        let Rung { problems, planned, plain, standings } = rung;
        let row = |standing: &super::trial::Standing| {
            vec![
                self.name_of(standing.setting),
                percent(standing.accuracy),
                format!("{}/{}", standing.wins, standing.losses),
                p_text(standing.p),
                percent(standing.saved),
                format!("{:+.1} ± {:.1}", 100.0 * standing.score, 100.0 * standing.error),
                format!("{:+.1}", 100.0 * standing.lower),
                format!("{:+.1}{}", 100.0 * standing.gain_at_least, if standing.is_safe { "" } else { " (too low)" }),
                if standing.kept { "yes" } else { "" }.to_owned(),
            ]
        };
        let partly = match standings.len() {
            tried if tried < *planned => format!(" ({tried} of {planned} settings were tried)"),
            _ => String::new(),
        };
        let columns = [
            "setting",
            "right, %",
            "wins/losses",
            "McNemar p",
            "tokens saved, %",
            "score, points",
            "lower 80 % bound",
            "gain at least, points",
            "kept",
        ];
        AppendixTable {
            caption: format!(
                "Rung {}: the first {problems} development problems, plain decoding {} % right{partly}",
                number + 1,
                percent(*plain)
            ),
            columns: columns.map(str::to_owned).into(),
            rows: standings.iter().map(row).collect(),
        }
    }

    fn test_table(&self, test: &TestResult) -> AppendixTable {
        let TestResult { statistics, .. } = test;
        let side = |name: String, side: &TestSide, against: [String; 4]| {
            let [low, high] = [side.ci95.low, side.ci95.high].map(percent);
            let own = vec![
                name,
                format!("{} ({low} to {high})", percent(side.accuracy)),
                format!("{:.1}", side.tokens),
                format!("{:.1}", side.all_tokens),
            ];
            own.into_iter().chain(against).collect::<Vec<_>>()
        };
        let against = [
            format!("{}/{}", statistics.wins, statistics.losses),
            format!("{} ({})", p_text(statistics.accuracy_holm_p), p_text(statistics.accuracy_p)),
            percent(statistics.saved),
            format!("{} ({})", p_text(statistics.tokens_holm_p), p_text(statistics.tokens_p)),
        ];
        let columns = [
            "setting",
            "right, % (95 % CI)",
            "tokens",
            "all tokens",
            "wins/losses",
            "Holm p (McNemar p)",
            "tokens saved, %",
            "Holm p (sign-flip p)",
        ];
        AppendixTable {
            caption: format!("Test: {} problems, answered once", statistics.problems),
            columns: columns.map(str::to_owned).into(),
            rows: vec![
                side("plain".into(), &test.plain, std::array::from_fn(|_| "-".to_owned())),
                side(self.name_of(test.setting), &test.tested, against),
            ],
        }
    }

    fn looks_table(&self) -> AppendixTable {
        let row = |look: &Look| {
            let numbers = [look.problems, look.settings, look.answers, look.looks].map(|number| number.to_string());
            let [problems, settings, answers, looks] = numbers;
            vec![look.set.name().to_owned(), problems, settings, answers, looks, look.purpose.to_owned()]
        };
        let columns = ["set", "problems", "settings", "answers", "looks", "used to"];
        AppendixTable {
            caption: "Looks at every set".into(),
            columns: columns.map(str::to_owned).into(),
            rows: self.looks.iter().map(row).collect(),
        }
    }

    fn spent_table(&self) -> AppendixTable {
        let row = |name: &str, cost: Cost| vec![name.to_owned(), cost.tokens.to_string()];
        let parts = [("mining", self.spent.mining), ("development", self.spent.development), ("test", self.spent.test)];
        let mut rows: Vec<_> = parts.into_iter().map(|(name, cost)| row(name, cost)).collect();
        rows.push(row("all", self.spent.total()));
        rows.extend(self.budget.tokens.map(|tokens| vec!["budget".to_owned(), tokens.to_string()]));
        let columns = ["part", "generated tokens"].map(str::to_owned).into();
        AppendixTable { caption: "What was spent".into(), columns, rows }
    }
}

impl fmt::Display for CalibrationOutcome {
    /// Writes the tables, aligned, and in the end the sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in self.tables() {
            aligned(&table, f)?;
        }
        for text in [self.stopped_text(), self.without_text()].into_iter().flatten() {
            writeln!(f, "{text}\n")?;
        }
        if let Some(label) = &self.label {
            writeln!(f, "{label}")?;
        }
        write!(f, "{}", self.sentence)
    }
}

impl fmt::Display for BudgetPlan {
    /// Writes the table of what a calibration may take.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["mining".into(), "-".into(), "-".into(), "-".into(), self.mining.to_string()].to_vec()];
        rows.extend(self.rungs.iter().enumerate().map(|(i, rung)| {
            let numbers = [rung.settings, rung.problems, rung.answers, rung.tokens].map(|number| number.to_string());
            std::iter::once(format!("rung {}", i + 1)).chain(numbers).collect()
        }));
        let answers = 2 * self.test_problems;
        let test = ["1".to_owned(), self.test_problems.to_string(), answers.to_string(), self.test.to_string()];
        rows.push(std::iter::once("test".to_owned()).chain(test).collect());
        for (name, tokens) in [("all", self.total), ("least budget", self.needed)] {
            rows.push([name.into(), "-".into(), "-".into(), "-".into(), tokens.to_string()].to_vec());
        }
        let columns = ["part", "settings", "problems", "new answers", "tokens at most"].map(str::to_owned).into();
        aligned(&AppendixTable { caption: "What the calibration may take".into(), columns, rows }, f)
    }
}

/// Writes a table with its first column to the left and the others to the right.
fn aligned(table: &AppendixTable, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let lines = || std::iter::once(&table.columns).chain(&table.rows);
    let length = |cell: Option<&String>| cell.map_or(0, |cell| cell.chars().count());
    let widths = (0..table.columns.len()).map(|i| lines().map(|line| length(line.get(i))).max().unwrap_or(0));
    let widths: Vec<usize> = widths.collect();
    writeln!(f, "{}", table.caption)?;
    for line in lines() {
        let mut text = String::new();
        for (i, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &if i == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    writeln!(f)
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

//! Reports of a whole experiment: what is in them, that nothing leaves its place, and that they come out the same.
//!
//! With `STIR_REPORT_DIR` set, the report stays there: `tests/browser/check.mjs` opens it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed check is a panic

mod synthetic;

use std::{collections::BTreeMap, env, fs, path::Path};

use stir_report::{Appendix, AppendixTable, ComparisonError, Dot, DotChart, Report, ReportConfig, ReportError, Run};

fn config() -> ReportConfig {
    ReportConfig { date: Some("2026-11-26".into()), cases_per_task: 12, ..ReportConfig::default() }
}

fn write(runs: &[Run], dir: &Path) {
    let pairs = synthetic::pairs();
    Report::new("Steering a planted model", runs, config())
        .unwrap()
        .with_map("stories", &pairs)
        .with_library(synthetic::library("stories"))
        .with_library(synthetic::library("puzzles"))
        .write(dir)
        .unwrap();
}

fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in [dir.to_owned(), dir.join("figures")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn an_experiment_becomes_a_report() {
    let runs = synthetic::runs();
    let kept = env::var_os("STIR_REPORT_DIR");
    let own = tempfile::tempdir().unwrap();
    let dir = kept.as_ref().map_or(own.path(), |dir| Path::new(dir));
    write(&runs, dir);
    let found = files(dir);
    for name in [
        "report.html",
        "table.csv",
        "table.json",
        "table.md",
        "figures/differences-stories.svg",
        "figures/cost-puzzles.svg",
        "figures/lengths-stories.svg",
        "figures/sensitivity-k-scale-stories.svg",
        "figures/sensitivity-layer-puzzles.svg",
        "figures/grid-k-scale-layer-stir-stories.svg",
        "figures/transfer-accuracy-stir.svg",
        "figures/transfer-tokens-stir.svg",
        "figures/map-pca-stories.svg",
        "figures/map-tsne-stories.svg",
        "figures/usage-stir-stories.svg",
    ] {
        assert!(found.contains_key(name), "{name} of {:?}", found.keys());
    }
    let page = &found["report.html"];
    for part in ["results", "cost", "lengths", "sensitivity", "transfer", "map", "library", "cases", "settings"] {
        assert!(page.contains(&format!("<section id=\"{part}\"")), "{part}");
    }
    assert!(page.contains("12 of 300 problems are shown"));
    assert!(!found.keys().any(|name| name.ends_with(".tmp")));

    // Everything the page says of itself is in it: no other file, no address.
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let table: serde_json::Value = serde_json::from_str(&found["table.json"]).unwrap();
    assert_eq!(table[0]["task"], "stories");
    assert_eq!(table[0]["methods"].as_object().unwrap().len(), 6);
    assert_eq!(table[0]["methods"]["stir"]["seeds"], serde_json::json!([0, 1, 2]));
    // A line for each of 6 methods, 13 other settings and 2 other libraries on each task, and the names.
    assert_eq!(found["table.csv"].lines().count(), 2 * 21 + 1);
    assert!(found["table.csv"].lines().all(|line| line.split(',').count() >= 31));
    for (name, text) in &found {
        if name.ends_with(".svg") {
            assert!(text.starts_with("<svg xmlns=") && text.contains("prefers-color-scheme:dark"), "{name}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{name}");
        }
    }
    // The same runs give the same bytes.
    let again = tempfile::tempdir().unwrap();
    write(&runs, again.path());
    let again = files(again.path());
    for (name, text) in &again {
        assert!(found.get(name) == Some(text), "{name} differs");
    }
}

#[test]
fn what_models_write_stays_text() {
    let mut runs = synthetic::runs();
    runs.retain(|run| run.settings.task == "puzzles");
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{0}\u{202e}{{ 7 * 7 }}]]>";
    for run in &mut runs {
        run.settings.task = format!("task {hostile}");
        run.settings.mined_from = run.settings.mined_from.as_ref().map(|from| format!("{from} {hostile}"));
        if run.settings.method == "random_vector" {
            run.settings.method = format!("method {hostile}");
        }
        for record in &mut run.records {
            record.id += hostile;
            record.prompt += hostile;
            record.gold += hostile;
            record.text = hostile.to_owned() + &record.text + hostile;
            record.judged.answer = Some(hostile.into());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    Report::new(hostile, &runs, config()).unwrap().with_map(hostile, &synthetic::pairs()).write(dir.path()).unwrap();
    for (name, text) in files(dir.path()) {
        if name.ends_with(".html") || name.ends_with(".svg") {
            assert!(!text.contains("<script>alert") && !text.contains("<img"), "{name}");
            // One script, the page's, and what is in braces was not evaluated.
            assert_eq!(text.matches("<script").count(), usize::from(name.ends_with(".html")), "{name}");
            assert!(text.contains("{{ 7 * 7 }}"), "{name}");
        }
        assert!(!name.contains(['<', ' ', '"']), "{name}");
    }
}

#[test]
fn a_page_can_be_small() {
    let mut runs = synthetic::runs();
    runs.truncate(1);
    runs[0].records.truncate(1);
    let report = Report::new("One answer", &runs, config()).unwrap();
    let page = report.html().unwrap();
    for part in ["sensitivity", "transfer", "map", "library"] {
        assert!(!page.contains(&format!("id=\"{part}\"")), "{part}");
    }
    let bare = ReportConfig { cases_per_task: 0, ..config() };
    let page = Report::new("No cases", &runs, bare).unwrap().html().unwrap();
    assert!(!page.contains("<script") && !page.contains("id=\"cases\""));
    // A task without tokens, in a run without time.
    runs[0].records[0].tokens = 0;
    runs[0].records[0].text.clear();
    runs[0].seconds = 0.0;
    assert!(!Report::new("Nothing", &runs, config()).unwrap().html().unwrap().contains("NaN"));
}

#[test]
fn runs_that_cannot_be_compared_are_refused() {
    let runs = synthetic::runs();
    let new = |runs: &[Run]| Report::new("", runs, config()).err();
    assert_eq!(new(&[]), Some(ComparisonError::NoRuns));
    let steered: Vec<Run> = runs.iter().filter(|run| run.settings.method == "stir").cloned().collect();
    let missing = new(&steered).unwrap();
    assert!(matches!(&missing, ComparisonError::NoBaseline { task, .. } if task == "stories"), "{missing}");
    let mut doubled = runs.clone();
    doubled.push(runs[0].clone());
    assert!(matches!(new(&doubled), Some(ComparisonError::DuplicateMethod { .. })));
    let mut short = runs.clone();
    short[4].records.pop();
    assert!(matches!(new(&short), Some(ComparisonError::MissingId { .. })));

    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = Report::new("", &runs[..1], config()).unwrap().write(file.path().join("below")).unwrap_err();
    assert!(matches!(refused, ReportError::Write { .. }), "{refused}");
}

#[test]
fn the_main_settings_can_be_chosen() {
    let runs = synthetic::runs();
    let main = BTreeMap::from([("k_scale".to_owned(), serde_json::json!(0.5))]);
    let dir = tempfile::tempdir().unwrap();
    Report::new("Half", &runs, ReportConfig { main, ..config() }).unwrap().write(dir.path()).unwrap();
    let table = fs::read_to_string(dir.path().join("table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table[0]["methods"]["stir"]["params"]["k_scale"], 0.5);
    // A method that was not run with it keeps its first run.
    assert_eq!(table[0]["methods"]["static_vector"]["params"]["k_scale"], 1.0);
}

#[test]
fn another_crate_adds_a_section_and_it_cannot_leave_its_place() {
    let evil = "<script>alert(1)</script>".to_owned();
    let dot =
        |label: &str, value| Dot { label: label.into(), value, interval: Some((value - 0.1, value + 0.1)), series: 9 };
    let chart = DotChart {
        name: "A chart/1".into(),
        title: evil.clone(),
        axis: evil.clone(),
        mark: Some((0.5, evil.clone())),
        dots: vec![dot(&evil, 0.25), dot("not a number", f64::NAN)],
    };
    let table = AppendixTable { caption: evil.clone(), columns: vec![evil.clone()], rows: vec![vec![evil.clone()]] };
    let appendix = Appendix {
        id: "diagnosis".into(),
        title: "Diagnosis".into(),
        paragraphs: vec![evil.clone()],
        points: vec![evil],
        tables: vec![table],
        charts: vec![chart],
    };
    let runs = synthetic::runs();
    let report = Report::new("r", &runs, config()).unwrap().with_appendix(appendix.clone());
    let dir = tempfile::tempdir().unwrap();
    report.write(dir.path()).unwrap();
    let found = files(dir.path());
    assert!(found.contains_key("figures/diagnosis-a-chart-1.svg"), "{:?}", found.keys());
    for page in [&found["report.html"], &appendix.page("Alone").unwrap()] {
        assert!(page.contains("<section id=\"diagnosis\"") && !page.contains("<script>alert"));
        assert!(page.contains("0.25 (0.15 to 0.35)") && !page.contains("not a number"));
    }
    assert!(found["report.html"].contains("<a href=\"#diagnosis\">Diagnosis</a>"));
}

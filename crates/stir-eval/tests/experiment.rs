//! Experiments on the toy engine: what is shared, what is kept, and what never meets.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use common::toy;
use serde::{Deserialize, Serialize};
use stir_basis::{Candidates, Library, Pair};
use stir_core::{Delimiter, Engine, Finish, Request, SampleRng, generate_all, toy::ToyEngine};
use stir_eval::{
    answers::AnswersError,
    experiment::{Asked, Event, Experiment, Lab, Runner, RunnerError, digest},
    method::{Judges, Question},
};
use stir_files::FileError;
use stir_grade::GRADING;
use stir_report::Run;
use tempfile::TempDir;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    seed: u64,
    #[serde(default)]
    endless: bool,
    #[serde(default)]
    device: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problems {
    prefix: String,
    count: usize,
    /// The one that the model has no room for.
    #[serde(default)]
    long: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollout {
    #[serde(default = "two")]
    samples: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Induction {
    #[serde(default)]
    layer: usize,
}

fn two() -> usize {
    2
}

/// What was made, in order.
#[derive(Default)]
struct ToyLab {
    log: RefCell<Vec<String>>,
    /// After how many answers the process dies.
    dies: Cell<Option<usize>>,
    answers: Cell<usize>,
    /// Called once, at the first answer.
    at_first: RefCell<Option<Box<dyn FnOnce()>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the lab is out of order")]
struct Broken(#[from] stir_core::toy::ToyError);

impl ToyLab {
    fn count(&self, what: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.starts_with(what)).count()
    }
}

impl Lab for ToyLab {
    type Model = Model;
    type Problems = Problems;
    type Rollout = Rollout;
    type Induction = Induction;
    type Engine = ToyEngine;
    type Error = Broken;

    fn load(&self, model: &Model) -> Result<ToyEngine, Broken> {
        self.log.borrow_mut().push("load".into());
        Ok(if model.endless { ToyEngine::without_eos(model.seed) } else { ToyEngine::new(model.seed) })
    }

    fn device(&self, model: &Model) -> String {
        model.device.clone()
    }

    fn questions(&self, _: &ToyEngine, problems: &Problems) -> Result<Asked<'_>, Broken> {
        let ask = |i| {
            let prompt = format!("{}{i}", problems.prefix) + &"a".repeat(if problems.long == Some(i) { 96 } else { 0 });
            Question { id: format!("p{i}"), user: prompt.clone(), prompt, gold: "a".into(), ..Question::default() }
        };
        Ok(((0..problems.count).map(ask).collect(), Box::new(toy::first_mark)))
    }

    fn render(&self, _: &ToyEngine, system: Option<&str>, user: &str) -> Result<String, stir_core::toy::ToyError> {
        Ok(toy::render(system, user))
    }

    fn rollouts(
        &self,
        engine: &ToyEngine,
        questions: &[Question],
        judges: &Judges<'_>,
        settings: &Rollout,
        seed: u64,
        out: &Path,
    ) -> Result<(), Broken> {
        self.log.borrow_mut().push(format!("rollouts {seed}"));
        let mut text = String::new();
        for question in questions {
            let prompt = engine.encode_prompt(&question.prompt)?;
            let request = Request { max_tokens: 9, samples: settings.samples, seed, ..Request::new(prompt) };
            for sample in generate_all(engine, &[request], 4).unwrap().remove(0) {
                let judged = judges(question).judge(&question.gold, &sample.text(engine.vocab()));
                text += &format!("{}\n", serde_json::to_string(&(&sample.tokens, judged)).unwrap());
            }
        }
        fs::write(out, text).unwrap();
        Ok(())
    }

    /// Vectors that depend on the rollouts: not learnt, but as different as learnt ones.
    fn candidates(&self, engine: &ToyEngine, rollouts: &Path, settings: &Induction, out: &Path) -> Result<(), Broken> {
        self.log.borrow_mut().push(format!("candidates {}", settings.layer));
        let hash = blake3::hash(&fs::read(rollouts).unwrap());
        let mut rng = SampleRng::new(u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()), 0);
        let mut state = || (0..10).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let pairs = (1..9).map(|m| Pair {
            problem: format!("p{m}"),
            m: 1 + m % 3,
            layer: settings.layer,
            quality: 1.0 - 0.1 * m as f64,
            mu_plus: state(),
            mu_minus: state(),
        });
        let candidates = Candidates {
            fingerprint: engine.fingerprint().clone(),
            delimiter: Delimiter::new("\n").unwrap(),
            pairs: pairs.collect(),
            provenance: BTreeMap::new(),
        };
        candidates.save(out).unwrap();
        Ok(())
    }

    fn observe(&self, event: Event<'_>) {
        match event {
            Event::Stage { kind, reused, .. } => {
                self.log.borrow_mut().push(format!("{} {kind}", if reused { "reused" } else { "made" }));
            }
            Event::Answers { done, .. } if done > 0 => {
                if let Some(act) = self.at_first.borrow_mut().take() {
                    act();
                }
                self.answers.set(self.answers.get() + 1);
                assert_ne!(self.dies.get(), Some(self.answers.get()), "killed");
            }
            Event::Answers { .. } => self.log.borrow_mut().push("answers".into()),
            Event::NoRoom { task, id, .. } => self.log.borrow_mut().push(format!("no room {task} {id}")),
        }
    }
}

const TOML: &str = r#"
name = "toy"
seeds = [0, 1]
transfer = true
width = 3

[[models]]
name = "one"
source = { seed = 1 }

[[tasks]]
name = "x"
mine = { prefix = "x", count = 3 }
answer = { prefix = "x0", count = 4 }

[[tasks]]
name = "y"
mine = { prefix = "y", count = 2 }
answer = { prefix = "y0", count = 5 }

[answers]
max_tokens = 24

[mining]
rollout = { samples = 3 }
basis = { min_per_control_point = 1 }
grid = { "induction.layer" = [0, 2], "basis.budget" = [4] }

[[methods]]
name = "plain"
method = "plain"

[[methods]]
name = "vote"
method = "self_consistency"
samples = 3

[[methods]]
name = "stir"
method = "stir"
grid = { k_scale = [0.5, 2.0] }
"#;

fn run(toml: &str, lab: &ToyLab, out: &Path) -> Vec<Run> {
    let experiment = Experiment::parse(toml).unwrap();
    Runner::new(&experiment, lab).unwrap().run(out).unwrap().runs
}

/// Runs without what no two have alike.
fn timeless(mut runs: Vec<Run>) -> Vec<Run> {
    for run in &mut runs {
        run.seconds = 0.0;
        run.records.iter_mut().for_each(|record| record.seconds = None);
    }
    runs
}

/// Every file below a folder with its content, but for what no two runs have alike.
fn files(out: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for kind in ["rollouts", "candidates", "libraries", "answers"] {
        for folder in fs::read_dir(out.join(kind)).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = path.strip_prefix(out).unwrap().display().to_string();
                let mut content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                if name.ends_with(".jsonl") && kind == "answers" {
                    let timeless = content.lines().map(|line| {
                        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
                        record.as_object_mut().unwrap().remove("seconds").unwrap();
                        record.to_string() + "\n"
                    });
                    content = timeless.collect();
                }
                found.insert(name, content);
            }
        }
    }
    found
}

#[test]
fn stages_are_shared_and_cells_are_told_apart() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    let runs = run(TOML, &lab, folder.path());
    // Two seeds, two tasks; plain, vote, and stir with two libraries' tasks, two recipes and two scales.
    assert_eq!(runs.len(), 2 * 2 * (1 + 1 + 2 * 2 * 2));
    assert_eq!((lab.count("load"), lab.count("rollouts"), lab.count("candidates")), (1, 2 * 2, 2 * 2 * 2));
    assert_eq!(lab.count("made libraries"), 2 * 2 * 2);

    let cells: BTreeSet<String> = runs.iter().map(|run| serde_json::to_string(&run.settings).unwrap()).collect();
    assert_eq!(cells.len(), runs.len());
    for run in &runs {
        let settings = &run.settings;
        assert_eq!(run.records.len(), if settings.task == "x" { 4 } else { 5 });
        assert_eq!(settings.mined_from.is_some(), settings.method == "stir");
        if settings.method == "stir" {
            let params = &settings.params;
            assert!(params["k_scale"] == 0.5 || params["k_scale"] == 2.0);
            assert!(params["budget"] == 4 && params["samples"] == 3);
            assert!(params["layer"] == 0 || params["layer"] == 2);
        }
    }
    // What nothing but the scale tells apart differs: the vectors are felt.
    let texts = |scale: f64| -> Vec<&str> {
        let stir = runs.iter().filter(|run| run.settings.params.get("k_scale").is_some_and(|k| *k == scale));
        stir.flat_map(|run| run.records.iter().map(|record| record.text.as_str())).collect()
    };
    assert_ne!(texts(0.5), texts(2.0));
    assert!(folder.path().join("index.json").exists());

    let experiment = Experiment::parse(TOML).unwrap();
    let libraries = Runner::new(&experiment, &lab).unwrap().run(folder.path()).unwrap().libraries;
    assert_eq!(libraries.len(), 2 * 2 * 2);
    for used in &libraries {
        let library = Library::load(&used.library).unwrap();
        assert_eq!(library.layers(), [used.params["layer"].as_u64().unwrap() as usize]);
        assert_eq!(Candidates::load(&used.candidates).unwrap().pairs.len(), 8);
    }
}

#[test]
fn a_prompt_that_is_too_long_is_told_once_and_stops_nothing() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    let toml = TOML.replace("prefix = \"y0\", count = 5", "prefix = \"y0\", count = 5, long = 3");
    assert_ne!(toml, TOML);
    for run in run(&toml, &lab, folder.path()).iter().filter(|run| run.settings.task == "y") {
        assert_eq!(run.records.len(), 5);
        for record in &run.records {
            assert_eq!(record.spent() == 0, record.id == "p3", "{:?}", run.settings);
        }
        assert_eq!((run.records[3].finish, run.records[3].judged.answer.as_deref()), (Finish::Length, None));
    }
    assert_eq!((lab.count("no room"), lab.count("no room y p3")), (1, 1));
}

#[test]
fn what_is_there_is_not_made_again() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    let first = run(TOML, &lab, folder.path());
    lab.log.borrow_mut().clear();
    let before = lab.answers.get();
    // Not even the wall times change.
    assert_eq!(run(TOML, &lab, folder.path()), first);
    assert_eq!((lab.count("rollouts"), lab.count("candidates"), lab.count("made")), (0, 0, 0));
    assert_eq!(lab.answers.get() - before, first.len());
}

#[test]
fn other_settings_lie_elsewhere_and_what_is_shared_is_not() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    let first = run(TOML, &lab, folder.path());
    let kept = files(folder.path());
    for (from, to, rollouts) in [
        ("k_scale = [0.5, 2.0]", "k_scale = [0.5, 1.0]", 0),
        ("max_tokens = 24", "max_tokens = 20", 0),
        ("\"basis.budget\" = [4]", "\"basis.budget\" = [6]", 0),
        ("samples = 3 }\nbasis", "samples = 4 }\nbasis", 4),
        ("seeds = [0, 1]", "seeds = [2]", 2),
        ("source = { seed = 1 }", "source = { seed = 2 }", 4),
        ("source = { seed = 1 }", "source = { seed = 1, endless = true }", 4),
        ("source = { seed = 1 }", "source = { seed = 1, device = \"cuda\" }", 4),
        ("answer = { prefix = \"x0\"", "answer = { prefix = \"x1\"", 0),
    ] {
        assert!(TOML.contains(from), "{from}");
        lab.log.borrow_mut().clear();
        let now = run(&TOML.replace(from, to), &lab, folder.path());
        assert_eq!(lab.count("rollouts"), rollouts, "{to}");
        assert!(lab.count("answers") > 0, "{to}");
        // Cells that both have are the same to the letter, times and all; the others are new.
        let same = now.iter().filter(|run| first.contains(run)).count();
        assert!(same < now.len(), "{to}");
        let alone = TempDir::new().unwrap();
        assert_eq!(timeless(now), timeless(run(&TOML.replace(from, to), &ToyLab::default(), alone.path())), "{to}");
    }
    let files = files(folder.path());
    assert!(kept.iter().all(|(name, content)| files.get(name) == Some(content)));
    assert_eq!(run(TOML, &lab, folder.path()), first);
}

#[test]
fn folders_are_of_one_version_of_grading() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    run(TOML, &lab, folder.path());
    for kind in ["rollouts", "answers"] {
        for stage in fs::read_dir(folder.path().join(kind)).unwrap() {
            let stage = stage.unwrap();
            let text = fs::read(stage.path().join("settings.json")).unwrap();
            let mut settings: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let name = |settings: &serde_json::Value| digest(settings)[..32].to_owned();
            assert_eq!(stage.file_name().to_str().unwrap(), name(&settings));
            assert_eq!(settings["grading"], GRADING);
            settings["grading"] = (GRADING + 1).into();
            assert_ne!(stage.file_name().to_str().unwrap(), name(&settings));
        }
    }
}

#[test]
fn a_run_that_dies_anywhere_goes_on_and_ends_the_same() {
    let whole = TempDir::new().unwrap();
    let expected = timeless(run(TOML, &ToyLab::default(), whole.path()));
    let folder = TempDir::new().unwrap();
    let lab = ToyLab::default();
    // Ever later: what is reused is heard of too, once a cell.
    let mut deaths = 0;
    let found = loop {
        lab.answers.set(0);
        lab.dies.set(Some(3 + 13 * deaths));
        match catch_unwind(AssertUnwindSafe(|| run(TOML, &lab, folder.path()))) {
            Ok(found) => break found,
            Err(_) => deaths += 1,
        }
    };
    assert!(deaths > 5, "{deaths}");
    assert_eq!(timeless(found), expected);
    assert_eq!(lab.count("rollouts"), 4);
    assert_eq!(files(folder.path()), files(whole.path()));
}

#[test]
fn a_folder_is_for_one_process() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let lab = ToyLab::default();
    let refused = std::rc::Rc::new(Cell::new(false));
    let seen = refused.clone();
    *lab.at_first.borrow_mut() = Some(Box::new(move || {
        let (experiment, lab) = (Experiment::parse(TOML).unwrap(), ToyLab::default());
        let second = Runner::new(&experiment, &lab).unwrap().run(&path);
        seen.set(matches!(second, Err(RunnerError::Files(FileError::InUse { .. }))));
    }));
    run(TOML, &lab, folder.path());
    assert!(refused.get());
}

#[test]
fn bad_experiments_are_named_by_place_and_field() {
    let refuse = |from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        let lab = ToyLab::default();
        let toml = TOML.replace(from, to);
        let error = match Experiment::parse(&toml) {
            Ok(experiment) => Runner::new(&experiment, &lab).err().unwrap_or_else(|| panic!("{to} is accepted")),
            Err(error) => error,
        };
        let (mut error, mut text): (&dyn std::error::Error, String) = (&error, error.to_string());
        while let Some(source) = error.source() {
            text += &format!(": {source}");
            error = source;
        }
        text
    };
    for (from, to, words) in [
        (
            "\nsamples = 3\n",
            "\nsamples = 3\nsampling = { temperature = \"hot\", top_p = 1 }\n",
            &["\"vote\": sampling.temperature"][..],
        ),
        ("name = \"toy\"", "name = ", &["line 2"][..]),
        ("name = \"toy\"", "", &["name"]),
        ("width = 3", "widht = 3", &["widht"]),
        ("width = 3", "width = 0", &["width"]),
        ("width = 3", "width = -1", &["width", "-1"]),
        ("seeds = [0, 1]", "seeds = []", &["seeds"]),
        ("seeds = [0, 1]", "seeds = [1, 1]", &["seeds", "\"1\"", "twice"]),
        ("source = { seed = 1 }", "source = { sead = 1 }", &["models \"one\"", "sead"]),
        ("source = { seed = 1 }", "", &["source"]),
        ("name = \"y\"", "name = \"x\"", &["tasks", "\"x\"", "twice"]),
        ("count = 4", "count = \"four\"", &["tasks \"x\" answer: count", "four"]),
        ("max_tokens = 24", "max_token = 24", &["max_token"]),
        ("max_tokens = 24", "max_tokens = 0", &["answers.max_tokens"]),
        ("max_tokens = 24", "stop = [\"\"]", &["answers.stop", "stop string 0 is empty"]),
        ("max_tokens = 24", "sampling = { temperature = 1, top_p = 2 }", &["answers.sampling", "top_p is 2"]),
        ("samples = 3 }\nbasis", "sample = 3 }\nbasis", &["mining.rollout", "sample"]),
        ("min_per_control_point = 1", "lambda = -1", &["mining.basis", "lambda is -1"]),
        ("min_per_control_point = 1", "lambda = nan", &["mining.basis", "lambda", "not finite"]),
        ("min_per_control_point = 1", "min_per = 1", &["mining.basis", "min_per"]),
        ("\"basis.budget\" = [4]", "\"basis.budget\" = []", &["basis.budget", "no values"]),
        ("\"basis.budget\" = [4]", "\"bases.budget\" = [4]", &["bases"]),
        ("\"basis.budget\" = [4]", "\"basis.budget\" = [4, 0]", &["budget is 0"]),
        ("method = \"plain\"", "method = \"plane\"", &["methods \"plain\"", "plane"]),
        ("method = \"plain\"", "samples = 1", &["methods \"plain\"", "method"]),
        ("\nsamples = 3\n", "\nsample = 3\n", &["methods \"vote\"", "sample"]),
        ("\nsamples = 3\n", "\nsamples = 0\n", &["methods \"vote\"", "samples is 0"]),
        ("k_scale = [0.5, 2.0]", "kscale = [0.5, 2.0]", &["methods \"stir\"", "kscale"]),
        ("k_scale = [0.5, 2.0]", "k_scale = [0.5, 0.5]", &["methods \"stir\"", "k_scale", "twice"]),
        ("k_scale = [0.5, 2.0]", "k_scale = [0.5, -2.0]", &["methods \"stir\"", "k_scale is -2"]),
        ("k_scale = [0.5, 2.0]", "k_scale = [inf]", &["methods \"stir\"", "k_scale", "not finite"]),
        ("k_scale = [0.5, 2.0]", "\"k_scale.x\" = [1]", &["methods \"stir\"", "k_scale"]),
    ] {
        let error = refuse(from, to);
        assert!(words.iter().all(|word| error.contains(word)), "{to}: {error}");
    }
    let alone = TOML.replace("transfer = true", "transfer = false").replace("mine = { prefix = \"y\", count = 2 }", "");
    let (experiment, lab) = (Experiment::parse(&alone).unwrap(), ToyLab::default());
    let error = Runner::new(&experiment, &lab).err().unwrap().to_string();
    assert!(error.contains("\"stir\"") && error.contains("\"y\""), "{error}");
}

#[test]
fn damage_is_named_and_nothing_is_lost_in_silence() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyLab::default());
    run(TOML, &lab, folder.path());
    let answers = fs::read_dir(folder.path().join("answers")).unwrap().next().unwrap().unwrap().path();
    let file = answers.join("answers.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"id\"", "\"di\"", 1)).unwrap();
    let experiment = Experiment::parse(TOML).unwrap();
    let error = Runner::new(&experiment, &lab).unwrap().run(folder.path()).unwrap_err();
    assert!(
        matches!(&error, RunnerError::Answers(AnswersError::File(FileError::Line { line: 1, path, .. })) if *path == file),
        "{error}"
    );
}

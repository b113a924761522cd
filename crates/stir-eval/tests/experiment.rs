//! Experiments on the toy engine: what is shared, what is kept, and what never meets.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use crate::common::toy;
use serde::{Deserialize, Serialize};
use stir_basis::{Library, MinedPairs};
use stir_core::{Finish, toy::ToyEngine};
use stir_eval::{
    answers::AnswersError,
    experiment::{Backend, Event, Experiment, Runner, RunnerError, digest, merge},
    method::Question,
    questions::{ProblemSource, Questions},
};
use stir_files::{FileError, MergeError, Shard};
use stir_grade::{GRADING, Grade, Judge, Verdict};
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

/// The outputs made, in order.
#[derive(Default)]
struct ToyBackend {
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

impl ToyBackend {
    fn count(&self, what: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.starts_with(what)).count()
    }
}

impl Backend for ToyBackend {
    type Source = Model;
    type Engine = ToyEngine;
    type Error = Broken;

    fn check(&self, model: &Model) -> Result<(), Broken> {
        if model.device == "absent" { Err(stir_core::toy::ToyError::Unknown('?').into()) } else { Ok(()) }
    }

    fn load(&self, model: &Model) -> Result<ToyEngine, Broken> {
        self.log.borrow_mut().push("load".into());
        let engine = if model.endless { ToyEngine::without_eos(model.seed) } else { ToyEngine::new(model.seed) };
        Ok(engine.on_device(model.device.clone()))
    }

    /// A file is taken as what its name says: what prompts begin with, how many there are, and the one that the model
    /// has no room for.
    fn questions(&self, _: &ToyEngine, source: &ProblemSource) -> Result<Questions, Broken> {
        let ProblemSource::File(path) = source else { panic!("the toy backend has no tasks") };
        let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        let number = |place: usize| parts.get(place).map(|part| part.parse::<usize>().unwrap());
        let ask = |i| {
            let prompt = format!("{}{i}", parts[0]) + &"a".repeat(if number(2) == Some(i) { 96 } else { 0 });
            Question { id: format!("p{i}"), user: prompt.clone(), prompt, gold: "0".into(), ..Question::default() }
        };
        Ok(Questions::new((0..number(1).unwrap()).map(ask).collect(), Box::new(|_| Arc::new(Parity))))
    }

    fn render(&self, _: &ToyEngine, system: Option<&str>, user: &str) -> Result<String, stir_core::toy::ToyError> {
        Ok(toy::render(system, user))
    }
}

/// The answer of a text is whether its length is odd: about half of all noise is right.
struct Parity;

impl Judge for Parity {
    fn extract(&self, text: &str) -> Option<String> {
        (!text.is_empty()).then(|| (text.len() % 2).to_string())
    }

    fn grade(&self, gold: &str, answer: &str) -> Grade {
        let verdict = if gold == answer { Verdict::Equal } else { Verdict::Different };
        Grade { verdict, rule: "parity".into(), why: None }
    }
}

impl ToyBackend {
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
            Event::Failed { id, samples, .. } => self.log.borrow_mut().push(format!("failed {id} {samples}")),
            _ => {}
        }
    }

    fn runner<'x>(&'x self, experiment: &'x Experiment) -> Runner<'x, Self> {
        Runner::new(experiment, self).unwrap().observer(|event| self.observe(event))
    }
}

const TOML: &str = r#"
name = "toy"
seeds = [0, 1]
transfer = true
max_batch = 3

[[models]]
name = "one"
source = { seed = 1 }

[[tasks]]
name = "x"
mine.file = "x/8"
answer.file = "x0/4"

[[tasks]]
name = "y"
mine.file = "y/8"
answer.file = "y0/5"

[answers]
max_tokens = 24

[mining]
rollout = { sampling = { temperature = 3, top_p = 1 }, max_tokens = 40, samples = 3 }
basis = { min_per_control_point = 1 }
induction = { delimiter = "\n" }
grid = { "induction.layers" = [["0"], ["2"]], "basis.budget" = [4] }

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

fn run(toml: &str, backend: &ToyBackend, out: &Path) -> Vec<Run> {
    let experiment = Experiment::parse(toml).unwrap();
    backend.runner(&experiment).run(out).unwrap().runs
}

/// Runs without what no two have alike.
fn timeless(mut runs: Vec<Run>) -> Vec<Run> {
    for run in &mut runs {
        run.seconds = 0.0;
        run.records.iter_mut().for_each(|record| record.seconds = None);
    }
    runs
}

/// Every file below a folder with its content, except for what differs between any two runs.
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
fn a_model_that_is_not_there_is_found_before_anything_runs() {
    let (folder, lab) = (TempDir::new().unwrap(), ToyBackend::default());
    let absent = "[[models]]\nname = \"two\"\nsource = { seed = 2, device = \"absent\" }\n";
    let toml = TOML.replacen("[[tasks]]", &format!("{absent}\n[[tasks]]"), 1);
    let experiment = Experiment::parse(&toml).unwrap();
    let error = lab.runner(&experiment).run(&folder.path().join("out")).unwrap_err();
    assert!(matches!(&error, RunnerError::Backend { at, .. } if at == "models \"two\""), "{error}");
    assert!(lab.log.borrow().is_empty() && !folder.path().join("out").exists());
}

#[test]
fn stages_are_shared_and_cells_are_told_apart() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let runs = run(TOML, &backend, folder.path());
    // Two seeds, two tasks; plain, vote, and stir with two libraries' tasks, two recipes and two scales.
    assert_eq!(runs.len(), 2 * 2 * (1 + 1 + 2 * 2 * 2));
    assert_eq!(
        (backend.count("load"), backend.count("made rollouts"), backend.count("made candidates")),
        (1, 2 * 2, 2 * 2 * 2)
    );
    assert_eq!(backend.count("made libraries"), 2 * 2 * 2);

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
    let libraries = backend.runner(&experiment).run(folder.path()).unwrap().libraries;
    assert_eq!(libraries.len(), 2 * 2 * 2);
    for used in &libraries {
        let library = Library::load(&used.library).unwrap();
        assert_eq!(library.layers(), [used.params["layer"].as_u64().unwrap() as usize]);
        let pairs = MinedPairs::load(&used.candidates).unwrap().pairs;
        assert!(!pairs.is_empty() && pairs.iter().all(|pair| [pair.layer] == library.layers()[..]));
    }
}

#[test]
fn a_prompt_that_is_too_long_is_told_once_and_stops_nothing() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let toml = TOML.replace("y0/5", "y0/5/3");
    assert_ne!(toml, TOML);
    for run in run(&toml, &backend, folder.path()).iter().filter(|run| run.settings.task == "y") {
        assert_eq!(run.records.len(), 5);
        for record in &run.records {
            assert_eq!(record.spent() == 0, record.id == "p3", "{:?}", run.settings);
        }
        assert_eq!((run.records[3].finish, run.records[3].judged.answer.as_deref()), (Finish::Length, None));
    }
    assert_eq!((backend.count("no room"), backend.count("no room y p3")), (1, 1));
}

#[test]
fn forks_read_outs_and_validation_are_stages() {
    let toml = r#"
        name = "sound"
        models = [{ name = "one", source = { seed = 1 } }]
        tasks = [{ name = "x", mine = { file = "x/8" }, validate = { file = "v/4" }, answer = { file = "x0/4" } }]
        answers = { max_tokens = 24 }
        methods = [
            { name = "plain", method = "plain" },
            { name = "stir", method = "stir", at_prompt = true, strength = { relative = 0.3 }, probe = "value" },
        ]
        [mining]
        rollout = { sampling = { temperature = 3, top_p = 1 }, max_tokens = 40, samples = 4 }
        forks = { continuations = 4, per_problem = 24 }
        induction = { delimiter = "\n", contrast = "forked", center = true, deconfound = true, shrink = true, layers = ["1"] }
        heads = true
    "#;
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let experiment = Experiment::parse(toml).unwrap();
    let outcome = backend.runner(&experiment).run(folder.path()).unwrap();
    assert_eq!(
        (backend.count("made rollouts"), backend.count("made forks"), backend.count("made validated")),
        (1, 1, 0)
    );
    let library = Library::load(&outcome.libraries[0].library).unwrap();
    assert!(library.entries().iter().any(|entry| entry.m == 0) && !library.means().is_empty());
    assert_eq!(library.heads().iter().map(|head| head.layer).collect::<Vec<_>>(), [1]);
    assert!(library_provenance(&library).contains("forks"));

    // Read-outs do not depend on what is contrasted, and are fitted once.
    let other = Experiment::parse(&toml.replace("\"forked\"", "\"reward\"")).unwrap();
    let before = backend.count("made heads");
    let second = backend.runner(&other).run(folder.path()).unwrap();
    assert_eq!((before, backend.count("made heads"), backend.count("made candidates")), (1, 1, 2));
    assert_eq!(Library::load(&second.libraries[0].library).unwrap().heads(), library.heads());

    // Validation follows what is there: entries that make no difference leave, which may be all.
    let toml = toml.replace("heads = true", "heads = true\nvalidation = { starts_per_entry = 2, controller = { at_prompt = true, min_similarity = -1 }, samples = 2 }");
    let experiment = Experiment::parse(&toml).unwrap();
    for made in [1, 0] {
        let backend = ToyBackend::default();
        match backend.runner(&experiment).run(folder.path()) {
            Ok(outcome) => assert!(Library::load(&outcome.libraries[0].library).unwrap().validated()),
            Err(error) => assert!(matches!(&error, RunnerError::NoUplift { report, .. } if report.exists()), "{error}"),
        }
        assert_eq!((backend.count("made forks"), backend.count("made validated")), (0, made));
        assert_eq!(backend.count("made rollouts"), made);
    }
    // What is generated for it is written next to it.
    let place = fs::read_dir(folder.path().join("validated")).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_to_string(place.join("cost.json")).unwrap().parse::<usize>().unwrap() > 0);
    assert!(place.join("validation.json").exists() && place.join("trials.jsonl").exists());

    let error = Experiment::parse(&toml.replace("validate = { file = \"v/4\" }, ", "")).unwrap_err().to_string();
    assert_eq!(error, "mining.validation needs problems, but tasks \"x\" has no `validate`");
    let error = Experiment::parse(&toml.replace("heads = true", "heads = false")).unwrap_err().to_string();
    assert_eq!(error, "methods \"stir\" has probe = \"value\", which needs mining.heads = true");
    let error = Experiment::parse(&toml.replace("samples = 2 }", "samples = 0 }")).unwrap_err();
    assert!(format!("{error}: {}", std::error::Error::source(&error).unwrap()).contains("samples is 0"), "{error}");
}

fn library_provenance(library: &Library) -> String {
    library.provenance().keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_there_is_not_made_again() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let first = run(TOML, &backend, folder.path());
    backend.log.borrow_mut().clear();
    let before = backend.answers.get();
    // Not even the wall times change.
    assert_eq!(run(TOML, &backend, folder.path()), first);
    assert_eq!((backend.count("made rollouts"), backend.count("made candidates"), backend.count("made")), (0, 0, 0));
    assert_eq!(backend.answers.get() - before, first.len());
}

#[test]
fn other_settings_lie_elsewhere_and_what_is_shared_is_not() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let first = run(TOML, &backend, folder.path());
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
        ("\"x0/4\"", "\"x1/4\"", 0),
    ] {
        assert!(TOML.contains(from), "{from}");
        backend.log.borrow_mut().clear();
        let now = run(&TOML.replace(from, to), &backend, folder.path());
        assert_eq!(backend.count("made rollouts"), rollouts, "{to}");
        assert!(backend.count("answers") > 0, "{to}");
        // Cells that both have are the same to the letter, times and all; the others are new.
        let same = now.iter().filter(|run| first.contains(run)).count();
        assert!(same < now.len(), "{to}");
        let alone = TempDir::new().unwrap();
        assert_eq!(timeless(now), timeless(run(&TOML.replace(from, to), &ToyBackend::default(), alone.path())), "{to}");
    }
    let files = files(folder.path());
    assert!(kept.iter().all(|(name, content)| files.get(name) == Some(content)));
    assert_eq!(run(TOML, &backend, folder.path()), first);
}

#[test]
fn folders_are_of_one_version_of_grading() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    run(TOML, &backend, folder.path());
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
    let expected = timeless(run(TOML, &ToyBackend::default(), whole.path()));
    let folder = TempDir::new().unwrap();
    let backend = ToyBackend::default();
    // Ever later: what is reused is heard of too, once a cell.
    let mut deaths = 0;
    let found = loop {
        backend.answers.set(0);
        backend.dies.set(Some(3 + 13 * deaths));
        match catch_unwind(AssertUnwindSafe(|| run(TOML, &backend, folder.path()))) {
            Ok(found) => break found,
            Err(_) => deaths += 1,
        }
    };
    assert!(deaths > 5, "{deaths}");
    assert_eq!(timeless(found), expected);
    assert_eq!(backend.count("made rollouts"), 4);
    assert_eq!(files(folder.path()), files(whole.path()));
}

#[test]
fn a_folder_is_for_one_process() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let backend = ToyBackend::default();
    let refused = std::rc::Rc::new(Cell::new(false));
    let seen = refused.clone();
    *backend.at_first.borrow_mut() = Some(Box::new(move || {
        let (experiment, backend) = (Experiment::parse(TOML).unwrap(), ToyBackend::default());
        let second = backend.runner(&experiment).run(&path);
        seen.set(matches!(second, Err(RunnerError::File(FileError::InUse { .. }))));
    }));
    run(TOML, &backend, folder.path());
    assert!(refused.get());
}

#[test]
fn bad_experiments_are_named_by_place_and_field() {
    let refuse = |from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        let backend = ToyBackend::default();
        let toml = TOML.replace(from, to);
        let error = match Experiment::parse(&toml) {
            Ok(experiment) => Runner::new(&experiment, &backend).err().unwrap_or_else(|| panic!("{to} is accepted")),
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
        ("max_batch = 3", "max_bacth = 3", &["max_bacth"]),
        ("max_batch = 3", "width = 0", &["max_batch"]),
        ("max_batch = 3", "max_batch = -1", &["max_batch", "-1"]),
        ("seeds = [0, 1]", "seeds = []", &["seeds"]),
        ("seeds = [0, 1]", "seeds = [1, 1]", &["seeds", "\"1\"", "twice"]),
        ("source = { seed = 1 }", "source = { sead = 1 }", &["models \"one\"", "sead"]),
        ("source = { seed = 1 }", "", &["source"]),
        ("name = \"y\"", "name = \"x\"", &["tasks", "\"x\"", "twice"]),
        (
            "answer.file = \"x0/4\"",
            "answer.stories = { count = \"four\", half = \"mine\" }",
            &["tasks \"x\" answer: stories.count", "four"],
        ),
        (
            "answer.file = \"x0/4\"",
            "answer.stories = { count = 4, half = \"mine\", steps = [5] }",
            &["tasks \"x\" answer", "steps is 5"],
        ),
        (
            "answer.file = \"x0/4\"",
            "answer.task = { task = \"gsm8k\", limit = 0 }",
            &["tasks \"x\" answer", "limit is 0"],
        ),
        ("samples = 3 }\nbasis", "samples = 0 }\nbasis", &["mining.rollout", "samples is 0"]),
        ("delimiter = \"\\n\"", "positives = \"gold\"", &["mining.induction: positives", "Gold"]),
        ("delimiter = \"\\n\"", "k_pos = 0", &["mining.induction", "k_pos is 0"]),
        ("method = \"plain\"", "method = \"static_vector\"", &["constant_vector", "variant = \"static_vector\""]),
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
    let alone = TOML.replace("transfer = true", "transfer = false").replace("mine.file = \"y/8\"", "");
    let (experiment, backend) = (Experiment::parse(&alone).unwrap(), ToyBackend::default());
    let error = Runner::new(&experiment, &backend).err().unwrap().to_string();
    assert!(error.contains("\"stir\"") && error.contains("\"y\""), "{error}");
}

#[test]
fn damage_is_named_and_nothing_is_lost_in_silence() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    run(TOML, &backend, folder.path());
    let answers = fs::read_dir(folder.path().join("answers")).unwrap().next().unwrap().unwrap().path();
    let file = answers.join("answers.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"id\"", "\"di\"", 1)).unwrap();
    let experiment = Experiment::parse(TOML).unwrap();
    let error = backend.runner(&experiment).run(folder.path()).unwrap_err();
    let is_named = |error: &AnswersError| matches!(error, AnswersError::File(FileError::Line { line: 1, path, .. }) if *path == file);
    assert!(matches!(&error, RunnerError::AnswersFile(error) if is_named(error)), "{error}");
}

/// Runs the parts of an experiment, each in a folder of its own; returns what they made.
fn run_parts(toml: &str, count: usize, out: &Path) -> Vec<ToyBackend> {
    let experiment = Experiment::parse(toml).unwrap();
    let part = |shard: Shard| {
        let backend = ToyBackend::default();
        backend.runner(&experiment).shard(shard).run(&out.join(shard.index().to_string())).unwrap();
        backend
    };
    Shard::all(count).map(part).collect()
}

#[test]
fn parts_put_together_are_the_whole_experiment() {
    let (folder, whole) = (TempDir::new().unwrap(), ToyBackend::default());
    let path = |name: &str| folder.path().join(name);
    let expected = run(TOML, &whole, &path("whole"));
    // Four libraries' units of eight cells or more, and a unit for each of eight cells without a library.
    for count in [1, 2, 3, 5, 12, 15] {
        let out = path(&count.to_string());
        let parts = run_parts(TOML, count, &out);
        let made = |what: &str| parts.iter().map(|part| part.count(what)).sum::<usize>();
        for what in ["made rollouts", "made candidates", "made libraries", "answers"] {
            assert_eq!(made(what), whole.count(what), "{what} of {count} parts");
        }
        // A part without cells loads no model.
        assert_eq!(made("load"), count.min(12));
        let folders: Vec<_> = (0..count).rev().map(|part| out.join(part.to_string())).collect();
        let merged = out.join("merged");
        for _ in 0..2 {
            merge(&merged, &folders).unwrap();
            assert_eq!(files(&merged), files(&path("whole")), "{count} parts");
            let index = |out: &Path| fs::read_to_string(out.join("index.json")).unwrap();
            assert_eq!(index(&merged), index(&path("whole")));
        }
        // There is nothing left to be made.
        let again = ToyBackend::default();
        let runs = run(TOML, &again, &merged);
        assert_eq!((again.count("made"), again.answers.get()), (0, expected.len()));
        assert_eq!(timeless(runs), timeless(expected.clone()));
    }
}

#[test]
fn parts_that_are_not_of_one_experiment_are_refused() {
    let folder = TempDir::new().unwrap();
    run_parts(TOML, 2, folder.path());
    let path = |name: &str| folder.path().join(name);
    let merge = |names: &[&str]| {
        let result = merge(&path("merged"), &names.iter().map(|name| path(name)).collect::<Vec<_>>());
        assert!(result.is_ok() || !path("merged").exists());
        result
    };
    assert!(matches!(merge(&[]), Err(MergeError::Nothing)));
    assert!(matches!(merge(&["1"]), Err(MergeError::Gap { count: 2, missing }) if missing == [0]));
    assert!(matches!(merge(&["0", "1", "0"]), Err(MergeError::Twice { .. })));
    assert!(matches!(merge(&["0", "none"]), Err(MergeError::Unfinished { path: folder }) if folder == path("none")));
    run(TOML, &ToyBackend::default(), &path("whole"));
    assert!(matches!(merge(&["whole", "1"]), Err(MergeError::NotAShard { .. })));
    let other = TempDir::new().unwrap();
    run_parts(&TOML.replace("max_tokens = 24", "max_tokens = 25"), 2, other.path());
    fs::rename(other.path().join("1"), path("other")).unwrap();
    let error = merge(&["0", "other"]).unwrap_err();
    assert!(matches!(&error, MergeError::Settings { field, .. } if field == "answers.max_tokens"), "{error}");
    // Killed after its first answer.
    let (experiment, dies) = (Experiment::parse(TOML).unwrap(), ToyBackend::default());
    dies.dies.set(Some(1));
    let run =
        AssertUnwindSafe(|| dies.runner(&experiment).shard(Shard::new(1, 2).unwrap()).run(&path("killed")).is_ok());
    assert!(catch_unwind(run).is_err());
    assert!(matches!(merge(&["0", "killed"]), Err(MergeError::Unfinished { .. })));
    assert!(merge(&["0", "1"]).is_ok());
}

//! Calibrations on the toy engine: what is found, what is refused, what is counted, and what survives a kill.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use crate::common::toy;
use serde::{Deserialize, Serialize};
use stir_basis::Library;
use stir_core::toy::{ToyEngine, ToyError};
use stir_eval::{
    calibrate::{
        CalibrateError, Calibration, CalibrationError, CalibrationOutcome, Calibrator, Limit, Preset, Set, Verdict,
    },
    experiment::{Backend, Event},
    method::{MethodConfig, Question},
    questions::{ProblemSource, QuestionError, Questions},
};
use stir_grade::{Grade, Judge, Verdict as Equality};
use tempfile::TempDir;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    seed: u64,
}

#[derive(Default)]
struct ToyBackend {
    log: RefCell<Vec<String>>,
    /// After how many answers the process dies.
    dies: Cell<Option<usize>>,
    answers: Cell<usize>,
}

/// What makes an answer right.
#[derive(Clone, Copy)]
enum Right {
    /// An odd length: about half of all noise.
    Odd,
    /// To be what plain decoding says.
    Same,
    /// To be anything else.
    Other,
}

impl Judge for Right {
    fn extract(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn grade(&self, gold: &str, answer: &str) -> Grade {
        let right = match self {
            Self::Odd => answer.len() % 2 == 1,
            Self::Same => answer == gold,
            Self::Other => answer != gold,
        };
        let verdict = if right { Equality::Equal } else { Equality::Different };
        Grade { verdict, rule: "toy".into(), why: None }
    }
}

/// A file is taken as what its name says: what prompts begin with, how many there are, and what is right.
fn asked(source: &ProblemSource) -> (Vec<Question>, Right) {
    let ProblemSource::File(path) = source else { panic!("the toy backend has no tasks") };
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let ask = |i| {
        let prompt = format!("{}{i}", parts[0]);
        Question { id: prompt.clone(), user: prompt.clone(), prompt, ..Question::default() }
    };
    let right = match parts[2] {
        "odd" => Right::Odd,
        "same" => Right::Same,
        _ => Right::Other,
    };
    ((0..parts[1].parse().unwrap()).map(ask).collect(), right)
}

#[derive(Debug, thiserror::Error)]
#[error("the lab is out of order")]
struct Broken(#[from] ToyError);

impl Backend for ToyBackend {
    type Source = Model;
    type Engine = ToyEngine;
    type Error = Broken;

    fn load(&self, model: &Model) -> Result<ToyEngine, Broken> {
        self.log.borrow_mut().push("load".into());
        Ok(ToyEngine::new(model.seed))
    }

    fn problems(&self, source: &ProblemSource) -> Result<Questions, QuestionError<Infallible>> {
        let (questions, right) = asked(source);
        Ok(Questions::new(questions, Box::new(move |_| Arc::new(right))))
    }

    fn questions(&self, engine: &ToyEngine, source: &ProblemSource) -> Result<Questions, Broken> {
        let (mut questions, right) = asked(source);
        let plain = toy::replies(engine, None, &MethodConfig::Plain {}, &questions, toy::request(40, 0), 4);
        for (question, reply) in questions.iter_mut().zip(plain) {
            question.gold = reply.text;
        }
        Ok(Questions::new(questions, Box::new(move |_| Arc::new(right))))
    }

    fn render(&self, _: &ToyEngine, system: Option<&str>, user: &str) -> Result<String, ToyError> {
        Ok(toy::render(system, user))
    }
}

impl ToyBackend {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::Stage { kind, reused, .. } => {
                self.log.borrow_mut().push(format!("{} {kind}", if reused { "reused" } else { "made" }));
            }
            Event::Answers { settings, done, .. } if done > 0 => {
                self.log.borrow_mut().push(format!("{} {}", settings.task, settings.method));
                self.answers.set(self.answers.get() + 1);
                assert_ne!(self.dies.get(), Some(self.answers.get()), "killed");
            }
            _ => {}
        }
    }

    fn count(&self, what: &str) -> usize {
        self.log.borrow().iter().filter(|line| line.starts_with(what)).count()
    }
}

/// Two libraries, an impulse that does nothing, and a constant vector that does nothing or much.
const TOML: &str = r#"
name = "toy"
max_batch = 3
model = { name = "one", source = { seed = 1 } }
budget = { tokens = 1_000_000 }
halving = { first = 6, token_weight = 0.0 }

[problems]
mine.file = "m/8/odd"
development.file = "d/24/other"
test.file = "t/20/other"

[answers]
max_tokens = 40

[mining]
rollout = { sampling = { temperature = 3, top_p = 1 }, max_tokens = 40, samples = 3 }
basis = { min_per_control_point = 1 }
induction = { delimiter = "\n" }
grid = { "induction.layers" = [["0"], ["2"]] }

[[methods]]
name = "stir"
method = "stir"
tau_null = -100.0
k_scale = 1e-9

[[methods]]
name = "constant"
method = "constant_vector"
at = "token"
grid = { scale = [0.0, 30.0] }
"#;

fn calibrate(toml: &str, backend: &ToyBackend, out: &Path) -> CalibrationOutcome {
    let calibration = Calibration::parse(toml).unwrap();
    let calibrator = Calibrator::new(&calibration, backend).unwrap().observer(|event| backend.observe(event));
    calibrator.run(out).unwrap()
}

fn read(out: &Path, name: &str) -> String {
    fs::read_to_string(out.join(name)).unwrap()
}

#[test]
fn a_setting_that_helps_is_found_and_can_be_used() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let outcome = calibrate(TOML, &backend, folder.path());
    assert_eq!(outcome.verdict, Verdict::UseIt, "{outcome}");
    assert!(outcome.sentence.starts_with("use it (+"), "{outcome}");
    let test = outcome.test.as_ref().unwrap();
    assert!(test.beats_plain_on_development && test.plain.right == 0, "{outcome}");
    assert_eq!(outcome.settings[test.setting].values["scale"], 30.0);
    assert_eq!(outcome.rungs.iter().map(|rung| rung.problems).collect::<Vec<_>>(), [6, 12, 24]);
    assert_eq!(outcome.rungs.iter().map(|rung| rung.standings.len()).collect::<Vec<_>>(), [6, 3, 2]);
    // What does nothing has the accuracy of plain decoding.
    let idle = outcome.rungs[0].standings.iter().filter(|standing| standing.accuracy == 0.0).count();
    assert_eq!(idle, 4, "{outcome}");

    // Test problems were answered once, by plain decoding and by one setting; development ones only where they were new.
    assert_eq!((backend.count("test plain"), backend.count("test constant")), (20, 20));
    let look = |set| outcome.looks.iter().find(|look| look.set == set).unwrap();
    let test = look(Set::Test);
    assert_eq!((test.problems, test.settings, test.answers, test.looks), (20, 1, 40, 1));
    let development = look(Set::Development);
    assert_eq!((development.settings, development.looks), (6, 3));
    assert_eq!(development.answers, 24 + 6 * 6 + 3 * 6 + 2 * 12);
    assert_eq!(look(Set::Mine).answers, 24);
    assert_eq!(backend.count("made rollouts"), 1);

    let preset = Preset::load(folder.path().join("preset.toml")).unwrap();
    let library = preset.library.unwrap();
    assert!(!Library::load(&library).unwrap().entries().is_empty());
    let MethodConfig::ConstantVector(config) = &preset.method else { panic!("{:?}", preset.method) };
    assert_eq!(config.scale, 30.0);
    assert_eq!(preset.tested.unwrap().method, preset.method);
    assert_eq!(preset.answers.max_tokens, 40);
    assert!(read(folder.path(), "preset.toml").starts_with("# use it"));
    let html = read(folder.path(), "report.html");
    for words in ["use it (", "Looks at every set", "Rung 1", "answered once", "scale 30.0"] {
        assert!(html.contains(words), "{words}");
    }
    let spent = outcome.spent;
    assert!(spent.mining.tokens > 0 && spent.development.tokens > 0 && spent.test.tokens > 0);
    assert_eq!(spent.total().tokens, spent.mining.tokens + spent.development.tokens + spent.test.tokens);
}

#[test]
fn a_setting_that_harms_is_not_used() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let toml = TOML.replace("/other", "/same").replace("[0.0, 30.0]", "[30.0]");
    let toml = toml
        .replace("\"stir\"\ntau_null = -100.0\nk_scale = 1e-9", "\"constant_vector\"\nscale = 20.0\nat = \"token\"");
    let outcome = calibrate(&toml, &backend, folder.path());
    assert_eq!(outcome.verdict, Verdict::Harms, "{outcome}");
    assert!(outcome.sentence.starts_with("harms: do not use (-"), "{outcome}");
    assert_eq!((backend.count("test plain"), backend.count("test constant") + backend.count("test stir")), (20, 20));
    let preset = Preset::load(folder.path().join("preset.toml")).unwrap();
    assert_eq!((preset.method, preset.library), (MethodConfig::Plain {}, None));
    assert!(preset.tested.is_some_and(|tested| tested.method.name() == "constant_vector"));
}

#[test]
fn a_setting_that_does_nothing_is_said_to() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let toml = TOML.replace("[0.0, 30.0]", "[0.0]");
    let outcome = calibrate(&toml, &backend, folder.path());
    assert_eq!(outcome.verdict, Verdict::NoEffect, "{outcome}");
    assert!(outcome.sentence.starts_with("no effect found (an effect of "), "{outcome}");
    assert!(outcome.sentence.contains("points would have been seen with 80 % power"));
    assert_eq!(Preset::load(folder.path().join("preset.toml")).unwrap().method, MethodConfig::Plain {});
}

#[test]
fn sets_that_overlap_are_refused_or_labelled() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let toml = TOML.replace("mine.file = \"m/8/odd\"", "mine.file = \"t/8/odd\"");
    let calibration = Calibration::parse(&toml).unwrap();
    let error = Calibrator::new(&calibration, &backend).unwrap().run(folder.path()).unwrap_err();
    assert!(matches!(&error, CalibrateError::Calibration(CalibrationError::Overlap { .. })), "{error}");
    let words = "sets have 8 problems in common: \"t0\" of mine is \"t0\" of test, \"t1\" of mine is \"t1\" of test";
    assert!(error.to_string().starts_with(words), "{error}");
    assert_eq!(backend.count("load"), 0);

    let outcome = calibrate(&format!("as_published = true\n{toml}"), &backend, folder.path());
    let label = "mined on problems that it is evaluated on";
    assert_eq!(outcome.label.as_deref(), Some(label));
    assert!(outcome.tables().iter().all(|table| table.caption.contains(label)));
    for file in ["report.json", "report.html", "preset.toml"] {
        assert!(read(folder.path(), file).contains(label), "{file}");
    }
    // Where there is no overlap, nothing is said.
    let apart = TempDir::new().unwrap();
    assert_eq!(calibrate(&format!("as_published = true\n{TOML}"), &backend, apart.path()).label, None);
}

#[test]
fn a_budget_is_checked_before_and_kept_after() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let calibration = Calibration::parse(TOML).unwrap();
    let plan = Calibrator::new(&calibration, &backend).unwrap().plan().unwrap();
    // Rollouts; answers of 40 tokens, or with 9 points of 5 probes of 4 tokens.
    assert_eq!((plan.mining, plan.test), (8 * 3 * 40, 20 * (40 + 220)));
    assert_eq!((plan.rungs[0].settings, plan.rungs[0].tokens), (6, 6 * (40 + 2 * 220 + 4 * 40)));
    assert_eq!(plan.needed, plan.mining + plan.test + plan.rungs[0].tokens);
    assert!(plan.to_string().contains(&plan.total.to_string()) && backend.count("load") == 0);

    let with = |budget: String| TOML.replace("budget = { tokens = 1_000_000 }", &budget);
    let short = Calibration::parse(&with(format!("budget = {{ tokens = {} }}", plan.needed - 1))).unwrap();
    let error = Calibrator::new(&short, &backend).unwrap().run(folder.path()).unwrap_err().to_string();
    assert!(error.contains("budget.tokens") && error.contains(&plan.needed.to_string()), "{error}");

    let outcome = calibrate(&with(format!("budget = {{ tokens = {} }}", plan.needed)), &backend, folder.path());
    assert!(outcome.spent.total().tokens <= plan.needed && outcome.test.is_some(), "{outcome}");

    let none = Calibration::parse(&TOML.replace("d/24/other", "d/0/other")).unwrap();
    let error = Calibrator::new(&none, &backend).unwrap().plan().unwrap_err().to_string();
    assert!(error.contains("development is empty"), "{error}");

    // Hours that are over before the first setting has answered.
    let brief = TempDir::new().unwrap();
    let outcome = calibrate(&with("budget = { hours = 1e-12 }".into()), &backend, brief.path());
    assert_eq!((outcome.stopped, outcome.verdict, outcome.test), (Some(Limit::Hours), Verdict::Untried, None));
    assert!(read(brief.path(), "report.html").contains("not tried"));
}

#[test]
fn a_calibration_that_dies_anywhere_goes_on_and_ends_the_same() {
    let whole = TempDir::new().unwrap();
    calibrate(TOML, &ToyBackend::default(), whole.path());
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let mut deaths = 0;
    loop {
        backend.answers.set(0);
        backend.dies.set(Some(2 + 7 * deaths));
        match catch_unwind(AssertUnwindSafe(|| calibrate(TOML, &backend, folder.path()))) {
            Ok(_) => break,
            Err(_) => deaths += 1,
        }
    }
    assert!(deaths > 5, "{deaths}");
    for file in ["report.json", "preset.toml", "tests.json"] {
        assert_eq!(read(folder.path(), file), read(whole.path(), file), "{file}");
    }
    // What is there is not made again.
    assert_eq!(backend.count("made rollouts"), 1);
    backend.dies.set(None);
    backend.log.borrow_mut().clear();
    calibrate(TOML, &backend, folder.path());
    assert_eq!(backend.count("made"), 0);
    assert_eq!(read(folder.path(), "report.json"), read(whole.path(), "report.json"));
}

#[test]
fn every_look_at_the_test_set_is_counted() {
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let first = calibrate(TOML, &backend, folder.path());
    let again = calibrate(&TOML.replace("[0.0, 30.0]", "[0.0, 25.0]"), &backend, folder.path());
    let statistics = |outcome: &CalibrationOutcome| outcome.test.clone().unwrap().statistics;
    assert_eq!((statistics(&first).comparisons, statistics(&again).comparisons), (2, 4));
    let looks = |outcome: &CalibrationOutcome| outcome.looks.iter().find(|look| look.set == Set::Test).unwrap().looks;
    assert_eq!((looks(&first), looks(&again)), (1, 2));
    assert!(statistics(&again).accuracy_holm_p >= 2.0 * statistics(&again).accuracy_p);
    // The same setting on the same problems is no further look, but what came after it is.
    assert_eq!(statistics(&calibrate(TOML, &backend, folder.path())).comparisons, 4);
    // Plain answers are those of the first.
    assert_eq!(backend.count("test plain"), 20 + 2);
}

#[test]
fn libraries_go_through_a_validation_step_where_there_is_one() {
    let toml = TOML.replace("test.file", "validation.file = \"v/5/other\"\ntest.file");
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let unused = calibrate(&toml, &backend, folder.path());
    let look =
        |outcome: &CalibrationOutcome| outcome.looks.iter().find(|look| look.set == Set::Validation).unwrap().clone();
    assert_eq!((look(&unused).looks, look(&unused).purpose), (0, "nothing: there is no validation step"));

    let toml = toml.replace("[mining]", "[mining]\nvalidation = { rollouts = 2, starts_per_entry = 2, samples = 2 }");
    let outcome = calibrate(&toml, &backend, folder.path());
    assert_eq!(backend.count("made validated"), 2);
    assert!(outcome.spent.mining.tokens > unused.spent.mining.tokens);
    assert_eq!((look(&outcome).looks, look(&outcome).purpose), (1, "validate entries"));
    // Entries that make no difference leave, and with them the settings that would have used them.
    let without = outcome.settings.iter().filter(|setting| setting.is_without_library).count();
    assert_eq!(without + outcome.rungs.first().map_or(0, |rung| rung.standings.len()), outcome.settings.len());
}

#[test]
fn settings_without_a_library_are_left_out() {
    // Nothing ends with the second of these, so that there is nothing to contrast.
    let toml =
        TOML.replace("\"induction.layers\" = [[\"0\"], [\"2\"]]", "\"induction.delimiter\" = [\"\\n\", \"qqqq\"]");
    assert_ne!(toml, TOML);
    let (folder, backend) = (TempDir::new().unwrap(), ToyBackend::default());
    let outcome = calibrate(&toml, &backend, folder.path());
    assert_eq!(outcome.rungs[0].standings.len(), 3);
    assert_eq!(outcome.settings.iter().filter(|setting| setting.is_without_library).count(), 3);
    assert!(outcome.to_string().contains("give no library: stir, induction.delimiter qqqq"), "{outcome}");
    assert_eq!(calibrate(&toml, &backend, folder.path()), outcome);

    let folder = TempDir::new().unwrap();
    let outcome = calibrate(&toml.replace("\"\\n\", ", ""), &backend, folder.path());
    assert_eq!((outcome.verdict, outcome.rungs.len(), outcome.test), (Verdict::Untried, 0, None));
    assert!(outcome.sentence.contains("no setting finds a library") && outcome.spent.mining.tokens > 20);
    assert_eq!(Preset::load(folder.path().join("preset.toml")).unwrap().method, MethodConfig::Plain {});
}

#[test]
fn bad_calibrations_are_named_by_field() {
    let refuse = |from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        let (backend, toml) = (ToyBackend::default(), TOML.replace(from, to));
        let error = match Calibration::parse(&toml) {
            Ok(calibration) => {
                Calibrator::new(&calibration, &backend).err().unwrap_or_else(|| panic!("{to} is accepted"))
            }
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
        ("name = \"toy\"", "nane = \"toy\"", &["nane"][..]),
        ("budget = { tokens = 1_000_000 }", "budget = {}", &["budget"]),
        ("tokens = 1_000_000", "tokens = 0", &["budget.tokens is 0"]),
        ("tokens = 1_000_000", "hours = -1", &["budget.hours is -1"]),
        ("tokens = 1_000_000", "hours = inf", &["budget.hours is inf"]),
        ("first = 6", "first = 0", &["halving.first is 0"]),
        ("first = 6", "eta = 1", &["halving.eta is 1"]),
        ("token_weight = 0.0", "token_weight = -1", &["halving.token_weight is -1"]),
        ("mine.file = \"m/8/odd\"", "", &["mine"]),
        ("test.file = \"t/20/other\"", "test.fill = 3", &["problems.test", "fill"]),
        ("source = { seed = 1 }", "source = { sead = 1 }", &["models \"one\" source", "sead"]),
        ("method = \"stir\"\ntau_null = -100.0\nk_scale = 1e-9", "method = \"deer\"", &["\"stir\"", "does not steer"]),
        ("name = \"stir\"", "name = \"plain\"", &["methods", "\"plain\"", "twice"]),
        ("k_scale = 1e-9", "kscale = 1", &["methods \"stir\"", "kscale"]),
        ("samples = 3", "samples = 0", &["mining.rollout", "samples is 0"]),
    ] {
        let error = refuse(from, to);
        assert!(words.iter().all(|word| error.contains(word)), "{to}: {error}");
    }
}

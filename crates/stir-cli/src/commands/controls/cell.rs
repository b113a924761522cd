//! One control: its problems are mined and answered in every way.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, Result, WrapErr, ensure, miette};
use stir::{
    basis::{BasisConfig, Library},
    controller::{ControllerConfig, Variant},
    core::{Request, Sampling},
    eval::{
        answers,
        control_problems::{ControlProblem, Family},
        method::{AnswerRun, MethodConfig, MethodContext, Question},
        questions::{Questions, final_number},
        word_problems::Split,
    },
    induction::{Contrast, InductionConfig},
    model::Lm,
    report::Record,
    rollout::RolloutConfig,
};

use super::{claim::Way, sound::sound};
use crate::{
    commands::pipeline::{build_library, sample},
    model::render,
    progress::Progress,
};

/// The longest solution has 4 steps and says each result again.
pub(super) const MAX_TOKENS: usize = 240;

/// The settings that all controls share.
pub(super) struct Setting<'a> {
    pub lm: &'a Lm,
    /// The folder of this control.
    pub out: PathBuf,
    pub mined: usize,
    pub validated: usize,
    pub compared: usize,
    pub samples: usize,
    pub seed: u64,
    /// What the sounder settings contrast.
    pub contrast: Contrast,
    /// The strengths that they try, as shares of the stream's length.
    pub strengths: Vec<f64>,
}

/// How a control's problems were answered.
pub(super) struct Answered {
    pub way: Way,
    /// Whether the answer is right, problem by problem.
    pub right: Vec<bool>,
    /// The mean number of tokens of an answer.
    pub tokens: f64,
}

impl Answered {
    /// The share of right answers in percent.
    pub(super) fn percent(&self) -> f64 {
        100.0 * self.right.iter().filter(|right| **right).count() as f64 / self.right.len() as f64
    }
}

/// Mines problems of a family, and answers others in every way.
pub(super) fn answer(setting: &Setting<'_>, family: Family) -> Result<Vec<Answered>> {
    let &Setting { lm, ref out, seed, .. } = setting;
    fs::create_dir_all(out).into_diagnostic().wrap_err_with(|| out.display().to_string())?;
    let [mined, validated, compared] = problems(setting, family)?;
    let mined_from = rollouts(setting, "rollouts.jsonl", &mined)?;
    let induction = InductionConfig { max_tokens: MAX_TOKENS, ..InductionConfig::default() };
    let published = library(&mined_from, None, &out.join("published"), induction, lm)?;
    let sound = sound(setting, (&mined, &mined_from), &validated)?;

    let stir = |variant| MethodConfig::Stir(ControllerConfig { variant, seed, ..ControllerConfig::default() });
    let answers = |way| match (way, &sound) {
        (Way::Plain, _) | (Way::Sound, None) => (MethodConfig::Plain {}, None),
        (Way::Published, _) => (stir(Variant::Stir), Some(&published)),
        (Way::Static, _) => (stir(Variant::StaticVector), Some(&published)),
        (Way::Sound, Some((library, controller))) => (MethodConfig::Stir(controller.clone()), Some(library)),
    };
    Way::ALL.into_iter().map(|way| answer_by(setting, &compared, way, answers(way))).collect()
}

/// Draws problems to mine, to validate entries with, and to compare on: no problem is drawn twice.
fn problems(setting: &Setting<'_>, family: Family) -> Result<[Questions; 3]> {
    let &Setting { lm, mined, validated, compared, seed, .. } = setting;
    let wanted = mined + validated + compared;
    let drawn = ControlProblem::draw_many(wanted, seed, Split::HeldOut, family, &[]);
    ensure!(drawn.len() == wanted, "there are {} problems of {family:?}, not {wanted}", drawn.len());
    let (first, rest) = drawn.split_at(mined);
    let (second, third) = rest.split_at(validated);
    Ok([questions(lm, first)?, questions(lm, second)?, questions(lm, third)?])
}

/// A library, and the digest of its file.
pub(super) type Mined = (Arc<Library>, String);

/// Samples problems to the file `name`, and returns its path.
pub(super) fn rollouts(setting: &Setting<'_>, name: &str, asked: &Questions) -> Result<PathBuf> {
    let (path, samples, seed) = (setting.out.join(name), setting.samples, setting.seed);
    let config = RolloutConfig { samples, max_tokens: MAX_TOKENS, seed, ..RolloutConfig::default() };
    sample(&path, config, setting.lm, asked)?;
    Ok(path)
}

/// Mines rollouts and, where there are any, their forks.
pub(super) fn library(
    rollouts: &Path,
    forks: Option<&Path>,
    out: &Path,
    induction: InductionConfig,
    lm: &Lm,
) -> Result<Mined> {
    let (candidates, path) = (out.with_extension("candidates.stir"), out.with_extension("stir"));
    let library = build_library(rollouts, forks, &candidates, induction, &BasisConfig::default(), lm)?;
    saved(library, &path)
}

/// Saves a library.
pub(super) fn saved(library: Library, path: &Path) -> Result<Mined> {
    library.save(path).into_diagnostic()?;
    let bytes = fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    Ok((Arc::new(library), blake3::hash(&bytes).to_hex().to_string()))
}

fn questions(lm: &Lm, problems: &[ControlProblem]) -> Result<Questions> {
    let ask = |problem: &ControlProblem| -> Result<Question> {
        let (user, gold) = (problem.question.clone(), problem.answer.to_string());
        // The question itself is the id: the random numbers of a problem do not depend on its place.
        let prompt = render(lm, None, &user).into_diagnostic()?;
        Ok(Question { id: user.clone(), prompt, user, gold, ..Question::default() })
    };
    Ok(Questions::new(problems.iter().map(ask).collect::<Result<_>>()?, final_number()))
}

fn answer_by(
    setting: &Setting<'_>,
    asked: &Questions,
    way: Way,
    (method, mined): (MethodConfig, Option<&Mined>),
) -> Result<Answered> {
    let &Setting { lm, ref out, seed, .. } = setting;
    let (questions, request) = (
        &asked.questions[..],
        Request { max_tokens: MAX_TOKENS, sampling: Sampling::GREEDY, seed, ..Request::default() },
    );
    let run = AnswerRun { engine: lm, questions, request, max_batch: 32 };
    let render = |system: Option<&str>, user: &str| render(lm, system, user);
    let context = MethodContext {
        engine: lm,
        judges: &*asked.judges,
        library: mined.map(|(library, _)| library),
        render: &render,
    };
    let built = method.build(context).into_diagnostic()?;
    let settings = run.settings(&method, mined.map(|(_, digest)| &**digest)).into_diagnostic()?;
    let ids: Vec<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    let path = out.join(format!("answers.{}.jsonl", way.name()));
    let answers = answers::open(&path, &settings, &ids, |record: &Record| record.id.clone()).into_diagnostic()?;
    let shown = Progress::new(questions.len() as u64, way.name());
    let records = run.run(&*built, &*asked.judges, answers, |done| {
        shown.set_done(done as u64);
        ControlFlow::Continue(())
    });
    drop(shown);
    let records = records.into_diagnostic()?.ok_or_else(|| miette!("{}: not all answers are there", path.display()))?;
    let tokens = records.iter().map(|record| record.tokens as f64).sum::<f64>() / records.len() as f64;
    Ok(Answered { way, right: records.iter().map(|record| record.judged.correct()).collect(), tokens })
}

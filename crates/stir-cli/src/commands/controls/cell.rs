//! One control: its problems are mined and answered in every way.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
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
    induction::InductionConfig,
    model::Lm,
    report::Record,
    rollout::RolloutConfig,
};

use super::claim::Way;
use crate::{
    commands::pipeline::{build_library, sample},
    model::render,
    progress::Progress,
};

/// The longest solution has 5 steps and says each result again.
const MAX_TOKENS: usize = 120;

/// The settings that all controls share.
pub(super) struct Setting<'a> {
    pub lm: &'a Lm,
    /// The folder of this control.
    pub out: PathBuf,
    pub mined: usize,
    pub compared: usize,
    pub samples: usize,
    pub seed: u64,
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
    let &Setting { lm, ref out, mined, compared, samples, seed } = setting;
    fs::create_dir_all(out).into_diagnostic().wrap_err_with(|| out.display().to_string())?;
    let mined = ControlProblem::draw_many(mined, seed, Split::HeldOut, family, &[]);
    let tested = ControlProblem::draw_many(compared, seed.wrapping_add(1), Split::HeldOut, family, &mined);
    let (mined, tested) = (questions(lm, &mined)?, questions(lm, &tested)?);

    let rollout = RolloutConfig { samples, max_tokens: MAX_TOKENS, seed, ..RolloutConfig::default() };
    let rollouts = out.join("rollouts.jsonl");
    sample(&rollouts, rollout, lm, &mined)?;
    let induction = InductionConfig { max_tokens: MAX_TOKENS, ..InductionConfig::default() };
    let published = library(&rollouts, &out.join("published"), induction, lm)?;

    let stir = |variant| MethodConfig::Stir(ControllerConfig { variant, seed, ..ControllerConfig::default() });
    let answers = |way| match way {
        Way::Plain => (MethodConfig::Plain {}, None),
        Way::Published => (stir(Variant::Stir), Some(&published)),
        Way::Static => (stir(Variant::StaticVector), Some(&published)),
    };
    Way::ALL.into_iter().map(|way| answer_by(setting, &tested, way, answers(way))).collect()
}

/// A library, and the digest of its file.
type Mined = (Arc<Library>, String);

fn library(rollouts: &Path, out: &Path, induction: InductionConfig, lm: &Lm) -> Result<Mined> {
    let (candidates, path) = (out.with_extension("candidates.stir"), out.with_extension("stir"));
    let library = build_library(rollouts, &candidates, induction, &BasisConfig::default(), lm)?;
    library.save(&path).into_diagnostic()?;
    let bytes = fs::read(&path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
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

//! The sounder settings: contrasts of forks, entries that are validated on other problems, strengths relative to the
//! stream.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use miette::{IntoDiagnostic, Result};
use stir::{
    basis::Library,
    controller::{ControllerConfig, Strength},
    eval::questions::Questions,
    induction::{Contrast, InductionConfig},
    rollout::{ForkConfig, Forks, Rollout, RolloutError, read_groups},
    validation::{Conclusion, Judge, ReplayConfig, Validation, ValidationConfig, ValidationReport},
};

use super::cell::{MAX_TOKENS, Mined, Setting, library, rollouts, saved};
use crate::{
    commands::{rollout::failed, validate},
    files::write_atomically,
    output::tell,
    progress::Progress,
};

/// Mines the rollouts in the file `mined_from` of the problems `mined`, and validates the entries on the problems
/// `validated`. `None` where no entry is seen to help, so that there is nothing to steer with.
pub(super) fn sound(
    setting: &Setting<'_>,
    (mined, mined_from): (&Questions, &Path),
    validated: &Questions,
) -> Result<Option<(Mined, ControllerConfig)>> {
    let &Setting { lm, ref out, seed, contrast, .. } = setting;
    let forks = out.join("forks.jsonl");
    if contrast == Contrast::Forked {
        fork(setting, mined, mined_from, &forks)?;
    }
    let induction = InductionConfig { contrast, max_tokens: MAX_TOKENS, ..InductionConfig::sound() };
    let forks = (contrast == Contrast::Forked).then_some(&*forks);
    let (entries, _) = library(mined_from, forks, &out.join("sound"), induction, lm)?;

    let base = ControllerConfig { at_prompt: true, seed, ..ControllerConfig::default() };
    let continued = rollouts(setting, "validation.jsonl", validated)?;
    let (report, conclusion) = validate(setting, entries, &base, validated, &continued)?;
    let json = serde_json::to_string_pretty(&report).into_diagnostic()? + "\n";
    write_atomically(&out.join("validation.json"), json.as_bytes())?;
    let Conclusion::Validated(kept) = conclusion else {
        tell!("validation: no entry of {} was seen to help", report.entries.len());
        return Ok(None);
    };
    let share = report.strength.unwrap_or_default();
    tell!("validation: {} entries were seen to help at a relative strength of {share}", report.helping());
    let kept = saved(*kept, &out.join("validated.stir"))?;
    Ok(Some((kept, ControllerConfig { strength: Strength::Relative(share), ..base })))
}

fn groups(rollouts: &Path) -> Result<Vec<Vec<Rollout>>> {
    read_groups(rollouts).into_diagnostic()?.collect::<Result<_, _>>().into_diagnostic()
}

fn fork(setting: &Setting<'_>, mined: &Questions, mined_from: &Path, forks: &Path) -> Result<()> {
    let config = ForkConfig { max_tokens: MAX_TOKENS, seed: setting.seed, ..ForkConfig::default() };
    let shown = Progress::new(0, "fork");
    let run = Forks::new(setting.lm, config).into_diagnostic()?.judge_name(mined.judge_name());
    let run = run.on_progress(|progress| {
        shown.set_total(progress.total as u64);
        shown.set_done(progress.problems as u64);
        ControlFlow::Continue(())
    });
    let summary = run.run(&groups(mined_from)?, &|prompt, text| mined.is_right(prompt, text), forks).map_err(failed)?;
    drop(shown);
    tell!("forks: {} continuations of {} boundaries", summary.continuations, summary.nodes);
    Ok(())
}

fn validate(
    setting: &Setting<'_>,
    entries: Arc<Library>,
    controller: &ControllerConfig,
    validated: &Questions,
    continued: &Path,
) -> Result<(ValidationReport, Conclusion)> {
    let replay = ReplayConfig { max_tokens: MAX_TOKENS, seed: setting.seed, ..ReplayConfig::default() };
    let config = ValidationConfig { strengths: setting.strengths.clone(), replay, ..ValidationConfig::default() };
    let (name, is_right) = (validated.judge_name(), |prompt: &_, text: &str| validated.is_right(prompt, text));
    let (judge, records) = (Judge { name: &name, is_right: &is_right }, setting.out.join("trials.jsonl"));
    let shown = Progress::new(0, "validate");
    let mut observer = |progress| shown.show_replay(progress);
    let groups = groups(continued)?.into_iter().map(Ok::<_, RolloutError>);
    let validation = Validation::new(setting.lm, entries, controller.clone(), config, judge, records);
    validation.and_then(|run| run.run(groups, &mut observer)).map_err(validate::failed)
}

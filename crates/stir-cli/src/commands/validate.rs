//! `stir validate`: the entries of a library that help on problems other than their own, as measured.
//!
//! ```text
//! stir validate --library library.stir --rollouts rollouts.jsonl --task problems.jsonl --out validated.stir
//! ```
//!
//! Continuations are appended to `<out>.trials.jsonl` as they are finished; a stopped run resumes. The report goes to
//! `<out>.validation.json`.

use std::{path::PathBuf, sync::Arc};

use miette::{IntoDiagnostic, Report, Result, WrapErr, bail};
use stir::{
    basis::Library,
    controller::Variant,
    core::Sampling,
    files::{Settings, with_suffix},
    model::ModelError,
    validation::{Conclusion, Judge, ReplayConfig, Validation, ValidationConfig, ValidationError, ValidationReport},
};

use crate::{
    files::{begun, check_output, check_writable, rollout_settings, sampled_with, write_atomically},
    model::ModelArgs,
    output::show,
    progress::Progress,
    settings::{ControllerArgs, SamplingArgs},
    tasks::{TaskArgs, check_known, read_groups},
};

/// Measure what each entry of a library does on other problems, and keep those that help
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Library, as `stir basis` writes it
    #[arg(long, value_name = "FILE")]
    library: PathBuf,
    /// File of rollouts to continue, JSONL, best of problems that nothing was mined on; settings next to it
    /// (FILE.settings.json) say how they were sampled, and continuations follow them where no flag says otherwise
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    /// Rollouts of each problem whose boundaries may be tried, from the first on: the states of all of them are read, which
    /// costs their tokens
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    rollouts_per_problem: u64,
    #[command(flatten)]
    task: TaskArgs,
    /// Library to write; it is not written if no entry helps
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Lengths of the impulse to try, as shares of that of the stream, separated by commas; in place of --strength
    #[arg(long, value_name = "X,..", value_delimiter = ',', default_values_t = ValidationConfig::default().strengths)]
    strengths: Vec<f64>,
    /// Most boundaries at which an entry is tried
    #[arg(long, value_name = "N", default_value_t = ValidationConfig::default().starts_per_entry)]
    starts_per_entry: usize,
    /// Boundaries of an entry between two looks at the results
    #[arg(long, value_name = "N", default_value_t = ValidationConfig::default().starts_per_look)]
    starts_per_look: usize,
    /// Continuations of a boundary, with the impulse and without
    #[arg(long, value_name = "N", default_value_t = ValidationConfig::default().samples)]
    samples: usize,
    /// Probability with which the lower bound of an uplift lies below the truth
    #[arg(long, value_name = "P", default_value_t = ValidationConfig::default().level)]
    level: f64,
    /// Most new tokens of a continuation [default: those of a rollout, or 512]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Most continuations made at the same time; the results do not depend on it
    #[arg(long, value_name = "N", default_value_t = ReplayConfig::default().max_batch)]
    max_batch: usize,
    #[command(flatten)]
    steering: ControllerArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

impl Args {
    fn config(&self, rollouts: Option<&str>) -> ValidationConfig {
        let sampled = rollouts.and_then(sampled_with);
        let (base, stop, most) = match sampled {
            Some(config) => (config.sampling, config.stop, config.max_tokens),
            None => (Sampling::default(), Vec::new(), ReplayConfig::default().max_tokens),
        };
        let replay = ReplayConfig {
            max_tokens: self.max_tokens.unwrap_or(most),
            sampling: self.sampling.over(base),
            stop: if self.sampling.stop.is_empty() { stop } else { self.sampling.stop.clone() },
            seed: self.model.seed,
            max_batch: self.max_batch,
            ..ReplayConfig::default()
        };
        ValidationConfig {
            strengths: self.strengths.clone(),
            starts_per_entry: self.starts_per_entry,
            samples: self.samples,
            starts_per_look: self.starts_per_look,
            level: self.level,
            replay,
        }
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let settings = rollout_settings(&args.rollouts)?;
    let config = args.config(settings.as_deref());
    config.validate::<ModelError>().into_diagnostic()?;
    let controller = args.steering.config(Variant::Stir, args.model.seed);
    controller.validate().into_diagnostic()?;
    let library = Arc::new(Library::load(&args.library).into_diagnostic()?);
    let groups = read_groups(&args.rollouts)?;
    let (records, report_file) = (with_suffix(&args.out, ".trials.jsonl"), with_suffix(&args.out, ".validation.json"));
    check_output(&args.out, [&args.library, &args.rollouts, &Settings::path(&args.rollouts)])?;
    [&records, &report_file].into_iter().try_for_each(|file| check_writable(file))?;
    let model = args.model.open()?;
    check_output(&args.out, [&model.files.path])?;
    let fits = model.check_sizes(library.fingerprint());
    fits.into_diagnostic().wrap_err_with(|| args.library.display().to_string())?;
    model.check_rollouts(settings.as_deref())?;
    let questions = args.task.open(&|system, user| model.render(system, user))?;
    check_known(&questions, &groups, &args.rollouts)?;
    let lm = model.load()?;
    let few = usize::try_from(args.rollouts_per_problem).unwrap_or(usize::MAX);
    let groups = groups.into_iter().map(|group| Ok(group.into_iter().take(few).collect()));

    let (name, is_right) = (questions.judge_name(), |prompt: &_, text: &str| questions.is_right(prompt, text));
    let judge = Judge { name: &name, is_right: &is_right };
    let shown = Progress::new(0, "validate");
    let mut observer = |progress| shown.show_replay(progress);
    let validation = Validation::new(&lm, library, controller, config, judge, records);
    let found = validation.and_then(|run| run.run(groups, &mut observer));
    drop(shown);
    let (report, conclusion) = found.map_err(failed)?;
    let json = serde_json::to_string_pretty(&report).into_diagnostic()? + "\n";
    write_atomically(&report_file, json.as_bytes())?;
    show!("{report}")?;
    conclude(&args, &report, conclusion)
}

fn conclude(args: &Args, report: &ValidationReport, conclusion: Conclusion) -> Result<()> {
    let (out, harmful) = (args.out.display(), report.harmful().count());
    let stale = if args.out.exists() { "; the file that is there is of an earlier run" } else { "" };
    match conclusion {
        Conclusion::Validated(library) => {
            library.save(&args.out).into_diagnostic()?;
            let strength = report.strength.unwrap_or_default();
            show!("{out}: {} entries; steer with --strength relative:{strength}", library.entries().len())
        }
        Conclusion::NoUplift if report.entries.is_empty() => bail!(
            help = "rollouts of more problems, or other settings of the controller, may reach them",
            "no entry would be probed at any boundary of another problem than its own: {out} is not written{stale}"
        ),
        Conclusion::NoUplift => bail!(
            help = "stronger impulses (--strengths) may do more; more boundaries (--starts-per-entry) show smaller uplifts",
            "no entry has a measured uplift ({harmful} findings of harm): {out} is not written{stale}"
        ),
    }
}

/// Returns the error of a run, with advice where its records cannot be resumed.
pub(super) fn failed(error: ValidationError<ModelError>) -> Report {
    match error {
        ValidationError::File(error) => begun(error),
        error => Report::from_err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    fn parse(flags: &[&str]) -> Args {
        let needed = ["validate", "--library", "l", "--rollouts", "r", "--task", "t", "--out", "o"];
        let matches = Args::augment_args(Command::new("validate")).get_matches_from([&needed, flags].concat());
        Args::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_library_and_rollouts_are_followed() {
        assert_eq!(parse(&[]).config(None), ValidationConfig::default());
        let settings =
            r#"{"config": {"max_tokens": 99, "sampling": {"temperature": 0.25, "top_p": 0.75}, "stop": ["x"]}}"#;
        let followed = parse(&["--top-p", "0.5"]).config(Some(settings)).replay;
        assert_eq!((followed.max_tokens, followed.stop), (99, vec!["x".to_owned()]));
        assert_eq!((followed.sampling.temperature, followed.sampling.top_p), (0.25, 0.5));
        let own = parse(&["--max-tokens", "7", "--stop", "y", "--strengths", "0.1,0.2"]).config(Some(settings));
        assert_eq!((own.replay.max_tokens, own.replay.stop, own.strengths), (7, vec!["y".to_owned()], vec![0.1, 0.2]));
    }
}

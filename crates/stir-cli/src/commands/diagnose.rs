//! `stir diagnose`: whether a model can be steered by its rollouts, and why not.
//!
//! ```text
//! stir diagnose --rollouts rollouts.jsonl --layers 0.6 --out diagnosis
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr, bail, ensure};
use stir::{
    basis::MinedPairs,
    controller::ControllerConfig,
    core::{Engine, SettingError},
    diagnosis::{
        Diagnosis, DiagnosisConfig, LayerMeasures, Origin, PairMeasures, Replay, RolloutMeasures, RolloutTally, States,
    },
    eval::{AnswerForm, questions::Questions},
    induction::{InductionConfig, capture},
    model::{Lm, ModelError},
    rollout::{Rollout, RolloutError},
    validation::{Intervention, Judge, PairReplay, PairReplayConfig, ReplayConfig, Starts},
};

use super::{induce::print_skipped, validate::failed};
use crate::{
    files::{check_writable, rollout_settings, sampled_with, write_atomically},
    model::{ModelArgs, OpenModel},
    output::{show, tell},
    progress::Progress,
    settings::BoundaryArgs,
    tasks::{self, TaskArgs, check_known, read_groups},
};

/// Measure what rollouts and states say about steering: noise, signal, retrieval, length; with a verdict
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of rollouts, JSONL; settings next to it (FILE.settings.json) tell whether they are of this model
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    /// Folder for diagnosis.json, diagnosis.html and, for each layer N, states-layerN.safetensors
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// File of mined pairs, as `stir induce` writes it: their qualities and the strength of their impulses are
    /// measured too
    #[arg(long, alias = "candidates", value_name = "FILE")]
    pairs: Option<PathBuf>,
    #[command(flatten)]
    replay: ReplayArgs,
    #[command(flatten)]
    boundaries: BoundaryArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is replayed.
#[derive(clap::Args)]
#[command(next_help_heading = "Replay")]
struct ReplayArgs {
    /// Most boundaries of wrong rollouts, and of right ones, that answers are continued from with the vectors of --pairs
    /// and without; 0 for none. Continuations are kept in replay-layerN.jsonl, from which a stopped run resumes
    #[arg(long, value_name = "N", default_value_t = 0)]
    replay: usize,
    /// Lengths of the impulse, as shares of that of the stream, separated by commas
    #[arg(long, value_name = "X,..", value_delimiter = ',', default_values_t = PairReplayConfig::default().strengths)]
    replay_strengths: Vec<f64>,
    /// Most new tokens of a continuation [default: those of a rollout, or 512]
    #[arg(long, value_name = "N")]
    replay_tokens: Option<usize>,
    /// The task that the rollouts are of, as for `stir rollout`: it judges the continuations
    #[arg(long, value_name = "FILE|NAME", requires = "pairs")]
    task: Option<PathBuf>,
    /// File or folder with the problems of a built-in task
    #[arg(long, value_name = "PATH", requires = "task")]
    data: Option<PathBuf>,
    /// The form of the answers in a file: math, number, choice or yes_no
    #[arg(long, value_name = "FORM", value_parser = tasks::form, requires = "task")]
    answers: Option<AnswerForm>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.boundaries.config();
    config.validate().into_diagnostic()?;
    let groups = read_groups(&args.rollouts)?;
    let rollouts = measure(&groups, &args.rollouts, &config)?;
    let settings = rollout_settings(&args.rollouts)?;
    let mined = args.pairs.as_deref().map(Mined::read).transpose()?;
    fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    let (json, page) = (args.out.join("diagnosis.json"), args.out.join("diagnosis.html"));
    [&json, &page].into_iter().try_for_each(|file| check_writable(file))?;
    let model = args.model.open()?;
    model.check_layers(&config.layers)?;
    model.check_rollouts(settings.as_deref())?;
    mined.as_ref().map_or(Ok(()), |mined| mined.check(&model, &config))?;
    let replayer = Replayer::open(&args, &model, &groups, settings.as_deref())?;
    let lm = model.load()?;
    mined.as_ref().map_or(Ok(()), |mined| mined.check_weights(&lm))?;

    let shown = Progress::new(rollouts.problems as u64, "diagnose");
    let read = groups.iter().cloned().map(Ok).inspect(|_| shown.advance());
    let captured = capture(&lm, read, settings.as_deref(), &config);
    drop(shown);
    let captured = captured.into_diagnostic()?;
    print_skipped(&captured.skipped)?;
    ensure!(
        !captured.boundaries.is_empty(),
        "of the problems that have right and wrong rollouts, none has one with a segment that ends and that can be used"
    );

    let controller = ControllerConfig::default();
    let gain = controller.beta * controller.k_scale;
    let diagnosed = DiagnosisConfig { seed: args.model.seed, ..DiagnosisConfig::default() };
    let starts = replayer.as_ref().map(|replayer| replayer.starts(&lm, &groups, &config)).transpose()?;
    let mut layers = Vec::new();
    for (layer, values) in captured.layers {
        let states = States::new(lm.shape().hidden_size, captured.boundaries.clone(), values).into_diagnostic()?;
        states.save(args.out.join(format!("states-layer{layer}.safetensors"))).into_diagnostic()?;
        let mut measures = LayerMeasures::new(layer, &states, &diagnosed).into_diagnostic()?;
        if let Some(Mined { pairs, .. }) = &mined {
            measures.pairs = PairMeasures::new(&states, layer, &pairs.pairs, gain).into_diagnostic()?;
            if let Some((replayer, starts)) = replayer.as_ref().zip(starts.as_ref()) {
                measures.replays = replayer.run(&lm, pairs, layer, starts)?;
            }
        }
        layers.push(measures);
    }
    let (delimiter, max_control_points) = (config.delimiter.clone(), config.max_control_points);
    let origin = Origin { model: lm.fingerprint().clone(), config: diagnosed, delimiter, max_control_points };
    let diagnosis = Diagnosis::new(Some(rollouts), layers).with_origin(origin);
    let text = serde_json::to_string_pretty(&diagnosis).into_diagnostic()? + "\n";
    write_atomically(&json, text.as_bytes())?;
    let html = diagnosis.to_html(&format!("Diagnosis of {}", args.model.name())).into_diagnostic()?;
    write_atomically(&page, html.as_bytes())?;
    tell!("report: {}", page.display());
    show!("{}", diagnosis.verdict)
}

/// Measures what needs no model, and checks that the rollouts can be diagnosed.
fn measure(groups: &[Vec<Rollout>], rollouts: &Path, config: &InductionConfig) -> Result<RolloutMeasures> {
    let (mut tally, mut segments_end) = (RolloutTally::new(config.delimiter.clone()), false);
    for group in groups {
        tally.add(group);
        segments_end |= group.iter().any(|rollout| rollout.text.contains(config.delimiter.as_str()));
    }
    let found = tally.finish();
    ensure!(
        found.mixed > 0,
        help = "choose problems that the model solves now and then, or draw more samples",
        "none of the {} problems in {} has right and wrong rollouts: {} of {} are right",
        found.problems,
        rollouts.display(),
        found.right,
        found.samples
    );
    ensure!(
        segments_end,
        help = "--delimiter is the text that ends a segment",
        "no rollout in {} has {:?}, which ends a segment",
        rollouts.display(),
        config.delimiter.as_str()
    );
    Ok(found)
}

/// Mined pairs, and the file that they are in.
struct Mined<'p> {
    path: &'p Path,
    pairs: MinedPairs,
}

impl<'p> Mined<'p> {
    fn read(path: &'p Path) -> Result<Self> {
        Ok(Self { path, pairs: MinedPairs::load(path).into_diagnostic()? })
    }

    /// Checks what can be told before the weights are there: that the pairs are of this kind of model, of the same
    /// segments, and of one of the layers.
    fn check(&self, model: &OpenModel<'_>, config: &InductionConfig) -> Result<()> {
        let (path, pairs) = (self.path.display(), &self.pairs);
        model.check_sizes(&pairs.fingerprint).into_diagnostic().wrap_err_with(|| path.to_string())?;
        ensure!(
            pairs.delimiter == config.delimiter,
            "{path} is of segments that end with {:?}, but --delimiter is {:?}",
            pairs.delimiter.as_str(),
            config.delimiter.as_str()
        );
        let n_layers = model.shape().n_layers;
        let layers: Vec<usize> = config.layers.iter().flat_map(|layer| layer.resolve(n_layers)).collect();
        ensure!(
            pairs.pairs.iter().any(|pair| layers.contains(&pair.layer)),
            help = "--layers names the layers to look at",
            "{path} has no pair of layer {}",
            layers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }

    fn check_weights(&self, lm: &Lm) -> Result<()> {
        let fits = self.pairs.fingerprint.check(lm.fingerprint());
        fits.into_diagnostic().wrap_err_with(|| self.path.display().to_string())
    }
}

/// Replays mined pairs at the boundaries that they were mined at.
struct Replayer<'a> {
    args: &'a Args,
    config: PairReplayConfig,
    questions: Questions,
}

impl<'a> Replayer<'a> {
    /// Checks what can be told before the weights are there; `None` if nothing is to be replayed.
    fn open(
        args: &'a Args,
        model: &OpenModel<'_>,
        groups: &[Vec<Rollout>],
        settings: Option<&str>,
    ) -> Result<Option<Self>> {
        let ReplayArgs { replay, replay_strengths, replay_tokens, task, data, answers } = &args.replay;
        if *replay == 0 {
            return Ok(None);
        }
        let Some(task) = task.clone().filter(|_| args.pairs.is_some()) else {
            bail!("--replay needs --pairs, whose vectors are replayed, and --task, which judges the answers");
        };
        let sampled = settings.and_then(sampled_with);
        let default = ReplayConfig { seed: args.model.seed, ..ReplayConfig::default() };
        let (most, stop) = sampled.map_or((default.max_tokens, vec![]), |config| (config.max_tokens, config.stop));
        let replay_config = ReplayConfig { max_tokens: replay_tokens.unwrap_or(most), stop, ..default };
        replay_config.validate::<ModelError>().into_diagnostic()?;
        for &strength in replay_strengths {
            SettingError::above_zero("replay_strengths", strength).into_diagnostic()?;
        }
        let task = TaskArgs { task, data: data.clone(), answers: *answers, ids: None, skip: 0, limit: None };
        let questions = task.open(&|system, user| model.render(system, user))?;
        check_known(&questions, groups, &args.rollouts)?;
        let config =
            PairReplayConfig { boundaries: *replay, strengths: replay_strengths.clone(), replay: replay_config };
        Ok(Some(Self { args, config, questions }))
    }

    fn starts(&self, lm: &Lm, groups: &[Vec<Rollout>], config: &InductionConfig) -> Result<Starts> {
        let groups = groups.iter().cloned().map(Ok::<_, RolloutError>);
        Starts::of_rollouts(lm, groups, &config.delimiter, 1..=config.max_control_points).into_diagnostic()
    }

    fn run(&self, lm: &Lm, pairs: &MinedPairs, layer: usize, starts: &Starts) -> Result<Vec<Replay>> {
        let out = self.args.out.join(format!("replay-layer{layer}.jsonl"));
        let (questions, shown) = (&self.questions, Progress::new(0, "replay"));
        let (name, is_right) = (questions.judge_name(), |prompt: &_, text: &str| questions.is_right(prompt, text));
        let mut observer = |progress| shown.show_replay(progress);
        let judge = Judge { name: &name, is_right: &is_right };
        let found =
            PairReplay { engine: lm, pairs, config: &self.config, judge }.run(layer, starts, out, &mut observer);
        drop(shown);
        let (interventions, cost) = found.map_err(failed)?;
        show!("replay       layer {layer}: {} continuations, {} tokens", cost.continuations, cost.tokens())?;
        let replays = interventions.into_iter();
        let replays = replays.map(|Intervention { name, outcomes }| Replay::new(&name, outcomes));
        replays.collect::<Result<_, _>>().into_diagnostic()
    }
}

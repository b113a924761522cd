//! `stir diagnose`: whether a model can be steered by its rollouts, and why not.
//!
//! ```text
//! stir diagnose --rollouts rollouts.jsonl --layers 0.6 --out diagnosis
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{
    basis::MinedPairs,
    controller::ControllerConfig,
    core::Engine,
    diagnosis::{
        Boundary, Diagnosis, DiagnosisConfig, LayerMeasures, PairMeasures, RolloutMeasures, RolloutTally, States,
    },
    induction::{CapturedBoundary, InductionConfig, capture},
    model::Lm,
    rollout::read_groups,
};

use super::induce::print_skipped;
use crate::{
    files::{check_writable, rollout_settings, write_atomically},
    model::{ModelArgs, OpenModel},
    output::show,
    progress::Progress,
    settings::BoundaryArgs,
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
    boundaries: BoundaryArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.boundaries.config();
    config.validate().into_diagnostic()?;
    let rollouts = measure(&args.rollouts, &config)?;
    let settings = rollout_settings(&args.rollouts)?;
    let mined = args.pairs.as_deref().map(Mined::read).transpose()?;
    fs::create_dir_all(&args.out).into_diagnostic().wrap_err_with(|| args.out.display().to_string())?;
    let (json, page) = (args.out.join("diagnosis.json"), args.out.join("diagnosis.html"));
    [&json, &page].into_iter().try_for_each(|file| check_writable(file))?;
    let model = args.model.open()?;
    model.check_layers(&config.layers)?;
    model.check_rollouts(settings.as_deref())?;
    mined.as_ref().map_or(Ok(()), |mined| mined.check(&model, &config))?;
    let lm = model.load()?;
    mined.as_ref().map_or(Ok(()), |mined| mined.check_weights(&lm))?;

    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let shown = Progress::new(rollouts.problems as u64, "diagnose");
    let captured = capture(&lm, groups.inspect(|_| shown.advance()), settings.as_deref(), &config);
    drop(shown);
    let captured = captured.into_diagnostic()?;
    print_skipped(&captured.skipped)?;
    if captured.non_finite > 0 {
        show!("skipped      {} rollouts whose states are not finite", captured.non_finite)?;
    }
    ensure!(
        !captured.boundaries.is_empty(),
        "of the problems that have right and wrong rollouts, none has one with a segment that ends and that can be used"
    );

    let boundaries: Vec<Boundary> = captured.boundaries.iter().map(boundary).collect();
    let controller = ControllerConfig::default();
    let gain = controller.beta * controller.k_scale;
    let diagnosed = DiagnosisConfig { seed: args.model.seed, ..DiagnosisConfig::default() };
    let mut layers = Vec::new();
    for (layer, values) in captured.layers {
        let states = States::new(lm.shape().hidden_size, boundaries.clone(), values).into_diagnostic()?;
        states.save(args.out.join(format!("states-layer{layer}.safetensors"))).into_diagnostic()?;
        let mut measures = LayerMeasures::new(layer, &states, &diagnosed).into_diagnostic()?;
        if let Some(Mined { pairs, .. }) = &mined {
            measures.pairs = PairMeasures::new(&states, layer, &pairs.pairs, gain).into_diagnostic()?;
        }
        layers.push(measures);
    }
    let diagnosis = Diagnosis::new(Some(rollouts), layers);
    let text = serde_json::to_string_pretty(&diagnosis).into_diagnostic()? + "\n";
    write_atomically(&json, text.as_bytes())?;
    let html = diagnosis.to_html(&format!("Diagnosis of {}", args.model.name())).into_diagnostic()?;
    write_atomically(&page, html.as_bytes())?;
    show!("{}", diagnosis.verdict)
}

/// Measures what needs no model, and checks that the rollouts can be diagnosed.
fn measure(rollouts: &Path, config: &InductionConfig) -> Result<RolloutMeasures> {
    let (mut tally, mut segments_end) = (RolloutTally::new(config.delimiter.clone()), false);
    for group in read_groups(rollouts).into_diagnostic()? {
        let group = group.into_diagnostic()?;
        tally.add(&group);
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

pub(super) fn boundary(captured: &CapturedBoundary) -> Boundary {
    let CapturedBoundary { problem, sample, m, token, length, right } = *captured;
    Boundary { problem, sample, m, token, length, right }
}

//! `stir diagnose`: whether a model can be steered by its rollouts, and why not.
//!
//! ```text
//! stir diagnose --rollouts rollouts.jsonl --layers 0.6 --out diagnosis
//! ```

use std::path::PathBuf;

use miette::{IntoDiagnostic, Result, ensure};
use stir::{
    basis::{MinedPairs, Pair},
    controller::ControllerConfig,
    core::Engine,
    diagnosis::{Boundary, Diagnosis, DiagnosisConfig, LayerMeasures, PairMeasures, RolloutTally, States},
    induction::{CapturedBoundary, capture},
    rollout::read_groups,
};

use crate::{files::write_atomically, model::ModelArgs, output::show, progress::Progress, settings::InductionArgs};

/// Measure what rollouts and states say about steering: noise, signal, retrieval, length; with a verdict
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of rollouts, JSONL
    #[arg(long, value_name = "FILE")]
    rollouts: PathBuf,
    /// Folder for diagnosis.json, diagnosis.html and, for each layer N, states-layerN.safetensors
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// File of mined pairs (stir induce): their qualities and the strength of their impulses are measured too
    #[arg(long, value_name = "FILE")]
    candidates: Option<PathBuf>,
    #[command(flatten)]
    settings: InductionArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.settings.config(args.model.seed);
    config.validate().into_diagnostic()?;
    let candidates = args.candidates.as_ref().map(MinedPairs::load).transpose().into_diagnostic()?;
    let pairs: &[Pair] = candidates.as_ref().map_or(&[], |mined| &mined.pairs);
    let groups = read_groups(&args.rollouts).into_diagnostic()?;
    let lm = args.model.load()?;
    if let Some(mined) = &candidates {
        mined.fingerprint.check(lm.fingerprint()).into_diagnostic()?;
    }

    let shown = Progress::new(groups.size_hint().1.unwrap_or_default() as u64, "diagnose");
    let mut tally = RolloutTally::new(config.delimiter.clone());
    let groups = groups.inspect(|group| {
        group.iter().for_each(|group| tally.add(group));
        shown.advance();
    });
    let captured = capture(&lm, groups, &config);
    drop(shown);
    let captured = captured.into_diagnostic()?;
    let rollouts = tally.finish();
    ensure!(!captured.boundaries.is_empty(), "no problem has right and wrong rollouts with a segment boundary");

    let boundaries: Vec<Boundary> = captured.boundaries.iter().map(boundary).collect();
    std::fs::create_dir_all(&args.out).into_diagnostic()?;
    let gain = ControllerConfig::default().beta * ControllerConfig::default().k_scale;
    let settings = DiagnosisConfig { seed: args.model.seed, ..DiagnosisConfig::default() };
    let mut layers = Vec::new();
    for (layer, values) in captured.layers {
        let states = States::new(lm.shape().hidden_size, boundaries.clone(), values).into_diagnostic()?;
        states.save(args.out.join(format!("states-layer{layer}.safetensors"))).into_diagnostic()?;
        let mut measures = LayerMeasures::new(layer, &states, &settings).into_diagnostic()?;
        measures.pairs = PairMeasures::new(&states, layer, pairs, gain).into_diagnostic()?;
        layers.push(measures);
    }
    let diagnosis = Diagnosis::new(Some(rollouts), layers);
    let json = serde_json::to_string_pretty(&diagnosis).into_diagnostic()? + "\n";
    write_atomically(&args.out.join("diagnosis.json"), json.as_bytes())?;
    let title = format!("Diagnosis of {}", lm.fingerprint().architecture);
    let page = diagnosis.to_html(&title).into_diagnostic()?;
    write_atomically(&args.out.join("diagnosis.html"), page.as_bytes())?;
    show!("{}", diagnosis.verdict)
}

fn boundary(captured: &CapturedBoundary) -> Boundary {
    let CapturedBoundary { problem, sample, m, token, length, right } = *captured;
    Boundary { problem, sample, m, token, length, right }
}

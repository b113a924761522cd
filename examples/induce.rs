//! Stage 2: the hidden states of right and of wrong samples are contrasted at the ends of their segments. Each contrast
//! gives a pair: the mean states of both sides, whose difference points from wrong to right.
//!
//! ```text
//! cargo run --release --example induce     # after the example rollout
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::{
    core::LayerSpec,
    induction::{InductionConfig, induce},
    model::{DeviceSpec, Lm},
    rollout::read_groups,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;

    // Rollouts may come from any program; these are from the example `rollout`, one group for each problem.
    let groups = read_groups("runs/examples/rollouts.jsonl")?;

    // Two layers are mined at once. A library keeps their entries apart, and the controller reads both layers.
    let layers = vec![LayerSpec::Depth(0.6), LayerSpec::Depth(0.75)];
    let config = InductionConfig { layers, ..InductionConfig::default() };
    let (mined, report) = induce(&lm, groups, config)?;
    println!("{} problems, {} of them with a contrast", report.problems, report.with_contrast);
    println!("contrasts at each control point: {:?}", report.found);
    println!("{} pairs kept, those of the highest quality", report.kept);

    // A pair is plain data: where it was found, how much better the right samples were, and the direction.
    for pair in mined.pairs.iter().take(3) {
        let length = pair.delta().iter().map(|x| x * x).sum::<f32>().sqrt();
        let (problem, m, layer, quality) = (&pair.problem, pair.m, pair.layer, pair.quality);
        println!("{problem}, control point {m}, layer {layer}: quality {quality:.3}, a vector of length {length:.2}");
    }
    mined.save("runs/examples/candidates.stir")?;
    Ok(())
}

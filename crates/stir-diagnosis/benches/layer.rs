//! All measures of one layer, over the number of states and their width. Prints Markdown.
//!
//! ```text
//! cargo bench -p stir-diagnosis                  # up to 20,000 states of width 4,096: some minutes, 5 GiB
//! cargo bench -p stir-diagnosis -- 2000x1024     # one size
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{env, fs, time::Instant};

use stir_core::SampleRng;
use stir_diagnosis::{Boundary, DiagnosisConfig, LayerMeasures, States};

const SAMPLES: usize = 8;
const POINTS: usize = 8;

/// States with a direction of success, one of remaining length, an offset of each problem, and noise.
fn states(rows: usize, width: usize) -> States {
    let mut rng = SampleRng::new(3, 0);
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal() as f32).collect() };
    let (success, length) = (normal(width), normal(width));
    let (mut boundaries, mut values) = (Vec::new(), Vec::with_capacity(rows * width));
    for problem in 0..rows.div_ceil(SAMPLES * POINTS) {
        let offset = normal(width);
        for sample in 0..SAMPLES {
            let right = (problem + sample) % 3 == 0;
            for m in 1..=POINTS {
                let remaining = ((POINTS + 1 - m) as f32).ln();
                let noise = normal(width);
                let gain = if right { 0.2 } else { 0.0 };
                values.extend((0..width).map(|i| gain * success[i] + remaining * length[i] + offset[i] + noise[i]));
                boundaries.push(Boundary { problem, sample, m, token: 30 * m, length: 30 * (POINTS + 2), right });
            }
        }
    }
    boundaries.truncate(rows);
    values.truncate(rows * width);
    States::new(width, boundaries, values).unwrap()
}

/// The largest memory that the process has had, in GiB.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kib| kib.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / (1024.0 * 1024.0)
}

fn main() {
    let asked = env::args().skip(1).find_map(|arg| {
        let (rows, width) = arg.split_once('x')?;
        Some((rows.parse().ok()?, width.parse().ok()?))
    });
    let sizes: Vec<(usize, usize)> =
        asked.map_or_else(|| vec![(1_250, 1_024), (5_000, 2_048), (20_000, 4_096)], |size| vec![size]);
    println!(
        "| states | width | seconds | peak GiB | probe, within | R2 of remaining length |\n|---|---|---|---|---|---|"
    );
    for (rows, width) in sizes {
        let states = states(rows, width);
        let start = Instant::now();
        let measures = LayerMeasures::new(0, &states, &DiagnosisConfig::default()).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let auc = measures.probe.and_then(|probe| probe.within).map_or(f64::NAN, |within| within.value);
        let r2 = measures.remaining_r2.unwrap_or(f64::NAN);
        println!("| {rows} | {width} | {seconds:.1} | {:.1} | {auc:.2} | {r2:.2} |", peak());
    }
}

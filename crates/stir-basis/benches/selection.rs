//! Selection over the number of candidates and the budget, and retrieval from a large library.
//!
//! Keys gather around a few hundred directions, as states at like moments of like problems do.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stir_basis::{Action, Entry, Library, greedy_dpp, normalize};
use stir_core::{Delimiter, Fingerprint, SampleRng};

const WIDTH: usize = 1536;

/// `[n, WIDTH]`.
fn keys(n: usize, spread: f64) -> Vec<f32> {
    let mut rng = SampleRng::new(0, 0);
    let centres: Vec<f64> = (0..300 * WIDTH).map(|_| rng.normal()).collect();
    (0..n)
        .flat_map(|_| {
            let centre = rng.below(300) * WIDTH;
            let noise: Vec<f64> = (0..WIDTH).map(|_| spread * rng.normal()).collect();
            noise.into_iter().enumerate().map(|(d, x)| (centres[centre + d] + x) as f32).collect::<Vec<_>>()
        })
        .collect()
}

fn selection(c: &mut Criterion) {
    let mut group = c.benchmark_group("greedy_dpp");
    group.sample_size(10);
    for (n, budget) in [(256, 256), (2048, 64), (2048, 256), (16_384, 256), (16_384, 1024)] {
        let keys = keys(n, 0.3);
        let mut rng = SampleRng::new(1, 0);
        // Rewards differ by the length of answers, so qualities do a little.
        let quality: Vec<f64> = (0..n).map(|_| 0.3 + 0.7 * rng.uniform()).collect();
        group.bench_function(BenchmarkId::from_parameter(format!("n={n} budget={budget}")), |b| {
            b.iter(|| greedy_dpp(black_box(&keys), &quality, &[], budget, 0.5, 1e-4).unwrap());
        });
    }
}

fn retrieval(c: &mut Criterion) {
    let mut group = c.benchmark_group("retrieve");
    for n in [256, 100_000] {
        let keys = keys(n, 0.3);
        let entries = keys
            .chunks(WIDTH)
            .map(|key| Entry {
                problem: String::new(),
                m: 1,
                layer: 0,
                quality: 1.0,
                key: normalize(key).unwrap(),
                action: Action::Stay,
            })
            .collect();
        let fingerprint = Fingerprint {
            architecture: "bench".into(),
            n_layers: 1,
            hidden_size: WIDTH,
            vocab_size: 1,
            tokenizer: String::new(),
            weights: String::new(),
        };
        let library = Library::from_entries(fingerprint, Delimiter::default(), entries, BTreeMap::new()).unwrap();
        group.throughput(Throughput::Bytes((n * WIDTH * size_of::<f32>()) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("n={n} k=8")), |b| {
            b.iter(|| library.retrieve(1, black_box(&[(0, &keys[..WIDTH])]), 8));
        });
    }
}

criterion_group!(benches, selection, retrieval);
criterion_main!(benches);

//! The burn engine on the small reference model: what a token costs alone and in a batch, and what steering adds.
//!
//! ```text
//! cargo bench --bench engine
//! ```
//! Compare within one run; the shares matter, not the times.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stir::{
    basis::{BasisConfig, Library, select},
    controller::{Controller, ControllerConfig, Variant},
    core::{Engine, GenerateOptions, Request, Row, Sampling, Session, Text, TokenId, generate},
    induction::{InductionConfig, induce},
    model::{DeviceSpec, Lm},
    rollout::read_groups,
};

fn setup() -> (Lm, Vec<Vec<TokenId>>, Library) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference-run");
    let lm = Lm::load(fixtures.join("model"), &DeviceSpec::CPU.open().unwrap()).unwrap();
    let groups: Vec<_> = read_groups(fixtures.join("rollouts.jsonl")).unwrap().map(Result::unwrap).collect();
    let prompts = groups.iter().take(32).map(|group| lm.encode_prompt(&group[0].prompt).unwrap()).collect();
    let config = InductionConfig { max_tokens: 200, ..InductionConfig::default() };
    let (candidates, _) = induce(&lm, groups.into_iter().map(Ok), config).unwrap();
    let library = select(&candidates, &BasisConfig { budget: 64, ..BasisConfig::default() }).unwrap();
    (lm, prompts, library)
}

/// Tokens per second of greedy decoding, by how many sequences share a pass.
fn decode(c: &mut Criterion) {
    let (lm, prompts, _) = setup();
    let mut group = c.benchmark_group("decode");
    group.sample_size(10);
    for max_batch in [1, 4, 16] {
        let request = Request { max_tokens: 60, sampling: Sampling::GREEDY, ..Request::default() };
        let requests = request.with_prompts(&prompts[..max_batch]);
        let options = GenerateOptions { max_batch, ..GenerateOptions::default() };
        let tokens: usize = generate(&lm, &requests, options).unwrap().iter().flatten().map(|a| a.tokens.len()).sum();
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_function(BenchmarkId::from_parameter(max_batch), |b| {
            b.iter(|| generate(&lm, &requests, options).unwrap());
        });
    }
}

/// Committed tokens per second, plain and steered.
fn steer(c: &mut Criterion) {
    let (lm, prompts, library) = setup();
    let requests = Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::default() }.with_prompts(&prompts);
    let options = GenerateOptions { max_batch: 16, ..GenerateOptions::default() };
    let mut group = c.benchmark_group("steer");
    group.sample_size(10);
    for variant in [Variant::NoMemory, Variant::NoProbing, Variant::Stir] {
        let controller = Controller::new(
            library.clone(),
            lm.fingerprint(),
            ControllerConfig { variant, ..ControllerConfig::default() },
        )
        .unwrap();
        let run = || controller.generate(&lm, &requests, options).unwrap().concat();
        group.throughput(Throughput::Elements(run().iter().map(|a| a.generated.tokens.len() as u64).sum()));
        group.bench_function(BenchmarkId::from_parameter(variant), |b| b.iter(run));
    }
}

/// One token for eight continuations of a prefix: forks that share it, or eight sequences that each hold it.
fn shared_prefix(c: &mut Criterion) {
    let (lm, prompts, _) = setup();
    let prefix: Vec<TokenId> = prompts.iter().flatten().copied().take(400).collect();
    let encode = |tokens: &[TokenId]| {
        let mut session = lm.session();
        lm.forward(&mut [Row { session: &mut session, tokens, additions: vec![], capture: &[], logits: false }])
            .unwrap();
        session
    };
    let step = |sessions: &mut [<Lm as Engine>::Session]| {
        let mut rows: Vec<_> = sessions
            .iter_mut()
            .map(|session| Row { session, tokens: &prefix[..1], additions: vec![], capture: &[], logits: true })
            .collect();
        lm.forward(&mut rows).unwrap();
        drop(rows);
        sessions.iter_mut().for_each(|session| session.rewind(prefix.len()));
    };
    let mut group = c.benchmark_group("shared_prefix");
    let origin = encode(&prefix);
    let mut forks: Vec<_> = (0..8).map(|_| origin.fork()).collect();
    group.bench_function("forks", |b| b.iter(|| step(&mut forks)));
    let mut alone: Vec<_> = (0..8).map(|_| encode(&prefix)).collect();
    group.bench_function("copies", |b| b.iter(|| step(&mut alone)));
}

criterion_group!(benches, decode, steer, shared_prefix);
criterion_main!(benches);

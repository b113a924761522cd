//! The controller against a plain computation of the method that caches nothing and shares no code with it.

use std::ops::AddAssign;

use crate::common::{Reference, WARM, assert_same, batch, library, plain, prompts, rich, steer};
use stir_controller::{ControllerConfig, Placement, Probe, Scope, Steered, Strength, Variant};
use stir_core::{SampleRng, Sampling, TokenId, toy::ToyEngine};

/// The events counted over a set of generations: a comparison in which nothing is at stake proves nothing.
#[derive(Debug, Default)]
struct Seen {
    /// Segments that began with an impulse.
    steered: usize,
    /// Segments where candidates lost to the null action.
    null: usize,
    /// Texts that differ from plain decoding.
    changed: usize,
    /// Tokens that completed several delimiters.
    jumps: usize,
}

struct Case<'a> {
    layers: &'a [usize],
    delimiter: &'a str,
    config: ControllerConfig,
    sampling: Sampling,
    /// Whether the library has means, read-outs and entries at the end of the prompt.
    rich: bool,
}

impl Default for Case<'_> {
    fn default() -> Self {
        let config = ControllerConfig::default();
        Self { layers: &[0, 1], delimiter: "\n\n", config, sampling: Sampling::GREEDY, rich: false }
    }
}

impl Case<'_> {
    /// Compares at two widths, on engines with and without an end of sequence.
    #[track_caller]
    fn compare(&self) -> Seen {
        let engines = [1, 10, 17, 19].map(ToyEngine::without_eos).into_iter().chain([1, 9].map(ToyEngine::new));
        let mut seen = Seen::default();
        for (seed, engine) in engines.enumerate() {
            seen += self.compare_on(&engine, &prompts(8, 8, seed as u64), 40);
        }
        seen
    }

    #[track_caller]
    fn compare_on(&self, engine: &ToyEngine, prompts: &[Vec<TokenId>], max_tokens: usize) -> Seen {
        let (config, sampling) = (&self.config, self.sampling);
        let library = match self.rich {
            true => rich(engine, self.layers, self.delimiter, 5),
            false => library(engine, self.layers, self.delimiter, 8, 5),
        };
        let wide = steer(engine, &library, config, prompts, max_tokens, sampling, 5);
        assert_eq!(wide, steer(engine, &library, config, prompts, max_tokens, sampling, 1));
        let mut seen = Seen::default();
        let plain = plain(engine, &batch(prompts, max_tokens, sampling, 3), 5);
        for (i, (found, plain)) in wide.iter().zip(plain).enumerate() {
            let (prompt, sequence) = (&prompts[i], i as u64);
            let reference = Reference { engine, library: &library, config, prompt, sampling, sequence };
            assert_same(found, &reference.run(max_tokens));
            seen += Seen::of(found, found.generated.tokens != plain.tokens);
        }
        seen
    }
}

impl Seen {
    fn of(found: &Steered, changed: bool) -> Self {
        let segments: Vec<_> = found.steps.iter().map(|step| step.segment).collect();
        Self {
            steered: found.steps.iter().filter(|step| step.scale > 0.0).count(),
            null: found.steps.iter().filter(|step| step.scale == 0.0 && !step.candidates.is_empty()).count(),
            changed: usize::from(changed),
            jumps: segments.windows(2).filter(|pair| pair[1] > pair[0] + 1).count(),
        }
    }

    #[track_caller]
    fn both(&self) {
        assert!(self.steered > 4 && self.null > 4 && self.changed > 2, "{self:?}");
    }
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.steered += other.steered;
        self.null += other.null;
        self.changed += other.changed;
        self.jumps += other.jumps;
    }
}

fn with(change: impl FnOnce(&mut ControllerConfig)) -> Case<'static> {
    let mut case = Case::default();
    change(&mut case.config);
    case
}

#[test]
fn defaults_and_strength() {
    with(|_| ()).compare().both();
    with(|c| c.k_scale = 2.0).compare().both();
    with(|c| c.tau_null = 0.9).compare().both();
}

#[test]
fn probing() {
    with(|c| (c.probe_tokens, c.candidates, c.retrieve) = (8, 2, 4)).compare().both();
    with(|c| c.probe_tokens = 1).compare().both();
    with(|c| c.rho = 0.0).compare().both();
    with(|c| (c.rho, c.beta) = (5.0, 0.5)).compare().both();
    with(|c| c.variant = Variant::NoProbing).compare().both();
}

#[test]
fn where_it_acts() {
    with(|c| (c.min_m, c.max_m) = (Some(2), Some(4))).compare().both();
    with(|c| c.min_similarity = 0.9).compare().both();
    // The library has 13 entries where m is odd and 12 elsewhere.
    with(|c| c.min_entries = 13).compare().both();
    with(|c| c.max_control_points = 3).compare().both();
    let seen = with(|c| c.max_control_points = 1).compare();
    assert_eq!((seen.steered, seen.null, seen.changed), (0, 0, 0));
    let seen = with(|c| (c.variant, c.k_scale) = (Variant::StaticVector, 4.0)).compare();
    assert!(seen.steered > 9 && seen.changed > 2, "{seen:?}");
}

#[test]
fn layers() {
    for layers in [&[0][..], &[2], &[0, 2], &[0, 1, 2]] {
        Case { layers, ..with(|c| c.k_scale = 2.0) }.compare().both();
    }
}

#[test]
fn persistent_impulses_stay() {
    let change = |c: &mut ControllerConfig| (c.scope, c.k_scale) = (Scope::Persistent, 1.5);
    with(change).compare().both();
    Case { sampling: WARM, ..with(change) }.compare().both();
}

#[test]
fn sampled_text() {
    Case { sampling: WARM, ..Case::default() }.compare().both();
    Case { sampling: WARM, ..with(|c| (c.max_control_points, c.k_scale) = (3, 2.0)) }.compare().both();
}

#[test]
fn other_delimiters() {
    Case { delimiter: ".", ..with(|c| c.k_scale = 2.0) }.compare().both();
    // A token of two newlines may end one of these and begin the next, which then is half done when probes start.
    let seen = Case { delimiter: "\n\n\n", ..with(|c| c.k_scale = 2.0) }.compare();
    assert!(seen.steered > 4, "{seen:?}");
    // The same token completes two of these at once.
    let seen = Case { delimiter: "\n", ..with(|c| c.k_scale = 2.0) }.compare();
    seen.both();
    assert!(seen.jumps > 4, "{seen:?}");
}

#[test]
fn budgets_may_end_anywhere() {
    let engine = ToyEngine::without_eos(17);
    let prompts = prompts(5, 8, 2);
    let mut seen = Seen::default();
    for max_tokens in 1..=32 {
        seen += with(|c| (c.probe_tokens, c.rho) = (8, 1.0)).compare_on(&engine, &prompts, max_tokens);
    }
    seen.both();
}

#[test]
fn the_context_bounds_probes() {
    let engine = ToyEngine::without_eos(17);
    let mut rng = SampleRng::new(0, 0);
    let prompts: Vec<Vec<TokenId>> = (72..96).map(|len| (0..len).map(|_| rng.below(36) as TokenId).collect()).collect();
    let mut seen = Seen::default();
    for probe_tokens in [4, 8, 200] {
        seen += with(|c| c.probe_tokens = probe_tokens).compare_on(&engine, &prompts, 100);
    }
    seen.both();
}

/// With a library that has all there is.
fn rich_with(change: impl FnOnce(&mut ControllerConfig)) -> Case<'static> {
    Case { rich: true, ..with(change) }
}

#[test]
fn centred_libraries_and_the_end_of_the_prompt() {
    rich_with(|c| c.k_scale = 2.0).compare().both();
    rich_with(|c| (c.k_scale, c.at_prompt) = (2.0, true)).compare().both();
    let persistent = |c: &mut ControllerConfig| (c.at_prompt, c.k_scale, c.scope) = (true, 2.0, Scope::Persistent);
    Case { sampling: WARM, ..rich_with(persistent) }.compare().both();
    let seen = rich_with(|c| (c.at_prompt, c.k_scale, c.max_control_points) = (true, 2.0, 1)).compare();
    assert!(seen.steered > 4 && seen.changed > 2, "{seen:?}");
    let seen = rich_with(|c| (c.at_prompt, c.variant, c.k_scale) = (true, Variant::StaticVector, 4.0)).compare();
    assert!(seen.steered > 9 && seen.changed > 2, "{seen:?}");
}

#[test]
fn strength_by_the_stream() {
    with(|c| (c.strength, c.tau_null) = (Strength::Relative(0.4), 0.9)).compare().both();
    with(|c| (c.strength, c.k_scale) = (Strength::Clipped(0.3), 2.0)).compare().both();
    for strength in [Strength::Relative(0.5), Strength::Clipped(0.2)] {
        let seen = with(|c| (c.variant, c.k_scale, c.strength) = (Variant::StaticVector, 4.0, strength)).compare();
        assert!(seen.steered > 9 && seen.changed > 2, "{seen:?}");
    }
}

#[test]
fn probes_by_value_and_the_least_gain() {
    rich_with(|c| (c.probe, c.rho, c.k_scale) = (Probe::Value, 2.0, 2.0)).compare().both();
    rich_with(|c| (c.probe, c.rho, c.probe_tokens) = (Probe::Value, 2.0, 1)).compare().both();
    Case { layers: &[2], ..rich_with(|c| (c.probe, c.k_scale, c.probe_tokens) = (Probe::Value, 2.0, 9)) }.compare();
    rich_with(|c| (c.probe, c.min_gain, c.k_scale) = (Probe::Value, Some(-0.01), 2.0)).compare().both();
    with(|c| (c.min_gain, c.k_scale) = (Some(0.0), 2.0)).compare().both();
}

#[test]
fn impulses_along_the_segment() {
    for (decay, scope) in [(1.0, Scope::Segment), (0.5, Scope::Segment), (0.7, Scope::Persistent)] {
        let change = |c: &mut ControllerConfig| (c.placement, c.scope) = (Placement::Segment { decay }, scope);
        with(change).compare().both();
        Case { sampling: WARM, ..with(change) }.compare().both();
    }
    let all = |c: &mut ControllerConfig| {
        (c.placement, c.strength) = (Placement::Segment { decay: 0.8 }, Strength::Relative(0.3));
        (c.probe, c.at_prompt, c.tau_null) = (Probe::Value, true, 0.5);
    };
    rich_with(all).compare().both();
}

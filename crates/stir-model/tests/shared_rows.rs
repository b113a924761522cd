//! Rows that hold the same tokens are computed once as far as they are the same: here trees of forks, in which anything
//! may happen, against every row computed alone.

use std::path::PathBuf;

use stir_core::{Addition, Engine, HookPoint, Output, Row, SampleRng, Session, TokenId};
use stir_model::{ComputeType, DeviceSpec, KvCache, Lm, LoadOptions};

/// Windows, norms of heads, logits through a bound, one and several key heads, and what differs between kept types.
const MODELS: [(&str, ComputeType); 5] = [
    ("qwen3-qknorm", ComputeType::F32),
    ("qwen2-window", ComputeType::F32),
    ("gemma2", ComputeType::F32),
    ("gemma3", ComputeType::Bf16),
    ("phi4-longrope", ComputeType::F16),
];

/// Positions that a branch grows to: more than one allocation has, and than a window shows.
const LONGEST: usize = 80;

/// Branches that there are at a time.
const MOST: usize = 7;

/// An addition that is part of a branch's past.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Added {
    point: HookPoint,
    position: usize,
    /// The index among the scene's vectors.
    vector: usize,
    scale: f32,
}

/// A session and what it has been through.
struct Branch {
    session: KvCache,
    tokens: Vec<TokenId>,
    added: Vec<Added>,
}

impl Branch {
    fn fork(&self) -> Self {
        Self { session: self.session.fork(), tokens: self.tokens.clone(), added: self.added.clone() }
    }

    fn rewind(&mut self, len: usize) {
        self.session.rewind(len);
        self.tokens.truncate(len);
        self.added.retain(|added| added.position < len);
    }
}

struct Scene {
    /// The model under test, which encodes few tokens at a time, and the one to compare with, which encodes all at
    /// once.
    lm: Lm,
    whole: Lm,
    vectors: Vec<Vec<f32>>,
    rng: SampleRng,
    branches: Vec<Branch>,
    /// Rows that held the tokens of an earlier row of their pass, but not its additions.
    alike: usize,
}

impl Scene {
    fn new(name: &str, compute: ComputeType, chunk: usize, seed: u64) -> Self {
        let load = || {
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name);
            let options = LoadOptions { compute, ..LoadOptions::default() };
            Lm::load_with(dir, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap()
        };
        let (lm, mut rng) = (load().with_prefill_chunk(chunk), SampleRng::new(seed, 0));
        let mut vector = || (0..lm.shape().hidden_size).map(|_| rng.normal() as f32).collect();
        let vectors = (0..3).map(|_| vector()).collect();
        let fresh = || Branch { session: lm.session(), tokens: Vec::new(), added: Vec::new() };
        // The second never shares anything with the first, whatever they hold.
        let branches = vec![fresh(), fresh()];
        Self { whole: load(), lm, vectors, rng, branches, alike: 0 }
    }

    /// Returns whether something happens that does so once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.rng.below(times) == 0
    }

    /// Few tokens of a small alphabet, so that branches meet again.
    fn some_tokens(&mut self) -> Vec<TokenId> {
        let count = if self.once_in(2) { 1 + self.rng.below(9) } else { 1 };
        (0..count).map(|_| 3 + self.rng.below(2) as TokenId).collect()
    }

    fn some_point(&mut self) -> HookPoint {
        let layer = self.rng.below(self.lm.shape().n_layers);
        if self.once_in(2) { HookPoint::ResidPre(layer) } else { HookPoint::ResidPost(layer) }
    }

    /// Forks one branch, as at a control point, in place of some others, and rewinds some: by little to one position,
    /// or anywhere.
    fn fork(&mut self) {
        let one = self.rng.below(self.branches.len());
        self.branches.swap(0, one);
        let kept = 1 + self.rng.below(self.branches.len());
        self.branches.truncate(kept);
        while self.branches.len() < MOST {
            self.branches.push(self.branches[0].fork());
        }
        let boundary = self.branches[0].tokens.len().saturating_sub(self.rng.below(3));
        for i in 0..MOST {
            let len = self.branches[i].tokens.len();
            if len > LONGEST || self.once_in(10) {
                let anywhere = self.rng.below(len + 1);
                self.branches[i].rewind(anywhere);
            } else if self.once_in(2) {
                self.branches[i].rewind(boundary);
            }
        }
        // The first of some rows alike may be any of them.
        for i in 0..MOST {
            let other = self.rng.below(MOST);
            self.branches.swap(i, other);
        }
    }

    /// Continues some branches in one pass, and compares each.
    fn pass(&mut self, what: &str) {
        let (common, point) = (self.some_tokens(), self.some_point());
        let capture: Vec<HookPoint> = if self.once_in(3) { vec![self.some_point(), point] } else { Vec::new() };
        let (layers_apart, is_steered) = (self.once_in(2), self.once_in(2));
        let mut starts = Vec::new();
        for i in 0..self.branches.len() {
            let start = self.branches[i].tokens.len();
            // One of them sits out.
            if self.once_in(12) {
                starts.push(None);
                continue;
            }
            // Another takes its own way.
            let tokens = if self.once_in(12) { self.some_tokens() } else { common.clone() };
            while is_steered && self.once_in(2) {
                let point = if layers_apart { self.some_point() } else { point };
                let position = start + self.rng.below(tokens.len());
                let (vector, scale) = (self.rng.below(self.vectors.len()), [1.0, -2.0, 0.5][self.rng.below(3)]);
                self.branches[i].added.push(Added { point, position, vector, scale });
            }
            self.branches[i].tokens.extend(tokens);
            starts.push(Some(start));
        }
        let vectors = &self.vectors;
        let additions = |added: &[Added], start: usize| -> Vec<Addition<'_>> {
            let new = added.iter().filter(|added| added.position >= start);
            let addition = |&Added { point, position, vector, scale }: &Added| Addition {
                point,
                position,
                vector: &vectors[vector],
                scale,
            };
            new.map(addition).collect()
        };
        let row = |(branch, start): (_, &Option<usize>)| {
            let Branch { session, tokens, added }: &mut Branch = branch;
            let (tokens, additions) = (&tokens[(*start)?..], additions(added, (*start)?));
            Some(Row { session, tokens, additions, capture: &capture, logits: true })
        };
        let mut rows: Vec<_> = self.branches.iter_mut().zip(&starts).filter_map(row).collect();
        let mut found = self.lm.forward(&mut rows).unwrap().into_iter();
        drop(rows);
        let went_on: Vec<_> = self.branches.iter().zip(&starts).filter(|(_, start)| start.is_some()).collect();
        for (i, (branch, start)) in went_on.iter().enumerate() {
            let Branch { session, tokens, added } = branch;
            assert_eq!(session.len(), tokens.len(), "{what}");
            let mut alone = self.whole.session();
            let additions = additions(added, 0);
            let row = Row { session: &mut alone, tokens, additions, capture: &capture, logits: true };
            let expected = self.whole.forward(&mut [row]).unwrap().remove(0);
            assert!(bits(&expected) == bits(&found.next().unwrap()), "{what}: {tokens:?} {added:?}");
            let like = |(other, from): &&(&Branch, _)| *from == *start && other.tokens == *tokens;
            self.alike += usize::from(went_on[..i].iter().find(like).is_some_and(|(other, _)| other.added != *added));
        }
    }
}

/// Every number of an output.
fn bits(output: &Output) -> Vec<u32> {
    output.logits.iter().chain(output.captures.iter().flatten()).map(|x| x.to_bits()).collect()
}

#[test]
fn a_row_gets_bit_for_bit_what_its_whole_past_gives_it_alone() {
    for (i, (name, compute)) in MODELS.into_iter().enumerate() {
        for (chunk, seed) in [(512, 2 * i as u64), (3, 2 * i as u64 + 1)] {
            let mut scene = Scene::new(name, compute, chunk, seed);
            for pass in 0..60 {
                if scene.once_in(4) {
                    scene.fork();
                }
                scene.pass(&format!("{name} in {compute}, pass {pass}"));
            }
            assert!(scene.alike > 15, "{name}: {} rows were like others", scene.alike);
        }
    }
}

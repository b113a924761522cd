//! What the toy engine answers, and what it is steered by.

use stir_basis::{Action, Entry, Library, normalize};
use stir_core::{Delimiter, Engine, GenerateOptions, Generated, Request, SampleRng, generate, toy::ToyEngine};

pub fn plain<E: Engine>(engine: &E, request: &Request) -> Vec<Generated> {
    generate(engine, std::slice::from_ref(request), GenerateOptions::default()).unwrap().remove(0)
}

/// A library whose entries are anywhere, so that some are near whatever the state is. A segment ends with an `n`, of
/// which the toy engine writes many.
pub fn library(engine: &ToyEngine, seed: u64) -> Library {
    let mut rng = SampleRng::new(seed, 0);
    let mut vector = || -> Vec<f32> { (0..10).map(|_| rng.normal() as f32).collect() };
    let entries = (1..8).flat_map(|m| (0..12).map(move |_| m)).map(|m| {
        let (key, action) = (normalize(&vector()).unwrap().into(), Action::Steer(vector()));
        Entry { m, layer: 1, quality: 0.8, key, action, ..Entry::default() }
    });
    let library = Library::from_entries(engine.fingerprint().clone(), entries.collect()).unwrap();
    library.with_delimiter(Delimiter::new("n").unwrap())
}

//! Files that somebody made on purpose: the checksum is right, the payload is not. Whatever is in it, reading ends, and in
//! an error or in something that can be used.

use std::{fs, path::Path};

use crate::common::{candidates, library};
use stir_basis::{
    BasisConfig, Evidence, FileError, Library, MinedPairs, SelectionMethod, StateMean, ValueHead, select,
};
use stir_core::{SampleRng, toy::fuzz_runs};

const HEADER: usize = 8 + 4 + 8 + 32;
const CHECKSUM: usize = 8 + 4 + 8;

/// Files of both kinds with all that they can hold, small, so that a change is likely to hit what matters.
fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let (pairs_path, library_path) = (folder.join("pairs"), folder.join("library"));
    let mut pairs = candidates(3, 3, 2);
    let mean = |m, layer| StateMean { layer, m, count: 300, mean: vec![0.5, 4.0] };
    pairs.means = (1..3).flat_map(|m| (1..3).map(move |layer| mean(m, layer))).collect();
    pairs.heads = vec![ValueHead { layer: 1, weights: vec![1.0, -2.0], bias: 0.5, auc: Some(0.75) }];
    pairs.pairs[0].vector = Some(vec![3.0, -1.0]);
    pairs.pairs[0].quality_error = Some(0.25);
    pairs.save(&pairs_path).unwrap();
    let config = BasisConfig { budget: 4, method: SelectionMethod::Random { seed: 7 }, ..BasisConfig::default() };
    let selected = select(&pairs, &config).unwrap();
    let (trials, uplift, error, lower) = (9, 0.25, 0.125, 0.0625);
    let evidence = Evidence { strength: 0.5, trials, with_right: 4, without_right: 2, uplift, error, lower };
    let tried = selected.filter_map(|_, entry| {
        let evidence = entry.vector().map(|_| evidence);
        Some(stir_basis::Entry { evidence, ..entry.clone() })
    });
    let mut seeds = vec![fs::read(&pairs_path).unwrap()];
    for library in [tried.unwrap(), library(1, 5, 3)] {
        library.save(&library_path).unwrap();
        seeds.push(fs::read(&library_path).unwrap());
    }
    seeds
}

/// Changes the payload, most often to numbers that mean something at an edge, and makes the header fit.
fn mutate(file: &mut Vec<u8>, rng: &mut SampleRng) {
    // Markers of the widths that numbers of the encoding have, and what may follow them.
    const NUMBERS: [&[u8]; 8] = [
        &[0],
        &[250],
        &[251, 255, 255],
        &[252, 255, 255, 255, 255],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
        &[253, 0, 0, 0, 0, 0, 0, 0, 64],
        &[0, 0, 192, 127],
        &[0, 0, 128, 127],
    ];
    for _ in 0..1 + rng.below(3) * rng.below(2) {
        let at = HEADER + rng.below(file.len() - HEADER);
        match rng.below(8) {
            0..3 => file[at] ^= 1 << rng.below(8),
            3 => file[at] = rng.below(256) as u8,
            4 | 5 => {
                let number = NUMBERS[rng.below(NUMBERS.len())];
                let end = (at + if rng.below(2) == 0 { 1 } else { number.len() }).min(file.len());
                drop(file.splice(at..end, number.iter().copied()));
            }
            6 => file.truncate(at.max(HEADER + 1)),
            _ => {
                let part = file[at..(at + 1 + rng.below(12)).min(file.len())].to_vec();
                drop(file.splice(at..at, part));
            }
        }
    }
    // Version 1 now and then.
    if rng.below(16) == 0 {
        file[8] = 1;
    }
    seal(file);
}

/// Makes the header fit the payload.
fn seal(file: &mut [u8]) {
    let length = (file.len() - HEADER) as u64;
    file[12..CHECKSUM].copy_from_slice(&length.to_le_bytes());
    let checksum = *blake3::hash(&file[HEADER..]).as_bytes();
    file[CHECKSUM..HEADER].copy_from_slice(&checksum);
}

/// Uses all that a library is used for.
fn use_library(library: &Library, again: &Path) {
    let width = library.fingerprint().hidden_size;
    let queries: Vec<(usize, Vec<f32>)> = library.layers().into_iter().map(|layer| (layer, vec![1.0; width])).collect();
    let queries: Vec<(usize, &[f32])> = queries.iter().map(|(layer, state)| (*layer, &state[..])).collect();
    for entry in library.entries() {
        let hits = library.retrieve(entry.m, &queries, 3);
        assert!(hits.iter().all(|hit| hit.entry < library.entries().len()), "{hits:?}");
    }
    for vector in library.constant_vectors().values() {
        assert_eq!(vector.len(), width);
    }
    library.export_safetensors(again).unwrap();
    library.save(again).unwrap();
    assert_eq!(&Library::load(again).unwrap(), library);
}

/// Reads `count` files. Returns how many could be used.
fn run(count: usize, seed: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("file"), folder.path().join("again"));
    let (seeds, mut rng, mut usable) = (seeds(folder.path()), SampleRng::new(seed, 0), 0);
    for i in 0..count {
        let mut file = seeds[i % seeds.len()].clone();
        mutate(&mut file, &mut rng);
        fs::write(&path, &file).unwrap();
        if let Ok(library) = Library::load(&path) {
            use_library(&library, &again);
            usable += 1;
        }
        if let Ok(pairs) = MinedPairs::load(&path) {
            let _ = select(&pairs, &BasisConfig { budget: 2, ..BasisConfig::default() });
            usable += 1;
        }
    }
    usable
}

/// Found by the test below: settings on record were not held to the bounds that they had when they were used.
#[test]
fn settings_on_record_keep_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut file) = (folder.path().join("file"), seeds(folder.path()).swap_remove(1));
    let BasisConfig { lambda, epsilon, .. } = BasisConfig::default();
    let recorded = [lambda.to_le_bytes(), epsilon.to_le_bytes()].concat();
    let at = file.windows(16).position(|bytes| bytes == recorded).unwrap();
    file[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    seal(&mut file);
    fs::write(&path, &file).unwrap();
    let Err(FileError::Inconsistent { source, .. }) = Library::load(&path) else { panic!() };
    assert_eq!(source.to_string(), "selection of 4: lambda must be finite and >= 0");
}

#[test]
fn payloads_made_on_purpose_are_errors_or_can_be_used() {
    let usable = run(3000, 1);
    assert!(usable > 300, "{usable}");
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ files"]
fn many_payloads_made_on_purpose_are_errors_or_can_be_used() {
    let (count, seed) = fuzz_runs(1_000_000);
    let usable = run(count, seed);
    assert!(usable > count / 10, "{usable}");
}

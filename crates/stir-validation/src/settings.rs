//! What records depend on, so that no file mixes those of two runs.

use serde::Serialize;
use stir_core::{Engine, Fingerprint};
use stir_files::{FileError, Settings};

use crate::{Arm, ReplayConfig, Start};

#[derive(Serialize)]
struct Run<'a> {
    config: &'a ReplayConfig,
    model: &'a Fingerprint,
    computation: String,
    device: String,
    /// Digests: every start in order, and every arm.
    starts: String,
    arms: String,
    judge: &'a str,
}

/// Returns the settings of a run of continuations, but for the size of its batches.
pub(crate) fn describe(
    engine: &impl Engine,
    config: &ReplayConfig,
    starts: &[Start],
    arms: &[Arm],
    judge: &str,
) -> Result<Settings, FileError> {
    let (mut of_starts, mut of_arms) = (Digest::default(), Digest::default());
    for start in starts {
        let gold = start.problem.gold.as_deref().unwrap_or_default();
        [start.name().as_str(), &start.problem.prompt, gold]
            .into_iter()
            .for_each(|text| of_starts.add(text.as_bytes()));
        of_starts.add(&start.prefix().iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>());
    }
    for arm in arms {
        of_arms.add(arm.name.as_bytes());
        if let Some(impulse) = &arm.impulse {
            of_arms.add(&(impulse.layer as u64).to_le_bytes());
            of_arms.add(&impulse.strength.to_le_bytes());
            of_arms.add(&impulse.vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
    }
    let run = Run {
        config,
        model: engine.fingerprint(),
        computation: engine.computation(),
        device: engine.device(),
        starts: of_starts.finish(),
        arms: of_arms.finish(),
        judge,
    };
    Ok(Settings::new(&run)?.without(&["config", "max_batch"]).indented())
}

/// A digest of parts that cannot run into each other.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes()).update(part);
    }

    fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

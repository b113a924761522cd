//! The library that a validation leaves.

use std::collections::{BTreeMap, BTreeSet};

use stir_basis::{BasisError, Entry, Evidence, Library};

use crate::{EntryReport, Finding, ValidationReport};

/// The name of this stage in the provenance of a library.
const STAGE: &str = "validation";

/// Returns the library of the entries that help, with the lower bounds of their uplifts as qualities; `None` if there are
/// none.
///
/// Entries that say to stay are no interventions, and stay. Qualities of both kinds are compared at run time, so these get
/// the mean quality of the others: which of two entries counts is then up to their similarity, as it was.
pub(crate) fn validated(library: &Library, report: &ValidationReport) -> Result<Option<Library>, BasisError> {
    // In order, so that the same sum is taken in the same way every time.
    let helping: BTreeMap<usize, &EntryReport> =
        report.chosen().filter(|found| found.finding == Finding::Helps).map(|found| (found.entry, found)).collect();
    if helping.is_empty() {
        return Ok(None);
    }
    let mean = helping.values().map(|found| found.lower).sum::<f64>() / helping.len() as f64;
    let keep = |place: usize, entry: &Entry| match (entry.vector(), helping.get(&place)) {
        (None, _) => Some(Entry { quality: mean, ..entry.clone() }),
        (Some(_), Some(found)) => {
            Some(Entry { quality: found.lower, evidence: Some(evidence(found)), ..entry.clone() })
        }
        (Some(_), None) => None,
    };
    let mut provenance = library.provenance().clone();
    provenance.insert(STAGE.into(), summary(report));
    Ok(Some(library.filter_map(keep)?.with_provenance(provenance)))
}

fn evidence(found: &EntryReport) -> Evidence {
    let EntryReport { strength, trials, with_right, without_right, uplift, error, lower, .. } = *found;
    let [trials, with_right, without_right] = [trials, with_right, without_right].map(|count| count as u64);
    Evidence { strength, trials, with_right, without_right, uplift, error, lower }
}

/// Returns the settings and the counts of a validation as JSON text.
fn summary(report: &ValidationReport) -> String {
    let tried: BTreeSet<usize> = report.entries.iter().map(|found| found.entry).collect();
    let harmful: BTreeSet<usize> = report.harmful().map(|found| found.entry).collect();
    serde_json::json!({
        "config": report.config,
        "strength": report.strength,
        "problems": report.problems,
        "boundaries": report.boundaries,
        "comparisons": report.cost.comparisons,
        "tokens": report.cost.tokens(),
        "looks": report.looks,
        "tried": tried.len(),
        "helping": report.helping(),
        "harmful": harmful.len(),
        "untried": report.untried.len(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use stir_basis::Action;

    use super::*;
    use crate::{ValidationConfig, ValidationCost};

    #[test]
    fn the_same_report_gives_the_same_library_to_the_last_bit() {
        let entry = |place: usize| {
            let action = if place == 0 { Action::Stay } else { Action::Steer(vec![1.0, 0.0]) };
            Entry { key: [1.0, place as f32].into(), action, ..Entry::default() }
        };
        let library = Library::from_vectors((0..40).map(entry)).unwrap();
        let found = |entry: usize| EntryReport {
            entry,
            problem: String::new(),
            m: 1,
            layer: 0,
            strength: 0.3,
            trials: 8,
            with_right: 6,
            without_right: 2,
            uplift: 0.5,
            error: 0.1,
            lower: 0.4 / entry as f64,
            upper: 0.7,
            finding: Finding::Helps,
        };
        let report = ValidationReport {
            config: ValidationConfig::default(),
            problems: 9,
            boundaries: 30,
            skipped: 0,
            strength: Some(0.3),
            strengths: vec![],
            entries: (1..40).map(found).collect(),
            untried: vec![],
            looks: 1,
            cost: ValidationCost::default(),
        };
        let kept = validated(&library, &report).unwrap().unwrap();
        assert_eq!(kept.entries().len(), 40);
        assert!((0..20).all(|_| validated(&library, &report).unwrap().unwrap() == kept));
    }
}

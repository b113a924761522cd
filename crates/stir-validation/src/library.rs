//! The library that a validation leaves.

use std::collections::HashMap;

use stir_basis::{BasisError, Entry, Library};

use crate::{EntryReport, Finding, ValidationReport};

/// The name of this stage in the provenance of a library.
const STAGE: &str = "validation";

/// Returns the library of the entries that help, with the lower bounds of their uplifts as qualities; `None` if there are
/// none.
///
/// Entries that say to stay are no interventions, and stay. Qualities of both kinds are compared at run time, so these get
/// the mean quality of the others: which of two entries counts is then up to their similarity, as it was.
pub(crate) fn validated(library: &Library, report: &ValidationReport) -> Result<Option<Library>, BasisError> {
    let helping: HashMap<usize, &EntryReport> =
        report.chosen().filter(|found| found.finding == Finding::Helps).map(|found| (found.entry, found)).collect();
    if helping.is_empty() {
        return Ok(None);
    }
    let mean = helping.values().map(|found| found.lower).sum::<f64>() / helping.len() as f64;
    let keep = |(place, entry): (usize, &Entry)| match (entry.vector(), helping.get(&place)) {
        (None, _) => Some((place, Entry { quality: mean, ..entry.clone() })),
        (Some(_), Some(found)) => Some((place, Entry { quality: found.lower, ..entry.clone() })),
        (Some(_), None) => None,
    };
    let (_places, entries): (Vec<usize>, Vec<Entry>) = library.entries().iter().enumerate().filter_map(keep).unzip();
    let mut provenance = library.provenance().clone();
    provenance.insert(STAGE.into(), summary(report));
    let kept = Library::from_entries(library.fingerprint().clone(), entries)?;
    Ok(Some(kept.with_delimiter(library.delimiter().clone()).with_provenance(provenance)))
}

/// Returns the settings and the counts of a validation as JSON text.
fn summary(report: &ValidationReport) -> String {
    let tried: std::collections::BTreeSet<usize> = report.entries.iter().map(|found| found.entry).collect();
    let harmful: std::collections::BTreeSet<usize> = report.harmful().map(|found| found.entry).collect();
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
